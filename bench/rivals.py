"""Other packages that compute agreement, in an environment of their own.

irrCAC needs a numpy older than Waver's, so they cannot share a process with it. `make test-all`
and `make bench` install them into `.venv-rivals` (requirements/rivals.txt); a small server there
answers over a pipe (bench/rival_server.py).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.measure import ROOT

PYTHON = ROOT / ".venv-rivals" / "bin" / "python"
ABSENT = "The rival packages are not installed; run `make .venv-rivals/installed`."


class Rivals:
    """The running server: `with Rivals() as rivals: rivals.ask("fleiss", tables=[…])`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @staticmethod
    def installed() -> bool:
        return PYTHON.is_file() and (PYTHON.parents[1] / "installed").exists()

    def __enter__(self) -> Rivals:
        if not self.installed():
            raise RuntimeError(ABSENT)
        self._process = subprocess.Popen(
            [PYTHON, Path(__file__).with_name("rival_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def ask(self, command: str, **arguments: Any) -> Any:
        """What `command` of bench/rival_server.py answers; RuntimeError with its complaint."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("Ask within the `with` block.")
        process.stdin.write(json.dumps({"command": command, "arguments": arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"The rival packages' process ended while asked for {command}.")
        found = json.loads(line)
        if "error" in found:
            raise RuntimeError(f"{command}: {found['error']}")
        return found["answer"]

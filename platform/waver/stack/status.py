"""What the supervisor writes down for others to read, and the lock that keeps it alone.

`var/run/stack.json` exists while a stack runs, or after its supervisor was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from waver.stack.errors import StackError

_GLANCE_SECONDS = 0.5


@dataclass
class ProgramStatus:
    """One supervised program. `state` is waiting, starting, running, stopped or failed."""

    pid: int | None = None
    state: str = "waiting"
    restarts: int = 0
    log: str = ""


@dataclass
class Status:
    """The whole stack. `state` is starting, running or stopping; `run` names this one run."""

    pid: int
    run: str
    state: str = "starting"
    web_url: str = ""
    web_ready: bool = False
    label_studio_url: str = ""
    label_studio_ready: bool = False
    message: str = ""
    programs: dict[str, ProgramStatus] = field(default_factory=dict)

    def write(self, var: Path) -> None:
        """Replace the status file, whole or not at all."""
        path = _path(var)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        draft.replace(path)


def read_status(var: Path) -> Status | None:
    """Return what the stack of `var` last wrote, or None when none runs."""
    try:
        found = json.loads(_path(var).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    programs = {name: ProgramStatus(**one) for name, one in found.pop("programs").items()}
    return Status(**found, programs=programs)


def remove_status(var: Path) -> None:
    """Forget the status file, after everything has stopped."""
    _path(var).unlink(missing_ok=True)


def lock(var: Path) -> IO[str]:
    """Take the lock of `var` for as long as the returned file is open.

    Raises StackError when another supervisor holds it.
    """
    path = _lock_path(var)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="ascii")
    deadline = time.monotonic() + _GLANCE_SECONDS
    while not _try_lock(handle, fcntl.LOCK_EX):
        if time.monotonic() < deadline:
            time.sleep(0.02)  # it may be somebody's `is_locked`, which holds it for a moment
            continue
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise StackError(
            f"A stack already runs on {var} (process {holder}). Use that one, stop it with "
            "Ctrl-C, or set WAVER_VAR to another folder."
        )
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def is_locked(var: Path) -> bool:
    """Whether a supervisor runs on `var`."""
    path = _lock_path(var)
    if not path.exists():
        return False
    with path.open("rb") as handle:
        return not _try_lock(handle, fcntl.LOCK_SH)


def _try_lock(handle: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_path(var: Path) -> Path:
    return var / "run" / "stack.lock"


def _path(var: Path) -> Path:
    return var / "run" / "stack.json"

"""One program under supervision: started in a session of its own, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from pathlib import Path

from waver.stack import child
from waver.stack.programs import Program

RUN_VARIABLE = "WAVER_STACK_RUN"
_LOG_LIMIT_BYTES = 10_000_000
# So many ends within so many seconds are a program that cannot run.
_CRASHES, _CRASH_SECONDS = 5, 60.0
# An end in order counts as one of them only if it comes this soon.
_CRASH_LIFE_SECONDS = 3.0


class Supervised:
    """A program's present process. Start it from a thread that lives as long as it should."""

    def __init__(self, program: Program, *, run: str, log_dir: Path) -> None:
        self.program = program
        self.log_file = log_dir / f"{program.name}.log"
        self.restarts = 0
        self._run = run
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: deque[float] = deque(maxlen=_CRASHES)
        self._start_at = 0.0
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the program. Its output goes to its log file."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        self._started_at = time.monotonic()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.program.environment | {RUN_VARIABLE: self._run},
                start_new_session=True,
                preexec_fn=child.before_exec(on_parent_death=signal.SIGTERM),
            )

    def has_ended(self) -> bool:
        """Note whether the process has ended; if so, kill what it left behind and return True."""
        if self._process is None or self._process.poll() is None:
            return False
        self._kill_group()
        now = time.monotonic()
        # A worker that wants to be replaced ends in order, and that is no crash.
        replaced = self._process.returncode == 0 and now - self._started_at > _CRASH_LIFE_SECONDS
        self._process = None
        if replaced:
            self._start_at = now
            return True
        self._ends.append(now)
        # Later and later: 0.25 s, 0.5 s, 1 s and so on while it keeps ending.
        recent = sum(1 for end in self._ends if now - end < _CRASH_SECONDS)
        self._start_at = now + 0.125 * 2**recent
        return True

    def keeps_crashing(self) -> bool:
        """Whether it ended too often in too short a time to be started again."""
        return len(self._ends) == _CRASHES and self._ends[-1] - self._ends[0] < _CRASH_SECONDS

    def restart_when_due(self) -> bool:
        """Start it again if it has ended and its pause is over; return whether it was started."""
        if self._process is not None or time.monotonic() < self._start_at:
            return False
        self.start()
        self.restarts += 1
        return True

    def ask_to_stop(self) -> None:
        """Ask the process to end. `kill` must follow, for what it leaves behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def has_finished(self, deadline: float) -> bool:
        """Whether it has ended, or `deadline` (by the monotonic clock) has passed."""
        ended = self._process is None or self._process.poll() is not None
        return ended or time.monotonic() > deadline

    def kill(self) -> None:
        """Kill the process, if it still runs, and everything that it left behind."""
        if self._process is not None:
            self._kill_group()
            self._process.wait()
            self._process = None

    def last_lines(self, count: int = 8) -> str:
        """Return the end of its log."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(self.log_file.stat().st_size - 4000, 0))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""

    def _kill_group(self) -> None:
        """Kill what is left of the program's session, such as the processes of a pool."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def leftovers(run: str) -> list[int]:
    """Return the processes that belong to the stack's run `run`, found by their environment."""
    marker = f"{RUN_VARIABLE}={run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or it is another user's
            if marker in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


def kill_leftovers(run: str, *, patience: float) -> None:
    """Give the processes of an earlier run `patience` seconds to end, then kill them."""
    deadline = time.monotonic() + patience
    while leftovers(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in leftovers(run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

"""Drives a stack from another program: `manage.py demo` and the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from waver.stack import child
from waver.stack.errors import StackError
from waver.stack.status import Status, is_locked, read_status


class Stack:
    """A `manage.py up` in a process of its own, on the folder `var`.

    `environment` adds to this process's environment, for example WAVER_PORT. Output goes to
    `var/log/stack.log`. The stack stops when the thread ends that started it.
    """

    def __init__(
        self,
        *,
        root: Path,
        var: Path,
        environment: dict[str, str] | None = None,
        label_studio: bool = True,
    ) -> None:
        self.root = root
        self.var = var
        self.log_file = var / "log" / "stack.log"
        self._environment = os.environ | (environment or {}) | {"WAVER_VAR": str(var)}
        self._label_studio = label_studio
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_up(self) -> bool:
        """Whether a stack runs on `var`, whoever started it."""
        return is_locked(self.var)

    @property
    def status(self) -> Status | None:
        """What the stack last wrote about itself."""
        return read_status(self.var)

    def start(self) -> None:
        """Start the stack and return at once; `wait_until` waits for its parts."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        more = [] if self._label_studio else ["--without-label-studio"]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(self.root / "manage.py"), "up", "--no-color", *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=child.before_exec(on_parent_death=signal.SIGTERM),
            )

    def wait_until(
        self, *, web: bool = True, label_studio: bool = False, timeout: float = 60.0
    ) -> Status:
        """Wait until the named parts answer, and return the stack's status.

        Raises StackError with the stack's own last words when it ends, when Label Studio
        cannot be kept running, or after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.status
            if self._process is not None and self._process.poll() is not None:
                raise StackError(f"The stack ended instead of starting: {self._last_words()}")
            # A file that an earlier, killed supervisor left behind says nothing about this one.
            mine = self._process is None or (status and status.pid == self._process.pid)
            if status is not None and mine:
                if (status.web_ready or not web) and (
                    status.label_studio_ready or not label_studio
                ):
                    return status
                if label_studio and status.message:
                    raise StackError(status.message)
            time.sleep(0.1)
        raise StackError(
            f"The stack was not ready after {timeout:.0f} seconds. The logs in "
            f"{self.var / 'log'} say why; its last words were: {self._last_words()}"
        )

    def stop(self, *, timeout: float = 40.0) -> int:
        """Stop the stack that this object started, and return its exit status."""
        if self._process is None:
            raise StackError("This stack was started by another program; stop it there.")
        self._process.terminate()
        try:
            return self._process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children end with it
            return self._process.wait()

    def _last_words(self) -> str:
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-1500:].strip()
        except FileNotFoundError:
            return f"(nothing in {self.log_file})"

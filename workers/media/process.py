"""A guarded process, from its start to its certain end: what ffmpeg and the probe share."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_GUARD = Path(__file__).with_name("guard.py")
_POLL_SECONDS = 0.1
_START_SECONDS = 30
_LONGEST_LINE = 65536
#: Where programs find their libraries. Recordings never lie there.
_LIBRARIES = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store"),
    *("/etc/ld.so.cache", "/dev/null", "/dev/urandom"),
)
#: What every process of ours may be told; nothing else of the worker's environment reaches it,
#: its secrets least of all.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


@dataclass(frozen=True, slots=True)
class Defences:
    """Which defences this host allows: no network for the program, no files but those named."""

    network: bool
    files: bool


class Cancelled(Exception):
    """The caller asked for the process to stop."""


class TooLong(Exception):
    """The process took more wall time than it was given."""


@functools.lru_cache(maxsize=4)
def defences(program: str) -> Defences:
    """Return the defences under which `program -version` runs here (tried once per program)."""
    for wanted in (Defences(True, True), Defences(True, False), Defences(False, True)):
        if try_out([program, "-version"], wanted) is not None:
            return wanted
    return Defences(network=False, files=False)


def try_out(command: Sequence[str], wanted: Defences) -> str | None:
    """Run a short command under `wanted`; return what it says, or None where it does not run."""
    tied = description(
        cpu_seconds=_START_SECONDS,
        file_bytes=0,
        memory_bytes=4 * 1024**3,
        no_network=wanted.network,
        files=reach(command[0], read=[], write=[]) if wanted.files else None,
    )
    try:
        done = subprocess.run(
            guarded(command, tied),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def network_can_be_left() -> bool:
    """Whether this host lets a process enter a network namespace of its own."""
    return _a_plain_program().network


def files_can_be_left() -> bool:
    """Whether this host lets a process shut itself off from all files but those named."""
    return _a_plain_program().files


def _a_plain_program() -> Defences:
    return defences(shutil.which("true") or "/bin/true")


def reach(program: str, *, read: Sequence[str], write: Sequence[str]) -> dict[str, list[str]]:
    """Return what a program may open: itself, its libraries, and the paths given."""
    own_libraries = str(Path(program).resolve().parent.parent / "lib")
    return {"read": [program, own_libraries, *_LIBRARIES, *read], "write": list(write)}


def description(
    *,
    cpu_seconds: int,
    file_bytes: int,
    memory_bytes: int,
    no_network: bool,
    files: dict[str, list[str]] | None,
    cpu_grace: int = 0,
) -> str:
    """Write down for `guard` what a child of this process may use.

    With `cpu_grace`, what ends a child at `cpu_seconds` is SIGXCPU, which nobody else sends;
    without it SIGKILL, which no program can catch to go on.
    """
    return json.dumps(
        {
            "parent": os.getpid(),
            "cpu_seconds": cpu_seconds,
            "cpu_grace": cpu_grace,
            "file_bytes": file_bytes,
            "memory_bytes": memory_bytes,
            "no_network": no_network,
            "files": files,
        }
    )


def guarded(command: Sequence[str], tied: str) -> list[str]:
    """Put the guard before a command: it ties its hands, then becomes the program."""
    return [sys.executable, "-I", "-S", str(_GUARD), tied, *command]


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own; whatever is left of the group is killed at the end."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def follow(
    process: subprocess.Popen[bytes],
    *,
    deadline: float,
    on_stdout: Callable[[str], None],
    on_stderr: Callable[[str], None],
    cancelled: Callable[[], bool] | None = None,
) -> int:
    """Hand over both pipes line by line until they close; return the exit code.

    `deadline` is a time of `time.monotonic`. Raises TooLong when it passes, Cancelled when
    `cancelled()` turns true. A line longer than 64 KiB loses its beginning.
    """
    with selectors.DefaultSelector() as selector:
        for pipe, hear in ((process.stdout, on_stdout), (process.stderr, on_stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, (hear, _Lines()))
        while selector.get_map():
            _heed(deadline, cancelled)
            for key, _ in selector.select(timeout=_POLL_SECONDS):
                chunk = os.read(key.fd, _LONGEST_LINE)
                hear, lines = key.data
                for line in lines.add(chunk):
                    hear(line)
                if not chunk:
                    selector.unregister(key.fileobj)
    while not _has_ended(process):  # it may have closed its pipes and run on
        _heed(deadline, cancelled)
        time.sleep(_POLL_SECONDS / 10)
    return _end(process)


def _heed(deadline: float, cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled
    if time.monotonic() > deadline:
        raise TooLong


class _Lines:
    """Cuts what arrives into whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, chunk: bytes) -> list[str]:
        """Return the lines that `chunk` completes; an empty one completes the last."""
        *whole, rest = re.split(rb"[\r\n]+", self._rest + (chunk or b"\n"))
        self._rest = rest[-_LONGEST_LINE:]
        return [line.decode("utf-8", "replace") for line in whole if line]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it stays uncollected, so that its group's number stays its own."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, how) is not None


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill whatever is left of the process group and collect the process; return its code."""
    if process.returncode is None:  # once it is collected, its number may be somebody else's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()

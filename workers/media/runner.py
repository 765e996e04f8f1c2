"""The only way to start ffmpeg: one input file alone in a directory, and hard limits.

Commands are composed with ffmpeg-python and run by our own Popen, because ffmpeg-python's own
`run` has no time limit, no limits on processor, memory and file size, no progress and no stop.
What each defence is for stands beside it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.media.containers import FORMAT_WHITELIST, PROTOCOL_WHITELIST
from workers.media.errors import MediaCancelledError, MediaToolError

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_LINES = 200
_POLL_SECONDS = 0.1
#: The one generator that may stand in for a file: silence, for recordings without a sound track.
_SILENCE = re.compile(r"anullsrc=r=\d{4,6}:cl=(mono|stereo)")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run may use.

    `wall_seconds` and `cpu_seconds` end the run, `output_bytes` bounds each file it writes,
    `memory_bytes` its address space, `max_pixels` the width times height of any decoded picture,
    `media_seconds` the longest recording accepted.
    """

    wall_seconds: float = 3600.0
    cpu_seconds: int = 7200
    output_bytes: int = 8 * 1024**3
    memory_bytes: int = 4 * 1024**3
    max_pixels: int = 35_000_000
    media_seconds: float = 4 * 3600.0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: ffmpeg's last lines, the wall seconds it took, the version that ran."""

    stderr_tail: str
    seconds: float
    version: str


@dataclass
class _Output:
    """What has been read from the running program so far."""

    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    partial: dict[str, bytes] = field(default_factory=dict)


def binary() -> str:
    """Return the absolute path of ffmpeg: WAVER_FFMPEG, or the one that imageio-ffmpeg brings."""
    configured = os.environ.get("WAVER_FFMPEG")
    if configured:
        return str(Path(configured).resolve())
    import imageio_ffmpeg

    return str(Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve())


@functools.lru_cache(maxsize=4)
def version(program: str) -> str:
    """Return the version that `program -version` names, such as "n9.0.2". Raises MediaToolError."""
    try:
        shown = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MediaToolError(
            f"ffmpeg does not start ({error}). Reinstall Waver's environment, or set WAVER_FFMPEG "
            "to a working ffmpeg."
        ) from error
    return shown.split()[2] if shown.startswith("ffmpeg version") else "unknown"


@functools.lru_cache(maxsize=1)
def network_can_be_left() -> bool:
    """Whether this host lets a process enter a network namespace of its own (asked once)."""
    true = shutil.which("true") or "/bin/true"
    command = _guarded([true], limits=Limits(), no_network=True)
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    return result.returncode == 0


@contextlib.contextmanager
def isolated(source: Path, *, work_dir: Path) -> Iterator[Path]:
    """Give `source` a server-made name in a new directory where it is the only file.

    Even a reader that is talked into opening a neighbour's file finds none. A hard link is made
    where the file is ours and the file system allows it, otherwise a copy. Yields the absolute
    path; removes the directory afterwards.
    """
    folder = Path(tempfile.mkdtemp(prefix=".input-", dir=work_dir.resolve()))
    target = folder / "recording"
    try:
        try:
            if source.stat().st_uid != os.geteuid():
                raise PermissionError(f"{source} belongs to another user")
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
        yield target
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(
    stream: Any,
    *,
    limits: Limits,
    expected_seconds: float | None = None,
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Run:
    """Run the ffmpeg command that `stream` (an ffmpeg-python output node) describes.

    Every file input must come from `isolated`. `on_progress` gets the share done, 0 to 1, where
    `expected_seconds` of output is known. Raises MediaToolError with ffmpeg's own last words where
    it fails or overruns a limit, MediaCancelledError where `cancelled()` turns true. The whole
    process group is gone in every case.
    """
    program = binary()
    command = _guarded(
        _compose(stream, program=program, limits=limits),
        limits=limits,
        no_network=network_can_be_left(),
    )
    shown_version = version(program)
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C", "PATH": os.defpath},
        start_new_session=True,
    )
    output = _Output()
    try:
        _follow(
            process,
            output,
            deadline=started + limits.wall_seconds,
            report=_progress_reporter(on_progress, expected_seconds),
            cancelled=cancelled,
        )
        returned = process.wait()
    finally:
        _end(process)
    tail = "\n".join(output.tail)
    if returned != 0:
        raise MediaToolError(_failure_sentence(returned, output.tail, limits))
    return Run(stderr_tail=tail, seconds=time.monotonic() - started, version=shown_version)


def _compose(stream: Any, *, program: str, limits: Limits) -> list[str]:
    """Compile the command and put the guards in front of every input and output."""
    arguments: list[str] = stream.compile(cmd=program)
    command = [program, "-nostdin", "-hide_banner", "-loglevel", "level+info", "-nostats"]
    command += ["-progress", "pipe:1", "-y", "-timelimit", str(limits.cpu_seconds)]
    command += ["-filter_complex_threads", str(limits.threads)]
    rest = arguments[1:]
    index = 0
    while index < len(rest):
        if rest[index] == "-i":
            command += _guarded_input(rest[index + 1], limits)
            index += 2
        else:
            command.append(rest[index])
            index += 1
    return command


def _guarded_input(name: str, limits: Limits) -> list[str]:
    """Return the options and the name for one input. Raises ValueError for an unguarded one."""
    if _SILENCE.fullmatch(name):
        return ["-i", name]
    path = Path(name)
    alone = path.is_absolute() and [entry.name for entry in path.parent.iterdir()] == [path.name]
    if not alone or path.is_symlink() or not path.is_file():
        raise ValueError(f"{name} is not alone in its directory: open inputs through isolated()")
    return [
        *("-protocol_whitelist", PROTOCOL_WHITELIST),
        *("-format_whitelist", FORMAT_WHITELIST),
        *("-max_pixels", str(limits.max_pixels)),
        *("-threads", str(limits.threads)),
        # `file:` keeps a name from being read as an option, a pattern or another protocol
        *("-i", f"file:{path}"),
    ]


def _guarded(command: Sequence[str], *, limits: Limits, no_network: bool) -> list[str]:
    description = json.dumps(
        {
            "parent": os.getpid(),
            "cpu_seconds": limits.cpu_seconds,
            "file_bytes": limits.output_bytes,
            "memory_bytes": limits.memory_bytes,
            "no_network": no_network,
        }
    )
    return [sys.executable, "-I", "-S", str(_GUARD), description, *command]


def _follow(
    process: subprocess.Popen[bytes],
    output: _Output,
    *,
    deadline: float,
    report: Callable[[str], None],
    cancelled: Callable[[], bool] | None,
) -> None:
    """Read both pipes until they close, watching the clock and the wish to stop."""
    with selectors.DefaultSelector() as selector:
        for pipe, meaning in ((process.stdout, "progress"), (process.stderr, "log")):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, meaning)
        while selector.get_map():
            if cancelled is not None and cancelled():
                raise MediaCancelledError("The conversion was stopped: its job was cancelled.")
            if time.monotonic() > deadline:
                raise MediaToolError(
                    "The conversion took longer than its time limit and was stopped. Supply a "
                    "shorter or smaller recording, or raise the limit."
                )
            for key, _ in selector.select(timeout=_POLL_SECONDS):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                for line in _lines(output, key.data, chunk):
                    if key.data == "log":
                        output.tail.append(line)
                    else:
                        report(line)


def _lines(output: _Output, pipe: str, chunk: bytes) -> list[str]:
    """Split what arrived into whole lines; keep at most 64 KiB of an unfinished one."""
    *whole, rest = re.split(rb"[\r\n]+", output.partial.get(pipe, b"") + chunk)
    output.partial[pipe] = rest[-65536:]
    return [line.decode("utf-8", "replace") for line in whole if line]


def _progress_reporter(
    on_progress: Callable[[float], None] | None, expected_seconds: float | None
) -> Callable[[str], None]:
    def report(line: str) -> None:
        key, _, value = line.partition("=")
        if on_progress is None or not expected_seconds:
            return
        if key == "out_time_us" and value.lstrip("-").isdigit():
            on_progress(min(1.0, max(0.0, int(value) / 1e6 / expected_seconds)))
        elif key == "progress" and value == "end":
            on_progress(1.0)

    return report


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the process group and collect it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it may end between the two calls
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _failure_sentence(returned: int, tail: Sequence[str], limits: Limits) -> str:
    """Say why ffmpeg ended with a code other than 0, in its own last words where it has any."""
    if returned == -signal.SIGXCPU or (returned == -signal.SIGKILL and limits.cpu_seconds):
        reason = f"was stopped: it used up its {limits.cpu_seconds} s of processor time or memory"
    elif returned == -signal.SIGXFSZ:
        reason = f"was stopped: its output grew over {limits.output_bytes} bytes"
    elif returned < 0:
        reason = f"was ended by signal {-returned}"
    else:
        reason = f"failed with code {returned}"
    spoken = [
        _spoken(line)
        for line in tail
        if re.search(r"\[(error|fatal|panic)\]", line) or line.startswith("guard:")
    ]
    last = "; ".join(dict.fromkeys(spoken[:2] + spoken[-1:])) or "it said nothing"
    if any(os.strerror(errno.ENOSPC) in line for line in spoken):
        advice = "The disk for temporary files is full: ask an administrator to free space."
    else:
        advice = "Check that the recording plays to its end."
    return f"The conversion with ffmpeg {reason} ({last}). {advice}"


def _spoken(line: str) -> str:
    """Take off what says nothing to a reader: addresses, levels and the server-made name."""
    bare = re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )*\[\w+\] ", "", line)
    return re.sub(r"(file:)+/\S*/recording\b", "the recording", bare).strip().rstrip(".")

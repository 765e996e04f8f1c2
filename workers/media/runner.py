"""The only way to start ffmpeg: one input file alone in a directory, and hard limits.

Commands are composed with ffmpeg-python and run by our own Popen, because ffmpeg-python's own
`run` has no time limit, no limits on processor, memory and file size, no progress and no stop.
What each defence is for stands beside it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.media import process
from workers.media.containers import FORMAT_WHITELIST, PROTOCOL_WHITELIST, require_plain_file
from workers.media.errors import MediaCancelledError, MediaToolError, RefusedRecordingError
from workers.media.limits import Limits

__all__ = ["Limits", "Run", "binary", "isolated", "run", "version"]

_TAIL_LINES = 200
#: ffmpeg's own exit code where more than two thirds of a stream do not decode (-max_error_rate).
_TOO_MANY_ERRORS = 69
#: The one generator that may stand in for a file: silence, for recordings without a sound track.
_SILENCE = re.compile(r"anullsrc=r=\d{4,6}:cl=(mono|stereo)")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: ffmpeg's last lines, the wall seconds it took, the version that ran."""

    stderr_tail: str
    seconds: float
    version: str


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
    shown = process.try_out([program, "-version"], process.defences(program))
    if shown is None:
        raise MediaToolError(
            f"ffmpeg does not start ({program}). Reinstall Waver's environment, or set "
            "WAVER_FFMPEG to a working ffmpeg."
        )
    return shown.split()[2] if shown.startswith("ffmpeg version") else "unknown"


@contextlib.contextmanager
def isolated(source: Path, *, work_dir: Path) -> Iterator[Path]:
    """Give `source` a server-made name in a new directory where it is the only file.

    Even a reader that is talked into opening a neighbour's file finds none. A hard link is made
    where the file is ours and the file system allows it, otherwise a copy. Yields the absolute
    path; removes the directory afterwards. Raises RefusedRecordingError for what is no plain file.
    """
    require_plain_file(source)
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

    Every file input must come from `isolated`; outputs are absolute paths. `on_progress` gets the
    share done, 0 to 1, where `expected_seconds` of output is known. Raises MediaToolError with
    ffmpeg's own last words where it fails or overruns a limit, RefusedRecordingError where most of
    the recording does not decode, MediaCancelledError where `cancelled()` turns true; outputs that
    were not there before are then gone. The whole process group is gone in every case.
    """
    program = binary()
    shown_version = version(program)
    began = time.monotonic()
    command, inputs, outputs = _compose(stream, program=program, limits=limits)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with (
        _new_files(outputs),
        process.started(_guarded(command, inputs, outputs, limits)) as running,
    ):
        try:
            returned = process.follow(
                running,
                deadline=began + limits.wall_seconds,
                on_stdout=_progress_reporter(on_progress, expected_seconds),
                on_stderr=tail.append,
                cancelled=cancelled,
            )
        except process.TooLong:
            raise MediaToolError(
                "The conversion took longer than its time limit and was stopped. Supply a "
                "shorter or smaller recording, or raise the limit."
            ) from None
        except process.Cancelled:
            raise MediaCancelledError(
                "The conversion was stopped: its job was cancelled."
            ) from None
        if returned == _TOO_MANY_ERRORS:
            raise RefusedRecordingError(
                f"The recording is damaged: most of its pictures or sound cannot be decoded "
                f"({_last_words(tail)}). Copy it again from the device that recorded it."
            )
        if returned != 0:
            raise MediaToolError(_failure_sentence(returned, tail, limits))
    return Run(stderr_tail="\n".join(tail), seconds=time.monotonic() - began, version=shown_version)


def _compose(
    stream: Any, *, program: str, limits: Limits
) -> tuple[list[str], list[Path], list[Path]]:
    """Compile the command with the guards before every input; return it, its inputs and outputs."""
    arguments: list[str] = stream.compile(cmd=program)
    command = [program, "-nostdin", "-hide_banner", "-loglevel", "level+info", "-nostats"]
    command += ["-progress", "pipe:1", "-y", "-timelimit", str(limits.cpu_seconds)]
    command += ["-filter_complex_threads", str(limits.threads)]
    inputs: list[Path] = []
    outputs: list[Path] = []
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == "-i":
            name = next(rest)
            command += _guarded_input(name, limits)
            inputs += [] if _SILENCE.fullmatch(name) else [Path(name)]
        else:
            command.append(argument)
            outputs += [Path(argument)] if argument.startswith("/") else []
    return command, inputs, outputs


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


def _guarded(
    command: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path], limits: Limits
) -> list[str]:
    """Put the guard before the command: as many of the defences as this host allows."""
    host = process.defences(command[0])
    files = process.reach(command[0], read=_names(inputs), write=_names(outputs))
    tied = process.description(
        cpu_seconds=limits.cpu_seconds,
        file_bytes=limits.output_bytes,
        memory_bytes=limits.memory_bytes,
        no_network=host.network,
        files=files if host.files else None,
    )
    return process.guarded(command, tied)


def _names(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]


@contextlib.contextmanager
def _new_files(outputs: Sequence[Path]) -> Iterator[None]:
    """Make the outputs, since ffmpeg may write to these and make no others; undone on failure."""
    made = [path for path in outputs if not path.exists()]
    try:
        for path in made:
            path.touch()
        yield
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


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
    if any(os.strerror(errno.ENOSPC) in line for line in tail):
        advice = "The disk for temporary files is full: ask an administrator to free space."
    else:
        advice = "Check that the recording plays to its end."
    return f"The conversion with ffmpeg {reason} ({_last_words(tail)}). {advice}"


def _last_words(tail: Sequence[str]) -> str:
    """Give the first two errors and the last one."""
    spoken = [
        _spoken(line)
        for line in tail
        if re.search(r"\[(error|fatal|panic)\]", line) or line.startswith("guard:")
    ]
    return "; ".join(dict.fromkeys(spoken[:2] + spoken[-1:])) or "it said nothing"


def _spoken(line: str) -> str:
    """Take off what says nothing to a reader: addresses, levels and the server-made name."""
    bare = re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )*\[\w+\] ", "", line)
    return re.sub(r"(file:)+/\S*/recording\b", "the recording", bare).strip().rstrip(".")

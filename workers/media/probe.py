"""What an uploaded file holds, or why it cannot be used.

Here only its headers are read. Whatever decodes it could be crashed, filled or stalled by a file
made to harm; so that is done in a process of its own (`inspection`), with limits on processor time
and memory, without a network, and with no other recording in reach.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workers.media import containers, process
from workers.media.containers import Container
from workers.media.description import AudioStream, Probe, VideoStream, from_json
from workers.media.errors import MediaCancelledError, MediaToolError, RefusedRecordingError
from workers.media.limits import Limits

if TYPE_CHECKING:
    from av.container import InputContainer

__all__ = ["AudioStream", "Probe", "VideoStream", "opened", "probe"]

#: The process may wait for a slow disk this many times as long as it may compute.
_WALL_PER_CPU = 10
_OUT_OF_TIME, _KILLED = -signal.SIGXCPU, -signal.SIGKILL


def probe(
    path: Path,
    *,
    limits: Limits | None = None,
    name: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Probe:
    """Return what `path` holds. `name` is what messages call it (its own name by default).

    Raises RefusedRecordingError with a sentence for: what is no plain file, an empty file, a file
    that is no video, one that is cut off, one without a picture, one with nothing decodable, one
    that is larger in pixels or longer in time than `limits` allow, and one that crashes the reader
    or needs more processor time or memory than `limits` give it. Raises MediaToolError where the
    reader does not start or waits too long for the disk, MediaCancelledError where `cancelled()`
    turns true.
    """
    shown, limits = name or path.name, limits or Limits()
    container = _container(path, shown)
    said: deque[str] = deque(maxlen=1)
    complaints: deque[str] = deque(maxlen=20)
    began = time.monotonic()
    with process.started(_command(path.absolute(), container, shown, limits)) as reader:
        try:
            returned = process.follow(
                reader,
                deadline=began + _WALL_PER_CPU * limits.probe_seconds,
                on_stdout=said.append,
                on_stderr=complaints.append,
                cancelled=cancelled,
            )
        except process.TooLong:
            raise MediaToolError(
                f"{shown} could not be read within {_WALL_PER_CPU * limits.probe_seconds} s: the "
                "disk or the machine is too busy. Try again later."
            ) from None
        except process.Cancelled:
            raise MediaCancelledError(
                f"Reading {shown} was stopped: its job was cancelled."
            ) from None
    if returned != 0 or not said:
        raise _failure(returned, complaints, shown, limits)
    return _read(said[0], shown)


@contextmanager
def opened(
    path: Path, *, container: Container, limits: Limits, name: str | None = None
) -> Iterator[InputContainer]:
    """Open one of our own files in this process, forced to `container`; never an original.

    Every PyAV call inside the block that fails becomes a RefusedRecordingError.
    """
    from workers.media import inspection

    with inspection.opened(
        path, container=container, max_pixels=limits.max_pixels, name=name
    ) as source:
        yield source


def _read(line: str, shown: str) -> Probe:
    """Take the reader's answer with care: a file may have made it say anything."""
    try:
        answer = json.loads(line)
        if "refused" not in answer:
            return from_json(answer["found"])
        sentence = str(answer["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise MediaToolError(
            f"{shown} could not be looked into: its reader ended with no answer that makes sense. "
            "Report this to the administrator."
        ) from error
    raise RefusedRecordingError(sentence)


def _container(path: Path, shown: str) -> Container:
    """Tell from its first bytes and its headers what the file is, and whether its end is there."""
    containers.require_plain_file(path, name=shown)
    container = containers.recognise(path, name=shown)
    extent = containers.extent(path, container, name=shown)
    if extent.is_cut_off or (container == "mp4" and not extent.has_index):
        raise RefusedRecordingError(_cut_off_sentence(shown, extent))
    return container


def _cut_off_sentence(shown: str, extent: containers.Extent) -> str:
    if extent.declared_bytes is not None and extent.declared_bytes > extent.actual_bytes:
        share = 100 * extent.actual_bytes / extent.declared_bytes
        detail = f"{extent.actual_bytes} of {extent.declared_bytes} bytes are there ({share:.0f} %)"
    else:
        detail = "its index is missing"
    return (
        f"{shown} is cut off: {detail}. The copy or the upload broke off, or the recorder was "
        "stopped too early. Copy it again from the device that recorded it."
    )


def _command(path: Path, container: Container, shown: str, limits: Limits) -> list[str]:
    files = {"read": [str(path)], "write": []} if process.files_can_be_left() else None
    request = {
        "path": str(path),
        "name": shown,
        "container": container,
        "max_pixels": limits.max_pixels,
        "media_seconds": limits.media_seconds,
        "guard": json.loads(
            process.description(
                cpu_seconds=limits.probe_seconds,
                file_bytes=0,
                memory_bytes=limits.probe_bytes,
                no_network=process.network_can_be_left(),
                files=files,
                cpu_grace=1,
            )
        ),
    }
    # -I: nothing of ours is replaced by what lies in the current directory or the environment
    return [sys.executable, "-I", "-m", "workers.media.inspection", json.dumps(request)]


def _failure(
    returned: int, complaints: deque[str], shown: str, limits: Limits
) -> RefusedRecordingError | MediaToolError:
    """Say why the reader ended without an answer."""
    last = complaints[-1] if complaints else "it said nothing"
    if returned == _OUT_OF_TIME:
        return RefusedRecordingError(
            f"{shown} could not be read within {limits.probe_seconds} s of processor time: it is "
            "damaged, or was made to keep a reader busy. Convert it to MP4 and supply that."
        )
    if returned == _KILLED:  # not by the recording: the machine's memory was short, say
        return MediaToolError(
            f"{shown} could not be looked into: its reader was killed from outside. Report this to "
            "the administrator if it happens again."
        )
    if last.startswith("MemoryError"):
        return RefusedRecordingError(
            f"{shown} could not be read within {limits.probe_bytes >> 20} MiB of memory: it is "
            "damaged, or was made to fill a reader's memory. Convert it to MP4 and supply that."
        )
    if returned < 0:
        return RefusedRecordingError(
            f"{shown} made its reader crash (signal {-returned}): it is damaged. Convert it to MP4 "
            "and supply that."
        )
    return MediaToolError(
        f"{shown} could not be looked into: its reader ended with code {returned} ({last}). Report "
        "this to the administrator."
    )

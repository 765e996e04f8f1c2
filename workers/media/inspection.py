"""Reads an uploaded file with PyAV: in a process of its own, with its hands tied.

`python -I -m workers.media.inspection REQUEST` ties its hands (`guard`), opens the one file that
it may open, forced to one container, and prints one line of JSON: `{"found": …}` or
`{"refused": sentence}`. REQUEST is a JSON object: `path`, `name` (what sentences call the file),
`container`, `max_pixels`, `media_seconds` and `guard`. Exits with 125 where a limit cannot be
set. `probe` starts it; nothing else opens an original.
"""

from __future__ import annotations

import codecs
import json
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition

from workers.media import containers, guard
from workers.media.containers import Container
from workers.media.description import AudioStream, Probe, VideoStream, to_json
from workers.media.errors import RefusedRecordingError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream as AvVideoStream

_MICROSECOND = Fraction(1, 1_000_000)
_MILLISECOND = Fraction(1, 1000)
#: The most packets that a stream may hold: six hours at 240 pictures per second.
_MOST_PACKETS = 6 * 3600 * 240


@dataclass(slots=True)
class _Tally:
    """Times of one stream's packets, kept as figures, never as packets."""

    count: int = 0
    first: int | None = None
    end: int = 0
    last: int = 0
    hidden: int = 0
    times: array[int] = field(default_factory=lambda: array("q"))

    def add(self, pts: int, duration: int) -> None:
        self.count += 1
        self.first = pts if self.first is None else min(self.first, pts)
        self.last = max(self.last, pts) if self.count > 1 else pts
        self.end = max(self.end, pts + duration) if self.count > 1 else pts + duration
        self.times.append(pts)

    def shift(self, ticks: int) -> None:
        """Move what is shown by `ticks`; gaps stay as they are."""
        self.first = None if self.first is None else self.first + ticks
        self.last += ticks
        self.end += ticks
        if ticks:
            self.times = array("q", (time + ticks for time in self.times))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file to read, as which container, under which name, and what it may not exceed."""

    path: Path
    name: str
    container: Container
    max_pixels: int
    media_seconds: float


def inspect(wanted: Wanted) -> Probe:
    """Return what the file holds. Raises RefusedRecordingError; see `probe.probe`."""
    path, shown, container = wanted.path, wanted.name, wanted.container
    with opened(path, container=container, max_pixels=wanted.max_pixels, name=shown) as source:
        video = _choose_video(source, shown)
        context = video.codec_context
        _refuse_absurd_size(context.width, context.height, wanted.max_pixels, shown)
        first_pts, late, rotation = _first_picture(
            source, video, wanted.max_pixels, shown, by_count=container == "avi"
        )
    with opened(path, container=container, max_pixels=wanted.max_pixels, name=shown) as source:
        video = _choose_video(source, shown)
        audio = next((one for one in source.streams.audio if one.codec_context is not None), None)
        pictures, sounds = _count(source, video, audio, shown, by_count=container == "avi")
        pictures.shift(late)
        if first_pts is not None:
            pictures.first = first_pts
        described = _describe_video(video, pictures, rotation, shown)
        _refuse_missing_frames(video, pictures, shown)
        duration_us = _to_us(described.end_pts - described.first_pts, described.time_base)
        _refuse_absurd_duration(duration_us, wanted.media_seconds, shown)
        return Probe(
            container=container,
            size_bytes=path.stat().st_size,
            duration_us=duration_us,
            video=described,
            audio=_describe_audio(audio, sounds),
            unreadable_sound=audio is None and len(source.streams.audio) > 0,
        )


@contextmanager
def opened(
    path: Path, *, container: Container, max_pixels: int, name: str | None = None
) -> Iterator[InputContainer]:
    """Open `path` with PyAV, forced to `container`, forbidden to open anything else.

    Every PyAV call inside the block that fails becomes a RefusedRecordingError.
    """
    shown = name or path.name
    options = {
        "protocol_whitelist": containers.PROTOCOL_WHITELIST,
        "format_whitelist": containers.FORMAT_WHITELIST,
        "max_pixels": str(max_pixels),
    }
    try:
        with av.open(
            f"file:{path.resolve()}",
            format=containers.DEMUXERS[container],
            options=options,
            metadata_errors="replace",
        ) as source:
            yield source
    except (av.FFmpegError, ValueError, OverflowError, ZeroDivisionError) as error:
        # PyAV raises the latter for numbers that no file should hold
        raise RefusedRecordingError(
            f"{shown} is damaged: it cannot be read as {container.upper()} "
            f"({_plain(error)}). Copy it again from the device that recorded it."
        ) from error


def _choose_video(source: InputContainer, shown: str) -> AvVideoStream:
    for stream in source.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # a cover picture is no recording
            _require_decoder(stream, shown)
            return stream
    raise RefusedRecordingError(
        f"{shown} has no video stream, only sound or nothing at all. Supply the recording that "
        "shows the participant."
    )


def _require_decoder(stream: AvVideoStream, shown: str) -> None:
    if stream.codec_context is None:
        raise RefusedRecordingError(
            f"{shown} is damaged, or its pictures are stored in a way that Waver cannot read. "
            "Convert it to MP4 with H.264 and supply that."
        )


def _refuse_absurd_size(width: int, height: int, max_pixels: int, shown: str) -> None:
    if width <= 0 or height <= 0:
        raise RefusedRecordingError(
            f"{shown} has pictures of no size, or of one over the limit of {max_pixels} pixels. "
            "Copy it again from the device that recorded it, or scale it down."
        )
    if width * height > max_pixels:
        raise RefusedRecordingError(
            f"{shown} has pictures of {width} × {height} pixels, over the limit of "
            f"{max_pixels} pixels. Scale the recording down, to 1920 × 1080 for example."
        )
    if width < 16 or height < 16:
        raise RefusedRecordingError(
            f"{shown} has pictures of only {width} × {height} pixels: no face can be seen in them. "
            "Supply the original recording."
        )


def _first_picture(
    source: InputContainer, video: AvVideoStream, max_pixels: int, shown: str, *, by_count: bool
) -> tuple[int | None, int, int]:
    """Decode the first picture; return its time, how late it is (ticks), its rotation in degrees.

    It is proof that the stream decodes; and a stream may start with packets that do not. With
    `by_count` (AVI, which numbers packets and knows no time of a picture), its time is the place
    in the file at which it can be shown, as ffmpeg takes it: with B-frames later than its own
    place. That is how late it is, and each after it.
    """
    video.codec_context.thread_count = 1  # each thread of a decoder holds pictures of its own
    places: dict[int | None, int | None] = {}
    for packet in source.demux(video):
        if by_count:
            places[packet.pts] = packet.dts
        for frame in packet.decode():
            _refuse_absurd_size(frame.width, frame.height, max_pixels, shown)
            turned = int(frame.rotation) % 360
            if not by_count or frame.dts is None:
                return frame.pts, 0, turned
            own = places.get(frame.pts)
            return frame.dts, frame.dts - (frame.dts if own is None else own), turned
    raise RefusedRecordingError(
        f"{shown} holds no picture that can be decoded. Copy it again from the device that "
        "recorded it."
    )


def _count(
    source: InputContainer,
    video: AvVideoStream,
    audio: Any | None,
    shown: str,
    *,
    by_count: bool,
) -> tuple[_Tally, _Tally]:
    """Read every packet once (nothing is decoded) and note the times of both streams."""
    pictures, sounds = _Tally(), _Tally()
    chosen = [video] if audio is None else [video, audio]
    for packet in source.demux(chosen):
        time = packet.dts if packet.pts is None or by_count else packet.pts
        tally = pictures if packet.stream_index == video.index else sounds
        if packet.is_discard:
            tally.hidden += 1  # an edit list leaves it out
        elif time is not None:  # the mark at the end of a stream has no time
            tally.add(time, packet.duration or 0)
        if tally.count + tally.hidden > _MOST_PACKETS:
            raise RefusedRecordingError(
                f"{shown} has more than {_MOST_PACKETS} pictures or pieces of sound, more than "
                "any camera writes. Convert it to MP4 and supply that."
            )
    if pictures.count == 0:
        raise RefusedRecordingError(
            f"{shown} holds no pictures: its video stream is empty. Copy it again from the device "
            "that recorded it."
        )
    return pictures, sounds


def _refuse_missing_frames(video: AvVideoStream, pictures: _Tally, shown: str) -> None:
    """Compare with the count in the file's index, where it has one (MP4 and AVI)."""
    promised, there = video.frames, pictures.count + pictures.hidden
    if promised and there < 0.9 * promised:
        raise RefusedRecordingError(
            f"{shown} is cut off: {there} of its {promised} pictures are there. Copy it "
            "again from the device that recorded it."
        )


def _refuse_absurd_duration(duration_us: int, media_seconds: float, shown: str) -> None:
    if duration_us > media_seconds * 1e6:
        minutes = duration_us // 60_000_000
        raise RefusedRecordingError(
            f"{shown} lasts {minutes // 60} h {minutes % 60} min, over the limit of "
            f"{media_seconds / 3600:g} h. Cut it into shorter recordings."
        )


def _describe_video(
    video: AvVideoStream, pictures: _Tally, rotation: int, shown: str
) -> VideoStream:
    time_base = video.time_base
    if time_base is None or pictures.first is None:
        raise RefusedRecordingError(
            f"{shown} is damaged: its pictures carry no times. Convert it to MP4 and supply that."
        )
    span = Fraction(pictures.last - pictures.first) * time_base
    if span > 0:
        mean_rate = Fraction(pictures.count - 1) / span
    else:
        mean_rate = Fraction(video.average_rate or 25)
    return VideoStream(
        index=video.index,
        codec=video.codec_context.name,
        width=video.codec_context.width,
        height=video.codec_context.height,
        rotation=rotation,
        frame_count=pictures.count,
        first_pts=pictures.first,
        end_pts=pictures.end if pictures.end > pictures.last else _end_by_gap(pictures.times),
        first_pts_us=_to_us(pictures.first, time_base),
        mean_rate=mean_rate,
        variable=_is_variable(pictures.times, time_base),
        time_base=time_base,
    )


def _end_by_gap(times: array[int]) -> int:
    """Where the last picture ends if its length is not written: as far off as the one before."""
    *_, before, last = [min(times), *sorted(times)]
    return 2 * last - before


def _is_variable(times: array[int], time_base: Fraction) -> bool:
    """Whether gaps differ by more than rounding: to ticks here, to milliseconds before a copy."""
    if len(times) < 2:
        return False
    ordered = sorted(times)
    gaps = [after - before for before, after in pairwise(ordered)]
    mean = (ordered[-1] - ordered[0]) / len(gaps)
    rounding = max(1.0, float(_MILLISECOND / time_base))
    return max(gaps) - min(gaps) > max(rounding, 0.02 * mean)


def _describe_audio(audio: Any | None, sounds: _Tally) -> AudioStream | None:
    if audio is None or audio.codec_context is None or sounds.count == 0:
        return None
    if not audio.codec_context.sample_rate:
        return None
    return AudioStream(
        index=audio.index,
        codec=audio.codec_context.name,
        sample_rate=audio.codec_context.sample_rate,
        channels=audio.codec_context.channels,
        first_us=_to_us(sounds.first or 0, audio.time_base),
        duration_us=_to_us(sounds.end - (sounds.first or 0), audio.time_base),
    )


def _to_us(ticks: int, time_base: Fraction) -> int:
    exact = ticks * time_base / _MICROSECOND
    return int((2 * exact + 1) // 2)  # round half up


def _plain(error: Exception) -> str:
    """FFmpeg's own words for an error, without PyAV's numbers and paths."""
    words = getattr(error, "strerror", None) or str(error)
    return str(words).strip().rstrip(".").lower()


def main(request: dict[str, Any]) -> None:
    """Tie this process's hands, read the file, print what was found."""
    tied = request["guard"]
    if tied["files"] is not None:  # PyAV loads some of its own parts only when it needs them
        tied["files"]["read"] += [
            str(Path(str(part)).parent) for part in (av.__file__, codecs.__file__)
        ]
    try:
        guard.tie(tied)
    except OSError as error:
        sys.stderr.write(f"guard: {error}\n")
        raise SystemExit(125) from error
    wanted = Wanted(
        path=Path(request["path"]),
        name=request["name"],
        container=request["container"],
        max_pixels=request["max_pixels"],
        media_seconds=request["media_seconds"],
    )
    try:
        answer = f'{{"found": {to_json(inspect(wanted))}}}'
    except RefusedRecordingError as refused:
        answer = json.dumps({"refused": str(refused)})
    sys.stdout.write(f"{answer}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

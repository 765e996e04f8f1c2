"""What an uploaded file holds, read by PyAV with a forced format; or why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.media import containers
from workers.media.containers import Container
from workers.media.errors import RefusedRecordingError
from workers.media.runner import Limits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream as AvVideoStream

_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The video stream that will be used.

    `width` and `height` are as stored, before `rotation` (degrees, counter-clockwise) is applied;
    `frame_count` is counted, not taken from the header; `first_pts` is the file's own time of the
    first presented frame in ticks of `time_base` (it may be negative); `mean_rate` is frames per
    second over the whole stream; `variable` says that the gaps between frames differ by more than
    their rounding.
    """

    index: int
    codec: str
    width: int
    height: int
    rotation: int
    frame_count: int
    first_pts: int
    first_pts_us: int
    mean_rate: Fraction
    variable: bool
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The sound that will be used; its start (file's own time) and length measured from packets."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    first_us: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class Probe:
    """An accepted recording. `duration_us` runs from the first frame to the end of the last."""

    container: Container
    size_bytes: int
    duration_us: int
    video: VideoStream
    audio: AudioStream | None


@dataclass(slots=True)
class _Tally:
    """Times of one stream's packets, kept as figures, never as packets."""

    count: int = 0
    first: int | None = None
    end: int = 0
    last: int = 0
    hidden: int = 0
    times: list[int] | None = None

    def add(self, pts: int, duration: int) -> None:
        self.count += 1
        self.first = pts if self.first is None else min(self.first, pts)
        self.last = max(self.last, pts) if self.count > 1 else pts
        self.end = max(self.end, pts + duration) if self.count > 1 else pts + duration
        if self.times is not None:
            self.times.append(pts)


def probe(path: Path, *, limits: Limits | None = None, name: str | None = None) -> Probe:
    """Return what `path` holds. `name` is what messages call it (its own name by default).

    Raises RefusedRecordingError with a sentence for: an empty file, a file that is no video, one
    that is cut off, one without a picture, one with nothing decodable, and one that is larger in
    pixels or longer in time than `limits` allow.
    """
    shown = name or path.name
    limits = limits or Limits()
    container = containers.recognise(path, name=shown)
    extent = containers.extent(path, container)
    if extent.is_cut_off or (container == "mp4" and not extent.has_index):
        raise RefusedRecordingError(_cut_off_sentence(shown, extent))
    with opened(path, container=container, limits=limits, name=shown) as source:
        video = _choose_video(source, shown)
        _refuse_absurd_size(video, limits, shown)
        first_pts, rotation = _first_picture(source, video, shown)
    with opened(path, container=container, limits=limits, name=shown) as source:
        video = _choose_video(source, shown)
        audio = next(iter(source.streams.audio), None)
        pictures, sounds = _count(source, video, audio, shown)
        if first_pts is not None:
            pictures.first = first_pts
        described = _describe_video(video, pictures, rotation, shown)
        _refuse_missing_frames(video, pictures, shown)
        duration_us = _to_us(pictures.end - (pictures.first or 0), described.time_base)
        _refuse_absurd_duration(duration_us, limits, shown)
        return Probe(
            container=container,
            size_bytes=extent.actual_bytes,
            duration_us=duration_us,
            video=described,
            audio=_describe_audio(audio, sounds),
        )


@contextmanager
def opened(
    path: Path, *, container: Container, limits: Limits, name: str | None = None
) -> Iterator[InputContainer]:
    """Open `path` with PyAV, forced to `container`, forbidden to open anything else.

    Every PyAV call inside the block that fails becomes a RefusedRecordingError.
    """
    import av

    shown = name or path.name
    options = {
        "protocol_whitelist": containers.PROTOCOL_WHITELIST,
        "format_whitelist": containers.FORMAT_WHITELIST,
        "max_pixels": str(limits.max_pixels),
    }
    try:
        with av.open(
            f"file:{path.resolve()}", format=containers.DEMUXERS[container], options=options
        ) as source:
            yield source
    except av.FFmpegError as error:
        raise RefusedRecordingError(
            f"{shown} is damaged: it cannot be read as {container.upper()} "
            f"({_plain(error)}). Copy it again from the device that recorded it."
        ) from error


def _choose_video(source: InputContainer, shown: str) -> AvVideoStream:
    from av.stream import Disposition

    for stream in source.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # a cover picture is no recording
            return stream
    raise RefusedRecordingError(
        f"{shown} has no video stream, only sound or nothing at all. Supply the recording that "
        "shows the participant."
    )


def _refuse_absurd_size(video: AvVideoStream, limits: Limits, shown: str) -> None:
    width, height = video.codec_context.width, video.codec_context.height
    if width <= 0 or height <= 0:
        raise RefusedRecordingError(
            f"{shown} is damaged: its picture has no size. Copy it again from the device that "
            "recorded it."
        )
    if width * height > limits.max_pixels:
        raise RefusedRecordingError(
            f"{shown} has pictures of {width} × {height} pixels, over the limit of "
            f"{limits.max_pixels} pixels. Scale the recording down, to 1920 × 1080 for example."
        )
    if width < 16 or height < 16:
        raise RefusedRecordingError(
            f"{shown} has pictures of only {width} × {height} pixels: no face can be seen in them. "
            "Supply the original recording."
        )


def _first_picture(
    source: InputContainer, video: AvVideoStream, shown: str
) -> tuple[int | None, int]:
    """Decode the first picture and return its time in ticks and its rotation in degrees.

    It is proof that the stream decodes; and a stream may start with packets that do not.
    """
    for frame in source.decode(video):
        return frame.pts, int(frame.rotation) % 360
    raise RefusedRecordingError(
        f"{shown} holds no picture that can be decoded. Copy it again from the device that "
        "recorded it."
    )


def _count(
    source: InputContainer, video: AvVideoStream, audio: Any | None, shown: str
) -> tuple[_Tally, _Tally]:
    """Read every packet once (nothing is decoded) and note the times of both streams."""
    pictures, sounds = _Tally(times=[]), _Tally()
    chosen = [video] if audio is None else [video, audio]
    for packet in source.demux(chosen):
        time = packet.pts if packet.pts is not None else packet.dts
        tally = pictures if packet.stream_index == video.index else sounds
        if packet.is_discard:
            tally.hidden += 1  # an edit list leaves it out
        elif time is not None:  # the mark at the end of a stream has no time
            tally.add(time, packet.duration or 0)
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


def _refuse_absurd_duration(duration_us: int, limits: Limits, shown: str) -> None:
    if duration_us > limits.media_seconds * 1e6:
        minutes = duration_us // 60_000_000
        raise RefusedRecordingError(
            f"{shown} lasts {minutes // 60} h {minutes % 60} min, over the limit of "
            f"{limits.media_seconds / 3600:g} h. Cut it into shorter recordings."
        )


def _describe_video(
    video: AvVideoStream, pictures: _Tally, rotation: int, shown: str
) -> VideoStream:
    import numpy as np

    time_base = video.time_base
    if time_base is None or pictures.times is None or pictures.first is None:
        raise RefusedRecordingError(
            f"{shown} is damaged: its pictures carry no times. Convert it to MP4 and supply that."
        )
    gaps = np.diff(np.sort(np.asarray(pictures.times, dtype=np.int64)))
    span = Fraction(pictures.last - pictures.first) * time_base
    if span > 0:
        mean_rate = Fraction(pictures.count - 1) / span
    else:
        mean_rate = Fraction(video.average_rate or 25)
    # a rate that is not a whole number of ticks makes gaps differ by one tick: that is rounding
    variable = bool(gaps.size and int(gaps.max()) - int(gaps.min()) > max(1, 0.02 * gaps.mean()))
    return VideoStream(
        index=video.index,
        codec=video.codec_context.name,
        width=video.codec_context.width,
        height=video.codec_context.height,
        rotation=rotation,
        frame_count=pictures.count,
        first_pts=pictures.first,
        first_pts_us=_to_us(pictures.first, time_base),
        mean_rate=mean_rate,
        variable=variable,
        time_base=time_base,
    )


def _describe_audio(audio: Any | None, sounds: _Tally) -> AudioStream | None:
    if audio is None or sounds.count == 0 or not audio.codec_context.sample_rate:
        return None
    return AudioStream(
        index=audio.index,
        codec=audio.codec_context.name,
        sample_rate=audio.codec_context.sample_rate,
        channels=audio.codec_context.channels,
        first_us=_to_us(sounds.first or 0, audio.time_base),
        duration_us=_to_us(sounds.end - (sounds.first or 0), audio.time_base),
    )


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


def _to_us(ticks: int, time_base: Fraction) -> int:
    exact = ticks * time_base / _MICROSECOND
    return int((2 * exact + 1) // 2)  # round half up


def _plain(error: Exception) -> str:
    """FFmpeg's own words for an error, without PyAV's numbers and paths."""
    words = getattr(error, "strerror", None) or str(error)
    return str(words).strip().rstrip(".").lower()

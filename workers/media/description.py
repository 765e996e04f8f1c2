"""What an uploaded file holds, as figures that can travel between two processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from workers.media.containers import Container


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The video stream that will be used.

    `width` and `height` are as stored, before `rotation` (degrees, counter-clockwise) is applied;
    `frame_count` is counted, not taken from the header; `first_pts` is the file's own time of the
    first presented frame in ticks of `time_base` (it may be negative) and `end_pts` where the last
    one ends; `mean_rate` is frames per
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
    end_pts: int
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
    """An accepted recording. `duration_us` runs from the first frame to the end of the last.

    `unreadable_sound` says that there is sound, but in no form that can be decoded.
    """

    container: Container
    size_bytes: int
    duration_us: int
    video: VideoStream
    audio: AudioStream | None
    unreadable_sound: bool


def to_json(found: Probe) -> str:
    """Write a description down; fractions as "numerator/denominator"."""
    return json.dumps(asdict(found), default=str)


def from_json(found: dict[str, Any]) -> Probe:
    """Give the description that `to_json` wrote, once parsed."""
    found = dict(found)
    video: dict[str, Any] = dict(found.pop("video"))
    audio: dict[str, Any] | None = found.pop("audio")
    for name in ("mean_rate", "time_base"):
        video[name] = Fraction(video[name])
    return Probe(
        **found,
        video=VideoStream(**video),
        audio=None if audio is None else AudioStream(**audio),
    )

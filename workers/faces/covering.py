"""Where a video's faces are to be covered, frame by frame, and rather too much than too little.

Faces come from two sources: every face that was followed (workers.faces.table), the participant's
and others', and a closer look taken for this purpose: pictures in twice the size, every sighting
counted, also those too weak or too short to be a track. A box is widened; short absences are
bridged by a straight line; it begins a little before the first sighting and ends a little after the
last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.faces.detectors import Detector
from workers.faces.errors import FaceError
from workers.faces.table import numbers
from workers.faces.tracks import runs
from workers.faces.video import Converter, VideoShape, check_count, frames

Floats = NDArray[np.float32]
Frames = NDArray[np.int32]

# A box is made larger by this part of its size on each side: hair and chin say who it is, too.
WIDER = 0.3
# A face that is missing for at most so long is covered where it would be on a straight line.
BRIDGED_SECONDS = Fraction(1)
# Covered for so long before it was first seen, and after it was last seen.
AROUND_SECONDS = Fraction(3, 10)
# The closer look is taken this often.
LOOKS_PER_SECOND = 6
# Two sightings are the same face when their centres are at most this many of its sizes apart.
SAME_FACE = 1.0


@dataclass(eq=False)
class Seen:
    """One face's sightings: frames in rising order, and its boxes (left, top, right, bottom)."""

    frames: list[int] = field(default_factory=list)
    boxes: list[Floats] = field(default_factory=list)


class Covers:
    """The boxes to cover by frame, (N, 4) float32 pixels; flat, so that an hour takes megabytes."""

    def __init__(self, frame_count: int, rate: Fraction) -> None:
        self._frame_count, self._rate = frame_count, rate
        self._frames: list[Frames] = []
        self._boxes: list[Floats] = []
        self._starts: NDArray[np.int64] | None = None

    def add(self, frames: NDArray[np.int32], boxes: Floats) -> None:
        """Add a face from its sightings, widened, bridged and drawn out at both ends."""
        if len(frames):
            where, drawn = _path(frames, boxes, self._frame_count, self._rate)
            self._frames.append(where)
            self._boxes.append(drawn)
            self._starts = None

    def __len__(self) -> int:
        return self._frame_count

    def __getitem__(self, frame: int) -> Floats:
        """Give the boxes of a frame, (N, 4)."""
        if self._starts is None:
            where = np.concatenate([np.empty(0, np.int32), *self._frames])
            order = np.argsort(where, kind="stable")
            boxes = np.concatenate([np.empty((0, 4), np.float32), *self._boxes])
            self._frames, self._boxes = [where[order]], [boxes[order]]
            self._starts = np.searchsorted(where[order], np.arange(self._frame_count + 1))
        first, end = self._starts[frame], self._starts[frame + 1]
        return self._boxes[0][first:end] if end > first else np.empty((0, 4), np.float32)


def add_followed(covers: Covers, face_table: Path) -> None:
    """Add every face of a face table.

    Raises FaceError when it has a frame that the video has not.
    """
    import pyarrow.parquet as pq

    edges = ("x0", "y0", "x1", "y1")
    with pq.ParquetFile(face_table) as file:
        table = file.read(columns=["frame", "track_id", *edges])
    frame = numbers(table["frame"], np.int32)
    if len(frame) and int(frame.max()) >= len(covers):
        raise FaceError(
            f"The face table has a row for frame {int(frame.max())}, but the video has "
            f"{len(covers)} frames: they do not belong together."
        )
    track = numbers(table["track_id"].fill_null(-1), np.int32)
    filled = (table[edge].fill_null(float("nan")) for edge in edges)
    box = np.column_stack([numbers(column, np.float32) for column in filled])
    known = np.isfinite(box).all(axis=1)
    for one in np.unique(track[known]):
        own = known & (track == one)
        covers.add(frame[own], box[own])


def add_looked_at(
    covers: Covers,
    proxy: Path,
    *,
    shape: VideoShape,
    finder: Detector,
    rate: Fraction,
    on_progress: Callable[[float], None],
) -> int:
    """Look for faces all over the video, add them, and give how many looks were taken."""
    step, looks = look_every(rate), 0
    reach = int(BRIDGED_SECONDS * rate) + step
    open_faces: list[Seen] = []
    converter, size = Converter(), (shape.width, shape.height)
    decoded = 0

    def close(faces: list[Seen]) -> None:
        for face in faces:
            covers.add(np.array(face.frames, np.int32), np.array(face.boxes, np.float32))

    for number, frame in frames(proxy):
        decoded += 1
        if number % step:
            continue
        looks += 1
        _link(open_faces, number, finder.detect(converter.picture(frame, size)).boxes)
        gone = [face for face in open_faces if number - face.frames[-1] > reach]
        close(gone)
        open_faces = [face for face in open_faces if number - face.frames[-1] <= reach]
        on_progress(decoded / shape.frame_count)
    close(open_faces)
    check_count(proxy, shape, decoded)
    return looks


def look_every(rate: Fraction) -> int:
    """How many frames lie between two closer looks."""
    return max(1, round(rate / LOOKS_PER_SECOND))


def _link(faces: list[Seen], number: int, boxes: Floats) -> None:
    """Give each box to the nearest face that may be it, or to a new one.

    Whose face it is does not matter here: two faces that are taken for one are both covered.
    """
    free = list(faces)
    for box in boxes:
        best = min(free, key=lambda face: _apart(face.boxes[-1], box), default=None)
        if best is None or _apart(best.boxes[-1], box) > SAME_FACE:
            best = Seen()
            faces.append(best)
        else:
            free.remove(best)
        best.frames.append(number)
        best.boxes.append(box)


def _apart(one: Floats, other: Floats) -> float:
    """The distance of two boxes' centres in sizes of the smaller."""
    middle = (one[:2] + one[2:] - other[:2] - other[2:]) / 2
    size = min(float((box[2:] - box[:2]).max()) for box in (one, other))
    return float(np.hypot(*middle)) / max(size, 1.0)


def _path(seen: Frames, boxes: Floats, frame_count: int, rate: Fraction) -> tuple[Frames, Floats]:
    """A face's frames and widened boxes, its short absences bridged, its ends drawn out."""
    around = int(np.ceil(float(AROUND_SECONDS * rate)))
    first, last = max(0, int(seen[0]) - around), min(frame_count - 1, int(seen[-1]) + around)
    every = np.arange(first, last + 1, dtype=np.int32)
    known = np.isin(every, seen)
    shown = known.copy()
    drawn = np.column_stack([np.interp(every, seen, boxes[:, side]) for side in range(4)])
    for start, end in runs(~known):
        if end - start <= BRIDGED_SECONDS * rate or start == 0 or end == len(every):
            shown[start:end] = True
        else:  # nobody knows where it was meanwhile: it stays where it was last seen, then waits
            shown[start : start + around] = shown[end - around : end] = True
            drawn[start : start + around] = drawn[start - 1]
            drawn[end - around : end] = drawn[end]
    margin = (drawn[:, 2:] - drawn[:, :2]) * WIDER
    wider = np.hstack([drawn[:, :2] - margin, drawn[:, 2:] + margin])
    return every[shown], wider[shown].astype(np.float32)

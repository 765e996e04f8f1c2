"""Looking for faces in a video as it is decoded: which frames are looked at, and what is followed.

Every k-th frame is looked at, in slow videos more of them. The frames between two looks are looked
at too where something happens: a face came or went, moved or turned too far for a straight line, or
the whole picture changed at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.faces.detectors import Detections, Detector, overlap
from workers.faces.tracks import (
    MIN_SIGHTINGS,
    START_SCORE,
    Sightings,
    Tracker,
    max_gap_frames,
    reach,
    window_frames,
)
from workers.faces.video import Converter, Planes, VideoShape

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Box = list[float]
Points = list[list[float]]

# Between two looks, boxes that overlap less than this have moved too far to interpolate.
STEADY_OVERLAP = 0.6
# So have landmarks that are further than this, in distances between the eyes, from where their
# motion so far would have taken them: a straight line is then wrong by about an eighth of it.
STEADY_MOTION = 0.4
# However few frames a second there are, looks are not further apart than this: a head turns and is
# back in a third of a second.
MAX_LOOK_SECONDS = Fraction(22, 100)
# Mean change of grey level from one frame to the next, of 255, above which the scene is another.
CUT_CHANGE = 28.0
# Every this many pixels each way, a pixel is compared with that of the frame before.
COMPARED = 32


@dataclass
class Held:
    """A decoded frame that is not settled yet."""

    number: int
    frame: VideoFrame

    @cached_property
    def planes(self) -> Planes:
        """The frame's brightness and colours."""
        return Planes(self.frame)


@dataclass(frozen=True)
class Look:
    """What was found in a frame that was looked at."""

    number: int
    found: Detections

    # As lists: comparing a few faces with numpy takes ten times as long.
    @cached_property
    def boxes(self) -> list[Box]:
        """The faces' boxes."""
        return self.found.boxes.tolist()  # type: ignore[no-any-return]

    @cached_property
    def points(self) -> list[Points]:
        """The faces' landmarks."""
        return self.found.landmarks.tolist()  # type: ignore[no-any-return]

    @cached_property
    def beginners(self) -> list[Box]:
        """The boxes of faces that are sure enough to begin a track."""
        sure = (self.found.scores >= START_SCORE).tolist()
        return [box for box, is_sure in zip(self.boxes, sure, strict=True) if is_sure]


class Follower:
    """Takes the decoded frames one by one and follows the faces in them.

    settled: up to this frame, it is known which faces were seen. looks: how many frames were
    looked at.
    """

    def __init__(
        self, detector: Detector, *, rate: Fraction, every: int, shape: VideoShape
    ) -> None:
        self.tracker = Tracker(rate=rate)
        self.settled = -1
        self.looks = 0
        self._reach, self._gap, self._window = (
            reach(rate),
            max_gap_frames(rate),
            window_frames(rate),
        )
        self._detector, self._last = detector, shape.frame_count - 1
        self._every = min(every, max(1, int(rate * MAX_LOOK_SECONDS)))
        self._size = detector.working_size(shape.width, shape.height)
        self._to_proxy = shape.width / self._size[0], shape.height / self._size[1]
        self._converter = Converter()
        self._older: Look | None = None
        self._before: Look | None = None
        self._waiting: list[Held] = []  # at most every - 1 frames
        self._grey: NDArray[np.int16] | None = None

    def take(self, held: Held) -> None:
        """Take in the next frame."""
        cut = self._is_cut(held)
        if cut:
            self.tracker.cuts.append(held.number)
        self._waiting.append(held)
        if not cut and held.number % self._every and held.number != self._last:
            return
        now = self._look(held)
        skipped = self._waiting[:-1]
        before = self._before
        if skipped and (cut or (before is not None and differ(self._older, before, now))):
            for between in skipped:
                self._add(self._look(between))
        self._add(now)
        self._waiting.clear()
        self.settled = held.number

    def final(self) -> int:
        """Up to this frame, nothing that is still to be seen changes where the faces are.

        What `tracks.complete` makes of a frame depends on later sightings: as far as a smoothing
        window reaches in a track that goes on, and up to `reach` where a gap may yet be closed.
        """
        longest = self.settled - self._reach
        return max(longest, min([self.settled, *map(self._final_of, self.tracker.active)]))

    def _final_of(self, track: Sightings) -> int:
        if self.settled > track.frames[-1] + self._gap:
            return self.settled
        if len(track.frames) < MIN_SIGHTINGS:
            return track.frames[0] - 1
        return track.frames[-1] - self._window + 1

    def _look(self, held: Held) -> Look:
        picture = held.planes.small(self._size)
        if picture is None:
            picture = self._converter.picture(held.frame, self._size)
        found = self._detector.detect(picture)
        return Look(held.number, found.scaled(*self._to_proxy))

    def _add(self, look: Look) -> None:
        self.tracker.add(look.number, look.found)
        self._older, self._before = self._before, look
        self.looks += 1

    def _is_cut(self, held: Held) -> bool:
        grey = held.planes.luma[::COMPARED, ::COMPARED].astype(np.int16)
        before, self._grey = self._grey, grey
        return before is not None and int(np.abs(grey - before).sum()) > CUT_CHANGE * grey.size


def differ(older: Look | None, before: Look, after: Look) -> bool:
    """Whether faces came, went or moved too far for the frames between to be interpolated.

    Only faces that could begin a track count; weaker ones merely continue one.
    """
    return _lost(before, after) or _lost(after, before) or _swerved(older, before, after)


def _lost(one: Look, other: Look) -> bool:
    """Whether a face of one has no like in the other."""
    return any(_like(box, other) is None for box in one.beginners)


def _swerved(older: Look | None, before: Look, after: Look) -> bool:
    """Whether a face that goes on left the path of its motion."""
    for box, marks in zip(after.boxes, after.points, strict=True):
        now = _like(box, before)
        if now is None:
            continue
        expected = before.points[now]
        then = _like(before.boxes[now], older) if older is not None else None
        if older is not None and then is not None:
            ahead = (after.number - before.number) / (before.number - older.number)
            expected = [
                [x + ahead * (x - x_then), y + ahead * (y - y_then)]
                for (x, y), (x_then, y_then) in zip(expected, older.points[then], strict=True)
            ]
        size = max(_furthest(marks[1:2], marks[:1]), _furthest(marks[3:4], marks[:1]))
        if _furthest(marks, expected) > STEADY_MOTION * size:
            return True
    return False


def _furthest(ones: Points, others: Points) -> float:
    """How far the two furthest of some pairs of points are apart, along the axis that has most."""
    return max(
        max(abs(x - to_x), abs(y - to_y)) for (x, y), (to_x, to_y) in zip(ones, others, strict=True)
    )


def _like(box: Box, look: Look) -> int | None:
    """The face that overlaps a box most, if it does so enough."""
    overlaps = [overlap(box, other) for other in look.boxes]
    best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] >= STEADY_OVERLAP else None

"""Following several faces through a video: stable ids through crossings and short absences.

Frame by frame, faces are assigned to tracks at the least total cost (workers.faces.assignment).
The cost of a pair combines the overlap with the box that the track's motion predicts, the distance
to it and the change of size. A track that is not seen coasts along its slowing motion; after
MAX_ABSENCE_SECONDS it ends, and a face that comes back is a new track. What lies between two
sightings of a track is filled by straight lines when it is short, and stays empty (absent) when it
is not.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workers.faces.align import is_mirrored
from workers.faces.assignment import cheapest_pairs
from workers.faces.detectors import Detections, overlap
from workers.faces.errors import FaceError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

START_SCORE = 0.5
MAX_ABSENCE_SECONDS = Fraction(5)
MAX_GAP_SECONDS = Fraction(1, 3)
SMOOTHING_SECONDS = Fraction(1, 4)
# A face may be this many of its own sizes from where it was expected; each second of absence adds
# to it, up to a limit.
REACH = 0.8
REACH_PER_SECOND = 0.8
REACH_LIMIT = 2.0
# From one sighting to the next a face may at most grow or shrink by this factor.
SIZE_FACTOR = 2.0
# How much of the newest step enters the motion, and how much motion is left after a frame unseen.
MOTION_SHARE = 0.4
COASTING = 0.9
# Fewer sightings than this are a flicker of the detector, not a person.
MIN_SIGHTINGS = 3

DETECTED, INTERPOLATED, ABSENT = 0, 1, 2


@dataclass
class Sightings:
    """One face's sightings so far, in flat arrays so that an hour costs a few megabytes."""

    track_id: int
    frames: array[int] = field(default_factory=lambda: array("l"))
    scores: array[float] = field(default_factory=lambda: array("f"))
    places: array[float] = field(default_factory=lambda: array("f"))  # 4 box + 10 landmark values
    motion: Doubles = field(default_factory=lambda: np.zeros(2))

    def add(self, frame: int, box: Floats, score: float, landmarks: Floats) -> None:
        """Append a sighting and learn the motion of the box's centre, pixels per frame."""
        if self.frames:
            step = (_centre(box) - _centre(self.last_box())) / (frame - self.frames[-1])
            self.motion = (1 - MOTION_SHARE) * self.motion + MOTION_SHARE * step
        self.frames.append(frame)
        self.scores.append(score)
        self.places.extend(box.tolist())
        self.places.extend(landmarks.ravel().tolist())

    def go_on(self, later: Sightings) -> None:
        """Append the sightings of a later track that turned out to be the same person's."""
        self.frames.extend(later.frames)
        self.scores.extend(later.scores)
        self.places.extend(later.places)
        self.motion = later.motion

    def last_box(self) -> Floats:
        """The box of the latest sighting."""
        return np.array(self.places[-14:-10], dtype=np.float32)

    def expected_box(self, frame: int) -> Floats:
        """The latest box moved on along its motion, which fades while the face is not seen."""
        unseen = frame - self.frames[-1]
        x, y = (self.motion * ((1 - COASTING**unseen) / (1 - COASTING))).tolist()
        left, top, right, bottom = self.places[-14:-10]
        return np.array([left + x, top + y, right + x, bottom + y], dtype=np.float32)


@dataclass(frozen=True)
class Track:
    """One face over a span of frames, gaps filled, landmarks smoothed.

    frames: (N,) int64, every frame from the first to the last of the span.
    state: (N,) int8, DETECTED, INTERPOLATED or ABSENT.
    scores: (N,) float32, NaN where not detected.
    boxes: (N, 4) and landmarks: (N, 5, 2), float32 pixels, NaN where absent.
    """

    track_id: int
    frames: NDArray[np.int64]
    state: NDArray[np.int8]
    scores: Floats
    boxes: Floats
    landmarks: Floats

    def present(self) -> int:
        """The number of frames in which the face has a place, seen or interpolated."""
        return int(np.count_nonzero(self.state != ABSENT))


class Tracker:
    """Collects the detections of one frame after the other into tracks."""

    def __init__(self, *, rate: Fraction) -> None:
        if rate <= 0:
            raise FaceError(f"A video's frame rate must be above 0, not {rate}.")
        self.rate = rate
        self.active: list[Sightings] = []
        self.ended: list[Sightings] = []
        # Frames before which the picture changed as a whole: nothing is drawn across them.
        self.cuts: list[int] = []
        self._next_id = 1
        self._last_frame = -1

    def add(self, frame: int, found: Detections) -> None:
        """Take in the faces of a frame; frames must come in rising order, some may be left out."""
        if frame <= self._last_frame:
            raise FaceError(f"Frame {frame} came after frame {self._last_frame}.")
        self._last_frame = frame
        self._end_the_long_unseen(frame)
        # A slip of the detector that puts the mouth above the eyes is no sighting.
        usable = [i for i in range(len(found)) if not is_mirrored(found.landmarks[i])]
        taken: set[int] = set()
        for track, i in self._assign(frame, found, usable):
            track.add(frame, found.boxes[i], float(found.scores[i]), found.landmarks[i])
            taken.add(i)
        for i in usable:
            if i not in taken and found.scores[i] >= START_SCORE:
                track = Sightings(self._next_id)
                self._next_id += 1
                track.add(frame, found.boxes[i], float(found.scores[i]), found.landmarks[i])
                self.active.append(track)

    def everybody(self) -> list[Sightings]:
        """All faces that were seen often enough so far, in order of appearance."""
        kept = [s for s in self.ended + self.active if len(s.frames) >= MIN_SIGHTINGS]
        return sorted(kept, key=lambda s: (s.frames[0], s.track_id))

    def _end_the_long_unseen(self, frame: int) -> None:
        limit = MAX_ABSENCE_SECONDS * self.rate
        self.ended += [s for s in self.active if frame - s.frames[-1] > limit]
        self.active = [s for s in self.active if frame - s.frames[-1] <= limit]

    def _assign(
        self, frame: int, found: Detections, usable: list[int]
    ) -> list[tuple[Sightings, int]]:
        if not self.active or not usable:
            return []
        costs = np.full((len(self.active), len(usable)), np.inf)
        boxes, rate = found.boxes.tolist(), float(self.rate)
        for row, track in enumerate(self.active):
            expected = track.expected_box(frame).tolist()
            unseen = (frame - track.frames[-1] - 1) / rate
            for column, i in enumerate(usable):
                cost = _cost(expected, boxes[i], unseen)
                if cost is not None:
                    costs[row, column] = cost
        return [(self.active[row], usable[column]) for row, column in cheapest_pairs(costs)]


def max_gap_frames(rate: Fraction) -> int:
    """The longest run of unseen frames that is filled: MAX_GAP_SECONDS, rounded down."""
    return math.floor(MAX_GAP_SECONDS * rate)


def window_frames(rate: Fraction) -> int:
    """The smoothing window: an odd number of frames in SMOOTHING_SECONDS, at least 5."""
    return max(5, 2 * (math.floor(SMOOTHING_SECONDS * rate) // 2) + 1)


def reach(rate: Fraction) -> int:
    """How many frames after a frame can still change that frame's place in `complete`."""
    return max_gap_frames(rate) + window_frames(rate)


def complete(
    sightings: Sightings,
    *,
    rate: Fraction,
    span: tuple[int, int] | None = None,
    cuts: Sequence[int] = (),
) -> Track:
    """Fill a track's short gaps by straight lines and smooth its landmarks.

    A run of at most `max_gap_frames(rate)` unseen frames between two sightings is interpolated
    from both sides; a longer run stays absent over its whole length, and so does one with a cut in
    it (`cuts`: the first frames of new scenes). `span` asks for the frames from its first to its
    last only, both included: the result is the same as for the whole track, from the sightings
    nearby alone.
    """
    first, last = span or (sightings.frames[0], sightings.frames[-1])
    first, last = max(first, sightings.frames[0]), min(last, sightings.frames[-1])
    margin = reach(rate) + 1
    begin = bisect_left(sightings.frames, first - margin)
    end = bisect_right(sightings.frames, last + margin)
    # One more on each side, so that the first and last frames lie between two sightings.
    begin, end = max(0, begin - 1), min(len(sightings.frames), end + 1)
    whole = _complete(sightings, begin, end, rate, cuts)
    piece = slice(first - int(whole.frames[0]), last + 1 - int(whole.frames[0]))
    return Track(
        whole.track_id,
        whole.frames[piece],
        whole.state[piece],
        whole.scores[piece],
        whole.boxes[piece],
        whole.landmarks[piece],
    )


def _complete(
    sightings: Sightings, begin: int, end: int, rate: Fraction, cuts: Sequence[int]
) -> Track:
    """`complete` for the sightings with the numbers from `begin` to before `end`."""
    seen = np.array(sightings.frames[begin:end], dtype=np.int64)
    places = np.array(sightings.places[14 * begin : 14 * end], dtype=np.float64).reshape(-1, 14)
    frames = np.arange(seen[0], seen[-1] + 1)
    state = np.full(len(frames), ABSENT, dtype=np.int8)
    state[seen - seen[0]] = DETECTED
    limit = max_gap_frames(rate)
    near = np.array(cuts[bisect_left(cuts, seen[0]) : bisect_right(cuts, seen[-1])], dtype=np.int64)
    scene = np.searchsorted(near, frames, side="right")
    for before, after in pairwise(seen):
        same = scene[before - seen[0]] == scene[after - seen[0]]
        if 1 < after - before <= limit + 1 and same:
            state[before - seen[0] + 1 : after - seen[0]] = INTERPOLATED
    left = np.searchsorted(seen[1:-1], frames, side="right")
    share = (frames - seen[left]) / np.maximum(np.diff(seen, append=seen[-1])[left], 1)
    steps = np.diff(places, axis=0, append=places[-1:])
    filled = places[left] + share[:, None] * steps[left]
    filled[state == ABSENT] = np.nan
    for number in range(len(near) + 1):
        for run_first, run_end in runs((state != ABSENT) & (scene == number)):
            filled[run_first:run_end, 4:] = smooth(filled[run_first:run_end, 4:], rate=rate)
    scores = np.full(len(frames), np.nan, dtype=np.float32)
    scores[seen - seen[0]] = np.array(sightings.scores[begin:end], dtype=np.float32)
    return Track(
        track_id=sightings.track_id,
        frames=frames,
        state=state,
        scores=scores,
        boxes=filled[:, :4].astype(np.float32),
        landmarks=filled[:, 4:].reshape(-1, 5, 2).astype(np.float32),
    )


def smooth(values: Doubles, *, rate: Fraction) -> Doubles:
    """Savitzky-Golay smoothing along the first axis: a parabola over SMOOTHING_SECONDS.

    The window has `window_frames(rate)` frames; its ends are taken from the first and the last
    parabola. Values (N, columns) shorter than the window are returned as they are. Written
    out here because importing scipy.signal costs a worker 40 MB.
    """
    window = window_frames(rate)
    if len(values) < window:
        return values
    half = window // 2
    fit = _parabola(half)
    inner = len(values) - window + 1
    middle = np.zeros((inner, values.shape[1]))
    for place, weight in enumerate(fit[half]):
        middle += weight * values[place : place + inner]
    return np.concatenate([fit[:half] @ values[:window], middle, fit[-half:] @ values[-window:]])


@cache
def _parabola(half: int) -> Doubles:
    """Row i gives, from the values in a window, the fitted parabola's value at place i."""
    powers = np.vander(np.arange(-half, half + 1, dtype=np.float64), 3)
    return np.asarray(powers @ np.linalg.pinv(powers))


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The half-open spans [first, end) in which a one-dimensional array of flags is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[0::2], edges[1::2], strict=True)]


def choose_participant(
    tracks: list[Sightings], present: Mapping[int, int], *, width: int, height: int
) -> Sightings | None:
    """The track that is the largest, the longest and the most central, as one product.

    size: square root of the median box area over the picture's area. presence: `present` gives, by
    track id, the number of frames with a place. centrality: 1 less half the distance of the median
    box centre from the picture's centre, in half diagonals. Ties go to the earlier track. None
    when there are no tracks.
    """

    def prominence(track: Sightings) -> float:
        boxes = np.array(track.places, dtype=np.float64).reshape(-1, 14)[:, :4]
        sides = boxes[:, 2:] - boxes[:, :2]
        size = float(np.sqrt(np.median(sides[:, 0] * sides[:, 1]) / (width * height)))
        middle = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
        away = float(np.hypot(middle[0] - width / 2, middle[1] - height / 2))
        return size * present[track.track_id] * (1 - away / math.hypot(width, height))

    return max(tracks, key=lambda t: (prominence(t), -t.track_id), default=None)


def _cost(expected: list[float], box: list[float], unseen_seconds: float) -> float | None:
    """Cost of taking `box` for the face expected at `expected`; None when it cannot be."""
    sizes = [math.sqrt(max(1.0, (b[2] - b[0]) * (b[3] - b[1]))) for b in (expected, box)]
    if not 1 / SIZE_FACTOR <= sizes[1] / sizes[0] <= SIZE_FACTOR:
        return None
    x, y = ((box[k] + box[k + 2] - expected[k] - expected[k + 2]) / 2 for k in (0, 1))
    away = math.hypot(x, y) / max(sizes)
    if away > min(REACH + REACH_PER_SECOND * unseen_seconds, REACH_LIMIT):
        return None
    change = abs(math.log(sizes[1] / sizes[0]))
    return (1 - overlap(expected, box)) + away + change


def _centre(box: Floats) -> Doubles:
    return np.array([box[0] + box[2], box[1] + box[3]], dtype=np.float64) / 2

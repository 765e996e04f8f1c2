"""Whether somebody who comes back is a person seen before: the same track, however long they left.

The tracker gives a face that was away for more than some seconds a new track, for it knows only
places. Here, when all is read, tracks that do not overlap in time are compared by their looks, and
joined where all of these agree:

- the face: frames of each that look most like a face (workers.faces.occlusion) differ nowhere by
  more than ALIKE from the other's, whichever is compared with which;
- its colour, and that of the clothes below it where both were seen, to within FACE and CLOTHES;
- the next most similar person in the recording is less alike by CLEARLY.

There is no network for identity here: this tells the few people of one recording apart, in one
light and one set of clothes, and knows nobody. It is meant to fail by leaving two tracks, which a
person can see, rather than by joining two people, which would spoil data unseen. Measured on
../shared/media, both detectors, a recording's first and last 40 percent as two tracks: between
different people of a recording the faces differ by 3.3 and more (36 comparisons), between stretches
of one person by 0.1 to 3.0 (one by 6.7), 15 of 20 below ALIKE. tests/faces/test_rejoin.py plants
absences.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.faces.occlusion import SHORTEST, difference, features, judge
from workers.faces.video import Picture, Planes

Floats = NDArray[np.float32]

ALIKE = 1.9
CLEARLY = 1.0
# Brightness and the two colours, in levels of 255: light on a face changes, its colour less so.
FACE = (20.0, 4.0, 4.0)
CLOTHES = (12.0, 3.0, 3.0)
# Of a track, the half that looks most like a face stands for it, in at most so many frames.
OWN_SHARE = 0.5
OWN_FRAMES = 40
# Of the faces that are handed over, every so manieth is sampled, the first among them.
_EVERY = 6
# A patch of fewer pixels says nothing.
_PATCH = 16


@dataclass(frozen=True)
class Look:
    """What a track looks like: first and last frame, features (N, F), two colours, NaN unknown."""

    first: int
    last: int
    face: Floats
    face_colour: Floats
    clothes_colour: Floats


class Colours:
    """The colours of each track's face and clothes, sampled now and then."""

    def __init__(self) -> None:
        self._seen: dict[int, array[float]] = {}
        self._asked = Counter[int]()

    def add(self, track_id: int, planes: Planes, box: Sequence[float]) -> None:
        """Sample a frame's colours at a face's box: left, top, right, bottom in its pixels."""
        self._asked[track_id] += 1
        if (self._asked[track_id] - 1) % _EVERY:
            return
        left, top, right, bottom = box
        wide, high = right - left, bottom - top
        cheeks = left + 0.25 * wide, top + 0.45 * high, right - 0.25 * wide, top + 0.75 * high
        chest = left - 0.1 * wide, bottom + 0.35 * high, right + 0.1 * wide, bottom + 0.9 * high
        seen = self._seen.setdefault(track_id, array("f"))
        for part in (cheeks, chest):
            seen.extend(_colour(planes, part))

    def of(self, track_id: int) -> Floats:
        """The median colours (2, 3) of a track's face and clothes, NaN where not seen."""
        values = np.array(self._seen.get(track_id, ()), dtype=np.float32).reshape(-1, 2, 3)
        known = np.isfinite(values)
        return np.array(
            [
                [np.median(values[known[:, i, j], i, j]) if known[:, i, j].any() else np.nan
                 for j in range(3)]
                for i in range(2)
            ],
            dtype=np.float32,
        )  # fmt: skip


def look_of(first: int, last: int, glimpses: Picture, colours: Floats) -> Look | None:
    """The look of a track from its glimpses and colours; None where it is too short to tell."""
    if len(glimpses) < SHORTEST:
        return None
    some = glimpses[np.linspace(0, len(glimpses) - 1, min(len(glimpses), 400)).astype(int)]
    found = features(some)
    best = np.argsort(judge(found), kind="stable")[: max(3, int(len(found) * OWN_SHARE))]
    spread = np.linspace(0, len(best) - 1, min(OWN_FRAMES, len(best))).astype(int)
    return Look(first, last, found[np.sort(best)[spread]], colours[0], colours[1])


def same_people(looks: Mapping[int, Look]) -> dict[int, int]:
    """Which tracks continue which: later track id -> the first of the same person's.

    Tracks are taken in order of time; each joins the one person before it who is alike, if there
    is one and no other person comes near.
    """
    order = sorted(looks, key=lambda t: (looks[t].first, t))
    apart = {(a, b): _apart(looks[a], looks[b]) for a in order for b in order if a < b}
    people: dict[int, list[int]] = {}
    joined: dict[int, int] = {}
    for track in order:
        likeness = {
            person: min(apart[min(track, other), max(track, other)] for other in members)
            for person, members in people.items()
        }
        nearest = sorted(likeness, key=lambda person: likeness[person])
        # Everybody counts as somebody whom it might be, also who is seen at the same time.
        others = [likeness[person] for person in nearest[1:]]
        others += [apart[min(track, t), max(track, t)] for t in order if _together(looks, t, track)]
        if (
            nearest
            and likeness[nearest[0]] <= ALIKE
            and all(other >= likeness[nearest[0]] + CLEARLY for other in others)
            and all(
                looks[member].last < looks[track].first and _one_colour(looks[member], looks[track])
                for member in people[nearest[0]]
            )
        ):
            people[nearest[0]].append(track)
            joined[track] = nearest[0]
        else:
            people[track] = [track]
    return joined


def _together(looks: Mapping[int, Look], one: int, other: int) -> bool:
    a, b = looks[one], looks[other]
    return one != other and a.first <= b.last and b.first <= a.last


def _apart(one: Look, other: Look) -> float:
    """How unlike two faces are: the median of the frames, the greater of both ways round."""
    there, back = difference(one.face, other.face), difference(other.face, one.face)
    return float(max(np.median(there), np.median(back)))


def _one_colour(one: Look, other: Look) -> bool:
    """Whether neither the faces' nor the clothes' colours contradict that it is one person."""
    for a, b, limits in (
        (one.face_colour, other.face_colour, FACE),
        (one.clothes_colour, other.clothes_colour, CLOTHES),
    ):
        change = np.abs(a - b)
        if np.any(change > np.array(limits)):  # NaN, which is unknown, contradicts nothing
            return False
    return True


def _colour(planes: Planes, part: tuple[float, float, float, float]) -> list[float]:
    height, width = planes.luma.shape
    left, top = max(0, int(part[0])) // 2, max(0, int(part[1])) // 2
    right, bottom = min(width, int(part[2])) // 2, min(height, int(part[3])) // 2
    if right - left < 2 or bottom - top < 2 or (right - left) * (bottom - top) < _PATCH:
        return [float("nan")] * 3
    # Every fourth pixel each way is enough for a mean.
    rows, columns = slice(top, bottom, 2), slice(left, right, 2)
    light = planes.luma[2 * top : 2 * bottom : 4, 2 * left : 2 * right : 4]
    return [
        float(plane.mean())
        for plane in (light, planes.blue[rows, columns], planes.red[rows, columns])
    ]

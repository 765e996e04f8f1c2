"""Whether something covers a face: a hand, a cup, a sheet of paper.

Measured on a small picture of each aligned crop, in three steps, once a track is complete:

1. Features: how strong the brightness changes in each of eight directions in each of 6 x 6 places
   (Dalal and Triggs 2005), and the brightness of 12 x 12 places, both freed of light and contrast.
2. A linear judgement of these features, fitted on faces with and without things before them
   (occlusion.json; bench/occlusion.py makes it). It differs from person to person by an amount
   that stays, so that only its rise above the track's own lowest third counts.
3. What the judgement suspects must also look like none of that lowest third: in a neighbourhood of
   3 x 3 places no frame of it is alike. A face that speaks, blinks or laughs resembles itself.

A head turned by more than TURNED degrees shows half a face, which the judgement takes for a covered
one in people whom the fit has not seen: there nothing is judged, nor where the yaw is not known.

What it cannot do: something that covers the face throughout (a mask, a headset) has nothing of the
track to differ from: a study says so when it hands in the recording (Recording.occlusion). Nor is
it judged in tracks with less than SHORTEST frames of a head that is not turned. Objects that cover
less than about a third of the face are found only sometimes, and so is any, where what it does to
the landmarks makes the head seem turned.

A frame that is wrongly called covered is lost to its users, so the limits are high: RISE, UNLIKE
and TURNED were chosen on ../shared/media so that fits which have not seen the person call none of
the free frames covered. docs/faces.md has the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from workers.faces.tracks import runs

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

# The crop is made so small, and this part of it is looked at: brows to chin, cheek to cheek, and
# one pixel around for the changes of brightness.
SMALL = 32
TOP, LEFT, SIDE = 5, 3, 26
PLACES = 6
DIRECTIONS = 8
FEATURES = PLACES * PLACES * (DIRECTIONS + 4)
# The judgement must rise so far above the track's own, and the look differ so much.
RISE = 4.0
UNLIKE = 1.1
# Degrees of yaw, either way, beyond which nothing is judged.
TURNED = 20.0
# The share of a track that counts as its own look, and how many frames stand for it.
OWN_SHARE = 0.3
OWN_FRAMES = 40
SHORTEST = 15
# Frames: a shorter covering is not reported, a shorter sight of the face between two is.
STEADY = 5
_ROWS = 128  # features are computed for so many frames at a time


class Glimpses:
    """The small pictures of all faces that are followed, each track's in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}

    def add(self, track_id: int, crop: Picture) -> None:
        """Append the brightness of a track's next aligned crop, square, of any size."""
        file = self._files.get(track_id)
        if file is None:
            file = self._files[track_id] = self._path(track_id).open("xb")
        file.write(glimpse(crop).tobytes())

    def of(self, track_id: int) -> Picture:
        """A track's glimpses so far, (N, SIDE, SIDE)."""
        self._files[track_id].flush()
        return _mapped(self._path(track_id))

    def covered(self, track_id: int, yaw: Floats) -> NDArray[np.bool_]:
        """For each of a track's frames so far, (N,), whether something covers the face.

        `yaw` (N,) is in degrees, NaN where it is not known.
        """
        self._files[track_id].flush()
        return covered(_OnDisk(self._path(track_id)), yaw)

    def join(self, later: int, earlier: int) -> None:
        """Append a later track's to an earlier one's."""
        self._files[earlier].write(self.of(later).tobytes())
        self._files.pop(later).close()
        self._path(later).unlink()

    def remove(self) -> None:
        """Delete the files."""
        for track_id, file in self._files.items():
            file.close()
            self._path(track_id).unlink()
        self._files.clear()

    def _path(self, track_id: int) -> Path:
        return self._folder / f"glimpses-{track_id}"


class _OnDisk:
    """A track's glimpses, of which no more is in memory than is asked for at a time.

    A file that stays mapped counts as memory by and by: 70 MB for an hour.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, path.stat().st_size // SIDE**2

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, which: slice | NDArray[np.intp]) -> Picture:
        return np.array(_mapped(self._path)[which])


class Covered:
    """Which faces are covered, asked row by row in the order in which the rows were made."""

    def __init__(
        self, glimpses: Glimpses, turned: Iterable[tuple[NDArray[np.int32], Floats]]
    ) -> None:
        """`turned` gives the rows' track ids (N,) and yaws (N,) in degrees, batch by batch."""
        ids, yaws = zip(*turned, strict=True) if (turned := list(turned)) else ((), ())
        every = np.concatenate([np.empty(0, np.int32), *ids])
        yaw = np.concatenate([np.empty(0, np.float32), *yaws])
        self._flags = {
            track_id: glimpses.covered(track_id, yaw[every == track_id])
            for track_id in np.unique(every).tolist()
        }
        self._asked: Counter[int] = Counter()

    def of(self, track_ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether something covers the face in each of the next rows (N,)."""
        answer = np.zeros(len(track_ids), dtype=np.bool_)
        for track_id in np.unique(track_ids).tolist():
            own = np.flatnonzero(track_ids == track_id)
            first = self._asked[track_id]
            answer[own] = self._flags[track_id][first : first + len(own)]
            self._asked[track_id] += len(own)
        return answer


def glimpse(crop: Picture) -> Picture:
    """The part (SIDE, SIDE) of an aligned crop's brightness that is looked at, made small."""
    import cv2

    small: Any = crop
    while len(small) >= 2 * SMALL and len(small) % 2 == 0:  # a third of the time of one step
        half = len(small) // 2, len(small) // 2
        small = cv2.resize(small, half, interpolation=cv2.INTER_AREA)
    if len(small) != SMALL:
        small = cv2.resize(small, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    looked_at: Picture = small[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    return looked_at


def covered(
    pictures: Picture | _OnDisk, yaw: Floats, how: tuple[Floats, float] | None = None
) -> NDArray[np.bool_]:
    """Whether something covers the face in each of a track's glimpses (N, SIDE, SIDE).

    `yaw` (N,) is in degrees; `how` are the judgement's weights and bias, the fitted ones if left
    out.
    """
    found = np.zeros(len(pictures), dtype=np.bool_)
    frontal = is_judged(yaw)
    known = np.flatnonzero(frontal)
    if len(known) < SHORTEST:
        return found
    judged = np.concatenate([judge(features(part), how) for part in _parts(pictures)])
    order = np.argsort(judged[known], kind="stable")
    lowest = np.sort(known[order[: max(3, int(len(known) * OWN_SHARE))]])
    own = lowest[np.linspace(0, len(lowest) - 1, min(OWN_FRAMES, len(lowest))).astype(int)]
    rise = steadied(judged) - np.median(judged[own])
    suspect = np.flatnonzero((rise > RISE) & frontal)
    if not len(suspect):
        return found
    self_look = features(pictures[own])
    unlike = [difference(features(part), self_look) for part in _parts(pictures[suspect])]
    found[suspect] = np.concatenate(unlike) > UNLIKE
    return without_short_runs(found) & frontal


def is_judged(yaw: Floats) -> NDArray[np.bool_]:
    """In which frames (N,) the head, by its yaw in degrees, is not turned too far; not if NaN."""
    return np.asarray(np.abs(yaw) <= TURNED, dtype=np.bool_)


def features(pictures: Picture) -> Floats:
    """Features (N, FEATURES) of glimpses (N, SIDE, SIDE); see the module.

    By place: the eight directions, then the four parts of its brightness.
    """
    x = pictures.astype(np.float32)
    across, down = x[:, 1:-1, 2:] - x[:, 1:-1, :-2], x[:, 2:, 1:-1] - x[:, :-2, 1:-1]
    gather = _gathering(SIDE - 2, PLACES)
    half = DIRECTIONS // 2
    edges = np.empty((len(x), PLACES, PLACES, DIRECTIONS), np.float32)
    for number in range(half):
        angle = 2 * np.pi * number / DIRECTIONS
        along = np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down
        both = gather @ along @ gather.T
        forwards = gather @ np.maximum(along, 0) @ gather.T
        edges[..., number], edges[..., number + half] = forwards, forwards - both
    strength = np.sqrt(np.mean(edges**2, axis=(1, 2, 3), keepdims=True)) + 4
    edges = np.sqrt(np.clip(edges / strength, 0, 4))
    fine = _gathering(SIDE - 2, 2 * PLACES)
    light = fine @ x[:, 1:-1, 1:-1] @ fine.T / 4
    middle = light.mean(axis=(1, 2), keepdims=True)
    light = np.clip((light - middle) / (light.std(axis=(1, 2), keepdims=True) + 3), -3, 3)
    fourfold = light.reshape(-1, PLACES, 2, PLACES, 2).transpose(0, 1, 3, 2, 4)
    parts = fourfold.reshape(-1, PLACES, PLACES, 4)
    found: Floats = np.concatenate([edges, parts], axis=3).reshape(len(x), FEATURES)
    return found


def judge(found: Floats, how: tuple[Floats, float] | None = None) -> Floats:
    """The linear judgement of features (N, FEATURES): the higher, the less it looks like a face."""
    weights, bias = how or fitted()
    return np.asarray(found @ weights + bias)


def difference(found: Floats, own: Floats) -> Floats:
    """How unlike the most differing neighbourhood of each of (N, FEATURES) is to all of `own`.

    Squared distance for each place, the least over the frames of `own` (M, FEATURES), averaged
    over 3 x 3 places; the greatest of these averages.
    """
    scale = np.ones(DIRECTIONS + 4, np.float32)
    scale[DIRECTIONS:] = 0.7  # brightness counts half as much
    shape = (-1, PLACES * PLACES, DIRECTIONS + 4)
    a, b = found.reshape(shape) * scale, own.reshape(shape) * scale
    # |a - b|^2 by the scalar product, place by place: (places, N, M)
    product = a.transpose(1, 0, 2) @ b.transpose(1, 2, 0)
    squares = (a**2).sum(2).T[:, :, None] + (b**2).sum(2).T[:, None, :]
    nearest = (squares - 2 * product).min(axis=2).T.reshape(-1, PLACES, PLACES)
    inner = PLACES - 2
    around = [nearest[:, i : i + inner, j : j + inner] for i in range(3) for j in range(3)]
    return np.asarray(np.mean(around, axis=0).max(axis=(1, 2)), dtype=np.float32)


def steadied(values: Floats) -> Floats:
    """The median of each value and its two neighbours on each side, the ends repeated."""
    padded = np.pad(values, STEADY // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, STEADY)
    return np.asarray(np.median(windows, axis=1), dtype=np.float32)


def without_short_runs(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flags (N,) in which gaps, then stretches, of less than STEADY // 2 + 1 frames are gone."""
    kept, least = flags.copy(), STEADY // 2 + 1
    for first, end in runs(~kept):
        if end - first < least and first > 0 and end < len(kept):
            kept[first:end] = True
    for first, end in runs(kept):
        if end - first < least:
            kept[first:end] = False
    return kept


def _parts(values: Any) -> Iterator[Any]:
    """Slices of _ROWS rows each, one after the other."""
    return (values[first : first + _ROWS] for first in range(0, len(values), _ROWS))


def _mapped(path: Path) -> Picture:
    return np.memmap(path, np.uint8, "r").reshape(-1, SIDE, SIDE)


@cache
def _gathering(pixels: int, places: int) -> Floats:
    """The matrix (places, pixels) that adds up neighbouring pixels."""
    whole = np.repeat(np.eye(places), pixels // places, axis=1)
    return whole.astype(np.float32)


@cache
def fitted() -> tuple[Floats, float]:
    """The judgement's weights (FEATURES,) and its bias."""
    held = json.loads(Path(__file__).with_name("occlusion.json").read_text(encoding="utf-8"))
    return np.array(held["weights"], dtype=np.float32), float(held["bias"])

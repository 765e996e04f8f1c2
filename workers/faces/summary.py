"""What a face table says about a recording as a whole: is the face there, large, frontal and lit?

Everything is of the participant's face. Where it was never seen, there is nothing to say but the
share of usable frames, which is 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.faces.errors import FaceError
from workers.faces.pose import eye_distances
from workers.faces.table import LANDMARK_COLUMNS, USABLE, FaceStatus

if TYPE_CHECKING:
    import pyarrow as pa

Doubles = NDArray[np.float64]
Picture = NDArray[np.uint8]

#: Beyond this turn or nod, in degrees, the far eye or the brows begin to be hidden.
TURNED_DEGREES = 30.0
#: Mean grey levels of a face, 0 to 255, below and above which its shading is lost; see
#: tests/faces/test_summary.py for what is left of a real face's contrast there.
DARK_LEVEL, BRIGHT_LEVEL = 50.0, 205.0
#: Beyond this turn the two halves of an aligned face show different parts of it.
FRONTAL_DEGREES = 15.0
_READ = ("y0", "y1", "yaw", "pitch", "roll", "sharpness", "brightness")
_OCCLUDED = "occluded"


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """Figures of one recording; None where there is nothing to say.

    frames: all frames of the recording. seen: those in which the face has a place.
    usable_share: frames with a usable face over all frames, 0 to 1.
    eye_distance_px: median distance between the eyes in proxy pixels, as if frontal.
    height_px: median height of the face's box in proxy pixels.
    turned_share: of the frames whose pose is known, those turned or nodding more than
    TURNED_DEGREES. roll_degrees: median tilt of the head to either side.
    brightness: median of the face's mean grey level, 0 to 255. dark_share and bright_share: frames
    below DARK_LEVEL and above BRIGHT_LEVEL over those in which brightness is known.
    sharpness: median, as in workers.faces.quality. occluded_share: frames in which something covers
    a part of the face, over those in which it has a place; also 0 in a table that was made without
    looking for that.
    """

    frames: int
    seen: int
    usable_share: float
    eye_distance_px: float | None
    height_px: float | None
    turned_share: float | None
    roll_degrees: float | None
    brightness: float | None
    dark_share: float | None
    bright_share: float | None
    sharpness: float | None
    occluded_share: float | None


def summarise(face_table: Path) -> FaceSummary:
    """Summarise a table written by workers.faces, reading it group by group.

    Memory: ten numbers a frame, 9 MB for an hour at 30 frames a second. Raises FaceError for a
    file that is no face table, or has no row of any frame.
    """
    statuses: Counter[str] = Counter()
    parts: dict[str, list[Doubles]] = {name: [] for name in ("eyes", *_READ)}
    for status, values in _own_rows(face_table, (*_READ, *LANDMARK_COLUMNS)):
        statuses.update(status)
        points = np.column_stack(values[len(_READ) :]).reshape(-1, 5, 2)
        for name, found in zip(parts, [eye_distances(points), *values], strict=False):
            parts[name].append(found)
    frames = sum(statuses.values())
    if frames == 0:
        raise FaceError(f"{face_table.name} has no frames. Find the faces of the recording again.")
    known = {name: np.concatenate(found) for name, found in parts.items()}
    seen = frames - statuses[FaceStatus.ABSENT]
    turned = np.maximum(np.abs(known["yaw"]), np.abs(known["pitch"])) > TURNED_DEGREES
    posed = np.isfinite(known["yaw"]) & np.isfinite(known["pitch"])
    lit = known["brightness"][np.isfinite(known["brightness"])]
    return FaceSummary(
        frames=frames,
        seen=seen,
        usable_share=sum(statuses[status] for status in USABLE) / frames,
        eye_distance_px=_median(known["eyes"]),
        height_px=_median(known["y1"] - known["y0"]),
        turned_share=_share(turned[posed]),
        roll_degrees=_median(np.abs(known["roll"])),
        brightness=_median(lit),
        dark_share=_share(lit < DARK_LEVEL),
        bright_share=_share(lit > BRIGHT_LEVEL),
        sharpness=_median(known["sharpness"]),
        occluded_share=statuses[_OCCLUDED] / seen if seen else None,
    )


def frontal_frames(face_table: Path, *, at_most: int) -> list[int]:
    """Give up to `at_most` frames in which the face is usable and frontal, spread over all."""
    found: list[int] = []
    for status, (frames, yaw, pitch) in _own_rows(face_table, ("frame", "yaw", "pitch")):
        usable = np.array([one in USABLE for one in status], dtype=np.bool_)
        frontal = usable & (np.abs(yaw) <= FRONTAL_DEGREES) & (np.abs(pitch) <= FRONTAL_DEGREES)
        found += frames[frontal].astype(int).tolist()
    if len(found) <= at_most:
        return found
    return [found[round(place)] for place in np.linspace(0, len(found) - 1, at_most)]


def light_imbalance(crop: Picture) -> float | None:
    """How much brighter one half of an aligned, frontal face is than the other, 0 to 1.

    The difference of the mean grey levels of the left and the right half, over their sum; only the
    middle of the crop, where the face is, counts. None for a crop that is black throughout.
    `crop` is (size, size, 3), blue-green-red.
    """
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float64)
    size = len(grey)
    top, bottom, edge = round(0.25 * size), round(0.95 * size), round(0.22 * size)
    left = float(grey[top:bottom, edge : size // 2].mean())
    right = float(grey[top:bottom, size - size // 2 : size - edge].mean())
    return abs(left - right) / (left + right) if left + right > 0 else None


def median_imbalance(jpegs: Sequence[bytes]) -> float | None:
    """Median of `light_imbalance` over JPEG crops of frontal faces; None without any.

    Raises FaceError for bytes that are no picture.
    """
    import cv2

    found = []
    for jpeg in jpegs:
        crop = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
        if crop is None:
            raise FaceError("A face crop is no JPEG. Find the faces of the recording again.")
        found.append(light_imbalance(np.asarray(crop, dtype=np.uint8)))
    values = [value for value in found if value is not None]
    return float(np.median(values)) if values else None


# Parts


def _own_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[list[str], list[Doubles]]]:
    """Yield the participant's rows (nobody's where no face was found), group by group.

    Gives each row's status, and the values of `columns`, NaN where they are not known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(columns=["status", "is_participant", *columns]):
                own = np.array(batch["is_participant"].to_pylist(), dtype=np.bool_)
                status = np.array(batch["status"].to_pylist(), dtype=object)[own]
                yield status.tolist(), [_values(batch[name])[own] for name in columns]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise FaceError(f"{path.name} cannot be read as a face table: {error}.") from error


def _values(column: pa.Array) -> Doubles:
    """A column's values; from the bytes, because to_numpy() would import pandas (50 MB)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.fill_null(pc.cast(column, pa.float64()), math.nan)
    whole = np.frombuffer(filled.buffers()[1], np.float64)
    return whole[filled.offset : filled.offset + len(filled)]


def _median(values: Doubles) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None

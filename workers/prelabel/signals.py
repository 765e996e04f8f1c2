"""The participant's head and face as signals over time, read from the per-frame face table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.faces.pose import eye_distances
from workers.prelabel.cards import PrelabelError

Doubles = NDArray[np.float64]

LANDMARKS = tuple(f"lm{point}{axis}" for point in range(5) for axis in "xy")
# In these states a face's place is known well enough to be followed.
FOLLOWED = ("detected", "interpolated", "blurred")


@dataclass(frozen=True)
class FaceSignals:
    """One value a frame, NaN where the participant's face was not followed.

    time_us: (N,) int64. frame_us: length of a frame. yaw: (N,) degrees. landmarks: (N, 5, 2)
    proxy pixels.
    """

    time_us: NDArray[np.int64]
    frame_us: float
    yaw: Doubles
    landmarks: Doubles


def read_signals(face_table: Path) -> FaceSignals:
    """Read the participant's rows of a table written by workers.faces; raises PrelabelError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["time_us", "status", "yaw", *LANDMARKS]
    try:
        table = pq.read_table(face_table, columns=columns, filters=[("is_participant", "==", True)])
    except (OSError, pa.ArrowException) as error:
        raise PrelabelError(
            f"{face_table.name} cannot be read as a face table: {error}."
        ) from error
    time_us = table["time_us"].to_numpy()
    if len(time_us) == 0 or (np.diff(time_us) <= 0).any():
        raise PrelabelError(f"{face_table.name} must have one row for every frame, in order.")
    followed = np.isin(np.array(table["status"].to_pylist()), FOLLOWED)
    values = np.stack([table[n].to_numpy().astype(np.float64) for n in columns[2:]], axis=1)
    values[~followed] = np.nan
    length = float(np.median(np.diff(time_us))) if len(time_us) > 1 else 0.0
    return FaceSignals(time_us, length, values[:, 0], values[:, 1:].reshape(-1, 5, 2))


def face_speed(signals: FaceSignals, *, over_us: float) -> Doubles:
    """How fast the five landmarks move, in inter-eye distances per second, (N,).

    At each frame: the mean over the landmarks of the distance between their places half of
    `over_us` before and after it, divided by the time between these two frames and by the
    recording's median inter-eye distance (as if frontal). NaN where the face is not followed
    at one of the frames between. The whole head's movement is part of it.
    """
    speed = np.full(len(signals.yaw), np.nan)
    if signals.frame_us == 0:
        return speed
    half = max(1, round(over_us / signals.frame_us / 2))
    p = signals.landmarks
    size = eye_distances(p)
    if len(p) <= 2 * half or np.isnan(size).all():
        return speed
    way = np.linalg.norm(p[2 * half :] - p[: -2 * half], axis=2).mean(axis=1)
    seconds = (signals.time_us[2 * half :] - signals.time_us[: -2 * half]) / 1e6
    known = np.isfinite(size).astype(int)
    followed = np.convolve(known, np.ones(2 * half + 1, dtype=int), mode="valid") == 2 * half + 1
    speed[half:-half] = np.where(followed, way / seconds / np.nanmedian(size), np.nan)
    return speed


def spread(values: Doubles) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation from the median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))

"""The outline of a face table: as much of it as a recording's timeline draws."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

POSE_POINTS_PER_SECOND = 10
_ANGLES = ("yaw", "pitch", "roll")
_USABLE = "usable"
_ROWS = 2048


def write_outline(face_table: Path, target: Path, *, rate: Fraction, end_us: int) -> None:
    """Write the participant's outline as JSON, reading the table (Parquet) group by group.

    `runs` are `[start_us, end_us, status]` in which the status stays the same, where “usable”
    stands for a face that was detected or interpolated. `pose` has parallel lists `time_us`,
    `yaw`, `pitch` and `roll` (degrees to one decimal, null where unknown), about ten points per
    second. `end_us` is the end of the last frame.
    """
    import pyarrow.parquet as pq

    step = max(1, round(rate / POSE_POINTS_PER_SECOND))
    runs: list[list[Any]] = []
    pose: dict[str, list[Any]] = {"time_us": [], **{angle: [] for angle in _ANGLES}}
    columns = ["frame", "time_us", "status", "is_participant", *_ANGLES]
    with pq.ParquetFile(face_table) as table:
        # A row as a dictionary takes half a kilobyte: a table of an hour is read in small pieces.
        for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
            for row in batch.to_pylist():
                if row["is_participant"]:
                    _extend(runs, row)
                    if row["frame"] % step == 0:
                        _sample(pose, row)
    if runs:
        runs[-1][1] = end_us
    target.write_text(json.dumps({"runs": runs, "pose": pose}), encoding="utf-8")


def _extend(runs: list[list[Any]], row: dict[str, Any]) -> None:
    from workers.faces.table import USABLE

    status = _USABLE if row["status"] in USABLE else row["status"]
    if runs and runs[-1][2] == status:
        return
    if runs:
        runs[-1][1] = row["time_us"]
    runs.append([row["time_us"], None, status])


def _sample(pose: dict[str, list[Any]], row: dict[str, Any]) -> None:
    pose["time_us"].append(row["time_us"])
    for angle in _ANGLES:
        value = row[angle]
        known = value is not None and math.isfinite(value)
        pose[angle].append(round(value, 1) if known else None)

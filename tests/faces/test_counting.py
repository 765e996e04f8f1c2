"""Proxy, map, face table and crops count the same frames; each of them broken is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workers.faces.counting import check_frames
from workers.faces.errors import FaceError
from workers.faces.table import ROW, STATUSES, FaceStatus, FaceTable

COUNT = 5000  # more than two groups of rows


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A face table of COUNT frames, absent in every seventh, and the index of its crops."""
    rows = np.zeros(COUNT, dtype=ROW)
    rows["frame"], rows["track_id"] = np.arange(COUNT), 3
    detected, blurred, small = map(
        STATUSES.index, (FaceStatus.DETECTED, FaceStatus.BLURRED, FaceStatus.TOO_SMALL)
    )
    rows["status"] = np.where(np.arange(COUNT) % 2, detected, blurred)
    rows["status"][::11] = small
    here = np.arange(COUNT) % 7 > 0
    table = tmp_path / "faces.parquet"
    with FaceTable(table, frame_us=lambda frame: frame * 40_000) as out:
        out.add(rows[here], participant=3, until=COUNT)
    frames = np.flatnonzero(here & (rows["status"] != small))
    return table, write_index(tmp_path / "crops.parquet", frames)


def write_index(path: Path, frames: np.ndarray) -> Path:
    columns = {"frame": pa.array(frames, pa.int32())}
    pq.write_table(pa.table(columns), path)
    return path


def test_what_belongs_together_is_accepted(files: tuple[Path, Path]) -> None:
    table, index = files
    check_frames(table=table, crop_index=index, frame_count=COUNT)


@pytest.mark.parametrize("frame_count", [COUNT - 1, COUNT + 1, 1])
def test_a_table_of_another_length_is_refused(files: tuple[Path, Path], frame_count: int) -> None:
    table, index = files
    with pytest.raises(FaceError, match=f"proxy, which has {frame_count} frames"):
        check_frames(table=table, crop_index=index, frame_count=frame_count)


@pytest.mark.parametrize("frame", [0, 2500, COUNT - 1])
def test_a_table_without_one_frame_is_refused(files: tuple[Path, Path], frame: int) -> None:
    table, index = files
    whole = pq.read_table(table)
    kept = np.ones(whole.num_rows, bool)
    kept[frame] = False
    pq.write_table(whole.filter(pa.array(kept)), table)
    with pytest.raises(FaceError, match="does not belong to the proxy"):
        check_frames(table=table, crop_index=index, frame_count=COUNT)


@pytest.mark.parametrize("change", ["one less", "one more", "one moved"])
def test_crops_of_other_frames_are_refused(files: tuple[Path, Path], change: str) -> None:
    table, index = files
    frames = pq.read_table(index).column("frame").to_pylist()
    changed = {
        "one less": frames[:-1],
        "one more": [*frames, COUNT - 1],
        "one moved": [frames[0] + 6, *frames[1:]],
    }[change]
    write_index(index, np.array(changed))
    with pytest.raises(FaceError, match="crops"):
        check_frames(table=table, crop_index=index, frame_count=COUNT)


def test_a_video_without_anybody_has_rows_and_no_crops(tmp_path: Path) -> None:
    table = tmp_path / "faces.parquet"
    with FaceTable(table, frame_us=lambda frame: frame) as out:
        out.close(participant=None, until=40)
    index = write_index(tmp_path / "crops.parquet", np.array([], np.int32))
    check_frames(table=table, crop_index=index, frame_count=40)
    with pytest.raises(FaceError):
        check_frames(table=table, crop_index=index, frame_count=41)

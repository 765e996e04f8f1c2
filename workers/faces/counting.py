"""Whether the face table and the crops belong to the proxy: checked frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workers.faces.errors import FaceError
from workers.faces.table import WITH_CROP, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_frames(*, table: Path, crop_index: Path, frame_count: int) -> None:
    """Hold the files that were written against the proxy's number of frames.

    1. The participant's rows (or nobody's) are one a frame, 0 to `frame_count` - 1, in order.
    2. No other row speaks of a frame that is not there.
    3. The crops are those of exactly the participant's rows whose status calls for one.

    Reads the table group by group. Raises FaceError with the first frame that is wrong.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    crops = numbers(pq.read_table(crop_index, columns=["frame"]).column("frame"), np.int32)
    statuses = pa.array([str(status) for status in WITH_CROP])
    following = seen = 0
    with pq.ParquetFile(table) as rows:
        for batch in rows.iter_batches(columns=["frame", "status", "is_participant"]):
            every = _frames(batch.column("frame"))
            if every.size and (every.min() < 0 or every.max() >= frame_count):
                raise _mismatch(table, int(every.max()), frame_count)
            own = batch.filter(batch.column("is_participant"))
            frames = _frames(own.column("frame"))
            expected = np.arange(following, following + frames.size)
            if not np.array_equal(frames, expected):
                raise _mismatch(table, int(frames[frames != expected][0]), frame_count)
            following += frames.size
            wanted = pc.is_in(own.column("status").cast(pa.string()), value_set=statuses)
            with_crop = _frames(own.filter(wanted).column("frame"))
            there = crops[seen : seen + with_crop.size]
            if not np.array_equal(there, with_crop):
                raise FaceError(
                    f"The crops do not belong to the face table: from frame {int(with_crop[0])} "
                    "on, other frames have a crop than the table says. Run the stage again."
                )
            seen += with_crop.size
    if following != frame_count:
        raise _mismatch(table, following, frame_count)
    if seen != crops.size:
        raise FaceError(
            f"There are {crops.size} crops where the face table calls for {seen}. Run the stage "
            "again."
        )


def _frames(values: object) -> NDArray[np.int32]:
    import pyarrow as pa

    found: NDArray[np.int32] = numbers(pa.chunked_array([values]), np.int32)
    return found


def _mismatch(table: Path, frame: int, frame_count: int) -> FaceError:
    return FaceError(
        f"{table.name} does not belong to the proxy, which has {frame_count} frames: the two part "
        f"at frame {frame}. Run the stage again."
    )

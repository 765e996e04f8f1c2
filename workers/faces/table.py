"""The per-frame table of faces: its columns, its statuses, and writing it in bounded memory."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 2048

LANDMARK_COLUMNS = tuple(f"lm{point}{axis}" for point in range(5) for axis in "xy")
NUMBER_COLUMNS = (
    "score",
    *("x0", "y0", "x1", "y1"),
    *LANDMARK_COLUMNS,
    *("yaw", "pitch", "roll", "sharpness", "brightness"),
)
COLUMNS = ("frame", "time_us", "track_id", "status", *NUMBER_COLUMNS, "is_participant")


class FaceStatus(StrEnum):
    """What is known of a face in one frame; where several hold, the later one here is given.

    Occlusion is not among them: the detectors at hand do not measure it. An interpolated place
    has no score, also where the status says that the face is blurred, too small or off the frame.
    """

    DETECTED = "detected"
    INTERPOLATED = "interpolated"
    BLURRED = "blurred"
    TOO_SMALL = "too_small"
    OFF_FRAME = "off_frame"
    ABSENT = "absent"


USABLE = frozenset({FaceStatus.DETECTED, FaceStatus.INTERPOLATED})
# A blurred face is still a face; what is too small or cut off would not look like one.
WITH_CROP = USABLE | {FaceStatus.BLURRED}


class FaceTable:
    """Writes the table group by group: frame order, the participant's row of a frame first.

    Units: time_us microseconds, box and landmarks proxy pixels, angles degrees (see
    workers.faces.pose), sharpness and brightness as in workers.faces.quality. Values that do not
    exist are null.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._rows: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, schema(), compression="zstd")

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; number columns that are left out become null."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=schema()))
        self._rows.clear()

    def __enter__(self) -> FaceTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()


def schema() -> pa.Schema:
    """The table's Arrow schema."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        "frame": pa.int32(),
        "time_us": pa.int64(),
        "track_id": pa.int32(),
        "status": pa.dictionary(pa.int8(), pa.string()),
        "is_participant": pa.bool_(),
    }
    return pa.schema([(name, kinds.get(name, pa.float32())) for name in COLUMNS])

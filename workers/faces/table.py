"""The per-frame table of faces: its columns, its statuses, and writing it in bounded memory."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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

    Occluded: something covers about a third of the face or more (workers.faces.occlusion). An
    interpolated place has no score, also where the status says that the face is occluded, blurred,
    too small or off the frame.
    """

    DETECTED = "detected"
    INTERPOLATED = "interpolated"
    OCCLUDED = "occluded"
    BLURRED = "blurred"
    TOO_SMALL = "too_small"
    OFF_FRAME = "off_frame"
    ABSENT = "absent"


USABLE = frozenset({FaceStatus.DETECTED, FaceStatus.INTERPOLATED})
# A covered or blurred face is still a face; what is too small or cut off would not look like one.
WITH_CROP = USABLE | {FaceStatus.OCCLUDED, FaceStatus.BLURRED}


STATUSES = tuple(FaceStatus)
"""A status by its code in a spool."""

ROW = np.dtype(
    [
        ("frame", np.int32),
        ("track_id", np.int32),
        ("status", np.int8),
        ("score", np.float32),
        ("box", np.float32, (4,)),
        ("landmarks", np.float32, (5, 2)),
        ("yaw", np.float32),
        ("pitch", np.float32),
        ("roll", np.float32),
        ("sharpness", np.float32),
        ("brightness", np.float32),
    ]
)
"""One face in one frame, as a record of fixed length; what is not known is NaN."""

_PACKED = struct.Struct("<iib20f")  # ROW, without padding
_CODE = {status: code for code, status in enumerate(STATUSES)}
_NO_ANGLES = (math.nan,) * 3
_AFTER_LANDMARKS = ("yaw", "pitch", "roll", "sharpness", "brightness")
_NOBODY = -1


class Spool:
    """Rows in order of frames, in a file, until it is known who the participant is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = path.open("xb")

    def add(
        self,
        frame: int,
        track_id: int,
        status: FaceStatus,
        place: Sequence[float],
        quality: tuple[float, float],
    ) -> None:
        """Append a row: `place` is score, box and landmarks, fifteen numbers."""
        self._file.write(
            _PACKED.pack(frame, track_id, _CODE[status], *place, *_NO_ANGLES, *quality)
        )

    def by_frames(self) -> Iterator[NDArray[np.void]]:
        """Give all rows, some thousand at a time, never parting a frame."""
        self._file.close()
        rest: NDArray[np.void] = np.empty(0, dtype=ROW)
        with self._path.open("rb") as file:
            while content := file.read(ROWS_PER_GROUP * ROW.itemsize):
                rows = np.concatenate([rest, np.frombuffer(content, dtype=ROW)])
                whole = int(np.searchsorted(rows["frame"], rows["frame"][-1]))
                if whole:
                    yield rows[:whole]
                rest = rows[whole:]
        if len(rest):
            yield rest

    def remove(self) -> None:
        """Delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class FaceTable:
    """Writes the table group by group: frame order, the participant's row of a frame first.

    Units: time_us microseconds, box and landmarks proxy pixels, angles degrees (see
    workers.faces.pose), sharpness and brightness as in workers.faces.quality. Values that do not
    exist are null. Each frame has exactly one row of the participant, or of nobody.
    """

    def __init__(self, path: Path, *, frame_us: Callable[[int], int]) -> None:
        import pyarrow.parquet as pq

        self._frame_us = frame_us
        self._next = 0  # the first frame that has no rows yet
        self._writer = pq.ParquetWriter(
            path, schema(), compression="zstd", use_dictionary=["status"]
        )

    def add(self, rows: NDArray[np.void], *, participant: int | None, until: int) -> None:
        """Write the rows (dtype ROW) of all frames up to, not including, `until`.

        Frames without a row of the participant get one that says absent.
        """
        for first in range(self._next, until, ROWS_PER_GROUP):
            end = min(until, first + ROWS_PER_GROUP)
            inside = (rows["frame"] >= first) & (rows["frame"] < end)
            self._write(rows[inside], participant, first, end)
        self._next = until

    def close(self, *, participant: int | None, until: int) -> None:
        """Write what is left of the video, in which nobody was seen."""
        self.add(np.empty(0, dtype=ROW), participant=participant, until=until)

    def _write(self, rows: NDArray[np.void], participant: int | None, first: int, end: int) -> None:
        import pyarrow as pa

        own = rows["frame"][rows["track_id"] == participant]
        missing = np.setdiff1d(np.arange(first, end, dtype=np.int32), own)
        absent = np.zeros(len(missing), dtype=ROW)
        for name in ("score", "box", "landmarks", *_AFTER_LANDMARKS):
            absent[name] = np.nan
        absent["frame"], absent["status"] = missing, _CODE[FaceStatus.ABSENT]
        owner = _NOBODY if participant is None else participant
        absent["track_id"] = owner
        rows = np.concatenate([rows, absent])
        rows = rows[np.lexsort([rows["track_id"], rows["track_id"] != owner, rows["frame"]])]
        numbers = np.column_stack(
            [
                rows["score"],
                rows["box"],
                rows["landmarks"].reshape(-1, 10),
                *(rows[name] for name in _AFTER_LANDMARKS),
            ]
        )
        times = np.array([self._frame_us(frame) for frame in rows["frame"].tolist()], np.int64)
        status = pa.DictionaryArray.from_arrays(column(rows["status"]), _words(STATUSES))
        columns = [
            column(rows["frame"]),
            column(times),
            column(rows["track_id"], known=rows["track_id"] != _NOBODY),
            status,
            *(column(values, known=np.isfinite(values)) for values in numbers.T),
            column(rows["track_id"] == owner),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=schema()))

    def __enter__(self) -> FaceTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def column(values: NDArray[Any], *, known: NDArray[np.bool_] | None = None) -> pa.Array:
    """An Arrow array of numpy values, null where they are not `known`.

    From the bytes themselves: pyarrow.array() would import pandas, which costs a worker 50 MB.
    """
    import pyarrow as pa

    def bits(flags: NDArray[np.bool_]) -> pa.Buffer:
        return pa.py_buffer(np.packbits(flags, bitorder="little").tobytes())

    is_flag = values.dtype == np.bool_
    kind = pa.bool_() if is_flag else pa.from_numpy_dtype(values.dtype)
    content = bits(values) if is_flag else pa.py_buffer(values.tobytes())
    valid = None if known is None else bits(known)
    return pa.Array.from_buffers(kind, len(values), [valid, content])


def numbers(chunks: pa.ChunkedArray, kind: type[np.number[Any]]) -> NDArray[Any]:
    """The values of a table's column without nulls; its own to_numpy() imports pandas too."""
    parts = [
        np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in chunks.chunks
    ]
    return np.concatenate([np.empty(0, kind), *parts])


def _words(words: Sequence[str]) -> pa.Array:
    """An Arrow array of texts, made from bytes for the same reason."""
    import pyarrow as pa

    encoded = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


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

"""Keeping samples: every one in a Parquet file, and an outline to draw, both as they come."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workers.signals.errors import SignalError
from workers.signals.samples import MICROSECONDS, Channel, Piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: At most so many columns of an outline, so that one is two pixels or less of a wide screen.
MOST_BUCKETS = 2048
_FIRST_BUCKET_US = 1_000
_MOST_SAMPLES = 1_000_000_000
_GROUP = 32_768  # samples of a channel that are written together, or what is left at the end


@dataclass
class Summary:
    """What is known of one channel so far; extremes are None while every sample is missing.

    `end_us` is where the last sample ends: one sample after it, or where samples carry their own
    times their mean distance after it.
    """

    channel: Channel
    samples: int = 0
    missing: int = 0
    start_us: int = 0
    last_us: int = 0
    minimum: float | None = None
    maximum: float | None = None
    outline: Outline = field(default_factory=lambda: Outline())

    @property
    def end_us(self) -> int:
        """Give the time in microseconds before which the last sample counts."""
        if self.channel.rate is not None:
            return self.last_us + max(1, int(MICROSECONDS / self.channel.rate))
        gaps = max(1, self.samples - 1)
        return self.last_us + max(1, (self.last_us - self.start_us) // gaps)

    def add(self, piece: Piece) -> None:
        """Take in some samples."""
        import numpy as np

        if not self.samples:
            self.start_us = int(piece.time_us[0])
        self.samples += len(piece.value)
        self.last_us = int(piece.time_us[-1])
        known = ~np.isnan(piece.value)
        here = piece.value[known]
        self.missing += len(piece.value) - len(here)
        if len(here):
            low, high = float(here.min()), float(here.max())
            self.minimum = low if self.minimum is None else min(self.minimum, low)
            self.maximum = high if self.maximum is None else max(self.maximum, high)
            self.outline.add(piece.time_us[known], here, origin_us=self.start_us)


class Outline:
    """The lowest and highest value in each of a few equal stretches of time.

    The stretches become twice as long whenever there would be too many of them, so that the memory
    is the same for a minute and for a day.
    """

    def __init__(self) -> None:
        self.bucket_us = _FIRST_BUCKET_US
        self.origin_us = 0
        self._low: NDArray[np.float64] | None = None
        self._high: NDArray[np.float64] | None = None

    def add(
        self, time_us: NDArray[np.int64], value: NDArray[np.float64], *, origin_us: int
    ) -> None:
        """Take in values that are all known, in the order of time."""
        import numpy as np

        if self._low is None or self._high is None:
            self.origin_us = origin_us
            self._low = np.full(MOST_BUCKETS, np.inf)
            self._high = np.full(MOST_BUCKETS, -np.inf)
        since = time_us - self.origin_us
        while int(since[-1]) // self.bucket_us >= MOST_BUCKETS:
            for side, worst, pick in ((self._low, np.inf, np.minimum),
                                      (self._high, -np.inf, np.maximum)):  # fmt: skip
                half = pick(side[0::2], side[1::2])
                side[: len(half)], side[len(half) :] = half, worst
            self.bucket_us *= 2
        place = since // self.bucket_us
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        at = place[starts]
        self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(value, starts))
        self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(value, starts))

    def as_json(self) -> dict[str, Any]:
        """Give it for drawing; None in a stretch without a value."""
        import numpy as np

        if self._low is None or self._high is None:
            return {"start_us": self.origin_us, "bucket_us": self.bucket_us, "low": [], "high": []}
        count = int(np.flatnonzero(np.isfinite(self._low))[-1]) + 1
        sides = {
            name: [float(f"{v:.7g}") if np.isfinite(v) else None for v in side[:count]]
            for name, side in (("low", self._low), ("high", self._high))
        }
        return {"start_us": self.origin_us, "bucket_us": self.bucket_us, **sides}


class Store:
    """Writes pieces into a Parquet file as they come; use it in a `with` block.

    Columns: channel (int16), time_us (int64), value (float64, null where a sample is missing). Each
    row group holds one channel's samples in the order of time, so that a stretch is found by the
    groups' statistics.
    """

    def __init__(self, path: Path, channels: tuple[Channel, ...], *, shown: str) -> None:
        import pyarrow as pa

        self.summaries = [Summary(channel) for channel in channels]
        self._path, self._shown = path, shown
        self._schema = pa.schema(
            {"channel": pa.int16(), "time_us": pa.int64(), "value": pa.float64()},
            metadata={"channels": json.dumps([[c.name, c.unit] for c in channels])},
        )
        self._written = 0
        self._waiting: list[list[Piece]] = [[] for _ in channels]
        self._held = [0] * len(channels)

    def __enter__(self) -> Store:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            for channel in range(len(self.summaries)):
                self._write(channel)
        self._writer.close()

    def add(self, piece: Piece) -> None:
        """Take in some samples. Raises SignalError when there are more than anybody can use."""
        self._written += len(piece.value)
        if self._written > _MOST_SAMPLES:
            raise SignalError(
                f"{self._shown} holds more than {_MOST_SAMPLES} samples. Cut it into shorter files."
            )
        self._waiting[piece.channel].append(piece)
        self._held[piece.channel] += len(piece.value)
        if self._held[piece.channel] >= _GROUP:
            self._write(piece.channel)

    def _write(self, channel: int) -> None:
        import numpy as np
        import pyarrow as pa

        waiting = self._waiting[channel]
        if not waiting:
            return
        time_us = np.concatenate([piece.time_us for piece in waiting])
        value = np.concatenate([piece.value for piece in waiting])
        waiting.clear()
        self._held[channel] = 0
        self.summaries[channel].add(Piece(channel, time_us, value))
        columns = [
            pa.array(np.full(len(value), channel, np.int16)),
            pa.array(time_us),
            pa.array(value, from_pandas=True),  # NaN becomes null
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

"""Samples and when they were taken, in integer microseconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MICROSECONDS = 1_000_000
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity. `rate` is samples per second; None where each sample carries its own time."""

    name: str
    unit: str
    rate: Fraction | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some samples of one channel, in the order of time.

    `time_us` are int64 microseconds, never falling; `value` are float64, NaN where one is missing.
    """

    channel: int
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]


class Source(Protocol):
    """A sensor file that was opened. Notes are complete once all pieces were read."""

    channels: tuple[Channel, ...]
    notes: list[str]

    def pieces(self) -> Iterator[Piece]:
        """Give all samples, each channel's in the order of time."""
        ...


def sample_times(
    first: int, count: int, rate: Fraction, *, start: Fraction = Fraction(0)
) -> NDArray[np.int64]:
    """Give the times of samples `first` to `first + count - 1`, in microseconds.

    Sample n lies at `start` seconds + n / rate, rounded half up: floor(10⁶ · (start + n / rate)
    + 1/2), exactly, never by accumulation. With start 0 it is waver.core.clock's `frame_us`.
    """
    import numpy as np

    step = MICROSECONDS / rate
    origin = MICROSECONDS * start + first * step
    ticks = lcm(step.denominator, origin.denominator)
    base, rest = divmod(int(origin * ticks), ticks)
    stride = int(step * ticks)
    if 2 * (rest + count * stride) + ticks < _MOST:
        places = np.arange(count, dtype=np.int64)
        return base + (2 * (rest + places * stride) + ticks) // (2 * ticks)
    exact = ((2 * (rest + n * stride) + ticks) // (2 * ticks) for n in range(count))
    return np.fromiter((base + us for us in exact), np.int64, count)

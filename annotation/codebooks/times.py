"""The one convention between Label Studio's times and microseconds of the recording's clock.

Waveform: seconds, as decimal numbers. Microseconds are the number of seconds times a million,
rounded half up, and nothing else is rounded.

Line of ticks: Label Studio counts virtual frames, here called ticks, from 1. A stretch from tick
`first` to tick `last` takes in both, so at `rate` ticks per second it is the half-open stretch
[(first - 1) / rate, last / rate) seconds, each edge rounded half up to a microsecond. Back, an edge
that is a tick's edge is that tick; any other start belongs to the tick that holds it, any other end
to the tick in which it lies. So stretches that touch share no tick, and what was once read from
ticks comes back as the same ticks.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

_MICRO = 1_000_000
# Some thirty years: no recording holds such a time, and what is beyond cannot be counted exactly.
_FURTHEST = 10**9


def seconds_us(seconds: Any) -> int | None:
    """Microseconds of a number of seconds; None for what is no number or no time of a clip."""
    if not _is_sane(seconds, _FURTHEST):
        return None
    return int((Decimal(repr(seconds)) * _MICRO).quantize(Decimal(1), ROUND_HALF_UP))


def edge_us(edge: int, rate: Fraction) -> int:
    """Microseconds at which tick `edge` (from 0) begins; also where the one before it ends."""
    return math.floor(edge * _MICRO / rate + Fraction(1, 2))


def ticks_us(first: Any, last: Any, rate: Fraction) -> tuple[int, int] | None:
    """Start and end in microseconds of the ticks from `first` to `last`, both counted from 1.

    None for what are no whole numbers in this order.
    """
    whole = [_whole(number) for number in (first, last)]
    if whole[0] is None or whole[1] is None or whole[0] < 1 or whole[1] < whole[0]:
        return None
    return edge_us(whole[0] - 1, rate), edge_us(whole[1], rate)


def us_ticks(start_us: int, end_us: int, rate: Fraction) -> tuple[int, int]:
    """First and last tick, counted from 1, of a stretch in microseconds."""
    first = _edge(start_us, rate, math.floor) + 1
    return first, max(first, _edge(end_us, rate, math.ceil))


def _edge(us: int, rate: Fraction, otherwise: Any) -> int:
    exact = us * rate / _MICRO
    nearest = round(exact)
    return nearest if edge_us(nearest, rate) == us else int(otherwise(exact))


def _whole(number: Any) -> int | None:
    sane = _is_sane(number, _FURTHEST * _MICRO)
    return int(number) if sane and number == int(number) else None


def _is_sane(number: Any, furthest: int) -> bool:
    """Tell numbers from everything else that JSON can hold; comparing is exact for any of them."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and -furthest <= number <= furthest

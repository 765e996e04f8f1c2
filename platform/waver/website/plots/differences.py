"""Differences between two arms with their intervals, against no difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from waver.website.plots.drawing import SMALL, Caption, Drawing, number

WIDTH = 1040
NAMES = 420
VALUES = 220
ROW = 40
TOP = 40


@dataclass(frozen=True)
class Gap:
    """One difference; None where there is none, `words` says why. `places` for its digits."""

    title: str
    value: float | None
    low: float | None
    high: float | None
    words: str = ""

    @property
    def text(self) -> str:
        """Write the difference with its interval."""
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"


def differences(
    groups: Sequence[tuple[str, Sequence[Gap]]], *, caption: Caption, alone: bool = False
) -> str:
    """Draw groups of differences, each group on an axis of its own about zero.

    A group is the words for its axis and its differences.
    """
    on = Drawing(WIDTH, caption, alone)
    y = 0.0
    for words, gaps in groups:
        y = _group(on, y, words, gaps)
    return on.svg(y)


def signed(value: float, places: int = 2) -> str:
    """Write a difference with its sign."""
    written = number(value, places)
    return written if written.startswith("−") or float(written) == 0 else f"+{written}"


def _group(on: Drawing, top: float, words: str, gaps: Sequence[Gap]) -> float:
    left, right = NAMES, WIDTH - VALUES
    reach = _reach(gaps)
    bottom = top + TOP + ROW * len(gaps)

    def place(value: float) -> float:
        return left + (min(max(value, -reach), reach) + reach) / (2 * reach) * (right - left)

    on.text(left, top + 20, words, size=SMALL, colour="ink-soft")
    for value in (-reach, -reach / 2, 0, reach / 2, reach):
        zero = value == 0
        on.line(
            place(value), top + TOP, place(value), bottom,
            colour="ink" if zero else "line", thick=1.5 if zero else 1,
        )  # fmt: skip
        on.text(
            place(value), bottom + 18, signed(value), size=SMALL, colour="ink-soft",
            anchor="middle",
        )  # fmt: skip
    for n, gap in enumerate(gaps):
        _row(on, gap, top + TOP + ROW * (n + 0.5), place)
    return bottom + 44


def _row(on: Drawing, gap: Gap, y: float, place: Callable[[float], float]) -> None:
    on.text(0, y + 5, gap.title, within=NAMES - 24)
    if gap.value is None or gap.low is None or gap.high is None:
        room = WIDTH - VALUES - NAMES - 16
        on.rect(NAMES + 1, y - 13, room + 14, 26, fill="surface")
        on.text(NAMES + 8, y + 4, gap.words, size=SMALL, colour="ink-soft", within=room)
        return
    on.text(WIDTH - VALUES + 16, y + 5, gap.text)
    apart = gap.low > 0 or gap.high < 0
    on.line(place(gap.low), y, place(gap.high), y, colour="accent", thick=2.5)
    for x in (place(gap.low), place(gap.high)):
        on.line(x, y - 6, x, y + 6, colour="accent", thick=2.5)
    # Filled where the interval leaves out zero, hollow where it does not: shape, not colour.
    x = place(gap.value)
    on.rect(
        x - 5.5, y - 5.5, 11, 11, fill="accent" if apart else "surface", line="accent", thick=2.5,
        data={"value": f"{gap.value:.12g}", "low": f"{gap.low:.12g}", "high": f"{gap.high:.12g}"},
    )  # fmt: skip


def _reach(gaps: Sequence[Gap]) -> float:
    """How far the axis goes to both sides: in steps of 0.1, at least 0.2."""
    ends = [abs(v) for gap in gaps for v in (gap.low, gap.value, gap.high) if v is not None]
    return max(0.2, math.ceil(max(ends, default=0.0) * 10) / 10)

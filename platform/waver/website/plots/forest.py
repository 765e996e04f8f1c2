"""Intervals against thresholds, one line for each label: why a label may leave, or may not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from waver.website.plots.drawing import SMALL, Caption, Drawing, number
from waver.website.templatetags.waver import kind_of, verdict_word

WIDTH = 1040
NAMES = 400  # room for the labels' names
VALUES = 190  # room for the numbers at the right
ROW = 48
TOP = 40
BOTTOM = 48


@dataclass(frozen=True)
class Estimate:
    """One line of a forest plot: a coefficient, its interval and what it must reach.

    `point`, `low` and `high` are None when the coefficient is undefined; `words` then says why.
    `least` and `most` are the lowest and highest value when one rater at a time is left out.
    `n` says what was counted, `url` is where the label's own numbers stand.
    """

    title: str
    verdict: str
    point: float | None
    low: float | None
    high: float | None
    threshold: float | None
    least: float | None = None
    most: float | None = None
    words: str = ""
    n: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """Write the coefficient with its interval."""
        if self.point is None:
            return "undefined"
        if self.low is None or self.high is None:
            return number(self.point)
        return f"{number(self.point)} [{number(self.low)}, {number(self.high)}]"


def forest(
    estimates: Sequence[Estimate],
    *,
    coefficient: str,
    caption: Caption,
    level: float = 0.95,
    alone: bool = False,
) -> str:
    """Draw intervals against their thresholds. `level` is that of the intervals, 0 to 1."""
    low, high = _range(estimates)
    left, right = NAMES, WIDTH - VALUES
    bottom = TOP + ROW * len(estimates)
    on = Drawing(WIDTH, caption, alone)

    def place(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    on.text(left, 20, coefficient, size=SMALL, colour="ink-soft")
    on.text(right + 16, 20, f"with its {100 * level:g} % interval", size=SMALL, colour="ink-soft")
    for n in range(round((high - low) / 0.2) + 1):
        value = low + 0.2 * n
        on.line(place(value), TOP, place(value), bottom)
        on.text(
            place(value), bottom + 18, number(value, 1), size=SMALL, colour="ink-soft",
            anchor="middle",
        )  # fmt: skip
    for n, found in enumerate(estimates):
        _row(on, found, TOP + ROW * n + ROW / 2, place)
    _key(on, left, bottom + 38)
    return on.svg(bottom + BOTTOM)


def _row(on: Drawing, found: Estimate, y: float, place: Callable[[float], float]) -> None:
    kind = kind_of(found.verdict)
    with on.link(found.url, found.title):
        on.text(0, y - 2, found.title, within=NAMES - 24)
    on.shape(kind, 7, y + 12)
    said = f"{verdict_word(found.verdict)} · {found.n}" if found.n else verdict_word(found.verdict)
    on.text(20, y + 16, said, size=SMALL, colour=kind, within=NAMES - 30)
    on.text(WIDTH - VALUES + 16, y + 5, found.text)
    if found.point is None:
        on.text(
            NAMES + 8, y + 4, found.words, size=SMALL, colour="ink-soft",
            within=WIDTH - VALUES - NAMES - 16,
        )  # fmt: skip
    else:
        if found.least is not None and found.most is not None:
            start, end = place(found.least), place(found.most)
            on.rect(
                start - 1, y - 11, max(end - start, 1) + 2, 22, fill="sunken", line="line-strong",
                title=f"{number(found.least, 3)} to {number(found.most, 3)} without one rater",
            )  # fmt: skip
        if found.low is not None and found.high is not None:
            start, end = place(found.low), place(found.high)
            on.line(start, y, end, y, colour=kind, thick=2.5)
            for x in (start, end):
                on.line(x, y - 6, x, y + 6, colour=kind, thick=2.5)
        on.shape(kind, place(found.point), y)
    if found.threshold is not None:
        x = place(found.threshold)
        on.line(x, y - 18, x, y + 18, colour="ink", thick=2, dashes="3 2")


def _key(on: Drawing, x: float, y: float) -> None:
    on.line(x, y - 11, x, y + 3, colour="ink", thick=2, dashes="3 2")
    on.text(x + 8, y, "the whole interval must lie above this", size=SMALL, colour="ink-soft")
    on.rect(x + 250, y - 11, 30, 14, fill="sunken", line="line-strong")
    on.text(x + 288, y, "range when one rater is left out", size=SMALL, colour="ink-soft")


def _range(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """From 0 to 1, or from lower down when a coefficient is negative, in steps of 0.2."""
    ends = [(found.low, found.point, found.least) for found in estimates]
    lows = [value for values in ends for value in values if value is not None]
    return min(0.0, math.floor(min(lows, default=0.0) * 5) / 5), 1.0

"""Plots as SVG: positions are computed here, drawn by a template. No picture library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string

from waver.website.templatetags.waver import kind_of

WIDTH = 1040
NAMES = 330  # room for the labels' names
VALUES = 190  # room for the numbers at the right
ROW = 48
TOP = 40
BOTTOM = 44


@dataclass(frozen=True)
class Estimate:
    """One line of a forest plot: a coefficient, its interval and what it must reach.

    `point`, `low` and `high` are None when the coefficient is undefined; `words` then says why.
    `least` and `most` are the lowest and highest value when one rater at a time is left out.
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


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    x: float
    text: str


@dataclass(frozen=True)
class ForestRow:
    """One line with its places in CSS pixels."""

    estimate: Estimate
    kind: str
    y: float
    x: float | None
    x_low: float | None
    x_high: float | None
    x_threshold: float | None
    x_least: float | None
    x_most: float | None

    @property
    def text(self) -> str:
        """Write the coefficient with its interval."""
        found = self.estimate
        if found.point is None:
            return "undefined"
        if found.low is None or found.high is None:
            return f"{found.point:.2f}".replace("-", "−")
        return f"{found.point:.2f} [{found.low:.2f}, {found.high:.2f}]".replace("-", "−")


def forest(estimates: Sequence[Estimate], *, coefficient: str, alone: bool = False) -> str:
    """Draw intervals against their thresholds, one line for each label.

    `alone=True` gives a file that stands by itself, with its own colours.
    """
    low, high = _range(estimates)
    left, right = NAMES, WIDTH - VALUES

    def place(value: float | None) -> float | None:
        if value is None:
            return None
        inside = min(max(value, low), high)
        return round(left + (inside - low) / (high - low) * (right - left), 1)

    rows = [
        ForestRow(
            estimate=found,
            kind=kind_of(found.verdict),
            y=TOP + ROW * n + ROW / 2,
            x=place(found.point),
            x_low=place(found.low),
            x_high=place(found.high),
            x_threshold=place(found.threshold),
            x_least=place(found.least),
            x_most=place(found.most),
        )
        for n, found in enumerate(estimates)
    ]
    bottom = TOP + ROW * len(rows)
    steps = round((high - low) / 0.2)
    ticks = [
        Tick(x=place(low + 0.2 * n) or 0, text=f"{low + 0.2 * n:.1f}".replace("-", "−"))
        for n in range(steps + 1)
    ]
    return render_to_string(
        "website/forest.svg",
        {
            "alone": alone,
            "width": WIDTH,
            "height": bottom + BOTTOM,
            "top": TOP,
            "bottom": bottom,
            "left": left,
            "right": right,
            "values": right + 16,
            "rows": rows,
            "ticks": ticks,
            "coefficient": coefficient,
        },
    )


def _range(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """From 0 to 1, or from lower down when a coefficient is negative, in steps of 0.2."""
    ends = [(found.low, found.point, found.least) for found in estimates]
    lows = [value for values in ends for value in values if value is not None]
    return min(0.0, math.floor(min(lows, default=0.0) * 5) / 5), 1.0

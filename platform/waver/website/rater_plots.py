"""Plots about one rater as SVG: places are computed here, drawn by templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.template.loader import render_to_string

if TYPE_CHECKING:
    from annotation.services.care.course import Course
    from annotation.services.care.figures import Times

WIDTH, LEFT, RIGHT = 720, 56, 704
SHARE_TOP, SHARE_BOTTOM = 28, 148
SUM_TOP, SUM_BOTTOM = 176, 236
LIMIT = 5.0  # the evidence from which `annotation.agreement.drift` speaks of a fall
BINS = 16


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class CourseRow:
    """One line of the table behind a course. Empty where the plot has nothing either."""

    number: int
    at: datetime
    share: float
    rolling: float | None
    cusum: float | None


def course_rows(course: Course) -> list[CourseRow]:
    """Give the table behind the plot: item by item, oldest first."""
    from annotation.agreement import Undefined

    rolling: list[float] = []
    sums: list[float] = []
    if not isinstance(course.found, Undefined):
        rolling = [point.share for point in course.found.points]
        sums = list(course.found.cusum)
    n = len(course.items)
    return [
        CourseRow(
            number=place + 1,
            at=at,
            share=share,
            rolling=_from_end(rolling, n, place),
            cusum=_from_end(sums, n, place),
        )
        for place, (at, share) in enumerate(course.items)
    ]


def course_plot(course: Course, *, alone: bool = False) -> str:
    """Draw rolling agreement, and under it the CUSUM with its limit; "" with too few items."""
    from annotation.agreement import Undefined

    if isinstance(course.found, Undefined):
        return ""
    rows = course_rows(course)
    highest = max([LIMIT * 1.2, *course.found.cusum])

    def x(number: int) -> float:
        return round(LEFT + (number - 1) / max(len(rows) - 1, 1) * (RIGHT - LEFT), 1)

    def y(share: float) -> float:
        return round(SHARE_BOTTOM - share * (SHARE_BOTTOM - SHARE_TOP), 1)

    def y_sum(value: float) -> float:
        return round(SUM_BOTTOM - value / highest * (SUM_BOTTOM - SUM_TOP), 1)

    changed = next((row.number for row in rows if row.at == course.found.changed_at), None)
    return render_to_string(
        "website/rater_course.svg",
        {
            "alone": alone,
            "title": course.title,
            "rolling": " ".join(
                f"{x(r.number)},{y(r.rolling)}" for r in rows if r.rolling is not None
            ),
            "sums": " ".join(
                f"{x(r.number)},{y_sum(r.cusum)}" for r in rows if r.cusum is not None
            ),
            "baseline": y(course.found.baseline),
            "limit": y_sum(LIMIT),
            "changed": x(changed) if changed else None,
            "shares": [Tick(y(each / 4), f"{25 * each} %") for each in range(5)],
            "first": f"{rows[0].at:%-d %b %Y}",
            "last": f"{rows[-1].at:%-d %b %Y}",
            "n": len(rows),
            "window": course.window,
        },
    )


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram, in CSS pixels, and what it counts: from, to (seconds), how many."""

    x: float
    y: float
    width: float
    height: float
    low: float
    high: float
    count: int


def time_bars(seconds: Sequence[float]) -> list[Bar]:
    """Count times in equal steps; the last bar takes all that are longer than most."""
    ordered = sorted(seconds)
    most = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    step = _round_step(most / (BINS - 1))
    counts = [0] * BINS
    for each in ordered:
        counts[min(int(each / step), BINS - 1)] += 1
    wide = (RIGHT - LEFT) / BINS
    top = max(counts)
    return [
        Bar(
            x=round(LEFT + wide * place + 1, 1),
            y=round(SHARE_BOTTOM - count / top * (SHARE_BOTTOM - SHARE_TOP), 1),
            width=round(wide - 2, 1),
            height=round(count / top * (SHARE_BOTTOM - SHARE_TOP), 1),
            low=step * place,
            high=step * (place + 1),
            count=count,
        )
        for place, count in enumerate(counts)
    ]


def times_plot(times: Times, *, alone: bool = False) -> str:
    """Draw how long recordings were open."""
    bars = time_bars(times.seconds)
    return render_to_string(
        "website/rater_times.svg",
        {
            "alone": alone,
            "title": times.title,
            "bars": bars,
            "ticks": [Tick(bar.x, f"{bar.low:g} s") for bar in bars[::4]],
            "top": max(bar.count for bar in bars),
            "n": len(times.seconds),
        },
    )


def _from_end(values: Sequence[float], n: int, place: int) -> float | None:
    """Give the value of an item where the last value belongs to the last item."""
    index = place - (n - len(values))
    return values[index] if 0 <= index < len(values) else None


def _round_step(least: float) -> float:
    """Give the next of 0.1, 0.2, 0.5, 1, 2, 5, 10 … seconds."""
    step = 0.1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10

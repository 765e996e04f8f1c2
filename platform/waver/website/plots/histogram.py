"""How a figure is spread over recordings, and what falls short of a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from waver.website.plots.drawing import SMALL, Caption, Drawing

WIDTH, HEIGHT = 300, 56
_AXIS = 20
_ALONE_WIDTH, _ALONE_HEIGHT = 720, 240


@dataclass(frozen=True)
class Bin:
    """Recordings whose value lies from `low` to below `high`; the last takes `high` in."""

    low: float
    high: float
    count: int


def histogram(
    bins: Sequence[Bin],
    *,
    limit: float | None,
    short_below: bool,
    write: Callable[[float], str],
    caption: Caption,
    alone: bool = False,
) -> str:
    """Draw bins of equal width on one axis; `write` gives a value with its unit.

    A limit is a line with its words; the side that falls short (`short_below`: the lower one) is
    hatched. Bins have no gap between them, and together they take in the limit.
    """
    width, height = (_ALONE_WIDTH, _ALONE_HEIGHT) if alone else (WIDTH, HEIGHT)
    on = Drawing(width, caption, alone)
    low, high = bins[0].low, bins[-1].high
    tallest = max(bin_.count for bin_ in bins)
    top = float(_AXIS if limit is not None else 4)

    def place(value: float) -> float:
        return (value - low) / (high - low) * width if high > low else width / 2

    for bin_ in bins:
        tall = (height - top) * bin_.count / tallest
        x, wide = place(bin_.low), width / len(bins)
        if bin_.count:
            tall = max(tall, 1.5)
            on.rect(
                x + 0.5, height - tall, max(wide - 1, 1), tall, fill="wait",
                title=f"{write(bin_.low)} to {write(bin_.high)}: {bin_.count}",
                data={"low": f"{bin_.low:.12g}", "high": f"{bin_.high:.12g}",
                      "count": str(bin_.count)},
            )  # fmt: skip
    on.line(0, height, width, height, colour="line-strong")
    if limit is not None:
        x = place(limit)
        begin, end = (0.0, x) if short_below else (x, float(width))
        if end - begin > 1:
            on.hatch(begin, top, end - begin, height - top, colour="attention")
        on.line(x, top, x, height, colour="attention", thick=2)
        side = "start" if x < width / 2 else "end"
        words = f"{'at least' if short_below else 'at most'} {write(limit)}"
        on.text(x, 13, words, size=SMALL, colour="attention", anchor=side)
    on.text(0, height + 16, write(low), size=SMALL, colour="ink-soft")
    on.text(width, height + 16, write(high), size=SMALL, colour="ink-soft", anchor="end")
    return on.svg(height + _AXIS)

"""As much of a recording as a timeline can show: a page's data does not grow without end.

A screen has a few thousand columns. What is kept here still shows single breaths of an hour when
it is zoomed in; what is shorter than that is in the assets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PEAKS = 40_000
"""At most so many buckets of a waveform."""
POINTS = 12_000
"""At most so many points of a curve."""
RUNS = 4_000
"""At most so many stretches of one row."""

Run = list[Any]


def waveform(whole: Mapping[str, Any] | None, *, at_most: int = PEAKS) -> Mapping[str, Any] | None:
    """Give a waveform with fewer buckets, each with the greatest peak of those that it stands for.

    `whole` is {"buckets_per_second", "peaks"}; the number of buckets a second need not stay whole.
    """
    if whole is None or len(whole["peaks"]) <= at_most:
        return whole
    peaks: Sequence[float] = whole["peaks"]
    step = -(-len(peaks) // at_most)
    return {
        **whole,
        "buckets_per_second": whole["buckets_per_second"] / step,
        "peaks": [max(peaks[first : first + step]) for first in range(0, len(peaks), step)],
    }


def curve(
    whole: Mapping[str, Sequence[Any]] | None, *, at_most: int = POINTS
) -> Mapping[str, Sequence[Any]] | None:
    """Give parallel lists with every n-th point only."""
    longest = max(map(len, whole.values()), default=0) if whole else 0
    if whole is None or longest <= at_most:
        return whole
    step = -(-longest // at_most)
    return {name: values[::step] for name, values in whole.items()}


def runs(whole: Sequence[Run], *, at_most: int = RUNS) -> list[Run]:
    """Give stretches [start, end, what] that join on, the shortest taken into the one before.

    Nothing is lost between the first start and the last end. What becomes of two neighbours of one
    kind is one stretch.
    """
    if len(whole) <= at_most:
        return list(whole)
    enough = sorted((end - start for start, end, _ in whole), reverse=True)[at_most - 1]
    kept: list[Run] = []
    for start, end, what in whole:
        joins = kept and (what == kept[-1][2] or end - start < enough)
        if joins or len(kept) == at_most:
            kept[-1][1] = end
        else:
            kept.append([start, end, what])
    return kept

"""Does a rater agree less than before? Rolling shares, and a CUSUM that says since when.

Sources: E. S. Page 1954, Continuous inspection schemes, Biometrika 41 (the cumulative sum);
S. H. Steiner, R. J. Cook, V. T. Farewell, T. Treasure 2000, Monitoring surgical performance using
risk-adjusted cumulative sum charts, Biostatistics 1 (scores from a change of the odds).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from annotation.agreement.results import Undefined


@dataclass(frozen=True, slots=True)
class DriftPoint:
    """The share of agreement in the `window` items that end with the one at `at`."""

    at: Any
    share: float


@dataclass(frozen=True, slots=True)
class Drift:
    """One rater's course, in order of time.

    `points`      rolling shares, from the first full window on.
    `cusum`       evidence for a fall after each item that the baseline did not use: the sum of
                  log-likelihood ratios, never below 0.
    `baseline`    the share of agreement that the rater is held against.
    `changed_at`  since when the agreement is lower: the time of the first item of the climb that
                  passed the limit; None where the limit was never passed.
    `noticed_at`  the time of the item with which the limit was first passed, or None.
    `n`           items.
    """

    points: tuple[DriftPoint, ...]
    cusum: tuple[float, ...]
    baseline: float
    changed_at: Any | None
    noticed_at: Any | None
    n: int


def drift(
    rater: Iterable[Hashable],
    at: Iterable[Any],
    agreed: Iterable[float],
    *,
    window: int = 20,
    baseline: float | None = None,
    odds_ratio: float = 2.0,
    limit: float = 5.0,
) -> dict[Hashable, Drift | Undefined]:
    """Each rater's rolling agreement and the moment from which it is lower than at the beginning.

    rater, at, agreed: columns of equal length, one entry per item: who, when (anything that can
               be sorted: a time, a number), and whether the rater agreed with the gold answer or
               with the other raters: a truth value, or a share from 0 to 1.
    window:    items per rolling share; also the items at the beginning that set the baseline.
    baseline:  the share to hold a rater against; if left out, the share of the first `window`
               items, drawn in by half an item so that a perfect start stays comparable.
    odds_ratio: how many times the odds of disagreeing must grow to be looked for.
    limit:     how much evidence is enough. With 5 and a known baseline one to four in a hundred
               steady raters are suspected within 200 items, and a fall from 85 to 65 % is noticed
               after some 40; a baseline from a short window errs more often.
    Returns `Undefined("too_few_units")` for a rater with too few items: no more than the window,
    or fewer than the window where a baseline is given.
    Raises ValueError for unequal columns and for numbers that cannot be.
    """
    if window < 2:
        raise ValueError(f"A window holds at least two items, not {window}.")
    if odds_ratio <= 1 or limit <= 0:
        raise ValueError("odds_ratio must lie above 1 and limit above 0.")
    if baseline is not None and not 0 < baseline < 1:
        raise ValueError(f"The baseline is a share between 0 and 1, not {baseline}.")
    courses: dict[Hashable, list[tuple[Any, float]]] = {}
    for who, when, share in _rows(rater, at, agreed):
        courses.setdefault(who, []).append((when, share))
    found: dict[Hashable, Drift | Undefined] = {}
    for who, course in courses.items():
        course.sort(key=lambda item: item[0])
        enough = window + (baseline is None)
        found[who] = (
            _course(course, window, baseline, odds_ratio, limit)
            if len(course) >= enough
            else Undefined("too_few_units")
        )
    return found


def _rows(
    rater: Iterable[Hashable], at: Iterable[Any], agreed: Iterable[float]
) -> list[tuple[Hashable, Any, float]]:
    who, when, shares = list(rater), list(at), [float(share) for share in agreed]
    if not len(who) == len(when) == len(shares):
        raise ValueError(
            f"The columns differ in length: {len(who)} raters, {len(when)} times, {len(shares)} "
            "items."
        )
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"Agreement on an item lies from 0 to 1, not {share}.")
    return list(zip(who, when, shares, strict=True))


def _course(
    course: list[tuple[Any, float]],
    window: int,
    baseline: float | None,
    odds_ratio: float,
    limit: float,
) -> Drift:
    shares = [share for _, share in course]
    running = [0.0]
    for share in shares:
        running.append(running[-1] + share)
    points = tuple(
        DriftPoint(course[end - 1][0], (running[end] - running[end - window]) / window)
        for end in range(window, len(course) + 1)
    )
    watched = course if baseline is not None else course[window:]
    usual = baseline if baseline is not None else (running[window] + 0.5) / (window + 1)
    worse = usual / (usual + odds_ratio * (1 - usual))
    if_agreed, if_not = math.log(worse / usual), math.log((1 - worse) / (1 - usual))
    sums: list[float] = []
    level, began, changed_at, noticed_at = 0.0, None, None, None
    for when, share in watched:
        if level == 0.0:
            began = when
        level = max(0.0, level + share * if_agreed + (1 - share) * if_not)
        sums.append(level)
        if noticed_at is None and level > limit:
            changed_at, noticed_at = began, when
    return Drift(points, tuple(sums), usual, changed_at, noticed_at, len(course))

"""How the agreement depends on single raters."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from typing import Any

from annotation.agreement.coefficients import evaluator
from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Value
from annotation.agreement.segments import Runs
from annotation.agreement.statistics import sufficient


def leave_one_rater_out(
    data: Ratings | Runs, field: str = "alpha", *, category: Any = None
) -> dict[Hashable, Value]:
    """The coefficient without each rater in turn: rater -> value or `Undefined`.

    A value far above the others points at a rater who reads the codebook differently. The range
    of these values shows how much the result hangs on who rated.
    """
    return {
        gone: _value(data.only_raters(set(data.raters) - {gone}), field, category)
        for gone in data.raters
    }


def pairwise(
    data: Ratings | Runs, field: str = "alpha", *, category: Any = None
) -> dict[tuple[Hashable, Hashable], Value]:
    """The coefficient of every two raters: (first, second) -> value, in the raters' order.

    `Undefined("no_pairs")` where the two share no unit.
    """
    return {
        pair: _value(data.only_raters(pair), field, category)
        for pair in combinations(data.raters, 2)
    }


def _value(data: Ratings | Runs, field: str, category: Any) -> Value:
    stats = sufficient(data)
    return evaluator(stats, field, category)(stats.table.sum(axis=0, keepdims=True)).first()

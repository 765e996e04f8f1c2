"""Single raters: what agreement owes to each, how each agrees with themselves and with gold.

Source of the interval of a share: E. B. Wilson 1927, Probable inference, the law of succession,
and statistical inference, JASA 22; it stays between 0 and 1 and holds for few items.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.coefficients import Coefficients, coefficients, evaluator, weights_of
from annotation.agreement.ratings import Ratings, Scale, is_missing
from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Runs
from annotation.agreement.statistics import SufficientStatistics, sufficient


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


def cohen(ratings: Ratings) -> dict[tuple[Hashable, Hashable], Value]:
    """Cohen's kappa of every two raters, weighted by the scale: (first, second) -> value.

    Its chance is what the two raters' own shares of the values make likely, so it excuses raters
    who use the values differently; alpha does not. For two raters only, over the units that both
    rated. Source: J. Cohen 1960 and 1968 (weighted).
    `Undefined`: "no_pairs", or "no_variation" where both always said the same one value.
    Raises ValueError for repeats.
    """
    ratings.require_no_repeats()
    weight = weights_of(ratings.scale, ratings.values)
    said = np.full((len(ratings.raters), len(ratings.units)), -1, dtype=np.int32)
    said[ratings.rater, ratings.unit] = ratings.code
    size = len(ratings.values)
    found: dict[tuple[Hashable, Hashable], Value] = {}
    for (i, first), (j, second) in combinations(enumerate(ratings.raters), 2):
        both = (said[i] >= 0) & (said[j] >= 0)
        table: npt.NDArray[np.float64] = np.bincount(
            said[i, both] * size + said[j, both],
            weights=ratings.unit_weight[both],
            minlength=size * size,
        ).astype(np.float64)
        found[first, second] = _kappa(table.reshape(size, size), weight)
    return found


def _kappa(table: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> Value:
    total = table.sum()
    if total <= 0:
        return Undefined("no_pairs")
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    apart = ((1 - weight) * expected).sum()
    if apart <= 0:
        return Undefined("no_variation")
    return float(1 - ((1 - weight) * table).sum() / apart)


def _value(data: Ratings | Runs, field: str, category: Any) -> Value:
    stats = sufficient(data)
    return evaluator(stats, field, category)(stats.table.sum(axis=0, keepdims=True)).first()


def intra_rater(
    unit: Iterable[Hashable],
    rater: Iterable[Hashable],
    occasion: Iterable[Hashable],
    value: Iterable[Any],
    *,
    scale: Scale,
    values: Sequence[Any],
    cluster: Iterable[Hashable] | None = None,
) -> dict[Hashable, Coefficients]:
    """How each rater agrees with themselves: the occasions play the raters' part.

    unit, rater, occasion, value: columns of equal length, one entry per rating. An occasion is
    the first, second … time that this rater saw the unit: any name, the same for all units seen
    at that time. The other arguments are those of `Ratings.from_long`.
    A rater without a unit that was rated on two occasions has coefficients `Undefined("no_pairs")`.
    `Coefficients.statistics` leads on to `interval`.
    Raises ValueError as `Ratings.from_long` does, and for two ratings on one occasion.
    """
    columns = [list(column) for column in (unit, rater, occasion, value)]
    if cluster is not None:
        columns.append(list(cluster))
    if len({len(column) for column in columns}) > 1:
        raise ValueError("The columns of repeated ratings differ in length.")
    rows_of: dict[Hashable, list[int]] = {}
    for row, who in enumerate(columns[1]):
        rows_of.setdefault(who, []).append(row)
    found: dict[Hashable, Coefficients] = {}
    for who, rows in rows_of.items():
        own = [[column[row] for row in rows] for column in columns]
        ratings = Ratings.from_long(
            own[0],
            own[2],
            own[3],
            scale=scale,
            values=values,
            cluster=own[4] if cluster is not None else None,
        )
        found[who] = coefficients(_statistics(ratings, who))
    return found


def _statistics(ratings: Ratings, who: Hashable) -> SufficientStatistics:
    try:
        return sufficient(ratings)
    except ValueError as error:
        raise ValueError(
            f"Rater {who!r} rated a unit twice on one occasion; give each time a name of its own."
        ) from error


@dataclass(frozen=True, slots=True)
class GoldAccuracy:
    """How often a rater gave the gold answer.

    `n`, `correct`  ratings of gold units, and those equal to the gold answer.
    `accuracy`      correct / n.
    `low`, `high`   Wilson's interval of it. All three `Undefined("no_ratings")` where n is 0.
    """

    n: int
    correct: int
    accuracy: Value
    low: Value
    high: Value


def gold_accuracy(
    ratings: Ratings, gold: Mapping[Hashable, Any], *, level: float = 0.95
) -> dict[Hashable, GoldAccuracy]:
    """Each rater's share of gold answers hit, with Wilson's two-sided interval of `level`.

    gold: unit -> the right value; units that stand only on one side are left out, and so are
    gold answers of None. Repeats count each; weights play no part.
    Raises ValueError for a gold answer that is none of the codebook's values.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level lies between 0 and 1, not {level}.")
    position = {name: index for index, name in enumerate(ratings.values)}
    right = np.full(len(ratings.units), -1, dtype=np.int64)
    at = {name: index for index, name in enumerate(ratings.units)}
    for unit, answer in gold.items():
        if is_missing(answer):
            continue
        if answer not in position:
            raise ValueError(
                f"The gold answer {answer!r} of unit {unit!r} is not one of the codebook's values."
            )
        if unit in at:
            right[at[unit]] = position[answer]
    wanted = right[ratings.unit]
    judged = wanted >= 0
    size = len(ratings.raters)
    n = np.bincount(ratings.rater[judged], minlength=size)
    correct = np.bincount(ratings.rater[judged & (wanted == ratings.code)], minlength=size)
    return {
        who: _accuracy(int(n[index]), int(correct[index]), level)
        for index, who in enumerate(ratings.raters)
    }


def _accuracy(n: int, correct: int, level: float) -> GoldAccuracy:
    if not n:
        nothing = Undefined("no_ratings")
        return GoldAccuracy(0, 0, nothing, nothing, nothing)
    low, high = wilson(correct, n, level)
    return GoldAccuracy(n, correct, correct / n, low, high)


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's two-sided interval of a share of n >= 1 independent items."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    low = (centre - reach) / whole if successes else 0.0
    high = (centre + reach) / whole if successes < n else 1.0
    return low, high

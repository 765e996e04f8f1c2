"""Coefficients of agreement as functions of the additive statistics.

Sources: K. Krippendorff, Content Analysis, 4th ed. 2019, ch. 12 (alpha; q); K. L. Gwet, Handbook
of Inter-Rater Reliability, 4th ed. 2014 (AC1, AC2, weights, missing ratings); J. L. Fleiss 1971
(kappa); R. L. Brennan and D. J. Prediger 1981 (uniform chance; PABAK for two categories);
S. Cicchetti and A. Feinstein 1990 (specific agreement).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.results import Undefined, Value
from annotation.agreement.statistics import SufficientStatistics, upper_triangle

Float64 = npt.NDArray[np.float64]

NO_PAIRS, NO_VARIATION, ABSENT, NO_RATINGS = 1, 2, 3, 4
_REASONS = {
    NO_PAIRS: "no_pairs",
    NO_VARIATION: "no_variation",
    ABSENT: "absent",
    NO_RATINGS: "no_ratings",
}

SIMPLE_FIELDS = ("alpha", "fleiss", "gwet", "pabak", "percent")
CATEGORY_FIELDS = ("alpha_by_category", "specific", "prevalence")
NEEDS_ALL_CLUSTERS = ("fleiss", "gwet", "prevalence")
"""Fields that also use units with a single rating; the others know pairs only."""


class Totals:
    """Sums over clusters, for one or many resamples at once (leading axis B).

    `coincidences`, `agreement`  (B, V, V) symmetric; `prevalence` (B, V); the rest (B,). Each is
    taken out of the rows when a coefficient first asks for it.
    """

    def __init__(self, rows: Float64, values: int) -> None:
        """From sums of table rows, shape (B, width).

        What is smaller than a millionth of a millionth of the data is what rounding left of a
        subtraction; it becomes a true zero, so that "absent" stays recognisable.
        """
        self._rows = np.where(np.abs(rows) < 1e-12 * rows[:, -3:-2], 0.0, rows)
        self._values = values
        self._triangle = values * (values + 1) // 2

    @cached_property
    def coincidences(self) -> Float64:
        """Of every two values c and k: how often one rater said c and another k."""
        return _symmetric(self._rows[:, : self._triangle], self._values)

    @cached_property
    def agreement(self) -> Float64:
        """The same as shares of a unit's pairs."""
        return _symmetric(self._rows[:, self._triangle : 2 * self._triangle], self._values)

    @property
    def prevalence(self) -> Float64:
        """Of every value: the sum over units of the share of raters who gave it."""
        return self._rows[:, 2 * self._triangle : 2 * self._triangle + self._values]

    @property
    def paired_weight(self) -> Float64:
        """Weight of the units with two ratings or more."""
        return self._rows[:, -4]

    @property
    def rated_weight(self) -> Float64:
        """Weight of the units with a rating."""
        return self._rows[:, -3]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Values of one field for B resamples: `value` is meaningful where `problem` is 0."""

    value: Float64
    problem: npt.NDArray[np.int8]

    def first(self) -> Value:
        """The single value as a float or `Undefined`."""
        if self.problem[0]:
            return Undefined(_REASONS[int(self.problem[0])])
        return float(self.value[0])


class Coefficients:
    """Every coefficient of one table of ratings, each computed when it is first asked for.

    A study that is judged by alpha thus pays for alpha alone.
    """

    def __init__(self, stats: SufficientStatistics) -> None:
        self._stats = stats
        self._rows: Float64 = stats.table.sum(axis=0, keepdims=True)

    @property
    def statistics(self) -> SufficientStatistics:
        """What these coefficients were computed from; `interval` takes it."""
        return self._stats

    @cached_property
    def alpha(self) -> Value:
        """Krippendorff's alpha with the scale's difference function."""
        return self._of("alpha")

    @cached_property
    def alpha_by_category(self) -> Mapping[Any, Value]:
        """Alpha of "this category against all others", per category."""
        return self._of_each("alpha_by_category")

    @cached_property
    def fleiss(self) -> Value:
        """Fleiss' kappa, weighted by the scale's weights where it has an order."""
        return self._of("fleiss")

    @cached_property
    def gwet(self) -> Value:
        """Gwet's AC1 for nominal data, AC2 by the scale's weights otherwise."""
        return self._of("gwet")

    @cached_property
    def pabak(self) -> Value:
        """Brennan-Prediger / prevalence-adjusted kappa, chance = 1 / categories."""
        return self._of("pabak")

    @cached_property
    def percent(self) -> Value:
        """Share of rater pairs with identical values, 0 to 1."""
        return self._of("percent")

    @cached_property
    def specific(self) -> Mapping[Any, Value]:
        """Specific agreement per category (for two raters: positive agreement)."""
        return self._of_each("specific")

    @cached_property
    def prevalence(self) -> Mapping[Any, Value]:
        """Share of each value, 0 to 1: the mean over units of the share of raters who gave it."""
        return self._of_each("prevalence")

    @property
    def n_units(self) -> float:
        """Units with at least two ratings (ticks, for time)."""
        return float(self._rows[0, -2])

    @property
    def n_clusters(self) -> int:
        """Clusters with at least one such unit."""
        return int(np.count_nonzero(self._stats.table[:, -2] > 0))

    def _of(self, field: str, category: Any = None) -> Value:
        return evaluator(self._stats, field, category)(self._rows).first()

    def _of_each(self, field: str) -> Mapping[Any, Value]:
        # A plain dict, here as in the other results: it can be copied, stored and sent.
        return {value: self._of(field, value) for value in self._stats.values}


def coefficients(stats: SufficientStatistics) -> Coefficients:
    """The coefficients of these statistics; each a float or `Undefined`, see `Coefficients`."""
    return Coefficients(stats)


def evaluator(
    stats: SufficientStatistics, field: str, category: Any = None
) -> Callable[[Float64], Outcome]:
    """The function that turns sums of table rows, shape (B, width), into B values of `field`.

    category: which value, for the fields in `CATEGORY_FIELDS`; or name it in the field, see
    `split_field`. Raises ValueError for an unknown field or category.
    """
    size = len(stats.values)
    field, category = split_field(stats, field, category)
    if field in SIMPLE_FIELDS:
        function = {
            "alpha": lambda totals: _alpha(totals, stats),
            "fleiss": lambda totals: _fleiss(totals, stats),
            "gwet": lambda totals: _gwet(totals, stats),
            "pabak": lambda totals: _uniform_chance(totals, stats),
            "percent": _percent,
        }[field]
    elif field in CATEGORY_FIELDS:
        if category not in stats.values:
            said = "" if category is None else f", not {category!r}"
            raise ValueError(
                f"{field} needs one of the codebook's values{said}: give category=…, or write "
                f"{field}[{stats.values[-1]}]."
            )
        index = stats.values.index(category)
        chosen = _BY_CATEGORY[field]

        def function(totals: Totals) -> Outcome:
            return chosen(totals, index)
    else:
        known = ", ".join((*SIMPLE_FIELDS, *CATEGORY_FIELDS))
        raise ValueError(f"The field {field!r} is unknown; use one of {known}.")
    return lambda rows: function(Totals(rows, size))


def split_field(stats: SufficientStatistics, field: str, category: Any = None) -> tuple[str, Any]:
    """Field and category of a name such as "specific[ah]"; other names stay as they are.

    What stands in the brackets is the value as text. Raises ValueError for no such value.
    """
    name, bracket, text = field.partition("[")
    if not bracket or not text.endswith("]") or name not in CATEGORY_FIELDS:
        return field, category
    for value in stats.values:
        if str(value) == text[:-1]:
            return name, value
    raise ValueError(f"{name} needs one of the codebook's values, not {text[:-1]!r}.")


@lru_cache(maxsize=64)
def _square(values: int) -> npt.NDArray[np.intp]:
    """Where each cell of a symmetric (V, V) matrix stands in its upper triangle."""
    first, second, _ = upper_triangle(values)
    place = np.zeros((values, values), dtype=np.intp)
    place[first, second] = place[second, first] = np.arange(len(first))
    place.flags.writeable = False
    return place


def _symmetric(triangle: Float64, size: int) -> Float64:
    return triangle[:, _square(size)]


def _ratio(
    top: Float64, bottom: Float64, *problems: tuple[int, npt.NDArray[np.bool_]]
) -> tuple[Float64, npt.NDArray[np.int8]]:
    """top / bottom where no problem applies; the first applying problem is kept."""
    problem = np.zeros(len(top), dtype=np.int8)
    for code, applies in problems:
        problem[(problem == 0) & applies] = code
    return np.where(problem, 0.0, top) / np.where(problem, 1.0, bottom), problem


def _numbers(values: tuple[Any, ...]) -> Float64:
    return np.array([float(value) for value in values])


@lru_cache(maxsize=64)
def _unequal(size: int) -> Float64:
    """1 between two different values, 0 on the diagonal; kept, because making it takes longer
    than using it.
    """
    apart: Float64 = 1.0 - np.eye(size)
    apart.flags.writeable = False
    return apart


def difference(stats: SufficientStatistics, marginals: Float64) -> Float64:
    """Krippendorff's squared difference between values; shape (B, V, V).

    marginals: pairable values per category n_c, shape (B, V); only the ordinal scale uses them:
    the difference of two ranks is the number of values between their middles.
    """
    size = len(stats.values)
    if stats.scale == "nominal":
        return np.broadcast_to(_unequal(size), (len(marginals), size, size))
    if stats.scale == "ordinal":
        middle = np.cumsum(marginals, axis=1) - marginals / 2
        return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)
    numbers = _numbers(stats.values)
    gap = numbers[:, None] - numbers[None, :]
    if stats.scale == "ratio":
        total = numbers[:, None] + numbers[None, :]
        gap = np.divide(gap, total, out=np.zeros_like(gap), where=total != 0)
    return np.broadcast_to(gap**2, (len(marginals), size, size))


def _alpha(totals: Totals, stats: SufficientStatistics) -> Outcome:
    """alpha = 1 - (n - 1) sum O delta^2 / sum n_c n_k delta^2."""
    marginals = totals.coincidences.sum(axis=2)
    n = marginals.sum(axis=1)
    delta = difference(stats, marginals)
    observed = np.einsum("bck,bck->b", totals.coincidences, delta)
    expected = np.einsum("bc,bk,bck->b", marginals, marginals, delta)
    lost, problem = _ratio(
        (n - 1) * observed, expected, (NO_PAIRS, n <= 0), (NO_VARIATION, expected <= 0)
    )
    return Outcome(1 - lost, problem)


def _alpha_of_category(totals: Totals, index: int) -> Outcome:
    """Alpha after merging all other values: 1 - (n - 1)(n_k - O_kk) / (n_k (n - n_k))."""
    marginals = totals.coincidences.sum(axis=2)
    n, own = marginals.sum(axis=1), marginals[:, index]
    split = own - totals.coincidences[:, index, index]
    others = marginals.sum(axis=1, where=np.arange(marginals.shape[1]) != index)
    lost, problem = _ratio(
        (n - 1) * split,
        own * others,
        (NO_PAIRS, n <= 0),
        (ABSENT, own <= 0),
        (NO_VARIATION, others <= 0),
    )
    return Outcome(1 - lost, problem)


def _specific(totals: Totals, index: int) -> Outcome:
    """O_kk / n_k: given that one rater says k, how often another one does."""
    own = totals.coincidences[:, index].sum(axis=1)
    value, problem = _ratio(
        totals.coincidences[:, index, index],
        own,
        (NO_PAIRS, totals.paired_weight <= 0),
        (ABSENT, own <= 0),
    )
    return Outcome(value, problem)


def _share(totals: Totals, index: int) -> Outcome:
    """P_k over the weight of all rated units, also of those with a single rating."""
    value, problem = _ratio(
        totals.prevalence[:, index], totals.rated_weight, (NO_RATINGS, totals.rated_weight <= 0)
    )
    return Outcome(value, problem)


_BY_CATEGORY: Mapping[str, Callable[[Totals, int], Outcome]] = MappingProxyType(
    {"alpha_by_category": _alpha_of_category, "specific": _specific, "prevalence": _share}
)


def _percent(totals: Totals) -> Outcome:
    """Mean over units of the share of identical pairs."""
    same = np.einsum("bcc->b", totals.agreement)
    value, problem = _ratio(same, totals.paired_weight, (NO_PAIRS, totals.paired_weight <= 0))
    return Outcome(value, problem)


def weights(stats: SufficientStatistics) -> Float64:
    """`weights_of` the statistics' scale and values."""
    return weights_of(stats.scale, stats.values)


def weights_of(scale: str, values: tuple[Any, ...]) -> Float64:
    """Gwet's agreement weights of the scale, shape (V, V), 1 on the diagonal.

    nominal: identity; ordinal: 1 - C(|k-l|+1, 2) / C(V, 2); interval: quadratic;
    ratio: 1 - ((k-l)/(k+l))^2 / ((max-min)/(max+min))^2.
    """
    size = len(values)
    if scale == "nominal" or size == 1:
        return np.eye(size)
    if scale == "ordinal":
        steps = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        return np.asarray(1 - (steps + 1) * steps / (size * (size - 1)))
    numbers = _numbers(values)
    if scale == "interval":
        return np.asarray(1 - (np.subtract.outer(numbers, numbers) / np.ptp(numbers)) ** 2)
    total = np.add.outer(numbers, numbers)
    gap = np.subtract.outer(numbers, numbers)
    share = np.divide(gap, total, out=np.zeros_like(gap), where=total != 0)
    widest = np.ptp(numbers) / (numbers.max() + numbers.min())
    return np.asarray(1 - (share / widest) ** 2)


def _beyond_chance(
    totals: Totals, weight: Float64, chance: Float64, *, needs: npt.NDArray[np.bool_]
) -> Outcome:
    """(pa - pe) / (1 - pe) with pa the weighted share of agreeing pairs."""
    problems = ((NO_PAIRS, totals.paired_weight <= 0), (NO_VARIATION, needs))
    agreed, problem = _ratio(
        (totals.agreement * weight).sum(axis=(1, 2)), totals.paired_weight, *problems
    )
    value, _ = _ratio(agreed - chance, 1 - chance, (NO_VARIATION, problem > 0))
    return Outcome(value, problem)


def _prevalence(totals: Totals) -> Float64:
    rated = totals.rated_weight
    return np.asarray(totals.prevalence / np.where(rated > 0, rated, 1.0)[:, None])


def _varies(totals: Totals) -> npt.NDArray[np.bool_]:
    return np.asarray(np.count_nonzero(totals.prevalence > 0, axis=1) > 1)


def _fleiss(totals: Totals, stats: SufficientStatistics) -> Outcome:
    """Chance: sum w_ck pi_c pi_k with the mean prevalences of all raters."""
    weight, share = weights(stats), _prevalence(totals)
    chance = np.einsum("bc,bk,ck->b", share, share, weight)
    return _beyond_chance(totals, weight, chance, needs=~_varies(totals))


def _gwet(totals: Totals, stats: SufficientStatistics) -> Outcome:
    """Chance: sum w / (q (q - 1)) times sum pi (1 - pi), q the codebook's number of values."""
    weight, share = weights(stats), _prevalence(totals)
    size = len(stats.values)
    scale = weight.sum() / (size * (size - 1)) if size > 1 else 0.0
    chance = scale * (share * (1 - share)).sum(axis=1)
    return _beyond_chance(totals, weight, chance, needs=~_varies(totals))


def _uniform_chance(totals: Totals, stats: SufficientStatistics) -> Outcome:
    """Chance: sum w / q^2, whatever was used; 2 p - 1 for two values (PABAK)."""
    weight = weights(stats)
    chance = np.full(len(totals.paired_weight), weight.sum() / len(stats.values) ** 2)
    return _beyond_chance(totals, weight, chance, needs=chance >= 1)

"""Agreement of numbers: intraclass correlations, the concordance correlation, the gold trace."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotation.agreement.results import Undefined, Value

_REL = 1e-12  # a mean square this small beside the data's is rounding, not variation


@dataclass(frozen=True, slots=True)
class IntraclassCorrelations:
    """The six forms of Shrout and Fleiss; each a float or `Undefined`.

    icc1   ICC(1,1): each target by other raters; one rating (one-way random).
    icc2   ICC(2,1): the same raters, drawn from many; absolute agreement; one rating.
    icc3   ICC(3,1): these raters only; consistency; one rating.
    icc1k, icc2k, icc3k   the same for the mean of all k ratings.
    """

    icc1: Value
    icc2: Value
    icc3: Value
    icc1k: Value
    icc2k: Value
    icc3k: Value


def icc(values: npt.ArrayLike) -> IntraclassCorrelations:
    """Intraclass correlations of a table, shape (targets, raters), without missing cells.

    Source: P. Shrout and J. Fleiss 1979, Psychological Bulletin 86, p. 420-428. All forms are
    `Undefined` for a missing cell ("incomplete"), fewer than two targets or raters
    ("too_few_units"), or a table without variation ("no_variation").
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError("The values must be a table of targets by raters.")
    if not np.all(np.isfinite(table)):
        return _all(Undefined("incomplete"))
    n, k = table.shape
    if n < 2 or k < 2:
        return _all(Undefined("too_few_units"))
    mean = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    within = ((table - rows[:, None]) ** 2).sum() / (n * (k - 1))
    raters = n * ((columns - mean) ** 2).sum() / (k - 1)
    rest = ((table - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (k - 1))
    if between + within <= _REL * (table**2).mean():
        return _all(Undefined("no_variation"))
    return IntraclassCorrelations(
        icc1=_quotient(between - within, between + (k - 1) * within),
        icc2=_quotient(between - rest, between + (k - 1) * rest + k * (raters - rest) / n),
        icc3=_quotient(between - rest, between + (k - 1) * rest),
        icc1k=_quotient(between - within, between),
        icc2k=_quotient(between - rest, between + (raters - rest) / n),
        icc3k=_quotient(between - rest, between),
    )


def ccc(x: npt.ArrayLike, y: npt.ArrayLike) -> Value:
    """Lin's concordance correlation of two series of equal length, with moments over n.

    2 s_xy / (s_x^2 + s_y^2 + (mean x - mean y)^2), L. Lin 1989, Biometrics 45, p. 255-268.
    Places where either is NaN are left out. `Undefined` with fewer than two places left
    ("too_few_units") or two equal constants ("no_variation").
    Raises ValueError for series of different shape.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError("The two series must have the same length.")
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(first) < 2:
        return Undefined("too_few_units")
    covariance = ((first - first.mean()) * (second - second.mean())).mean()
    spread = first.var() + second.var() + (first.mean() - second.mean()) ** 2
    if spread <= _REL**2 * (first**2 + second**2).mean():
        return Undefined("no_variation")
    return float(2 * covariance / spread)


def gold_trace(
    traces: npt.ArrayLike | Mapping[Hashable, npt.ArrayLike], *, centre: bool = True
) -> npt.NDArray[np.float64] | Undefined:
    """One trace from several raters' traces of one recording, float64 of shape (samples,).

    traces: one row per rater, one column per sample, or rater -> samples; NaN where a rater gave
    none. centre=True is RECOLA's: each rater's own mean is taken away before averaging, since
    raters differ more in their level than in their course, and the level that replaces it is the
    mean of the raters' means, each weighted by how well the rater agrees with the others:

        gold(t) = mean_r (x_r(t) - mean x_r) + sum_r w_r mean x_r / sum_r w_r,
        w_r     = mean over the other raters of Lin's concordance correlation with r.

    centre=False is the plain mean of the raters.
    Source: the gold standard of AVEC 2016 and 2018 for RECOLA (F. Ringeval et al.).
    `Undefined`: "no_ratings" without a trace, "too_few_units" for one rater to be centred (there
    is nobody to agree with), "incomplete" where nobody rated some sample or somebody none,
    "no_agreement" where the weights do not add up to more than 0.
    """
    if isinstance(traces, Mapping):
        rows = [np.asarray(trace, dtype=np.float64) for trace in traces.values()]
        if len({row.shape for row in rows}) > 1:
            raise ValueError("The raters' traces must have the same number of samples.")
        table = np.array(rows)
    else:
        table = np.asarray(traces, dtype=np.float64)
    if not table.size:
        return Undefined("no_ratings")
    if table.ndim != 2:
        raise ValueError("The traces must be a table of raters by samples.")
    given = np.isfinite(table)
    if not (np.all(given.any(axis=0)) and np.all(given.any(axis=1))):
        return Undefined("incomplete")
    if not centre:
        return np.asarray(np.mean(table, axis=0, where=given))
    if len(table) < 2:
        return Undefined("too_few_units")
    means = np.mean(table, axis=1, where=given)
    weights = _concordance_with_others(table)
    if weights.sum() <= _REL:
        return Undefined("no_agreement")
    level = (weights * means).sum() / weights.sum()
    return np.asarray(np.mean(table - means[:, None], axis=0, where=given) + level)


def _concordance_with_others(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean concordance of each rater with the others; pairs without one are left out.

    Two equal constant traces have no concordance; where that leaves a rater without any, the
    weight is 0.
    """
    total, pairs = np.zeros(len(table)), np.zeros(len(table))
    for first, second in combinations(range(len(table)), 2):
        value = ccc(table[first], table[second])
        if not isinstance(value, Undefined):
            total[[first, second]] += value
            pairs[[first, second]] += 1
    return np.asarray(total / np.maximum(pairs, 1))


def _quotient(top: float, bottom: float) -> Value:
    return float(top / bottom) if bottom > 0 else Undefined("no_variation")


def _all(reason: Undefined) -> IntraclassCorrelations:
    return IntraclassCorrelations(reason, reason, reason, reason, reason, reason)

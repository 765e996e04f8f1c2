"""Agreement of numbers: intraclass correlations and the concordance correlation."""

from __future__ import annotations

from dataclasses import dataclass

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


def _quotient(top: float, bottom: float) -> Value:
    return float(top / bottom) if bottom > 0 else Undefined("no_variation")


def _all(reason: Undefined) -> IntraclassCorrelations:
    return IntraclassCorrelations(reason, reason, reason, reason, reason, reason)

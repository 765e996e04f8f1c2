"""Dawid and Skene's estimate of the true values and of each rater's errors.

Source: A. Dawid and A. Skene 1979, Maximum likelihood estimation of observer error-rates using
the EM algorithm, Applied Statistics 28, p. 20-28.

It needs at least three raters and no very rare value to be trusted, and it treats raters'
errors as independent of the unit. Compare it with `majority` and look at the units where the two
differ; it does not replace adjudication.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Undefined

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DawidSkene:
    """What the raters' answers say about units and raters.

    `units`, `raters`  those with at least one rating.
    `posterior`        float64, shape (units, values): probability of each true value.
    `prevalence`       float64, shape (values,).
    `confusion`        float64, shape (raters, values, values): given the true value (axis 1), how
                       often the rater says each value (axis 2); a uniform row where the data
                       say nothing.
    `log_likelihood`   of the ratings, natural logarithm.
    `converged`        False where the limit of iterations came first.
    """

    units: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    values: tuple[Any, ...]
    posterior: Float64
    prevalence: Float64
    confusion: Float64
    log_likelihood: float
    iterations: int
    converged: bool

    def labels(self) -> dict[Hashable, Any]:
        """The most probable value per unit, or `Undefined("tie")` between equals."""
        best = self.posterior.max(axis=1)
        ties = (self.posterior > best[:, None] - 1e-9).sum(axis=1) > 1
        first = self.posterior.argmax(axis=1)
        return {
            unit: Undefined("tie") if ties[index] else self.values[first[index]]
            for index, unit in enumerate(self.units)
        }


def dawid_skene(
    ratings: Ratings,
    *,
    smoothing: float = 0.0,
    tolerance: float = 1e-9,
    max_iterations: int = 10_000,
) -> DawidSkene | Undefined:
    """Fit the model by EM from the votes' shares; repeats of one rater are used as they are.

    smoothing: added to every cell of every rater's table of errors in each step; a little (0.01)
               keeps a value that a rater never used from becoming impossible.
    tolerance: the fit ends when the log-likelihood grows by less than this per rating.
    Returns `Undefined("no_ratings")` for an empty table. Raises ValueError for a negative
    smoothing.
    """
    from scipy.sparse import csr_matrix

    if smoothing < 0:
        raise ValueError("The smoothing may not be negative.")
    if not len(ratings.unit):
        return Undefined("no_ratings")
    units, unit = np.unique(ratings.unit, return_inverse=True)
    raters, rater = np.unique(ratings.rater, return_inverse=True)
    size = len(ratings.values)
    said = csr_matrix(
        (np.ones(len(unit)), (unit, rater * size + ratings.code)),
        shape=(len(units), len(raters) * size),
    )
    heard = said.T.tocsr()
    posterior = said @ np.tile(np.eye(size), (len(raters), 1))
    posterior /= posterior.sum(axis=1, keepdims=True)
    before, iteration, converged = -np.inf, 0, False
    while not converged and iteration < max_iterations:
        iteration += 1
        prevalence = posterior.mean(axis=0)
        errors = _error_rates(heard @ posterior, len(raters), size, smoothing)
        joint = said @ _log(errors) + _log(prevalence)
        top = joint.max(axis=1, keepdims=True)
        weight = np.exp(joint - top)
        total = weight.sum(axis=1, keepdims=True)
        posterior = weight / total
        likelihood = float((np.log(total) + top).sum())
        converged = abs(likelihood - before) < tolerance * len(unit)
        before = likelihood
    return DawidSkene(
        units=tuple(ratings.units[index] for index in units),
        raters=tuple(ratings.raters[index] for index in raters),
        values=ratings.values,
        posterior=posterior,
        prevalence=prevalence,
        confusion=errors.reshape(len(raters), size, size).transpose(0, 2, 1),
        log_likelihood=before,
        iterations=iteration,
        converged=converged,
    )


def _error_rates(expected: Float64, raters: int, size: int, smoothing: float) -> Float64:
    """P(says l | truth j) from expected counts; rows (rater, said), columns truth."""
    cube = expected.reshape(raters, size, size) + smoothing
    given = cube.sum(axis=1, keepdims=True)
    seen = given > 0
    rates = np.where(seen, cube / np.where(seen, given, 1.0), 1 / size)
    return np.asarray(rates.reshape(raters * size, size))


def _log(values: Float64) -> Float64:
    return np.log(values, out=np.full_like(values, -np.inf), where=values > 0)

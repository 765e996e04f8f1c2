"""Confidence intervals from resampled clusters.

Ratings of one participant are not independent, and neighbouring moments of one recording even
less: an interval that treats them as independent is many times too narrow. So whole clusters
(participants) are resampled. A resample is a vector of multiplicities, and its statistics are
that vector times the table of per-cluster sums: no rating is touched again.

Two limits stay. The raters are taken as they are ("for these raters"), and with fewer than about
thirty clusters every method here is too narrow: the gate's policy guards that, not this module.

Sources: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993 (percentile ch. 13,
BCa ch. 14, jackknife ch. 11); A. Cameron and D. Miller 2015 (clusters, t with G - 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.coefficients import NEEDS_ALL_CLUSTERS, Outcome, evaluator, split_field
from annotation.agreement.results import Interval, Undefined
from annotation.agreement.statistics import SufficientStatistics

Float64 = npt.NDArray[np.float64]
Evaluate = Callable[[Float64], Outcome]

UNDEFINED_SHARE = 0.10
"""With a larger share of undefined resamples there is no interval."""
_CHUNK_CELLS = 4_000_000
_ALONE = 250_000  # multiplications that one processor does best by itself
_SMALL = 16  # resamples at a time, below which pieces would cost more than they save


def interval(
    stats: SufficientStatistics,
    field: str,
    *,
    category: Any = None,
    method: str = "bca",
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | Undefined:
    """Two-sided interval of a coefficient; for a one-sided 95 % bound take level=0.90.

    field:    a field of `Coefficients`. Of a mapping such as "specific" one category is taken:
              give `category`, or write "specific[ah]".
    method:   percentile; bca (bias-corrected and accelerated); jackknife_t (leave one cluster
              out, Student's t with G - 1 degrees of freedom; uses neither resamples nor seed).
              "BCa" and "jackknife-t" are understood too.
    seed:     the same statistics and seed give the same interval.
    Returns `Undefined` if the estimate is, with fewer than two clusters, or if more than a tenth
    of the resamples are undefined (BCa and percentile; for jackknife_t: any).
    Raises ValueError for an unknown field, category or method and for impossible numbers.
    """
    method = method.lower().replace("-", "_")
    _check(method, resamples, level)
    field, category = split_field(stats, field, category)
    evaluate = evaluator(stats, field, category)
    table = _resampled_rows(stats, field)
    estimate = evaluate(stats.table.sum(axis=0, keepdims=True)).first()
    if isinstance(estimate, Undefined):
        return estimate
    if len(table) < 2:
        return Undefined("too_few_clusters")
    if method == "jackknife_t":
        return _jackknife_t(table, evaluate, estimate, level)
    rng = np.random.default_rng(seed)
    drawn = _replicates(table, evaluate, resamples, rng, _cells(stats))
    replicates = drawn.value[drawn.problem == 0]
    lost = resamples - len(replicates)
    if lost > UNDEFINED_SHARE * resamples:
        return Undefined("too_many_undefined_replicates")
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        leave_out = _leave_one_out(table, evaluate)
        tails = _bca_tails(tails, replicates, estimate, leave_out.value[leave_out.problem == 0])
    low, high = np.quantile(replicates, tails)
    return Interval(
        low=float(low),
        high=float(high),
        estimate=estimate,
        level=level,
        method=method,
        n_clusters=len(table),
        resamples=resamples,
        n_undefined=lost,
        seed=seed,
        replicates=replicates,
    )


def compare(
    a: SufficientStatistics,
    b: SufficientStatistics,
    field: str,
    *,
    category: Any = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | Undefined:
    """Percentile interval of the difference a - b of a coefficient.

    Clusters that both have are resampled together, so that what makes a participant easy or hard
    cancels out; where a and b share no cluster, each is resampled by itself.
    Returns and raises as `interval`; `n_clusters` counts the clusters of both together.
    """
    _check("percentile", resamples, level)
    field, category = split_field(a, field, category)
    tables = [_resampled_rows(stats, field) for stats in (a, b)]
    functions = [evaluator(stats, field, category) for stats in (a, b)]
    first, second = (
        function(stats.table.sum(axis=0, keepdims=True)).first()
        for function, stats in zip(functions, (a, b), strict=True)
    )
    if isinstance(first, Undefined):
        return first
    if isinstance(second, Undefined):
        return second
    if min(len(table) for table in tables) < 2:
        return Undefined("too_few_clusters")
    together = set(a.clusters) & set(b.clusters)
    seeds = np.random.SeedSequence(seed).spawn(2)
    if together:
        tables, seeds = _side_by_side(a, b), [seeds[0], seeds[0]]
    cells = max(_cells(a), _cells(b))
    sides = [
        _replicates(table, function, resamples, np.random.default_rng(own_seed), cells)
        for table, function, own_seed in zip(tables, functions, seeds, strict=True)
    ]
    defined = (sides[0].problem == 0) & (sides[1].problem == 0)
    replicates = (sides[0].value - sides[1].value)[defined]
    lost = resamples - len(replicates)
    if lost > UNDEFINED_SHARE * resamples:
        return Undefined("too_many_undefined_replicates")
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(
        low=float(low),
        high=float(high),
        estimate=first - second,
        level=level,
        method="percentile",
        n_clusters=len(set(a.clusters) | set(b.clusters)),
        resamples=resamples,
        n_undefined=lost,
        seed=seed,
        replicates=replicates,
    )


def _side_by_side(a: SufficientStatistics, b: SufficientStatistics) -> list[Float64]:
    """Both tables with the same clusters in the same order, zero where one lacks a cluster."""
    names = sorted(dict.fromkeys(a.clusters + b.clusters), key=str)
    position = {name: index for index, name in enumerate(names)}
    tables: list[Float64] = []
    for stats in (a, b):
        table: Float64 = np.zeros((len(position), stats.table.shape[1]))
        table[[position[name] for name in stats.clusters]] = stats.table
        tables.append(table)
    return tables


def _check(method: str, resamples: int, level: float) -> None:
    if method not in ("percentile", "bca", "jackknife_t"):
        raise ValueError(f"The method {method!r} is unknown; use percentile, bca or jackknife_t.")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError("An interval needs at least one resample and a level between 0 and 1.")


def _cells(stats: SufficientStatistics) -> int:
    """Numbers that one resample needs in memory at most."""
    return max(stats.table.shape[1], 3 * len(stats.values) ** 2)


def _resampled_rows(stats: SufficientStatistics, field: str) -> Float64:
    """The clusters that the field can see: those with pairs, except for AC and Fleiss.

    In the order of their names: the same seed must draw the same clusters, whatever the order in
    which the rows came in.
    """
    order = sorted(range(len(stats.clusters)), key=lambda row: str(stats.clusters[row]))
    table = stats.table[order]
    if field in NEEDS_ALL_CLUSTERS:
        return np.asarray(table)
    return np.asarray(table[table[:, -2] > 0])


def _resample(
    table: Float64, resamples: int, rng: np.random.Generator, cells: int
) -> Iterator[Float64]:
    """Sums of rows of G clusters drawn with replacement; chunks of shape (b, width)."""
    clusters = len(table)
    step = max(1, _CHUNK_CELLS // max(clusters, cells))
    for done in range(0, resamples, step):
        size = min(step, resamples - done)
        drawn = rng.integers(0, clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        times = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        yield _product(times.astype(np.float64), table)


def _product(times: Float64, table: Float64) -> Float64:
    """times @ table, in pieces where the table is small.

    For a small product the linear algebra library wakes all processors, which takes them longer
    than the product does one.
    """
    step = _ALONE // max(table.size, 1)
    if step < _SMALL:
        return np.asarray(times @ table)
    product: Float64 = np.empty((len(times), table.shape[1]))
    for start in range(0, len(times), step):
        part = slice(start, start + step)
        np.matmul(times[part], table, out=product[part])
    return product


def _replicates(
    table: Float64, evaluate: Evaluate, resamples: int, rng: np.random.Generator, cells: int
) -> Outcome:
    return _joined([evaluate(rows) for rows in _resample(table, resamples, rng, cells)])


def _joined(parts: list[Outcome]) -> Outcome:
    return Outcome(
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.problem for part in parts]),
    )


def _leave_one_out(table: Float64, evaluate: Evaluate) -> Outcome:
    total = table.sum(axis=0)
    step = max(1, _CHUNK_CELLS // table.shape[1])
    return _joined([evaluate(total - table[i : i + step]) for i in range(0, len(table), step)])


def _bca_tails(tails: Float64, replicates: Float64, estimate: float, leave_out: Float64) -> Float64:
    """Where to cut the sorted replicates, corrected for bias z0 and acceleration a."""
    normal = NormalDist()
    near = np.isclose(replicates, estimate, rtol=0, atol=1e-12)
    below = float(np.mean((replicates < estimate) & ~near) + np.mean(near) / 2)
    edge = 1 / (2 * len(replicates))
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    apart = leave_out.mean() - leave_out if len(leave_out) else np.zeros(1)
    spread = float((apart**2).sum())
    acceleration = float((apart**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    corrected = []
    for tail in tails:
        z = bias + normal.inv_cdf(float(tail))
        shrink = 1 - acceleration * z
        # Beyond this point the correction turns back on itself; the outermost replicate is left.
        corrected.append(normal.cdf(bias + z / shrink) if shrink > 0 else float(tail > 0.5))
    return np.array(corrected)


def _jackknife_t(
    table: Float64, evaluate: Evaluate, estimate: float, level: float
) -> Interval | Undefined:
    from scipy.stats import t

    clusters = len(table)
    leave_out = _leave_one_out(table, evaluate)
    if np.any(leave_out.problem):
        return Undefined("too_many_undefined_replicates")
    apart = leave_out.value - leave_out.value.mean()
    error = float(np.sqrt((clusters - 1) / clusters * (apart**2).sum()))
    reach = float(t.ppf((1 + level) / 2, clusters - 1)) * error
    return Interval(
        low=estimate - reach,
        high=estimate + reach,
        estimate=estimate,
        level=level,
        method="jackknife_t",
        n_clusters=clusters,
        resamples=0,
        n_undefined=0,
        seed=None,
        replicates=np.empty(0),
    )

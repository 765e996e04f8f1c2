"""An independent alpha, by the `krippendorff` package, to hold ours against.

Convention for time: a stretch of time counts as many units as it lasts ticks, exactly as if each
tick had been rated separately. Alpha contains the factor (n - 1), so its value depends on the
tick; both computations use the same one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Ratings, Scale
from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Runs

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

_CELLS = 16_000_000  # rows x values^2 that the package may hold at once: 128 MB of float64


def cross_check(data: Ratings | Runs) -> Value:
    """Krippendorff's alpha as the `krippendorff` package computes it from counts per unit.

    Takes what `sufficient` takes. Units are passed on one by one. Only where that would not fit
    into memory, the units on which all raters agree are joined, per value c, into one unit with
    the sum n of their ratings: its n (n - 1) / (n - 1) = n coincidences are exactly those of its
    parts. Units with differing values are always passed on one by one.
    The package knows no weights. Where they are not all 1, it is asked about the units of each
    weight by themselves, and the answers are put together (`_of_weights`).
    Returns `Undefined` for no pairs or no variation, like `coefficients`; "off_grid" for runs
    that are not whole ticks; "too_large".
    """
    counts = data.counts()
    if isinstance(data, Runs):
        if np.any(data.duration_us % data.tick_us):
            return Undefined("off_grid")
        times = data.duration_us // data.tick_us
        weight: Float64 = np.ones(len(times))
        if data.recording_weight is not None:
            weight = data.recording_weight[data.recording]
    else:
        data.require_no_repeats()
        times = np.ones(len(counts), dtype=np.int64)
        weight = data.unit_weight
    paired = (counts.sum(axis=1) >= 2) & (times > 0) & (weight > 0)
    counts, times, weight = counts[paired], times[paired], weight[paired]
    if not len(counts):
        return Undefined("no_pairs")
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return Undefined("no_variation")
    domain: Float64 = np.arange(len(data.values), dtype=np.float64)
    if data.scale in ("interval", "ratio"):
        domain = np.array([float(value) for value in data.values])
    if np.all(weight == 1):
        return _package_alpha(counts, times, domain, data.scale)
    return _of_weights(counts, times, weight, domain, data.scale)


def _package_alpha(counts: Int64, times: Int64, domain: Float64, scale: Scale) -> Value:
    """What the package says about units that occur `times` times each."""
    import krippendorff

    units = _whole_units(counts, times)
    if isinstance(units, Undefined):
        return units
    # The package wants values of ordered scales in ascending order.
    order = np.argsort(domain, kind="stable")
    return float(
        krippendorff.alpha(
            value_counts=units[:, order],
            value_domain=domain[order],
            level_of_measurement=scale,
        )
    )


def _of_weights(
    counts: Int64, times: Int64, weight: Float64, domain: Float64, scale: Scale
) -> Value:
    """Alpha of weighted units from the package's alphas of the units of each weight w.

    alpha_w = 1 - (n_w - 1) D_w / E_w, with E_w from counting values, gives the group's observed
    disagreement D_w. The whole has D = sum w D_w, and its n and E from the weighted values.
    Ordered values stand at their middle ranks in the whole, which makes the ordinal difference of
    every group that of the whole.
    """
    used = counts.sum(axis=0) > 0
    counts, domain = counts[:, used], domain[used]
    values = ((times * weight)[:, None] * counts).sum(axis=0)
    metric: Scale
    if scale == "ordinal":
        domain = np.asarray(np.cumsum(values) - values / 2)
        metric = "interval"
    else:
        metric = scale
    squared = _squared(domain, metric)
    observed = 0.0
    for each in np.unique(weight):
        of = weight == each
        own = (times[of, None] * counts[of]).sum(axis=0).astype(np.float64)
        expected = own @ squared @ own
        if expected <= 0:  # all of one value: nobody disagrees
            continue
        found = _package_alpha(counts[of], times[of], domain, metric)
        if isinstance(found, Undefined):
            return found
        observed += float(each) * (1 - found) * expected / (own.sum() - 1)
    return float(1 - (values.sum() - 1) * observed / (values @ squared @ values))


def _squared(domain: Float64, metric: str) -> Float64:
    """The squared difference of every two values, after Krippendorff."""
    if metric == "nominal":
        return np.asarray(1.0 - np.eye(len(domain)))
    gap = domain[:, None] - domain[None, :]
    if metric == "ratio":
        total = domain[:, None] + domain[None, :]
        gap = np.divide(gap, total, out=np.zeros_like(gap), where=total != 0)
    return np.asarray(gap**2)


def _whole_units(counts: Int64, times: Int64) -> Int64 | Undefined:
    limit = _CELLS // counts.shape[1] ** 2
    if times.sum() <= limit:
        return np.repeat(counts, times, axis=0)
    unanimous = (counts > 0).sum(axis=1) == 1
    if times[~unanimous].sum() > limit:
        return Undefined("too_large")
    joined = np.diag((counts[unanimous] * times[unanimous, None]).sum(axis=0))
    return np.vstack([joined, np.repeat(counts[~unanimous], times[~unanimous], axis=0)])

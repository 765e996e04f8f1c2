"""An independent alpha, by the `krippendorff` package, to hold ours against.

Convention for time: a stretch of time counts as many units as it lasts ticks, exactly as if each
tick had been rated separately. Alpha contains the factor (n - 1), so its value depends on the
tick; both computations use the same one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Runs

_CELLS = 16_000_000  # rows x values^2 that the package may hold at once: 128 MB of float64


def cross_check(data: Ratings | Runs) -> Value:
    """Krippendorff's alpha as the `krippendorff` package computes it from counts per unit.

    Takes what `sufficient` takes. Units are passed on one by one. Only where that would not fit
    into memory, the units on which all raters agree are joined, per value c, into one unit with
    the sum n of their ratings: its n (n - 1) / (n - 1) = n coincidences are exactly those of its
    parts. Units with differing values are always passed on one by one.
    Returns `Undefined` for no pairs or no variation, like `coefficients`; "off_grid" for runs
    that are not whole ticks; "weights" for weights that are not whole numbers; "too_large".
    """
    counts = data.counts()
    if isinstance(data, Runs):
        if np.any(data.duration_us % data.tick_us):
            return Undefined("off_grid")
        times = data.duration_us // data.tick_us
    else:
        data.require_no_repeats()
        if np.any(data.unit_weight != np.round(data.unit_weight)):
            return Undefined("weights")
        times = data.unit_weight.astype(np.int64)
    paired = (counts.sum(axis=1) >= 2) & (times > 0)
    counts, times = counts[paired], times[paired]
    if not len(counts):
        return Undefined("no_pairs")
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return Undefined("no_variation")
    units = _whole_units(counts, times)
    if isinstance(units, Undefined):
        return units
    import krippendorff

    domain: npt.NDArray[np.float64] = np.arange(len(data.values), dtype=np.float64)
    if data.scale in ("interval", "ratio"):
        domain = np.array([float(value) for value in data.values])
    # The package wants values of ordered scales in ascending order.
    order = np.argsort(domain, kind="stable")
    return float(
        krippendorff.alpha(
            value_counts=units[:, order],
            value_domain=domain[order],
            level_of_measurement=data.scale,
        )
    )


def _whole_units(
    counts: npt.NDArray[np.int64], times: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | Undefined:
    limit = _CELLS // counts.shape[1] ** 2
    if times.sum() <= limit:
        return np.repeat(counts, times, axis=0)
    unanimous = (counts > 0).sum(axis=1) == 1
    if times[~unanimous].sum() > limit:
        return Undefined("too_large")
    joined = np.diag((counts[unanimous] * times[unanimous, None]).sum(axis=0))
    return np.vstack([joined, np.repeat(counts[~unanimous], times[~unanimous], axis=0)])

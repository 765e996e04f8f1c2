"""What a statistic answers: a number, or `Undefined` with the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_EXPLANATIONS: Mapping[str, str] = MappingProxyType(
    {
        "no_pairs": "No unit was rated by two raters, so there is nothing to compare.",
        "no_variation": "All values are the same, so agreement beyond chance cannot be told apart "
        "from agreement by chance.",
        "absent": "This category was never used in a unit with two ratings.",
        "too_few_clusters": "There are too few clusters (participants) to resample.",
        "too_many_undefined_replicates": "The statistic is undefined in too many of the resamples "
        "for an interval to be trusted.",
        "no_replicates": "This method does not resample, so it keeps no replicates.",
        "no_segments": "Neither rater marked a segment.",
        "no_matches": "No two segments match.",
        "no_ratings": "Nobody rated this.",
        "tie": "Two answers have equally many votes; this is for adjudication.",
        "too_few_units": "There are too few units for this statistic.",
        "incomplete": "Some unit lacks a rating, and this statistic needs all of them.",
        "off_grid": "The independent check counts whole ticks; put the segments on the tick grid "
        "first (`Segments.on_grid`).",
        "too_large": "The independent check would need more memory than it may use; take a longer "
        "tick.",
        "no_agreement": "The raters do not agree with each other at all, so none of them can be "
        "given a weight.",
        "not_asked": "This was not computed, because it was not asked for.",
        "weights": "The units carry weights that are not whole numbers, which the independent "
        "check cannot represent.",
    }
)


@dataclass(frozen=True, slots=True)
class Undefined:
    """There is no such number, and `reason` says why. Never NaN, 0 or 1 in disguise.

    It has no order: code that compares it with a threshold raises TypeError instead of passing
    or failing a gate by accident.
    """

    reason: str

    @property
    def sentence(self) -> str:
        """The reason as a sentence for a reader."""
        return _EXPLANATIONS.get(self.reason, f"The value is undefined ({self.reason}).")

    def __str__(self) -> str:
        return f"undefined ({self.reason.replace('_', ' ')})"


Value: TypeAlias = float | Undefined


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval from resampled clusters.

    `low`, `high`   the two ends; `level` their joint level (0.95: 2.5 % in each tail).
    `estimate`      the statistic on the data themselves.
    `n_undefined`   resamples in which the statistic was undefined; they are left out.
    `replicates`    the defined resampled values, float64, shape (resamples - n_undefined,).
    """

    low: float
    high: float
    estimate: float
    level: float
    method: str
    n_clusters: int
    resamples: int
    n_undefined: int
    seed: int | None
    replicates: npt.NDArray[np.float64] = field(repr=False, compare=False)

    def p_below(self, threshold: float) -> Value:
        """Share of resamples below `threshold` (Krippendorff's q), or `Undefined`."""
        if not len(self.replicates):
            return Undefined("no_replicates")
        return float(np.mean(self.replicates < threshold))

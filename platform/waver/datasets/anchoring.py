"""The anchoring experiment: what seeing pre-labels does to agreement and to how much is labelled.

A study's design shows pre-labels with a share of its recordings, drawn at random by its seed, and
asks for the others blind. If raters follow the machine, they agree more with each other and label
more of what it marks, while their labels get no truer: so agreement with pre-labels shown is never
evidence, and only the difference between the arms says how strong the pull is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from annotation.agreement import GAP, Undefined, coefficients, compare
from annotation.agreement.results import Value
from annotation.agreement.statistics import SufficientStatistics
from waver.datasets.labels import NO, Label

LEAST_PARTICIPANTS = 10
"""In each arm, for an interval at all."""
CAREFUL_BELOW = 30
"""With fewer participants in an arm intervals are too narrow, and the page says so."""
RESAMPLES = 1000
SEED = 20261121
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm holds for a label. `size` is rated time in seconds, or rated clips."""

    recordings: int
    submissions: int
    participants: int
    size: float
    alpha: Value
    rates: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Difference:
    """Shown minus blind, with its interval; `value` and ends are None where `reason` says why."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Anchoring:
    """One label in both arms.

    `rates`     difference in the share of time or of clips, for each value but the empty one.
    `in_both`   participants of whom recordings stand in both arms: they are resampled together.
    """

    label: Label
    blind: Arm
    shown: Arm
    alpha: Difference
    rates: dict[str, Difference]
    in_both: int

    @property
    def is_paired(self) -> bool:
        """Whether what makes a participant easy or hard cancels out."""
        return self.in_both > 0

    @property
    def has_few(self) -> bool:
        """Whether so few took part that the intervals are too narrow."""
        return min(self.blind.participants, self.shown.participants) < CAREFUL_BELOW


@dataclass(frozen=True, slots=True, eq=False)
class ArmData:
    """The sums of one arm."""

    statistics: SufficientStatistics
    recordings: int
    submissions: int
    seconds_per_unit: float  # 1 for clips


def rated_values(label: Label) -> tuple[str, ...]:
    """The values whose rates are compared: all but “nothing marked” and “no”."""
    empty = GAP if label.data == "segments" else NO if label.answer else None
    return tuple(value for value in label.values if value != empty)


def anchoring(label: Label, *, blind: ArmData, shown: ArmData) -> Anchoring:
    """Compare the two arms of one label."""
    values = rated_values(label)
    clusters = (set(blind.statistics.clusters), set(shown.statistics.clusters))
    return Anchoring(
        label=label,
        blind=_arm(blind, values),
        shown=_arm(shown, values),
        alpha=_difference(shown.statistics, blind.statistics, "alpha"),
        rates={
            value: _difference(shown.statistics, blind.statistics, "prevalence", value)
            for value in values
        },
        in_both=len(clusters[0] & clusters[1]),
    )


def _arm(data: ArmData, values: tuple[str, ...]) -> Arm:
    stats = data.statistics
    found = coefficients(stats)
    rated = float(stats.table[:, -1].sum())
    return Arm(
        recordings=data.recordings,
        submissions=data.submissions,
        participants=len(stats.clusters),
        size=rated * data.seconds_per_unit,
        alpha=found.alpha,
        rates={value: found.prevalence[value] for value in values},
    )


def _difference(
    shown: SufficientStatistics, blind: SufficientStatistics, field: str, category: str = ""
) -> Difference:
    column = -2 if field == "alpha" else -1
    for stats, words in ((shown, "with pre-labels"), (blind, "without pre-labels")):
        able = int(np.count_nonzero(stats.table[:, column] > 0))
        if able < LEAST_PARTICIPANTS:
            what = "with two or more raters " if field == "alpha" else ""
            return Difference(
                None, None, None,
                f"There are {able} participants {what}in the arm {words}; at least "
                f"{LEAST_PARTICIPANTS} are needed to say anything.",
            )  # fmt: skip
    return _compared(_Key(shown), _Key(blind), field, category or None)


class _Key:
    """Statistics that are the same when their content is, so that results can be kept by it."""

    def __init__(self, stats: SufficientStatistics) -> None:
        self.stats = stats
        self._content = (stats.scale, stats.values, stats.clusters, stats.table.tobytes())

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._content == other._content


@lru_cache(maxsize=128)
def _compared(shown: _Key, blind: _Key, field: str, category: str | None) -> Difference:
    """Resample; kept by content, so a page that is opened again does not resample again."""
    found = compare(
        shown.stats, blind.stats, field, category=category,
        resamples=RESAMPLES, seed=SEED, level=LEVEL,
    )  # fmt: skip
    if isinstance(found, Undefined):
        return Difference(None, None, None, found.sentence)
    return Difference(found.estimate, found.low, found.high)

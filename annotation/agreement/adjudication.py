"""What is in dispute, and in which order a person should decide it.

The value of deciding is what is not known times what it matters; divided by what it costs to look,
it gives the order (`adjudication_queue`). Nothing here says who gave which answer: whoever decides
must not know. What was decided feeds the consensus, never an agreement figure.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from annotation.agreement.consensus import VoteDistribution, vote_distribution
from annotation.agreement.dawid_skene import DawidSkene
from annotation.agreement.ratings import Ratings
from annotation.agreement.segment_rows import GAP
from annotation.agreement.segments import Segments

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dispute:
    """Something on which raters do not agree.

    `unit`         the clip, or the recording that holds the stretch.
    `label`        which label is in dispute; "" where a clip's whole answer is.
    `probability`  value -> probability that it is the right one: the votes' shares, or the
                   posterior of `dawid_skene`. They sum to 1.
    `start_us`, `end_us`  the disputed stretch [start_us, end_us); None for a whole clip.
    """

    unit: Hashable
    label: str
    probability: Mapping[Any, float]
    start_us: int | None = None
    end_us: int | None = None

    @property
    def entropy(self) -> float:
        """Uncertainty in bits, from 0 (certain) to log2(values)."""
        shares = [share for share in self.probability.values() if share > 0]
        return max(0.0, -sum(share * math.log2(share) for share in shares))

    @property
    def doubt(self) -> float:
        """1 - the probability of the most probable value."""
        return 1 - max(self.probability.values())

    @property
    def seconds(self) -> float:
        """Length of the disputed stretch; 1 for a whole clip, so that clips compare as clips."""
        if self.start_us is None or self.end_us is None:
            return 1.0
        return (self.end_us - self.start_us) / 1e6


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A dispute with its place: the entries with the highest `score` come first.

    score = uncertainty * weight * seconds / cost.
    """

    dispute: Dispute
    score: float
    uncertainty: float
    weight: float
    cost: float


def adjudication_queue(
    items: Iterable[Dispute] | Ratings | VoteDistribution | DawidSkene,
    *,
    uncertainty: Literal["entropy", "doubt"] = "entropy",
    weight: Mapping[str, float] | None = None,
    cost: Mapping[Hashable, float] | float = 1.0,
) -> tuple[QueueEntry, ...]:
    """The disputes in the order in which deciding them is worth most.

    items:       disputes (see `disputed_segments`, `disputed_units`), or clips' ratings, votes or
                 posteriors, of which the disputed units are taken.
    uncertainty: "entropy" of the probabilities in bits, or "doubt", 1 - the greatest of them.
    weight:      label -> how much it matters; 1 for a label that is not named.
    cost:        what one decision costs, in any unit: one number, or unit -> number (1 where a
                 unit is not named). Equal costs let long disputes come first.
    Undisputed items are left out. Equal scores keep the order of unit, start and label, so that
    the order does not depend on who came first. Raises ValueError for negative weights, for costs
    of zero or less and for probabilities that do not sum to 1.
    """
    if uncertainty not in ("entropy", "doubt"):
        raise ValueError(f"The uncertainty {uncertainty!r} is unknown; use entropy or doubt.")
    if isinstance(items, Ratings | VoteDistribution | DawidSkene):
        items = disputed_units(items)
    entries = [_entry(dispute, uncertainty, weight or {}, cost) for dispute in items]
    disputed = [entry for entry in entries if entry.uncertainty > 1e-12]
    disputed.sort(
        key=lambda entry: (
            -entry.score,
            str(entry.dispute.unit),
            entry.dispute.start_us or 0,
            entry.dispute.label,
        )
    )
    return tuple(disputed)


def disputed_units(source: Ratings | VoteDistribution | DawidSkene) -> list[Dispute]:
    """The clips whose answer is not certain: where votes differ, or by a fitted model.

    A vote distribution without smoothing and a single vote is certain by itself: whether one
    rater is enough is for the gate to say.
    """
    if isinstance(source, Ratings):
        source = vote_distribution(source)
    shares = source.posterior if isinstance(source, DawidSkene) else source.shares
    open_ = np.flatnonzero(shares.max(axis=1, initial=0.0) < 1 - 1e-9)
    return [
        Dispute(
            unit=source.units[index],
            label="",
            probability=dict(zip(source.values, shares[index].tolist(), strict=True)),
        )
        for index in open_.tolist()
    ]


def disputed_segments(segments: Segments, label: str, *, minimum_us: int = 0) -> list[Dispute]:
    """The stretches that some of a recording's raters marked with `label` and others did not.

    Recordings are cut at every boundary; neighbouring disputed stretches are joined, their shares
    averaged by time. Stretches shorter than `minimum_us` are left out: raters' edges always
    differ a little. Raises ValueError for an unknown label.
    """
    runs = segments.runs(label)
    marked = (runs.codes == 1).sum(axis=1)
    submitted = (runs.codes >= 0).sum(axis=1)
    disputed = (marked > 0) & (marked < submitted)
    joins = disputed[1:] & disputed[:-1] & (runs.recording[1:] == runs.recording[:-1])
    group = np.cumsum(np.concatenate([[True], ~joins])[: len(disputed)])
    origin = np.concatenate([[0], np.cumsum(segments.duration_us)])
    end = np.cumsum(runs.duration_us)
    found: list[Dispute] = []
    for number in dict.fromkeys(group[disputed].tolist()):
        rows = np.arange(*np.searchsorted(group, [number, number + 1]))
        recording = int(runs.recording[rows[0]])
        start_us = int(end[rows[0]] - runs.duration_us[rows[0]] - origin[recording])
        end_us = int(end[rows[-1]] - origin[recording])
        if end_us - start_us < minimum_us:
            continue
        shares = marked[rows] / submitted[rows]
        share = float(np.average(shares, weights=runs.duration_us[rows]))
        probability = {GAP: 1 - share, str(label): share}
        found.append(Dispute(runs.recordings[recording], str(label), probability, start_us, end_us))
    return found


def _entry(
    dispute: Dispute,
    uncertainty: Literal["entropy", "doubt"],
    weight: Mapping[str, float],
    cost: Mapping[Hashable, float] | float,
) -> QueueEntry:
    shares = list(dispute.probability.values())
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"The probabilities of {dispute.unit!r} must not be negative and must sum to 1."
        )
    matters = float(weight.get(dispute.label, 1.0))
    costs = float(cost.get(dispute.unit, 1.0) if isinstance(cost, Mapping) else cost)
    if matters < 0 or not math.isfinite(matters):
        raise ValueError(f"The weight of label {dispute.label!r} may not be {matters}.")
    if costs <= 0 or not math.isfinite(costs):
        raise ValueError(f"Deciding {dispute.unit!r} must cost something, not {costs}.")
    unknown = dispute.entropy if uncertainty == "entropy" else dispute.doubt
    score = unknown * matters * dispute.seconds / costs
    return QueueEntry(dispute, score, unknown, matters, costs)

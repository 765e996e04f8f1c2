"""One answer from several raters' votes; derived, never stored in place of the votes.

A tie is undecided: it goes to adjudication instead of to whichever label comes first.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Undefined
from annotation.agreement.segments import Runs, Segments

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class VoteDistribution:
    """Soft labels: how the votes on each unit are spread over the values.

    `units`    the units with at least one vote; the arrays' first axis.
    `shares`   float64, shape (units, values), rows sum to 1.
    `votes`    int64, shape (units,).
    `entropy`  float64, shape (units,), bits: 0 when all agree, log2(values) when spread evenly.
    """

    units: tuple[Hashable, ...]
    values: tuple[Any, ...]
    shares: npt.NDArray[np.float64]
    votes: Int64
    entropy: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ConsensusSpan:
    """A stretch [start_us, end_us) and the mean share of raters who marked it, by time."""

    recording: Hashable
    start_us: int
    end_us: int
    label: str
    share: float


@dataclass(frozen=True, slots=True)
class SegmentConsensus:
    """`segments`: marked by more than half of the raters. `undecided`: by exactly half."""

    segments: tuple[ConsensusSpan, ...]
    undecided: tuple[ConsensusSpan, ...]


def majority(ratings: Ratings) -> dict[Hashable, Any]:
    """The value that most raters gave each unit.

    unit -> value, `Undefined("tie")` where two values share the first place, or
    `Undefined("no_ratings")`. Weights play no part. Raises ValueError for repeats.
    """
    ratings.require_no_repeats()
    counts = ratings.counts()
    most = counts.max(axis=1, initial=0)
    winners = (counts == most[:, None]).sum(axis=1)
    first = counts.argmax(axis=1)
    return {
        unit: Undefined("no_ratings")
        if most[index] == 0
        else Undefined("tie")
        if winners[index] > 1
        else ratings.values[first[index]]
        for index, unit in enumerate(ratings.units)
    }


def vote_distribution(ratings: Ratings, *, smoothing: float = 0.0) -> VoteDistribution:
    """Shares of the votes per unit: (n_c + s) / (m + s V), a symmetric Dirichlet prior of s.

    Raises ValueError for repeats and for a negative smoothing.
    """
    if smoothing < 0:
        raise ValueError("The smoothing may not be negative.")
    ratings.require_no_repeats()
    counts = ratings.counts()
    votes = counts.sum(axis=1)
    rated = np.flatnonzero(votes)
    votes = votes[rated]
    smoothed = counts[rated] + smoothing
    shares = smoothed / smoothed.sum(axis=1, keepdims=True)
    logarithm = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return VoteDistribution(
        units=tuple(ratings.units[index] for index in rated),
        values=ratings.values,
        shares=shares,
        votes=votes,
        entropy=np.abs((shares * logarithm).sum(axis=1)),
    )


def consensus_segments(
    segments: Segments, label: str, *, close_gap_us: int = 0, minimum_us: int = 0
) -> SegmentConsensus:
    """Stretches that more than half of the raters marked with `label`.

    1. Recordings are cut at every boundary of every rater; within such an interval nothing
       changes, and the raters who submitted the recording vote on it.
    2. Neighbouring intervals with a majority are joined. Intervals with exactly half of the votes
       are undecided.
    3. Gaps of at most `close_gap_us` between two segments are closed, undecided ones too.
    4. Segments shorter than `minimum_us` are left out.
    The raters' own segments stay as they are. Raises ValueError for an unknown label.
    """
    runs = segments.runs(label)
    submitted = (runs.codes >= 0).sum(axis=1)
    marked = (runs.codes == 1).sum(axis=1)
    ends = np.cumsum(runs.duration_us)  # on one axis, where a later recording lies behind
    starts = ends - runs.duration_us
    won = _stretches(2 * marked > submitted, runs.recording)
    tied = _stretches((2 * marked == submitted) & (submitted > 0), runs.recording)
    kept = _without_gaps(won, starts, ends, runs.recording, close_gap_us)
    kept = kept[ends[kept[:, 1]] - starts[kept[:, 0]] >= minimum_us]
    # Within one that is kept: the last of these to begin before it ends no earlier.
    around = np.searchsorted(kept[:, 0], tied[:, 0], side="right") - 1
    within = (around >= 0) & (np.append(kept[:, 1], -1)[around] >= tied[:, 1])
    shares = marked / np.maximum(submitted, 1)
    return SegmentConsensus(
        segments=_spans(runs, kept, shares, str(label)),
        undecided=_spans(runs, tied[~within], shares, str(label)),
    )


def _stretches(chosen: npt.NDArray[np.bool_], recording: npt.NDArray[np.int32]) -> Int64:
    """First and last run of each unbroken row of chosen runs in one recording; shape (n, 2)."""
    joins = chosen[1:] & chosen[:-1] & (recording[1:] == recording[:-1])
    first = chosen & ~np.append(False, joins)[: len(chosen)]
    last = chosen & ~np.append(joins, False)[: len(chosen)]
    return np.stack([np.flatnonzero(first), np.flatnonzero(last)], axis=1)


def _without_gaps(
    spans: Int64, starts: Int64, ends: Int64, recording: npt.NDArray[np.int32], gap_us: int
) -> Int64:
    """The same with those made one that lie at most `gap_us` apart in one recording."""
    if len(spans) < 2:
        return spans
    first, last = spans.T
    near = (starts[first[1:]] - ends[last[:-1]] <= gap_us) & (
        recording[first[1:]] == recording[last[:-1]]
    )
    return np.stack([first[np.append(True, ~near)], last[np.append(~near, True)]], axis=1)


def _spans(
    runs: Runs, spans: Int64, shares: npt.NDArray[np.float64], label: str
) -> tuple[ConsensusSpan, ...]:
    """The stretches on their recordings' clocks, with their mean shares by time."""
    if not len(spans):
        return ()
    ends = np.cumsum(runs.duration_us)
    starts = ends - runs.duration_us
    begins = np.append(True, runs.recording[1:] != runs.recording[:-1])
    origin = starts[begins][np.cumsum(begins) - 1]
    # Sums of every other piece: from each first run to its last, then up to the next first.
    edges: Int64 = (spans + np.array([0, 1])).ravel()
    voted, whole = (
        np.add.reduceat(np.append(numbers, 0), edges)[::2]
        for numbers in (shares * runs.duration_us, runs.duration_us)
    )
    return tuple(
        ConsensusSpan(runs.recordings[recording], start, end, label, share)
        for recording, start, end, share in zip(
            runs.recording[spans[:, 0]].tolist(),
            (starts - origin)[spans[:, 0]].tolist(),
            (ends - origin)[spans[:, 1]].tolist(),
            (voted / whole).tolist(),
            strict=True,
        )
    )

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
    won = _joined(runs, 2 * marked > submitted, label)
    tied = _joined(runs, (2 * marked == submitted) & (submitted > 0), label)
    closed = _closed(runs, won, close_gap_us)
    kept = tuple(span for span in closed if span.end_us - span.start_us >= minimum_us)
    open_ = tuple(span for span in tied if not any(_within(span, other) for other in kept))
    return SegmentConsensus(segments=kept, undecided=open_)


def _starts(runs: Runs) -> Int64:
    """Start of each run on its recording's clock."""
    ends = np.cumsum(runs.duration_us)
    starts = ends - runs.duration_us
    _, first = np.unique(runs.recording, return_index=True)
    origin = np.zeros(len(runs.recordings), dtype=np.int64)
    origin[runs.recording[first]] = starts[first]
    return np.asarray(starts - origin[runs.recording])


def _joined(runs: Runs, chosen: npt.NDArray[np.bool_], label: str) -> list[ConsensusSpan]:
    starts = _starts(runs)
    spans: list[ConsensusSpan] = []
    previous = -2
    for index in np.flatnonzero(chosen).tolist():
        recording = runs.recordings[runs.recording[index]]
        start = int(starts[index])
        end = start + int(runs.duration_us[index])
        joins = index == previous + 1 and spans[-1].recording == recording
        if joins:
            start = spans.pop().start_us
        spans.append(_span(runs, starts, recording, start, end, label, index))
        previous = index
    return spans


def _span(
    runs: Runs, starts: Int64, recording: Hashable, start: int, end: int, label: str, last: int
) -> ConsensusSpan:
    """The span with its mean share, looking back from run `last`, which ends it."""
    first = last
    while starts[first] > start:
        first -= 1
    codes = runs.codes[first : last + 1]
    duration = runs.duration_us[first : last + 1]
    votes = (codes == 1).sum(axis=1) / (codes >= 0).sum(axis=1)
    share = float((votes * duration).sum() / duration.sum())
    return ConsensusSpan(recording, start, end, label, share)


def _closed(runs: Runs, spans: list[ConsensusSpan], gap_us: int) -> list[ConsensusSpan]:
    starts = _starts(runs)
    ends = starts + runs.duration_us
    position = {name: index for index, name in enumerate(runs.recordings)}
    closed: list[ConsensusSpan] = []
    for span in spans:
        near = (
            closed
            and closed[-1].recording == span.recording
            and span.start_us - closed[-1].end_us <= gap_us
        )
        if near:
            before = closed.pop()
            here = runs.recording == position[span.recording]
            last = int(np.flatnonzero(here & (ends == span.end_us))[0])
            span = _span(
                runs, starts, span.recording, before.start_us, span.end_us, span.label, last
            )
        closed.append(span)
    return closed


def _within(inner: ConsensusSpan, outer: ConsensusSpan) -> bool:
    return (
        inner.recording == outer.recording
        and outer.start_us <= inner.start_us
        and inner.end_us <= outer.end_us
    )

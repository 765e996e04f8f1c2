"""Agreement on events: do raters mark the same segments, and how exactly?

Two raters' segments are matched one to one so that as many as possible match, and among those
matchings the best-fitting one is taken (Kuhn-Munkres). Taking the best pair first instead would
lose matches. The result does not depend on which rater is called the first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Segments

Spans = npt.NDArray[np.int64]  # shape (n, 2): start and end in microseconds
Int64 = npt.NDArray[np.int64]

_TIE = 1e-6  # how much more of an overlap being earlier may outweigh


@dataclass(frozen=True, slots=True)
class BoundaryBias:
    """How a rater's matched boundaries lie to the others': the mean of own minus other's time.

    `onset_us`, `offset_us`  above 0: later than the others; below 0: earlier.
    `n_matched`              the matches behind them. Both are `Undefined("no_matches")` without.
    """

    onset_us: Value
    offset_us: Value
    n_matched: int


@dataclass(frozen=True, slots=True)
class EventAgreement:
    """Over all pairs of raters in all recordings:

    `f1`               2 matches / (segments of one + segments of the other), 0 to 1.
    `onset_error_us`   mean absolute difference of the beginnings of matched segments.
    `offset_error_us`  the same for their ends.
    `fragmentation`    how many of the other's segments a segment meets, if it meets any: 1 where
                       both cut alike, 2 where one marks two for the other's one.
    `n_matched`        matched pairs of segments.
    `n_pairs`          pairs of raters in a recording, per label, with at least one segment.
    `n_empty_pairs`    such pairs where neither marked anything; they are left out of `f1`.
    `bias`             rater -> `BoundaryBias`. A mean over all pairs would be 0 by symmetry.
    `chance_f1`        the F1 that is left when one of each two raters' segments are moved round
                       the recording by chance, see `event_agreement`.
    """

    f1: Value
    onset_error_us: Value
    offset_error_us: Value
    fragmentation: Value
    n_matched: int
    n_pairs: int
    n_empty_pairs: int
    bias: Mapping[Hashable, BoundaryBias]
    chance_f1: Value


@dataclass(frozen=True, slots=True)
class _Rule:
    """When two segments can match."""

    iou: float | None
    tolerance_us: int | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two raters' segments of one label in one recording that lasts `length_us`."""

    first: int
    second: int
    a: Spans
    b: Spans
    length_us: int


def event_agreement(
    segments: Segments,
    *,
    iou: float | None = 0.5,
    tolerance_us: int | None = None,
    label: str | None = None,
    shifts: int = 0,
    seed: int = 0,
) -> EventAgreement:
    """Symmetric event F1 of several raters with the errors of matched boundaries.

    iou:          two segments can match if their intersection over union is at least this.
    tolerance_us: they can match if beginnings and ends differ by at most this. With both given,
                  both must hold; None switches one off.
    label:        one label; all of them (each matched with its own kind) if left out.
    shifts:       how many times `chance_f1` is drawn: the recording is closed to a circle, one
                  rater's segments are moved round it by a random time, and F1 is taken again, so
                  that number, lengths and distances of the segments stay as they are; the mean
                  is given. 0: `Undefined("not_asked")`.
    seed:         the same seed gives the same shifts.
    Raises ValueError if both rules are None or out of range, and for an unknown label.
    """
    rule = _rule(iou, tolerance_us)
    if shifts < 0:
        raise ValueError("The number of shifts may not be negative.")
    if label is not None:
        segments = segments.only_label(label)
    empty, met, meetings = 0, 0, 0
    pairs: list[_Pair] = []
    found: list[tuple[_Pair, Spans]] = []
    for pair in _pairs(segments):
        if not len(pair.a) and not len(pair.b):
            empty += 1
            continue
        pairs.append(pair)
        if not len(pair.a) or not len(pair.b):
            continue
        overlap = _overlap(pair.a, pair.b)
        touches = overlap > 0
        meetings += 2 * int(touches.sum())
        met += int(touches.any(axis=0).sum() + touches.any(axis=1).sum())
        apart = pair.a[:, None, :] - pair.b[None, :, :]
        rows, columns = _matched(pair, overlap, apart, rule)
        found.append((pair, apart[rows, columns]))
    errors = np.concatenate([np.empty((0, 2), dtype=np.int64), *(apart for _, apart in found)])
    total = sum(len(pair.a) + len(pair.b) for pair in pairs)
    met_at_all = pairs or empty or np.any(segments.submitted.sum(axis=1) >= 2)
    nothing = Undefined("no_segments" if met_at_all else "no_pairs")
    unmatched: Value = Undefined("no_matches")
    return EventAgreement(
        f1=2 * len(errors) / total if total else nothing,
        onset_error_us=float(np.abs(errors[:, 0]).mean()) if len(errors) else unmatched,
        offset_error_us=float(np.abs(errors[:, 1]).mean()) if len(errors) else unmatched,
        fragmentation=meetings / met if met else unmatched,
        n_matched=len(errors),
        n_pairs=len(pairs),
        n_empty_pairs=empty,
        bias=_bias(segments.raters, found),
        chance_f1=_chance(pairs, rule, shifts, seed) if total else nothing,
    )


def _rule(iou: float | None, tolerance_us: int | None) -> _Rule:
    if iou is None and tolerance_us is None:
        raise ValueError("Say when two segments match: give iou, tolerance_us or both.")
    if iou is not None and not 0 < iou <= 1:
        raise ValueError("iou must lie above 0 and not above 1.")
    if tolerance_us is not None and tolerance_us < 0:
        raise ValueError("tolerance_us may not be negative.")
    return _Rule(iou, tolerance_us)


def _pairs(segments: Segments) -> Iterator[_Pair]:
    """The segments of every two raters who submitted a recording, label by label."""
    spans = np.stack([segments.start_us, segments.end_us], axis=1)
    key = np.stack([segments.recording, segments.label, segments.rater], axis=1)
    groups: dict[tuple[int, int, int], list[int]] = {}
    for row, (recording, kind, rater) in enumerate(key.tolist()):
        groups.setdefault((recording, kind, rater), []).append(row)
    for recording, submitted in enumerate(segments.submitted):
        raters = np.flatnonzero(submitted).tolist()
        length = int(segments.duration_us[recording])
        for kind in range(len(segments.labels)):
            of = {rater: spans[groups.get((recording, kind, rater), [])] for rater in raters}
            for first, second in combinations(raters, 2):
                yield _Pair(first, second, of[first], of[second], length)


def _overlap(a: Spans, b: Spans) -> Int64:
    """Shared time of every two segments, shape (len(a), len(b)); 0 where they do not meet."""
    start = np.maximum(a[:, None, 0], b[None, :, 0])
    end = np.minimum(a[:, None, 1], b[None, :, 1])
    return np.asarray(np.maximum(end - start, 0))


def _matched(
    pair: _Pair, overlap: Int64, apart: Int64, rule: _Rule
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of matched segments: most matches first, best fit among those.

    apart: time between the beginnings and between the ends, shape (len(a), len(b), 2).
    """
    union = np.diff(pair.a, axis=1) + np.diff(pair.b, axis=1).T - overlap
    fit = overlap / union
    allowed = np.ones(fit.shape, dtype=bool)
    if rule.iou is not None:
        allowed &= fit >= rule.iou
    if rule.tolerance_us is not None:
        allowed &= np.all(np.abs(apart) <= rule.tolerance_us, axis=2)
    if allowed.sum(axis=0).max() <= 1 and allowed.sum(axis=1).max() <= 1:
        rows, columns = np.nonzero(allowed)
        return rows, columns
    from scipy.optimize import linear_sum_assignment

    # A match is worth 1; all fits together are worth less than one match. Of equal fits the
    # earlier is taken, so that it does not matter which rater is called the first.
    middle = pair.a.sum(axis=1)[:, None] + pair.b.sum(axis=1)
    early = _TIE * (1 - middle / (4 * pair.length_us))
    worth = allowed * (1 + (fit + early) / (min(fit.shape) + 1))
    rows, columns = linear_sum_assignment(worth, maximize=True)
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def _bias(
    raters: tuple[Hashable, ...], found: list[tuple[_Pair, Spans]]
) -> Mapping[Hashable, BoundaryBias]:
    """Own minus other's boundaries, over all matches that a rater takes part in."""
    total, matches = np.zeros((len(raters), 2)), np.zeros(len(raters), dtype=np.int64)
    for pair, apart in found:
        total[pair.first] += apart.sum(axis=0)
        total[pair.second] -= apart.sum(axis=0)
        matches[[pair.first, pair.second]] += len(apart)
    unmatched = BoundaryBias(Undefined("no_matches"), Undefined("no_matches"), 0)
    return {
        who: BoundaryBias(
            onset_us=float(total[index, 0] / matches[index]),
            offset_us=float(total[index, 1] / matches[index]),
            n_matched=int(matches[index]),
        )
        if matches[index]
        else unmatched
        for index, who in enumerate(raters)
    }


def _chance(pairs: list[_Pair], rule: _Rule, shifts: int, seed: int) -> Value:
    """Mean F1 after moving the second rater's segments round each recording by a random time."""
    if not shifts:
        return Undefined("not_asked")
    rng = np.random.default_rng(seed)
    total = sum(len(pair.a) + len(pair.b) for pair in pairs)
    matches = 0
    for pair in pairs:
        if not len(pair.a) or not len(pair.b):
            continue
        for shift in rng.integers(0, pair.length_us, size=shifts):
            overlap, apart = _on_circle(pair, int(shift))
            matches += len(_matched(pair, overlap, apart, rule)[0])
    return 2 * matches / (shifts * total)


def _on_circle(pair: _Pair, shift: int) -> tuple[Int64, Int64]:
    """Shared time and distances of boundaries after the shift, on a circle of the length."""
    moved = (pair.b[:, :1] + shift) % pair.length_us + np.array([0, 1]) * np.diff(pair.b, axis=1)
    overlap = _overlap(pair.a, moved) + _overlap(pair.a, moved - pair.length_us)
    way = np.abs(pair.a[:, None, :] - moved[None, :, :]) % pair.length_us
    return overlap, np.minimum(way, pair.length_us - way)

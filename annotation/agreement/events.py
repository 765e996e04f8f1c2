"""Agreement on events: do raters mark the same segments, and how exactly?

Two raters' segments are matched one to one so that as many as possible match, and among those
matchings the best-fitting one is taken (Kuhn-Munkres). Taking the best pair first instead would
lose matches. The result does not depend on which rater is called the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Segments

Spans = npt.NDArray[np.int64]  # shape (n, 2): start and end in microseconds


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
    """

    f1: Value
    onset_error_us: Value
    offset_error_us: Value
    fragmentation: Value
    n_matched: int
    n_pairs: int
    n_empty_pairs: int


def event_agreement(
    segments: Segments,
    *,
    iou: float | None = 0.5,
    tolerance_us: int | None = None,
    label: str | None = None,
) -> EventAgreement:
    """Symmetric event F1 of several raters with the errors of matched boundaries.

    iou:          two segments can match if their intersection over union is at least this.
    tolerance_us: they can match if beginnings and ends differ by at most this. With both given,
                  both must hold; None switches one off.
    label:        one label; all of them (each matched with its own kind) if left out.
    Raises ValueError if both are None or out of range, and for an unknown label.
    """
    if iou is None and tolerance_us is None:
        raise ValueError("Say when two segments match: give iou, tolerance_us or both.")
    if iou is not None and not 0 < iou <= 1:
        raise ValueError("iou must lie above 0 and not above 1.")
    if tolerance_us is not None and tolerance_us < 0:
        raise ValueError("tolerance_us may not be negative.")
    if label is not None and label not in segments.labels:
        raise ValueError(f"The label {label!r} is not among the labels.")
    pairs, empty, total, met, meetings = 0, 0, 0, 0, 0
    apart: list[Spans] = []
    for a, b in _pairs(segments, label):
        if not len(a) and not len(b):
            empty += 1
            continue
        pairs += 1
        total += len(a) + len(b)
        if not len(a) or not len(b):
            continue
        overlap = _overlap(a, b)
        touches = overlap > 0
        meetings += 2 * int(touches.sum())
        met += int(touches.any(axis=0).sum() + touches.any(axis=1).sum())
        rows, columns = _matched(a, b, overlap, iou, tolerance_us)
        apart.append(np.abs(a[rows] - b[columns]))
    errors = np.concatenate(apart) if apart else np.empty((0, 2))
    nothing = Undefined("no_segments" if pairs + empty else "no_pairs")
    unmatched: Value = Undefined("no_matches")
    return EventAgreement(
        f1=2 * len(errors) / total if total else nothing,
        onset_error_us=float(errors[:, 0].mean()) if len(errors) else unmatched,
        offset_error_us=float(errors[:, 1].mean()) if len(errors) else unmatched,
        fragmentation=meetings / met if met else unmatched,
        n_matched=len(errors),
        n_pairs=pairs,
        n_empty_pairs=empty,
    )


def _pairs(segments: Segments, label: str | None) -> Iterator[tuple[Spans, Spans]]:
    """The segments of every two raters who submitted a recording, label by label."""
    spans = np.stack([segments.start_us, segments.end_us], axis=1)
    chosen = range(len(segments.labels)) if label is None else [segments.labels.index(label)]
    key = np.stack([segments.recording, segments.label, segments.rater], axis=1)
    groups: dict[tuple[int, int, int], list[int]] = {}
    for row, (recording, kind, rater) in enumerate(key.tolist()):
        groups.setdefault((recording, kind, rater), []).append(row)
    for recording, submitted in enumerate(segments.submitted):
        raters = np.flatnonzero(submitted).tolist()
        for kind in chosen:
            of = [spans[groups.get((recording, kind, rater), [])] for rater in raters]
            yield from combinations(of, 2)


def _overlap(a: Spans, b: Spans) -> Spans:
    """Shared time of every two segments, shape (len(a), len(b)); 0 where they do not meet."""
    start = np.maximum(a[:, None, 0], b[None, :, 0])
    end = np.minimum(a[:, None, 1], b[None, :, 1])
    return np.asarray(np.maximum(end - start, 0))


def _matched(
    a: Spans, b: Spans, overlap: Spans, iou: float | None, tolerance_us: int | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of matched segments: most matches first, best fit among those."""
    from scipy.optimize import linear_sum_assignment

    union = np.diff(a, axis=1) + np.diff(b, axis=1).T - overlap
    fit = overlap / union
    allowed = np.ones(fit.shape, dtype=bool)
    if iou is not None:
        allowed &= fit >= iou
    if tolerance_us is not None:
        allowed &= np.all(np.abs(a[:, None, :] - b[None, :, :]) <= tolerance_us, axis=2)
    # A match is worth 1; all fits together are worth less than one match.
    worth = allowed * (1 + fit / (min(fit.shape) + 1))
    rows, columns = linear_sum_assignment(worth, maximize=True)
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]

"""Krippendorff's unitizing alphas: agreement on where segments lie and what they are.

Source: K. Krippendorff, Y. Mathet, S. Bouvry, A. Widloecher 2016, On the reliability of unitizing
textual continua, Quality & Quantity 50; Content Analysis, 4th ed. 2019, ch. 12.4. For cu-alpha the
pairwise form is used, which gives the published .724 (the union form gives .7256).

Our extension, marked as such: recordings are pooled by adding their coincidences, and a recording
counts with the raters who submitted it.

These coefficients mix squared lengths (of segments) with lengths (of gaps), so they depend on
the tick, and they fall when a segment is cut in two. On long recordings u-alpha comes close to
alpha over time, which has neither weakness: judge by that one, report these beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.agreement.results import Undefined, Value
from annotation.agreement.segments import Segments

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnitizingAlpha:
    """`u`: segments, labels and gaps; `bar_u`: marked or not, whatever the label; `cu`: labels
    where both raters marked; `ku`: each label where both marked. Each a float or `Undefined`.

    `coverage`           share of all time that enters `cu`.
    `coverage_by_label`  share of a label's time that enters its `ku`.
    `tick_us`            the tick that `u` and `bar_u` depend on.
    """

    u: Value
    bar_u: Value
    cu: Value
    ku: Mapping[str, Value]
    coverage: Value
    coverage_by_label: Mapping[str, Value]
    tick_us: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Lengths in ticks; index 0 is the gap. o: coincidences; s, s_both: sums of squares."""

    o: Float64
    s: Float64
    s_both: Float64


def u_alpha(segments: Segments, label: str | None = None) -> UnitizingAlpha:
    """The four unitizing alphas of all labels together, or of one label against all else.

    Every row is a unit of its own, also where two rows of the same label touch (see
    `Segments.merged`); rows of one rater and label that overlap are one. Raises ValueError if a
    rater marked two labels at the same time: ask for one label at a time, or for alpha over time;
    and for an unknown label.
    """
    if label is not None:
        segments = segments.only_label(label)
    segments = segments.merged(gap_us=-1)
    sums = _sums(segments)
    total = float(sums.o.sum())
    if total <= 0:
        missing = Undefined("no_pairs")
        nothing: dict[str, Value] = dict.fromkeys(segments.labels, missing)
        return UnitizingAlpha(
            missing, missing, missing, nothing, missing, nothing, segments.tick_us
        )
    length = sums.o.sum(axis=1)
    expected = total * (np.outer(length, length) - np.diag(sums.s)) / (total**2 - sums.s.sum())
    labelled = sums.o[1:, 1:]
    by_label = {
        label: _over(float(labelled[i].sum()), float(length[i + 1]), "absent")
        for i, label in enumerate(segments.labels)
    }
    cu, ku = _labels_alone(segments, labelled, sums.s_both)
    observed_apart, expected_apart = _apart(sums.o), _apart(expected)
    return UnitizingAlpha(
        u=_less_one(observed_apart.sum(), expected_apart.sum()),
        bar_u=_less_one(observed_apart[0], expected_apart[0]),
        cu=cu,
        ku=ku,
        coverage=float(labelled.sum()) / total,
        coverage_by_label=by_label,
        tick_us=segments.tick_us,
    )


def _sums(segments: Segments) -> _Sums:
    """Coincidences and sums of squared lengths over recordings that two raters submitted."""
    runs = segments.runs()
    counts = runs.counts().astype(np.float64)
    raters = counts.sum(axis=1)
    paired = raters >= 2
    weight = np.where(paired, runs.weight / np.where(paired, raters - 1, 1), 0.0)
    o = np.einsum("r,rc,rk->ck", weight, counts, counts)
    o -= np.diag(weight @ counts)

    origin = np.concatenate([[0], np.cumsum(segments.duration_us)])
    cuts = np.concatenate([[0], np.cumsum(runs.duration_us)])
    marked = np.zeros((len(cuts), len(runs.raters)))
    marked[1:] = np.cumsum((runs.codes > 0) * runs.weight[:, None], axis=0)
    start = np.searchsorted(cuts, origin[segments.recording] + segments.start_us)
    end = np.searchsorted(cuts, origin[segments.recording] + segments.end_us)
    shared = marked[end] - marked[start]
    shared[np.arange(len(shared)), segments.rater] = 0.0
    roster = segments.submitted.sum(axis=1)[segments.recording]
    counted = (roster >= 2).astype(np.float64)
    length = (segments.end_us - segments.start_us) / segments.tick_us
    values = len(segments.labels) + 1
    s = np.bincount(segments.label + 1, weights=counted * length**2, minlength=values)
    s[0] = o[0].sum()
    both = counted * (shared**2).sum(axis=1) / np.maximum(roster - 1, 1)
    s_both = np.bincount(segments.label, weights=both, minlength=values - 1)
    return _Sums(o, np.asarray(s, dtype=np.float64), np.asarray(s_both, dtype=np.float64))


def _labels_alone(
    segments: Segments, labelled: Float64, s_both: Float64
) -> tuple[Value, dict[str, Value]]:
    """cu-alpha and the (k)u-alphas from the time that both raters of a pair marked."""
    total = float(labelled.sum())
    if total <= 0:
        return Undefined("no_pairs"), dict.fromkeys(segments.labels, Undefined("no_pairs"))
    length = labelled.sum(axis=1)
    free = total - s_both.sum() / total
    if free <= 1e-12 * total:
        reason = Undefined("no_variation")
        return reason, dict.fromkeys(segments.labels, reason)
    expected = (np.outer(length, length) - np.diag(s_both)) / free
    observed_apart, expected_apart = _apart(labelled), _apart(expected)
    ku: dict[str, Value] = {}
    for i, label in enumerate(segments.labels):
        if length[i] <= 0:
            ku[label] = Undefined("absent")
            continue
        of_label = float(expected[i].sum())
        ku[label] = _less_one(of_label / length[i] * observed_apart[i], expected_apart[i])
    return _less_one(observed_apart.sum(), expected_apart.sum()), ku


def _apart(table: Float64) -> Float64:
    """Each row's sum without the diagonal.

    Summed instead of subtracted from the whole: what nobody disagrees on is then exactly 0, and
    not what rounding leaves of billions of ticks.
    """
    return np.asarray(np.where(np.eye(len(table), dtype=bool), 0.0, table).sum(axis=1))


def _less_one(observed: float, expected: float) -> Value:
    """1 - observed / expected disagreement."""
    if expected <= 0:
        return Undefined("no_variation")
    return float(1 - observed / expected)


def _over(part: float, whole: float, reason: str) -> Value:
    return part / whole if whole > 0 else Undefined(reason)

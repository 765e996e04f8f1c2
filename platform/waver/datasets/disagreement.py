"""Who disagrees, where, and which labels are mistaken for each other: sums per participant.

Nothing here looks at the database: measured labels in, numbers out. Everything is a sum over a
participant's recordings, so that a picture without somebody is a subtraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement import Runs, Segments, sufficient
from annotation.agreement.statistics import SufficientStatistics
from waver.datasets.measures import Measured

Float64 = npt.NDArray[np.float64]
_ALL = "any label"  # what every span is called where rater and label together stand for a rater


@dataclass(frozen=True, slots=True)
class Apart:
    """How far apart the raters of one recording are.

    `share`        of rater pairs that say different things, 0 to 1; over time for segments.
    `amount`       the share, for segments times the rated length in microseconds.
    `disputed_us`  time in which not all said the same; None for labels of the whole recording.
    """

    recording: str
    participant: str
    raters: int
    share: float
    amount: float
    disputed_us: int | None


def recordings(measured: Measured) -> list[Apart]:
    """Give every recording that two or more raters labelled."""
    data = measured.data
    if isinstance(data, Runs):
        names, place = data.recordings, data.recording
        weight = data.duration_us.astype(np.float64)
    else:
        names, place = data.units, np.arange(len(data.units), dtype=np.int32)
        weight = np.ones(len(data.units))
    counts = data.counts()
    raters = counts.sum(axis=1)
    paired = raters >= 2
    pairs = np.where(paired, raters * (raters - 1), 1)
    apart = np.where(paired, 1 - (counts * (counts - 1)).sum(axis=1) / pairs, 0.0)

    def per_recording(values: Float64) -> Float64:
        return np.asarray(np.bincount(place, weights=values, minlength=len(names)), dtype=float)

    rated = per_recording(weight * paired)
    amount = per_recording(weight * apart)
    disputed = per_recording(weight * (apart > 0))
    return [
        Apart(
            recording=str(name),
            participant=measured.participant_of[str(name)],
            raters=len(measured.roster[str(name)]),
            share=float(amount[n] / rated[n]),
            amount=float(amount[n]),
            disputed_us=int(disputed[n]) if isinstance(data, Runs) else None,
        )
        for n, name in enumerate(names)
        if rated[n] > 0
    ]


def by_raters(measured: Measured) -> dict[str, dict[str, Any]]:
    """Give the statistics of every two raters, and of all but one, for each participant.

    participant -> {"pairs": {"first second": [recordings both labelled, *sums]},
    "without": {"rater": sums}}; the sums are a row of `SufficientStatistics`.
    """
    found: dict[str, dict[str, Any]] = {}
    shared = _shared(measured)
    for first, second in combinations(measured.raters, 2):
        stats = sufficient(measured.data.only_raters((first, second)))
        for participant, row in _rows(stats):
            both = shared[participant, first, second]
            if both:
                parts = found.setdefault(participant, {"pairs": {}, "without": {}})
                parts["pairs"][f"{first} {second}"] = [both, *row]
    for gone in measured.raters:
        stats = sufficient(measured.data.only_raters(set(measured.raters) - {gone}))
        for participant, row in _rows(stats):
            parts = found.setdefault(participant, {"pairs": {}, "without": {}})
            parts["without"][gone] = row
    return found


def of_answers(measured: Measured) -> dict[str, list[list[float]]]:
    """Give participant -> coincidences of the answers, in the order of the label's values.

    The cell (c, k) counts answers c that stand beside an answer k of another rater, each answer
    divided among the others (Krippendorff's o_ck).
    """
    size = len(measured.label.values)
    upper = np.triu_indices(size)
    found = {}
    for participant, row in _rows(measured.statistics):
        matrix = np.zeros((size, size))
        matrix[upper] = row[: len(upper[0])]
        matrix += np.triu(matrix, 1).T
        if matrix.any():
            found[participant] = matrix.tolist()
    return found


def of_segments(parts: Sequence[Measured]) -> dict[str, list[list[float]]]:
    """Give participant -> coincidences in seconds of unmarked time and all labels of a pass.

    The order is the gap, then the labels as given. Who marks two labels at once counts for each
    by half. Raises ValueError for parts of different passes, or none.
    """
    if len({part.label.pass_id for part in parts}) != 1:
        raise ValueError("Confusion over time is between labels of one pass.")
    segments = [part.segments.on_grid() for part in parts if part.segments is not None]
    labels = [part.label.source for part in parts]
    names, raters = segments[0].recordings, segments[0].raters
    runs = _every_label(parts[0].roster, segments, labels).runs(_ALL)
    column = {name: n for n, name in enumerate(runs.raters)}
    marked = np.zeros((len(runs.codes), len(raters), len(labels)), dtype=bool)
    present = np.zeros((len(runs.codes), len(raters)), dtype=bool)
    for r, rater in enumerate(raters):
        for n, label in enumerate(labels):
            codes = runs.codes[:, column[rater, label]]
            marked[:, r, n], present[:, r] = codes == 1, codes >= 0
    cells = _coincidences(marked, present) * (runs.duration_us / 1e6)[:, None, None]
    found: dict[str, Float64] = {}
    starts = np.flatnonzero(np.diff(runs.recording, prepend=-1))
    for start, matrix in zip(starts, np.add.reduceat(cells, starts), strict=True):
        participant = parts[0].participant_of[str(names[runs.recording[start]])]
        found[participant] = found.get(participant, np.zeros_like(matrix)) + matrix
    return {participant: matrix.tolist() for participant, matrix in found.items() if matrix.any()}


def _every_label(
    roster: Mapping[str, Sequence[str]], segments: Sequence[Segments], labels: Sequence[str]
) -> Segments:
    """All labels on one timeline: each rater's view of each label stands for a rater of its own."""
    rows = [
        (one.recordings[one.recording[n]], (one.raters[one.rater[n]], label), start, end)
        for one, label in zip(segments, labels, strict=True)
        for n, (start, end) in enumerate(
            zip(one.start_us.tolist(), one.end_us.tolist(), strict=True)
        )
    ]
    one = segments[0]
    everybody: dict[Hashable, list[Hashable]] = {
        name: [(rater, label) for rater in roster[str(name)] for label in labels]
        for name in one.recordings
    }
    return Segments.from_rows(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        [_ALL] * len(rows),
        roster=everybody,
        durations=dict(zip(one.recordings, one.duration_us.tolist(), strict=True)),
        tick_us=one.tick_us,
        labels=[_ALL],
    )


def _coincidences(marked: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_]) -> Float64:
    """o_ck of each run; `marked` (runs, raters, labels), the result (runs, 1 + labels squared)."""
    several = np.maximum(marked.sum(axis=2, keepdims=True), 1)
    unmarked = present & ~marked.any(axis=2)
    said = np.concatenate([unmarked[:, :, None], marked / several], axis=2)
    counts = said.sum(axis=1)
    own = np.einsum("urc,urk->uck", said, said)
    others = present.sum(axis=1) - 1
    pairs = (counts[:, :, None] * counts[:, None, :] - own) / np.maximum(others, 1)[:, None, None]
    return np.where(others[:, None, None] > 0, pairs, 0.0)


def _rows(stats: SufficientStatistics) -> list[tuple[str, list[float]]]:
    return [
        (str(cluster), row)
        for cluster, row in zip(stats.clusters, stats.table.tolist(), strict=True)
    ]


def _shared(measured: Measured) -> Counter[tuple[str, str, str]]:
    """How many recordings of each participant every two raters both submitted."""
    return Counter(
        (measured.participant_of[recording], *pair)
        for recording, raters in measured.roster.items()
        for pair in combinations(sorted(raters), 2)
    )

"""Alpha with its interval, beside one call of the krippendorff package per resample; Dawid and
Skene's model beside crowd-kit's."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measure import Pairs, cpu_timed, in_child, paired
from bench.rivals import ABSENT, Rivals
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import megabytes, seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 20261120
LARGEST_DIFFERENCE = 1e-9
_TICK_US = 33_333
_SCALED = (
    "processor time. Ours: from long columns in memory (clips: arrays of whole numbers; segments: "
    "lists of names and times) through Ratings/Segments and sufficient() to the BCa interval. The "
    "rival: one alpha() times 1,000, from the form that it takes; drawing its resamples, building "
    "their tables and expanding segments to frames are not counted"
)
_POINT = (
    "processor time. Ours: from Ratings or Segments in memory through sufficient() (the sums of "
    "every cluster, which all coefficients and intervals need) to alpha. The rival: from the form "
    "that it takes, in memory, to alpha. Making either form is not counted; short calls are "
    "repeated and divided"
)
_ITERATIONS = 100
_FITTED = (
    f"processor time, {_ITERATIONS} iterations of EM each. Ours: from long columns in memory "
    "through Ratings to posteriors. The rival: DawidSkene.fit() from a data frame in memory, in a "
    "process of its own environment"
)
_STOPPED = (
    "as the line above, but each with its own rule for when to stop: ours with a change of 1e-9 "
    "per rating of the log-likelihood, crowd-kit's with one of 1e-5"
)
_LARGE = "each side in a process of its own, once; the rival from counts, its faster form"


def measure() -> Iterator[Line]:
    """Clips, then segments, then millions of clips."""
    yield from _rows("2,700 clips x 10 raters x 5", clips(2700, 10, 5, 140), 100, 3, calls=20)
    yield from _rows("10.6 h x 3 raters x 4,900 segments", segments(), 5000, 100, calls=1)
    yield from _dawid_skene_rows("2,700 clips x 10 raters x 5")
    yield from _large_rows("2.4 M clips x 10 raters x 8")


@dataclass(frozen=True)
class Case:
    """One data set for both sides.

    matrix: the rival's usual input, float64 of shape (raters, units or ticks). counts: the input
    that spares it the counting, int64 of shape (units or ticks, values).
    """

    interval: Callable[[], float]
    point: Callable[[], float]
    matrix: NDArray[np.float64]
    counts: NDArray[np.int64]


def clips(units: int, raters: int, values: int, clusters: int) -> Case:
    """Ratings of clips: each rater says the truth in seven of ten cases, else anything."""
    import numpy as np

    from annotation.agreement import Ratings, coefficients, interval, sufficient

    rng = np.random.default_rng(SEED)
    given = _given(rng, units, raters, values)
    unit = np.repeat(np.arange(units, dtype=np.int32), raters)
    rater = np.tile(np.arange(raters, dtype=np.int8), units)
    cluster = np.repeat(rng.integers(0, clusters, units, dtype=np.int32), raters)

    def ratings() -> Ratings:
        return Ratings.from_long(
            unit, rater, given.ravel(), scale="nominal", values=range(values), cluster=cluster
        )

    def with_interval() -> float:
        stats = sufficient(ratings())
        return _estimate(interval(stats, "alpha", resamples=RESAMPLES, seed=SEED))

    held = ratings()
    return Case(
        interval=with_interval,
        point=lambda: _estimate(coefficients(sufficient(held)).alpha),
        matrix=np.ascontiguousarray(given.T, dtype=np.float64),
        counts=counts_per_unit(given, values),
    )


def segments() -> Case:
    """10.6 hours in 1,427 recordings of 300 participants; three raters mark what is planted.

    Of the planted stretches each rater marks about seven of eight, with edges off by some tenths
    of a second: about 4,900 segments on a grid of 30 ticks a second.
    """
    import numpy as np

    from annotation.agreement import Segments, coefficients, interval, sufficient

    rng = np.random.default_rng(SEED)
    ticks = rng.integers(450, 1155, 1427)
    recording, rater, start, end = _marked(rng, ticks)
    columns: tuple[list[Any], ...] = (
        [f"r{number}" for number in recording],
        [f"rater {number}" for number in rater],
        [int(tick) * _TICK_US for tick in start],
        [int(tick) * _TICK_US for tick in end],
        ["ah"] * len(recording),
    )
    names = [f"r{number}" for number in range(len(ticks))]
    clusters = {name: f"p{rng.integers(300)}" for name in names}
    raters = [f"rater {number}" for number in range(3)]

    def made() -> Segments:
        return Segments.from_rows(
            *columns,
            roster=dict.fromkeys(names, raters),
            durations={name: int(n) * _TICK_US for name, n in zip(names, ticks, strict=True)},
            tick_us=_TICK_US,
            clusters=clusters,
        )

    def with_interval() -> float:
        stats = sufficient(made().runs("ah"))
        return _estimate(interval(stats, "alpha", resamples=RESAMPLES, seed=SEED))

    held = made()
    matrix = _each_tick(ticks, recording, rater, start, end)
    return Case(
        interval=with_interval,
        point=lambda: _estimate(coefficients(sufficient(held.runs("ah"))).alpha),
        matrix=matrix,
        counts=counts_per_unit(matrix.T, 2),
    )


def _rows(case: str, data: Case, bound: float, point_bound: float, *, calls: int) -> Iterator[Row]:
    _check_same(data.interval(), _krippendorff(value_counts=data.counts))
    # A single call of less than a millisecond is too short for the clock of processor time.
    repeats = max(calls, 10)

    def point() -> float:
        return cpu_timed(lambda: [data.point() for _ in range(repeats)]) / repeats

    inputs: dict[str, Any] = {"reliability_data": data.matrix, "value_counts": data.counts}
    for form, given in inputs.items():
        # The bounds are against the usual input; counts are the package at its best.
        held = form == "reliability_data"
        rival = _rival({form: given}, calls)
        pairs = paired(lambda: cpu_timed(data.interval), rival, pairs=9, budget_seconds=15)
        yield _interval_row(f"{case}, {form}", pairs, bound if held else None, _SCALED)
        pairs = paired(point, rival, pairs=15, budget_seconds=10)
        yield _point_row(f"{case}, {form}", pairs, point_bound if held else None, _POINT)


def _dawid_skene_rows(case: str) -> Iterator[Line]:
    """Both fit the same ratings; the posteriors are compared before the times."""
    import numpy as np

    from annotation.agreement import Ratings, dawid_skene

    case = f"{case}: Dawid-Skene"
    if not Rivals.installed():
        yield NotMeasured(case, ABSENT)
        return
    units, raters, values = 2700, 10, 5
    columns = {
        "task": np.repeat(np.arange(units), raters),
        "worker": np.tile(np.arange(raters), units),
        "label": _given(np.random.default_rng(SEED), units, raters, values).ravel().astype(int),
    }

    def fit(**options: Any) -> Any:
        ratings = Ratings.from_long(*columns.values(), scale="nominal", values=range(values))
        return dawid_skene(ratings, **options)

    with tempfile.TemporaryDirectory() as folder, Rivals() as rivals:
        path = Path(folder) / "columns.npz"
        np.savez(path, **columns)
        versions = rivals.ask("versions")
        name = f"crowd-kit {versions['crowd-kit']} with pandas {versions['pandas']}"

        def theirs(n_iter: int, tol: float) -> dict[str, Any]:
            found: dict[str, Any] = rivals.ask(
                "dawid_skene", path=str(path), n_iter=n_iter, tol=tol
            )
            return found

        same = {"tolerance": 0.0, "max_iterations": _ITERATIONS}
        apart = np.abs(fit(**same).posterior - theirs(_ITERATIONS, -1.0)["posterior"]).max()
        if not apart <= 1e-3:
            raise RuntimeError(f"The posteriors differ by {apart}: there is nothing to compare.")
        lines = (
            (f"{_ITERATIONS} iterations", same, (_ITERATIONS, -1.0), Bound("at least", 5), _FITTED),
            ("until it stops by itself", {}, (1000, 1e-5), None, _STOPPED),
        )
        for what, ours, rule, bound, note in lines:
            pairs = paired(
                lambda ours=ours: cpu_timed(lambda: fit(**ours)),
                lambda rule=rule: float(theirs(*rule)["seconds"]),
                pairs=7,
                budget_seconds=15,
            )
            yield Row(
                case=f"{case}, {what}",
                measured=seconds(pairs.ours),
                rival=seconds(pairs.rival),
                ratio=pairs.rival_over_ours,
                bound=bound,
                note=f"{note}; {name}",
            )


def _large_rows(case: str) -> Iterator[Row]:
    """2.4 million clips: in processes of their own, because memory is part of the question."""
    ours = in_child("bench.agreement:large_ours", {})
    rival = in_child("bench.agreement:large_rival", {})
    _check_same(ours.result["alpha"], rival.result["alpha"])
    case = f"{case}, value_counts"
    note = f"{_LARGE}; {_SCALED}"
    yield _interval_row(case, _one(ours.result["interval"], rival.result["call"]), 1000, note)
    yield _point_row(case, _one(ours.result["point"], rival.result["call"]), 5, _POINT)
    yield Row(
        case=f"{case}: peak memory",
        measured=megabytes(ours.peak_bytes),
        rival=megabytes(rival.peak_bytes),
        ratio=rival.peak_bytes / ours.peak_bytes,
        bound=Bound("at most", 1000, "MB"),
        figure=ours.peak_bytes / 1e6,
        note=_LARGE,
    )


def large_ours() -> dict[str, float]:
    """Runs in a process of its own: the interval from columns, then the point estimate."""
    import numpy as np

    from annotation.agreement import Ratings, coefficients, interval, sufficient

    units, raters, values = 2_400_000, 10, 8
    rng = np.random.default_rng(SEED)
    given = _given(rng, units, raters, values)
    columns = {
        "unit": np.repeat(np.arange(units, dtype=np.int32), raters),
        "rater": np.tile(np.arange(raters, dtype=np.int8), units),
        "cluster": np.repeat(rng.integers(0, 20_000, units, dtype=np.int16), raters),
    }
    took, held = [], {}

    def whole() -> None:
        held["ratings"] = Ratings.from_long(
            columns["unit"],
            columns["rater"],
            given.ravel(),
            scale="nominal",
            values=range(values),
            cluster=columns["cluster"],
        )
        stats = sufficient(held["ratings"])
        held["alpha"] = _estimate(interval(stats, "alpha", resamples=RESAMPLES, seed=SEED))

    took.append(cpu_timed(whole))
    took.append(cpu_timed(lambda: coefficients(sufficient(held["ratings"])).alpha))
    return {"alpha": held["alpha"], "interval": took[0], "point": took[1]}


def large_rival() -> dict[str, float]:
    """Runs in a process of its own: one call of the package on the same ratings."""
    import numpy as np

    given = _given(np.random.default_rng(SEED), 2_400_000, 10, 8)
    counts = counts_per_unit(given, 8)
    del given
    found = []
    call = cpu_timed(lambda: found.append(_krippendorff(value_counts=counts)))
    return {"alpha": found[0], "call": call}


def counts_per_unit(given: NDArray[Any], values: int) -> NDArray[np.int64]:
    """How many raters gave each value to each unit; shape (units, values)."""
    import numpy as np

    return np.stack([(given == value).sum(axis=1) for value in range(values)], axis=1)


def _given(rng: np.random.Generator, units: int, raters: int, values: int) -> NDArray[np.int8]:
    import numpy as np

    truth = rng.integers(0, values, units, dtype=np.int8)
    anything = rng.integers(0, values, (units, raters), dtype=np.int8)
    given: NDArray[np.int8] = np.where(
        rng.random((units, raters), dtype=np.float32) < 0.7, truth[:, None], anything
    )
    return given


def _marked(rng: np.random.Generator, ticks: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Columns recording, rater, start, end in ticks; spans of one rater never touch."""
    import numpy as np

    rows = []
    for recording, length in enumerate(ticks):
        for slot in range(int(rng.integers(0, 1 + length // 250) if length >= 250 else 0)):
            begin = slot * 250 + int(rng.integers(20, 100))
            stop = begin + int(rng.integers(30, 120))
            for rater in range(3):
                if rng.random() < 0.875:
                    start = begin + int(rng.integers(-10, 11))
                    rows.append((recording, rater, start, stop + int(rng.integers(-10, 11))))
    return tuple(np.array(rows).T)


def _each_tick(
    ticks: NDArray[np.int64],
    recording: NDArray[np.int64],
    rater: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The rival's view of segments: which of the three marked each tick."""
    import numpy as np

    origin = np.concatenate([[0], np.cumsum(ticks)])
    marks = np.zeros((3, origin[-1]))
    spans = zip(rater, origin[recording] + start, origin[recording] + end, strict=True)
    for who, begin, stop in spans:
        marks[who, begin:stop] = 1
    return marks


def _rival(given: dict[str, Any], calls: int) -> Callable[[], float]:
    return lambda: cpu_timed(lambda: [_krippendorff(**given) for _ in range(calls)]) / calls


def _krippendorff(**given: Any) -> float:
    import krippendorff

    return float(krippendorff.alpha(**given, level_of_measurement="nominal"))


def _estimate(found: Any) -> float:
    """The number in a result; math.nan for Undefined, which no comparison accepts."""
    value = getattr(found, "estimate", found)
    return float(value) if isinstance(value, float) else math.nan


def _check_same(ours: float, theirs: float) -> None:
    """Raise RuntimeError unless both compute the same alpha: a fast wrong answer is none."""
    if not abs(ours - theirs) <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"Ours gives alpha {ours}, krippendorff {theirs}: nothing to compare.")


def _one(ours: float, rival: float) -> Pairs:
    return Pairs(((ours, rival),))


def _interval_row(case: str, pairs: Pairs, bound: float | None, note: str) -> Row:
    scaled = Pairs(tuple((own, RESAMPLES * call) for own, call in pairs.runs))
    return Row(
        case=f"{case}: alpha, 1,000 resamples",
        measured=seconds(scaled.ours),
        rival=seconds(scaled.rival),
        ratio=scaled.rival_over_ours,
        bound=None if bound is None else Bound("at least", bound),
        note=note,
    )


def _point_row(case: str, pairs: Pairs, bound: float | None, note: str) -> Row:
    return Row(
        case=f"{case}: point estimate",
        measured=seconds(pairs.ours),
        rival=seconds(pairs.rival),
        ratio=pairs.rival_over_ours,
        bound=None if bound is None else Bound("at least", bound),
        note=note,
    )


SUBJECT = Subject(
    name="agreement",
    title="Krippendorff's alpha with an interval from 1,000 resamples of participants, and the "
    "model of Dawid and Skene",
    rival="krippendorff.alpha, called once per resample: with its usual input, reliability_data "
    "(raters x units), and with counts per unit made beforehand, value_counts; crowd-kit",
    ratio="the rival's processor time, or memory, over ours; median of paired runs",
    measure=measure,
    versions=("numpy", "krippendorff", "scipy"),
)

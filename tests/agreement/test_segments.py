"""Agreement over time: runs instead of frames, gaps, missing raters, the tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import (
    Ratings,
    Segments,
    Undefined,
    coefficients,
    cross_check,
    event_agreement,
    sufficient,
)

Row = tuple[str, str, int, int, str]
TICK = 10_000


def segments(rows: list[Row], **changes: object) -> Segments:
    columns = tuple(zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    options: dict[str, object] = {
        "roster": {"one": ["a", "b", "c"], "two": ["a", "b"]},
        "durations": {"one": 60 * TICK, "two": 40 * TICK},
        "tick_us": TICK,
        "labels": ["ah", "smile"],
        "clusters": {"one": "p1", "two": "p2"},
    }
    return Segments.from_rows(*columns, **{**options, **changes})  # type: ignore[arg-type]


@st.composite
def spans(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        recording, length = draw(st.sampled_from([("one", 60), ("two", 40)]))
        rater = draw(st.sampled_from("abc" if recording == "one" else "ab"))
        start = draw(st.integers(0, length - 1))
        end = draw(st.integers(start + 1, length))
        label = draw(st.sampled_from(["ah", "smile"]))
        rows.append((recording, rater, start * TICK, end * TICK, label))
    return rows


def tick_by_tick(rows: list[Row], label: str) -> Ratings:
    """The slow way: every tick of every recording as a unit of its own."""
    unit, rater, value, cluster = [], [], [], []
    for recording, length, roster in (("one", 60, "abc"), ("two", 40, "ab")):
        for who in roster:
            marked = np.zeros(length, dtype=bool)
            for r, w, start, end, name in rows:
                if (r, w, name) == (recording, who, label):
                    marked[start // TICK : end // TICK] = True
            unit += [(recording, tick) for tick in range(length)]
            rater += [who] * length
            value += np.where(marked, label, "none").tolist()
            cluster += [{"one": "p1", "two": "p2"}[recording]] * length
    return Ratings.from_long(
        unit, rater, value, scale="nominal", values=["none", label], cluster=cluster
    )


@given(rows=spans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_runs_give_what_every_tick_would(rows: list[Row]) -> None:
    runs = segments(rows).runs("ah")
    fast, slow = sufficient(runs), sufficient(tick_by_tick(rows, "ah"))
    assert fast.clusters == slow.clusters
    np.testing.assert_allclose(fast.table, slow.table, rtol=0, atol=1e-9)
    ours, theirs = coefficients(fast).alpha, cross_check(runs)
    if isinstance(ours, Undefined):
        assert ours == theirs == Undefined("no_variation")
    else:
        assert abs(ours - theirs) < 1e-9


@given(rows=spans(), which=st.integers(0, 7), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_cutting_a_segment_in_two_changes_nothing(
    rows: list[Row], which: int, share: float
) -> None:
    if not rows:
        return
    recording, rater, start, end, label = rows[which % len(rows)]
    middle = start + round(share * (end - start) / TICK) * TICK
    halves = [(start, middle), (middle, end)]
    cut = [row for i, row in enumerate(rows) if i != which % len(rows)]
    cut += [(recording, rater, a, b, label) for a, b in halves if a < b]
    before, after = (sufficient(segments(x).runs(label)) for x in (rows, cut))
    np.testing.assert_allclose(before.table, after.table, rtol=0, atol=1e-9)


def test_nothing_marked_is_a_rating_and_not_submitted_is_missing() -> None:
    row: Row = ("two", "a", 0, 20 * TICK, "ah")
    both = coefficients(sufficient(segments([row]).runs("ah")))
    assert both.percent == pytest.approx((60 + 20) / 100)
    assert both.n_units == 100
    alone = segments([row], roster={"one": ["a", "b", "c"], "two": ["a"]})
    result = coefficients(sufficient(alone.runs("ah")))
    assert result.n_units == 60
    assert result.n_clusters == 1
    assert result.alpha == Undefined("no_variation")


def test_all_labels_at_once_need_labels_that_exclude_each_other() -> None:
    rows: list[Row] = [
        ("one", "a", 0, 10 * TICK, "ah"),
        ("one", "a", 10 * TICK, 20 * TICK, "smile"),
        ("one", "b", 0, 20 * TICK, "ah"),
    ]
    runs = segments(rows).runs()
    assert runs.values == ("none", "ah", "smile")
    assert runs.duration_us[runs.recording == 0].tolist() == [10 * TICK, 10 * TICK, 40 * TICK]
    assert runs.codes[:2, :3].tolist() == [[1, 1, 0], [2, 1, 0]]
    with pytest.raises(ValueError, match="marked two labels at the same time in recording 'one'"):
        segments([*rows, ("one", "a", 5 * TICK, 6 * TICK, "smile")]).runs()


def test_times_off_the_grid_count_exactly_and_are_checked_on_the_grid() -> None:
    loose = segments(
        [("one", "a", 1, 10 * TICK + 1, "ah"), ("one", "b", 5 * TICK - 1, 12 * TICK, "ah")]
    )
    exact = loose.runs("ah")
    assert exact.weight.sum() == pytest.approx(100)
    assert cross_check(exact) == Undefined("off_grid")
    snapped = loose.on_grid().runs("ah")
    ours = coefficients(sufficient(snapped)).alpha
    assert cross_check(snapped) == pytest.approx(ours, abs=1e-9)
    assert ours == pytest.approx(coefficients(sufficient(exact)).alpha, abs=1e-3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("one", "z", 0, TICK, "ah"), "without being on its roster"),
        (("two", "c", 0, TICK, "ah"), "without being on its roster"),
        (("one", "a", TICK, TICK, "ah"), "does not lie in recording 'one'"),
        (("one", "a", -1, TICK, "ah"), "does not lie in recording 'one'"),
        (("two", "a", 0, 41 * TICK, "ah"), "which lasts 400000"),
        (("one", "a", 0, TICK, "frown"), "'frown' is not one of the codebook's labels"),
    ],
)
def test_impossible_segments_are_refused(row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segments([row])


def test_without_a_codebook_a_label_that_nobody_marked_is_a_gap_all_along() -> None:
    nobody = segments([], labels=None)
    runs = nobody.runs("ah")
    assert runs.values == ("none", "ah")
    assert np.array_equal(runs.codes, [[0, 0, 0], [0, 0, -1]])
    assert coefficients(sufficient(runs)).alpha == Undefined("no_variation")
    some = segments([("one", "a", 0, TICK, "smile")], labels=None)
    assert coefficients(sufficient(some.runs("ah"))).alpha == Undefined("no_variation")
    assert event_agreement(some, label="ah").f1 == Undefined("no_segments")
    for name in ("none", " "):
        with pytest.raises(ValueError, match="not among the labels: smile"):
            some.runs(name)


def test_statistics_of_many_tables_are_summed() -> None:
    parts = [
        sufficient(segments([("one", "a", 0, n * TICK, "ah")]).runs("ah")) for n in range(1, 4)
    ]
    assert sum(parts) == parts[0] + parts[1] + parts[2]

"""Columns of any kind give the same figures, and what cannot be is said in a sentence."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from annotation.agreement import (
    Interval,
    Ratings,
    Segments,
    SufficientStatistics,
    Undefined,
    adjudication_queue,
    coefficients,
    compare,
    event_agreement,
    interval,
    majority,
    sufficient,
    u_alpha,
    vote_distribution,
)

UNIT = ["u1", "u1", "u2", "u2", "u3", "u3", "u3"]
RATER = ["a", "b", "a", "b", "a", "b", "c"]
VALUE = [1, 1, 2, 3, 2, 2, None]


def made(unit: Any, rater: Any, value: Any, **options: Any) -> Any:
    ratings = Ratings.from_long(
        unit, rater, value, **{"scale": "ordinal", "values": [1, 2, 3], **options}
    )
    return coefficients(sufficient(ratings)).alpha


def test_lists_arrays_series_and_generators_are_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    expected = made(UNIT, RATER, VALUE)
    assert isinstance(expected, float)
    floats = [float("nan") if value is None else float(value) for value in VALUE]
    frame = pandas.DataFrame({"unit": UNIT, "rater": RATER, "value": VALUE})
    nullable = frame.astype({"value": "Int64", "unit": "category", "rater": "string"})
    for unit, rater, value in (
        (np.array(UNIT), np.array(RATER, dtype=object), np.array(floats)),
        (iter(UNIT), (name for name in RATER), iter(VALUE)),
        (frame["unit"], frame["rater"], frame["value"]),
        (nullable["unit"], nullable["rater"], nullable["value"]),
        ([("p", name) for name in UNIT], range(7), VALUE),
    ):
        again = made(unit, RATER if isinstance(rater, range) else rater, value)
        assert again == pytest.approx(expected, abs=1e-15)
    text = made(UNIT, RATER, ["x" if v is None else str(v) for v in VALUE], values="123x")
    assert isinstance(text, float)


def test_values_are_numbers_whatever_their_type_and_unused_ones_count() -> None:
    decimals = made(
        UNIT, RATER, [v and v / 2 for v in VALUE], scale="interval", values=[1, 0.5, 1.5]
    )
    whole = made(UNIT, RATER, VALUE, scale="interval", values=np.array([1, 2, 3]))
    assert decimals == pytest.approx(whole)
    assert made(UNIT, RATER, VALUE, scale="ratio", values=np.array([0.0, 1.0, 2.0, 3.0])) > 0
    more = Ratings.from_long(UNIT, RATER, VALUE, scale="nominal", values=range(10))
    few = Ratings.from_long(UNIT, RATER, VALUE, scale="nominal", values=[1, 2, 3])
    one, two = (coefficients(sufficient(data)) for data in (few, more))
    assert one.alpha == pytest.approx(two.alpha)
    assert one.gwet != pytest.approx(two.gwet)
    assert two.specific[9] == Undefined("absent")


def test_nothing_at_all_is_undefined_everywhere() -> None:
    empty = Ratings.from_long([], [], [], scale="nominal", values=["n", "y"])
    stats = sufficient(empty)
    found = coefficients(stats)
    for field in ("alpha", "fleiss", "gwet", "pabak", "percent"):
        assert getattr(found, field) == Undefined("no_pairs")
        assert interval(stats, field) == Undefined("no_pairs")
    assert found.n_units == 0
    assert (stats + stats) - stats == stats
    assert majority(empty) == {}
    assert vote_distribution(empty).shares.shape == (0, 2)
    assert adjudication_queue(empty) == ()


def test_statistics_survive_being_stored() -> None:
    data = Ratings.from_long(
        UNIT,
        RATER,
        VALUE,
        scale="ordinal",
        values=np.array([1, 2, 3]),
        cluster=[("site", name) for name in UNIT],
    )
    stats = sufficient(data)
    assert SufficientStatistics.from_dict(json.loads(json.dumps(stats.to_dict()))) == stats
    assert pickle.loads(pickle.dumps(stats)) == stats
    assert stats != sufficient(data.only_raters("ab")).only([("site", "u1")])


def test_more_than_there_is_cannot_be_taken_out() -> None:
    one = sufficient(Ratings.from_long(UNIT, RATER, VALUE, scale="ordinal", values=[1, 2, 3]))
    with pytest.raises(ValueError, match="more would be taken out than there is"):
        one - (one + one)
    assert one - one == one.only([])


def test_the_parts_of_a_cluster_leave_nothing_behind() -> None:
    """Times off the grid of ticks make sums that rounding never brings to exactly zero."""
    parts = [
        sufficient(
            Segments.from_rows(
                [name, name],
                ["a", "b"],
                [n * 7, n * 11],
                [1000 * n + 13, 999 * n + 17],
                ["x", "x"],
                roster={name: "ab"},
                durations={name: 1000 * n + 333},
                tick_us=33,
                clusters={name: "p" if n < 5 else "q"},
            ).runs("x")
        )
        for n, name in enumerate("rstuvw", start=1)
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    rest = whole
    for part in parts[3::-1]:
        rest = rest - part
    assert rest.clusters == ("q",)


def test_a_category_of_a_field_can_be_asked_for_by_name() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 60)
    given = np.where(rng.random((60, 3)) < 0.8, truth[:, None], 1 - truth[:, None])
    data = Ratings.from_long(
        np.repeat(np.arange(60), 3),
        np.tile(np.arange(3), 60),
        np.array(["no", "ah"])[given].ravel(),
        scale="nominal",
        values=["no", "ah"],
    )
    stats = sufficient(data)
    for field in ("specific", "alpha_by_category", "prevalence"):
        by_name = interval(stats, f"{field}[ah]", method="BCa", resamples=200, seed=1)
        assert isinstance(by_name, Interval)
        assert by_name == interval(stats, field, category="ah", method="bca", resamples=200, seed=1)
        assert by_name.estimate == getattr(coefficients(stats), field)["ah"]
    assert isinstance(compare(stats, stats, "specific[no]", resamples=50), Interval)
    assert isinstance(interval(stats, "alpha", method="jackknife-t"), Interval)
    with pytest.raises(ValueError, match=r"specific\[ah\]"):
        interval(stats, "specific")
    with pytest.raises(ValueError, match="not 'maybe'"):
        interval(stats, "specific[maybe]")


ROWS: tuple[Any, ...] = (
    ["r", "r", "s"],
    ["a", "b", "a"],
    [0, 5, 10],
    [10, 20, 30],
    ["x", "x", "x"],
)


def test_segments_take_arrays_whole_floats_and_three_forms_of_roster() -> None:
    options: dict[str, Any] = {"durations": {"r": 50, "s": 40}, "tick_us": 1}
    plain = Segments.from_rows(*ROWS, roster={"r": ["a", "b"], "s": ["a", "b"]}, **options)
    expected = coefficients(sufficient(plain.runs("x"))).alpha
    arrays = tuple(np.array(column) for column in ROWS)
    pairs = [("r", "a"), ("r", "b"), ("s", "a"), ("s", "b")]
    for columns, roster in (
        (arrays, {"r": "ab", "s": "ab"}),
        ((*ROWS[:2], [0.0, 5.0, 10.0], np.array([10.0, 20.0, 30.0]), ROWS[4]), pairs),
        (ROWS, ["a", "b"]),
    ):
        again = Segments.from_rows(*columns, roster=roster, **options)
        assert coefficients(sufficient(again.runs("x"))).alpha == expected
        assert u_alpha(again).u == u_alpha(plain).u
        assert event_agreement(again) == event_agreement(plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_us": [0, 5.5, 10]}, "beginning must be a whole number"),
        ({"end_us": [10, float("nan"), 30]}, "end must be a whole number"),
        ({"label": ["x", None, "x"]}, "A segment has no label"),
        ({"label": ["x", "none", "x"]}, "'none' means unmarked time"),
        ({"labels": ["x", "x"]}, "names a label twice"),
        ({"tick_us": 0.5}, "whole microseconds"),
        ({"durations": {"r": 50}}, "Recording 's' has no duration"),
        ({"rater": ["a", "b"]}, "differ in length"),
    ],
)
def test_impossible_segments_are_refused(change: dict[str, Any], message: str) -> None:
    names = ("recording", "rater", "start_us", "end_us", "label")
    given = dict(zip(names, ROWS, strict=True)) | {
        "roster": {"r": "ab", "s": "ab"},
        "durations": {"r": 50, "s": 40},
        "tick_us": 1,
    }
    with pytest.raises(ValueError, match=message):
        Segments.from_rows(**{**given, **change})


def test_a_row_without_a_unit_rater_or_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="A row has no unit"):
        made(["u1", None], "ab", [1, 1])
    with pytest.raises(ValueError, match="A row has no rater"):
        made(["u1", "u1"], ["a", float("nan")], [1, 1])
    with pytest.raises(ValueError, match="A row has no cluster"):
        made(["u1", "u1"], "ab", [1, 1], cluster=["", ""])

"""Matched events, intraclass correlation and concordance."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import (
    BoundaryBias,
    EventAgreement,
    Segments,
    Undefined,
    ccc,
    coefficients,
    event_agreement,
    gold_trace,
    icc,
    sufficient,
)

from .vectors import vectors

Span = tuple[float, float]


def two(a: list[Span], b: list[Span], length: float = 100) -> Segments:
    rows = [
        ("r", who, round(start * 1000), round(end * 1000), "x")
        for who, own in (("a", a), ("b", b))
        for start, end in own
    ]
    columns: Any = tuple(zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return Segments.from_rows(
        *columns, roster={"r": "ab"}, durations={"r": round(length * 1000)}, tick_us=1, labels=["x"]
    )


def test_the_best_matching_is_found_where_greed_fails() -> None:
    result = event_agreement(two([(0, 10), (10, 20)], [(4, 14), (0, 3.9)]), iou=0.25)
    assert result.f1 == 1
    assert result.onset_error_us == pytest.approx((0 + 6_000) / 2)
    assert result.offset_error_us == pytest.approx((6_100 + 6_000) / 2)


def test_one_for_two_halves_is_one_match_and_fragmentation() -> None:
    result = event_agreement(two([(0, 10)], [(0, 5), (5, 10)]), iou=0.5)
    assert result.f1 == pytest.approx(2 / 3)
    assert result.fragmentation == pytest.approx(4 / 3)


def test_tolerance_may_replace_or_join_the_overlap() -> None:
    segments = two([(0, 10)], [(0.4, 9.7)])
    assert event_agreement(segments, iou=None, tolerance_us=400).f1 == 1
    assert event_agreement(segments, iou=None, tolerance_us=399).f1 == 0
    assert event_agreement(segments, iou=0.95, tolerance_us=400).f1 == 0


def test_both_empty_is_counted_and_left_out() -> None:
    nothing = BoundaryBias(Undefined("no_matches"), Undefined("no_matches"), 0)
    assert event_agreement(two([], []), shifts=5) == EventAgreement(
        f1=Undefined("no_segments"),
        onset_error_us=Undefined("no_matches"),
        offset_error_us=Undefined("no_matches"),
        fragmentation=Undefined("no_matches"),
        n_matched=0,
        n_pairs=0,
        n_empty_pairs=1,
        bias={"a": nothing, "b": nothing},
        chance_f1=Undefined("no_segments"),
    )
    assert event_agreement(two([(0, 1)], [])).f1 == 0


def test_the_bias_says_who_is_late() -> None:
    late = [(1, 12), (51, 62), (80, 90)]
    result = event_agreement(two([(0, 10), (50, 60), (80, 90)], late))
    assert result.bias["a"] == BoundaryBias(pytest.approx(-2e6 / 3e3), pytest.approx(-4e6 / 3e3), 3)
    assert result.bias["b"].onset_us == pytest.approx(2e6 / 3e3)
    assert result.onset_error_us == pytest.approx(2e6 / 3e3)


def test_chance_is_what_a_shift_round_the_recording_leaves() -> None:
    marked = [(0.0, 10.0), (50.0, 60.0)]
    alike = two(marked, marked)
    assert event_agreement(alike).chance_f1 == Undefined("not_asked")
    result = event_agreement(alike, shifts=400, seed=1)
    # Of a circle of 100 s, a shift of less than 3.33 s to either side leaves IoU >= .5 with the
    # same partners, and one of 46.67 to 53.33 s with exchanged ones: 13.3 % of all shifts.
    assert result.f1 == 1
    assert result.chance_f1 == pytest.approx(0.133, abs=0.05)
    assert result == event_agreement(alike, shifts=400, seed=1)
    everywhere = two([(0.0, 100.0)], [(0.0, 100.0)])
    assert event_agreement(everywhere, shifts=3).chance_f1 == 1


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    found = [
        draw(st.tuples(st.integers(0, 30), st.integers(1, 10)))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return [(start, start + length) for start, length in found]  # fmt: skip


@given(a=spans(), b=spans(), iou=st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_no_other_matching_has_more_matches_and_order_does_not_matter(
    a: list[Span], b: list[Span], iou: float
) -> None:
    result, turned = event_agreement(two(a, b), iou=iou), event_agreement(two(b, a), iou=iou)
    assert replace(result, bias=turned.bias) == turned
    assert (result.bias["a"], result.bias["b"]) == (turned.bias["b"], turned.bias["a"])
    short, long = sorted((a, b), key=len)
    best = 0
    for chosen in permutations(long, len(short)):
        hits = 0
        for (s, e), (t, f) in zip(short, chosen, strict=True):
            shared = max(0, min(e, f) - max(s, t))
            hits += shared >= iou * (e - s + f - t - shared)
        best = max(best, hits)
    assert result.n_matched == best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou": None}, "give iou"),
        ({"iou": 0.0}, "above 0"),
        ({"tolerance_us": -1}, "negative"),
        ({"label": "y"}, "'y' is not among"),
    ],
)
def test_impossible_questions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        event_agreement(two([(0, 1)], []), **options)


@pytest.mark.parametrize("vector", vectors("events"))
def test_known_events(vector: dict[str, Any]) -> None:
    segments = two(vector["a"], vector["b"], vector.get("L", 100))
    expected = vector["expected"]
    if "f1" in expected:
        f1 = event_agreement(segments, iou=vector["thr"]).f1
        if expected["f1"] is None:
            assert isinstance(f1, Undefined)
        else:
            assert f1 == pytest.approx(expected["f1"])
    dice = coefficients(sufficient(segments.runs("x"))).specific["x"]
    for name in {"tiou", "tiou_mask"} & set(expected):
        assert dice / (2 - dice) == pytest.approx(expected[name])
    if "dice" in expected:
        assert dice == pytest.approx(expected["dice"])


def test_shrout_and_fleiss_example() -> None:
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    found = icc(table)
    assert [round(v, 2) for v in (found.icc1, found.icc2, found.icc3)] == [0.17, 0.29, 0.71]
    assert [round(v, 2) for v in (found.icc1k, found.icc2k, found.icc3k)] == [0.44, 0.62, 0.91]


def test_icc_and_ccc_are_undefined_rather_than_invented() -> None:
    assert icc([[1, 2], [np.nan, 3]]).icc2 == Undefined("incomplete")
    assert icc([[1, 2]]).icc1 == Undefined("too_few_units")
    assert icc([[0.1, 0.1], [0.1, 0.1]]).icc3 == Undefined("no_variation")
    assert ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(2 * (2 / 3) / (4 / 3 + 1))
    assert ccc([0.1] * 3, [0.1] * 3) == Undefined("no_variation")
    assert ccc([1, np.nan], [1, 2]) == Undefined("too_few_units")
    with pytest.raises(ValueError, match="same length"):
        ccc([1, 2], [1, 2, 3])


@pytest.mark.parametrize("vector", vectors("continuous"))
def test_known_correlations(vector: dict[str, Any]) -> None:
    if "data" in vector:
        found = icc(vector["data"])
        for name, value in vector["expected"].items():
            assert getattr(found, name.lower()) == pytest.approx(value, abs=vector["tol"])
    else:
        expected = vector["expected"]["ccc"]
        assert ccc(vector["x"], vector["y"]) == pytest.approx(expected, abs=vector["tol"])


def test_gold_trace_keeps_the_course_and_takes_the_level_from_those_who_agree() -> None:
    """Worked by hand after RECOLA's rule: centre, average, add the weighted mean of the means."""
    traces = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [4.0, 3.0, 2.0]])
    ab = 2 * (2 / 3) / (4 / 3 + 1)
    ac, bc = -2 * (2 / 3) / (4 / 3 + 4), -2 * (2 / 3) / (4 / 3 + 1)
    weights = np.array([(ab + ac) / 2, (ab + bc) / 2, (ac + bc) / 2])
    agree = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    assert gold_trace(traces[:2]) == pytest.approx([0.5, 1.5, 2.5])
    assert weights.sum() < 0
    assert gold_trace(traces) == Undefined("no_agreement")
    far, near = 2 * (2 / 3) / (4 / 3 + 4), ab
    three = np.array([near + far, 2 * near, near + far])
    level = (three * [1, 2, 3]).sum() / three.sum()
    assert gold_trace(agree) == pytest.approx(level + np.array([-1, 0, 1]))
    assert gold_trace({"a": agree[0], "b": agree[1], "c": agree[2]}) == pytest.approx(
        level + np.array([-1, 0, 1])
    )
    assert gold_trace(agree, centre=False) == pytest.approx([1, 2, 3])


def test_a_rater_who_starts_late_does_not_make_the_gold_trace_jump() -> None:
    course = np.array([0.0, 1.0, 2.0, 1.0, 0.0, 1.0])
    late = course + 5.0
    plain = gold_trace([course, np.where(np.arange(6) < 2, np.nan, late)], centre=False)
    centred = gold_trace([course, np.where(np.arange(6) < 2, np.nan, late)])
    assert isinstance(plain, np.ndarray)
    assert isinstance(centred, np.ndarray)
    assert np.ptp(plain) > 4
    assert np.ptp(centred) < 2.2
    assert gold_trace([[1.0, np.nan], [2.0, np.nan]]) == Undefined("incomplete")
    assert gold_trace([[1.0, 2.0]]) == Undefined("too_few_units")
    assert gold_trace([]) == Undefined("no_ratings")
    assert gold_trace([[1.0, 1.0], [1.0, 1.0]]) == Undefined("no_agreement")
    with pytest.raises(ValueError, match="same number of samples"):
        gold_trace({"a": [1.0], "b": [1.0, 2.0]})

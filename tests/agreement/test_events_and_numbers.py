"""Matched events, intraclass correlation and concordance."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import (
    EventAgreement,
    Segments,
    Undefined,
    ccc,
    coefficients,
    event_agreement,
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
    assert event_agreement(two([], [])) == EventAgreement(
        Undefined("no_segments"),
        Undefined("no_matches"),
        Undefined("no_matches"),
        Undefined("no_matches"),
        0,
        0,
        1,
    )
    assert event_agreement(two([(0, 1)], [])).f1 == 0


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    found = [
        draw(st.tuples(st.integers(0, 30), st.integers(1, 10)))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return [(start, start + length) for start, length in found]  # fmt: skip


@given(a=spans(), b=spans(), iou=st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=80, deadline=None)
def test_no_other_matching_has_more_matches_and_order_does_not_matter(
    a: list[Span], b: list[Span], iou: float
) -> None:
    result, turned = event_agreement(two(a, b), iou=iou), event_agreement(two(b, a), iou=iou)
    assert result == turned
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

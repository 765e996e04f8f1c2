"""Unitizing alpha against published and hand-made values."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from annotation.agreement import Segments, Undefined, coefficients, sufficient, u_alpha

from .vectors import vectors

# Krippendorff, Mathet, Bouvry & Widloecher 2016, figure of three raters: 60 ticks long.
ALEX = [(2, 9, "1"), (11, 17, "2"), (24, 30, "5"), (32, 36, "6"), (36, 44, "6"), (44, 60, "7")]
PAUL = [(2, 9, "1"), (11, 17, "3"), (19, 25, "5"), (32, 44, "6")]
SUZAN = [(2, 9, "1"), (11, 17, "4"), (21, 27, "5"), (32, 36, "6"), (36, 40, "6"), (40, 44, "6")]
THREE = {"Alex": ALEX, "Paul": PAUL, "Suzan": SUZAN}


def timeline(
    raters: dict[str, Any], length: int = 60, *, unit: int = 1, copies: int = 1
) -> Segments:
    rows = [
        (f"r{copy}", who, start * unit, end * unit, str(label))
        for copy in range(copies)
        for who, own in raters.items()
        for start, end, label in own
    ]
    columns: Any = tuple(zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    names = [f"r{copy}" for copy in range(copies)]
    return Segments.from_rows(
        *columns,
        roster={name: list(raters) for name in names},
        durations=dict.fromkeys(names, length * unit),
        tick_us=unit,
    )


def test_the_published_three_raters() -> None:
    result = u_alpha(timeline(THREE))
    assert result.u == pytest.approx(0.510, abs=5e-4)
    assert result.bar_u == pytest.approx(0.413, abs=5e-4)
    assert result.cu == pytest.approx(0.724, abs=5e-4)
    assert {k: v for k, v in result.ku.items() if k != "7"} == pytest.approx(
        {"1": 1, "2": 0, "3": 0, "4": 0, "5": 1, "6": 1}
    )
    assert result.ku["7"] == Undefined("absent")
    assert result.coverage_by_label["5"] == pytest.approx(8 / 18)


def test_the_result_depends_on_the_tick_and_not_on_the_unit_of_time() -> None:
    coarse = Segments.from_rows(
        *zip(*[("r", w, a, b, x) for w, own in THREE.items() for a, b, x in own], strict=True),
        roster={"r": list(THREE)},
        durations={"r": 60},
        tick_us=10,
    )
    assert u_alpha(coarse).u == pytest.approx(0.5196, abs=5e-5)
    assert u_alpha(timeline(THREE, unit=33_333)).u == pytest.approx(u_alpha(timeline(THREE)).u)


def test_recordings_are_pooled_and_order_does_not_matter() -> None:
    once, twice = (u_alpha(timeline(THREE, copies=copies)) for copies in (1, 2))
    assert once.cu == pytest.approx(twice.cu, abs=0.02)
    assert once.coverage == pytest.approx(twice.coverage)
    turned = u_alpha(timeline(dict(reversed(THREE.items()))))
    assert turned.u == pytest.approx(once.u)
    alone = timeline({**THREE})
    pair = u_alpha(alone.only_raters(["Alex"]))
    assert pair.u == Undefined("no_pairs")


def test_on_a_long_recording_it_comes_close_to_alpha_over_time() -> None:
    raters = {
        "a": [(100 * i, 100 * i + 20, "x") for i in range(200)],
        "b": [(100 * i + 5, 100 * i + 25, "x") for i in range(200)],
    }
    segments = timeline(raters, 20_000)
    alpha = coefficients(sufficient(segments.runs("x"))).alpha
    assert u_alpha(segments).u == pytest.approx(alpha, abs=2e-3)


def test_nothing_marked_has_no_variation() -> None:
    assert u_alpha(timeline({"a": [], "b": []})).u == Undefined("no_variation")


def test_overlapping_rows_of_one_label_are_one_unit_and_touching_ones_two() -> None:
    other = {"b": [(0, 6, "x"), (22, 30, "y")]}
    whole = u_alpha(timeline({"a": [(0, 8, "x"), (20, 30, "y")], **other}))
    overlapping = u_alpha(timeline({"a": [(0, 5, "x"), (3, 8, "x"), (20, 30, "y")], **other}))
    touching = timeline({"a": [(0, 5, "x"), (5, 8, "x"), (20, 30, "y")], **other})
    assert overlapping == whole
    assert u_alpha(touching).u != pytest.approx(whole.u, abs=1e-6)
    assert u_alpha(touching.merged()) == whole


def test_two_labels_at_once_are_looked_at_one_by_one() -> None:
    both = timeline({"a": [(0, 8, "x"), (4, 9, "y")], "b": [(0, 8, "x")]})
    with pytest.raises(ValueError, match="two labels at the same time"):
        u_alpha(both)
    assert u_alpha(both, "x").u == 1
    assert list(u_alpha(both, "y").ku) == ["y"]
    assert u_alpha(both, "z").u == Undefined("no_variation")  # nobody marked it


@pytest.mark.parametrize("vector", vectors("unitizing"))
def test_known_unitizing_alphas(vector: dict[str, Any]) -> None:
    result = u_alpha(timeline(vector["raters"], vector["length"]))
    expected = dict(vector["expected"])
    for label, value in expected.pop("ku", {}).items():
        compare(result.ku[label], value, vector["tol"])
    for label, value in expected.pop("cov_k", {}).items():
        compare(result.coverage_by_label[label], value, vector["tol"])
    for name, value in expected.items():
        compare(getattr(result, name), value, vector["tol"])
    for name, value in vector.get("expected_full", {}).items():
        compare(getattr(result, {"cov": "coverage"}.get(name, name)), value, vector["tol_full"])


def compare(got: Any, expected: float | None, tolerance: float) -> None:
    if expected is None:
        assert isinstance(got, Undefined)
    else:
        assert got == pytest.approx(expected, abs=tolerance)


def test_nothing_to_tell_apart_is_undefined_also_on_billions_of_ticks() -> None:
    # Subtracting sums of so many ticks would leave a little disagreement, and an alpha of 1.
    for length in (77_216_893, 54_071_321, 12_345_677):
        durations = {"one": length, "two": length // 3 + 7}
        nobody = Segments.from_rows(
            [], [], [], [], [], roster=["a", "b", "c"], durations=durations, tick_us=1,
            labels=["ah"],
        )  # fmt: skip
        assert u_alpha(nobody).u == Undefined("no_variation")
        everybody = u_alpha(timeline({who: [(0, length, "ah")] for who in "abc"}, length))
        assert everybody.u == everybody.cu == Undefined("no_variation")


def test_a_result_can_be_copied_and_turned_into_plain_data() -> None:
    result = u_alpha(timeline(THREE))
    assert dataclasses.asdict(copy.deepcopy(result))["ku"]["1"] == pytest.approx(1)

"""What must hold for any ratings: equality with an independent package, and invariances."""

from __future__ import annotations

import json
from typing import Any

import krippendorff
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import (
    Ratings,
    SufficientStatistics,
    Undefined,
    coefficients,
    cross_check,
    leave_one_rater_out,
    pairwise,
    sufficient,
)
from tests.examples import examples

SCALES = ["nominal", "ordinal", "interval", "ratio"]


@st.composite
def matrices(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    """Units x raters with values 0 to 4 and NaN for missing ones."""
    units, raters = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    cell = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])
    rows = draw(
        st.lists(st.lists(cell, min_size=raters, max_size=raters), min_size=units, max_size=units)
    )
    return np.array(rows)


def ratings(matrix: npt.NDArray[np.float64], scale: Any, **columns: Any) -> Ratings:
    units, raters = matrix.shape
    return Ratings.from_long(
        [f"u{i}" for i in range(units) for _ in range(raters)],
        [f"r{j}" for _ in range(units) for j in range(raters)],
        [None if np.isnan(v) else int(v) for v in matrix.ravel()],
        scale=scale,
        values=range(5),
        **columns,
    )


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Undefined) or isinstance(second, Undefined):
        return bool(first == second)
    return bool(abs(first - second) < 1e-9)


@pytest.mark.parametrize("scale", SCALES)
@given(matrix=matrices())
@settings(max_examples=examples(100), deadline=None, derandomize=True)
def test_alpha_equals_the_krippendorff_package(scale: Any, matrix: npt.NDArray[np.float64]) -> None:
    data = ratings(matrix, scale)
    ours = coefficients(sufficient(data)).alpha
    assert same(ours, cross_check(data))
    pairable = matrix[np.count_nonzero(~np.isnan(matrix), axis=1) >= 2]
    distinct = np.unique(pairable[~np.isnan(pairable)])
    if len(pairable) == 0:
        assert ours == Undefined("no_pairs")
    elif len(distinct) < 2:
        assert ours == Undefined("no_variation")
    else:
        theirs = krippendorff.alpha(
            reliability_data=matrix.T, value_domain=range(5), level_of_measurement=scale
        )
        assert same(ours, theirs)


@pytest.mark.parametrize("scale", SCALES)
def test_alpha_of_a_thousand_random_tables_equals_the_packages(scale: Any) -> None:
    rng = np.random.default_rng(SCALES.index(scale))
    worst, compared = 0.0, 0
    while compared < 1000:
        shape = (int(rng.integers(2, 15)), int(rng.integers(2, 7)))
        truth = rng.integers(0, 5, (shape[0], 1))
        matrix = np.where(rng.random(shape) < rng.random(), truth, rng.integers(0, 5, shape))
        matrix = np.where(rng.random(shape) < 0.5 * rng.random(), np.nan, matrix)
        ours = coefficients(sufficient(ratings(matrix, scale))).alpha
        if isinstance(ours, float):
            theirs = krippendorff.alpha(
                reliability_data=matrix.T, value_domain=range(5), level_of_measurement=scale
            )
            worst, compared = max(worst, abs(ours - theirs)), compared + 1
    assert worst < 1e-9


@given(matrix=matrices(), order=st.permutations(range(5)), data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_names_and_order_of_units_raters_and_categories_do_not_matter(
    matrix: npt.NDArray[np.float64], order: list[int], data: st.DataObject
) -> None:
    units = data.draw(st.permutations(range(matrix.shape[0])))
    raters = data.draw(st.permutations(range(matrix.shape[1])))
    recoded = np.where(np.isnan(matrix), np.nan, np.array(order)[np.nan_to_num(matrix).astype(int)])
    before = coefficients(sufficient(ratings(matrix, "nominal")))
    after = coefficients(sufficient(ratings(recoded[np.ix_(units, raters)], "nominal")))
    for field in ("alpha", "fleiss", "gwet", "pabak", "percent"):
        assert same(getattr(before, field), getattr(after, field))
    for old, new in enumerate(order):
        assert same(before.alpha_by_category[old], after.alpha_by_category[new])
        assert same(before.specific[old], after.specific[new])


@given(matrix=matrices(), scale=st.sampled_from(SCALES), parts=st.integers(1, 3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_statistics_add_up_and_a_participant_can_be_taken_out(
    matrix: npt.NDArray[np.float64], scale: Any, parts: int
) -> None:
    raters = matrix.shape[1]
    participant = [f"p{i % 4}" for i in range(len(matrix)) for _ in range(raters)]
    whole = sufficient(ratings(matrix, scale, cluster=participant))
    cut = min(parts, len(matrix))
    unit = [f"u{i}" for i in range(len(matrix))]
    pieces = [
        sufficient(
            Ratings.from_long(
                [unit[i] for i in rows for _ in range(raters)],
                [f"r{j}" for _ in rows for j in range(raters)],
                [None if np.isnan(v) else int(v) for v in matrix[rows].ravel()],
                scale=scale,
                values=range(5),
                cluster=[f"p{i % 4}" for i in rows for _ in range(raters)],
            )
        )
        for rows in np.array_split(np.arange(len(matrix)), cut)
    ]
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    assert_equal(total, whole)
    assert_equal(SufficientStatistics.from_dict(json.loads(json.dumps(whole.to_dict()))), whole)
    rest = ~np.array([i % 4 == 1 for i in range(len(matrix))])
    if "p1" in whole.clusters and rest.any():
        staying = [
            p for p, stays in zip(participant, np.repeat(rest, raters), strict=True) if stays
        ]
        recomputed = sufficient(ratings(matrix[rest], scale, cluster=staying))
        assert_equal(whole - whole.only(["p1"]), recomputed)
        assert_equal(whole.without(["p1"]), recomputed)


def assert_equal(first: SufficientStatistics, second: SufficientStatistics) -> None:
    assert set(first.clusters) == set(second.clusters)
    order = [first.clusters.index(name) for name in second.clusters]
    np.testing.assert_allclose(first.table[order], second.table, rtol=0, atol=1e-12)


@given(matrix=matrices())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_weight_of_two_is_the_unit_twice(matrix: npt.NDArray[np.float64]) -> None:
    weights = [1 + i % 2 for i in range(len(matrix)) for _ in range(matrix.shape[1])]
    weighted = ratings(matrix, "ordinal", weight=weights)
    twice = np.vstack([matrix, matrix[1::2]])
    a, b = (coefficients(sufficient(x)) for x in (weighted, ratings(twice, "ordinal")))
    assert same(a.alpha, b.alpha)
    assert same(a.gwet, b.gwet)
    assert same(a.alpha, cross_check(weighted))


def test_two_raters_make_one_pair_and_leaving_one_out_leaves_none() -> None:
    matrix = np.array([[0, 1, 0], [1, 1, 1], [2, 2, 0], [0, 0, np.nan]])
    data = ratings(matrix, "nominal")
    without = leave_one_rater_out(data)
    pairs = pairwise(data)
    assert list(pairs) == [("r0", "r1"), ("r0", "r2"), ("r1", "r2")]
    assert without["r2"] == pairs["r0", "r1"]
    two = data.only_raters(["r0", "r1"])
    assert leave_one_rater_out(two)["r0"] == Undefined("no_pairs")

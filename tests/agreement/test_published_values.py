"""Coefficients against values from the literature."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.agreement import Coefficients, Ratings, Undefined, coefficients, cohen, sufficient

from .vectors import vectors

# Krippendorff 2004, Content Analysis, p. 230; ordinal and ratio values from R irr::kripp.alpha.
FOUR_RATERS = [
    [1, 1, None, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [None, 5, 5, 5],
    [None, None, 1, 1],
    [None, None, 3, None],
]


def from_units(units: list[list[Any]], scale: Any, values: list[Any] | None = None) -> Ratings:
    rows = [(u, r, v) for u, given in enumerate(units) for r, v in enumerate(given)]
    known = values or sorted({v for _, _, v in rows if v is not None})
    unit, rater, value = zip(*rows, strict=True)
    return Ratings.from_long(unit, rater, value, scale=scale, values=known)


def measured(units: list[list[Any]], scale: Any, values: list[Any] | None = None) -> Coefficients:
    return coefficients(sufficient(from_units(units, scale, values)))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_of_krippendorffs_four_raters(scale: str, expected: float) -> None:
    assert measured(FOUR_RATERS, scale).alpha == pytest.approx(expected, abs=5e-4)


def test_cohens_example_has_the_same_observed_agreement_for_every_chance_model() -> None:
    # Randolph 2005, table 1: three categories, four cases, two raters.
    units = [["a", "a"], ["a", "a"], ["a", "a"], ["b", "c"]]
    result = measured(units, "nominal", ["a", "b", "c"])
    assert result.percent == pytest.approx(0.75)
    assert result.pabak == pytest.approx((0.75 - 1 / 3) / (1 - 1 / 3))


def test_cohens_kappa_of_two_raters() -> None:
    # Cohen 1960, table 1, 200 patients: .70 observed, .41 by chance.
    table = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
    units = [[i, j] for i in range(3) for j in range(3) for _ in range(table[i][j])]
    found = cohen(from_units(units, "nominal"))
    assert found == {(0, 1): pytest.approx(0.29 / 0.59)}
    assert cohen(from_units([[1, 1], [1, 1], [2, None]], "nominal")) == {
        (0, 1): Undefined("no_variation")
    }
    assert cohen(from_units([[1, None], [None, 2]], "nominal")) == {(0, 1): Undefined("no_pairs")}


def test_gwets_hand_example() -> None:
    # Gwet 2008, Br J Math Stat Psychol 61, p. 32: AC1 where kappa fails by prevalence.
    units = [["-", "-"]] * 118 + [["+", "+"]] * 5 + [["+", "-"]] * 2
    result = measured(units, "nominal", ["+", "-"])
    positive = 12 / 250
    chance = 2 * positive * (1 - positive)
    assert result.gwet == pytest.approx((123 / 125 - chance) / (1 - chance))
    assert result.specific["+"] == pytest.approx(10 / 12)


def test_the_codebooks_categories_count_not_the_used_ones() -> None:
    units = [["a", "a"], ["a", "b"], ["b", "b"]]
    two, five = (
        measured(units, "nominal", values) for values in (["a", "b"], ["a", "b", "c", "d", "e"])
    )
    assert two.alpha == five.alpha
    assert two.pabak == pytest.approx(1 / 3)
    assert five.pabak == pytest.approx((2 / 3 - 0.2) / 0.8)
    assert two.gwet != pytest.approx(five.gwet)
    assert five.specific["c"] == Undefined("absent")
    assert five.alpha_by_category["c"] == Undefined("absent")


@pytest.mark.parametrize("vector", vectors("coding"))
def test_known_coefficients(vector: dict[str, Any]) -> None:
    result = measured(vector["units"], vector["metric"])
    name, _, category = vector["coefficient"].partition(":")
    value = {
        "alpha": result.alpha,
        "alpha_category": result.alpha_by_category.get(int(category or -1)),
        "fleiss": result.fleiss,
        "gwet": result.gwet,
        "bp": result.pabak,
    }[name]
    if vector["expected"] == "UNDEFINED":
        assert isinstance(value, Undefined)
    else:
        assert value == pytest.approx(vector["expected"], abs=vector["tol"])

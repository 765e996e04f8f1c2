"""What goes into a table of ratings, and what is refused with a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.agreement import Ratings, coefficients, sufficient


def test_blank_none_and_nan_are_missing_not_categories() -> None:
    blank = Ratings.from_long(
        [1, 1, 2, 2, 3, 3, 4, 4],
        list("abababab"),
        ["x", "x", "y", "x", "y", "  ", None, float("nan")],
        scale="nominal",
        values=["x", "y"],
    )
    result = coefficients(sufficient(blank))
    assert result.n_units == 2
    assert result.percent == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": ["x", ""]}, "blank is not a category"),
        ({"values": ["x", "x"]}, "names a value twice"),
        ({"values": []}, "list of values is empty"),
        ({"values": ["x"]}, "'y' is not one of the codebook's values"),
        ({"scale": "interval"}, "must be a number"),
        ({"scale": "guessed"}, "'guessed' is unknown"),
        ({"cluster": ["p", "q", "p", "p"]}, "more than one cluster"),
        ({"weight": [1, 2, 1, 1]}, "more than one weight"),
        ({"weight": [1, -1, 1, 1]}, "not negative"),
        ({"value": ["x", "y", "x"]}, "differ in length"),
    ],
)
def test_impossible_ratings_are_refused(change: dict[str, object], message: str) -> None:
    given = {
        "unit": [1, 1, 2, 2],
        "rater": list("abab"),
        "value": ["x", "y", "x", "x"],
        "scale": "nominal",
        "values": ["x", "y"],
    }
    with pytest.raises(ValueError, match=message):
        Ratings.from_long(**{**given, **change})  # type: ignore[arg-type]  # wrong on purpose


def test_one_rater_twice_on_a_unit_is_no_agreement_between_raters() -> None:
    repeated = Ratings.from_long(
        ["clip"] * 3, ["a", "a", "b"], ["x", "y", "x"], scale="nominal", values=["x", "y"]
    )
    with pytest.raises(ValueError, match="Rater 'a' rated unit 'clip' more than once"):
        sufficient(repeated)


def test_statistics_of_different_codebooks_do_not_add_up() -> None:
    two, three = (
        sufficient(
            Ratings.from_long(["c", "c"], ["a", "b"], ["x", "x"], scale="nominal", values=values)
        )
        for values in (["x", "y"], ["x", "y", "z"])
    )
    with pytest.raises(ValueError, match="different scales or codebook values"):
        two + three
    with pytest.raises(ValueError, match="'d' cannot be taken out"):
        two - sufficient(
            Ratings.from_long(
                ["d", "d"], ["a", "b"], ["x", "x"], scale="nominal", values=["x", "y"]
            )
        )


@pytest.mark.parametrize("step", [1, 3, 10**12])
def test_whole_numbers_as_arrays_and_names_as_lists_are_the_same(step: int) -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(40), 3) * step - 5
    rater = np.tile(np.array([9, 4, 2], dtype=np.int16), 40)
    value = rng.integers(0, 4, 120)
    cluster = unit // step % 7
    options = {"scale": "ordinal", "values": range(5)}
    arrays = Ratings.from_long(unit, rater, value, cluster=cluster, **options)
    lists = Ratings.from_long(
        *(x.tolist() for x in (unit, rater, value)), cluster=cluster.tolist(), **options
    )
    a, b = sufficient(arrays), sufficient(lists)
    order = [a.clusters.index(name) for name in b.clusters]
    np.testing.assert_allclose(a.table[order], b.table)
    assert set(arrays.units) == set(unit.tolist())
    with pytest.raises(ValueError, match=f"unit {unit[0]} more than once"):
        sufficient(
            Ratings.from_long(
                np.append(unit, unit[0]), np.append(rater, 4), np.append(value, 1), **options
            )
        )

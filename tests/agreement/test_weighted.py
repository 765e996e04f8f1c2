"""Units that stand for several: the independent check, and time weighted by recording."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.agreement import Ratings, Segments, coefficients, cross_check, sufficient

WEIGHTS = (1.0, 2.7, 100 / 17)


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        ("nominal", ["a", "b", "c", "d"]),
        ("ordinal", ["low", "middle", "high", "highest"]),
        ("interval", [1, 2, 5, 7]),
        ("ratio", [0, 1, 2, 9]),
    ],
)
@pytest.mark.parametrize("used", [2, 4])
def test_the_independent_alpha_agrees_whatever_the_weights(scale, values, used):
    chance = np.random.default_rng(used)
    rows = [
        (unit, rater, values[chance.integers(0, used) if rater else unit % used], WEIGHTS[unit % 3])
        for unit in range(40)
        for rater in range(1 + unit % 4)
    ]
    unit, rater, value, weight = zip(*rows, strict=True)
    data = Ratings.from_long(unit, rater, value, scale=scale, values=values, weight=weight)
    assert cross_check(data) == pytest.approx(coefficients(sufficient(data)).alpha, abs=1e-12)


def _timeline():
    return Segments.from_rows(
        ["one", "one", "two", "two"],
        ["a", "b", "a", "b"],
        [0, 10, 5, 5],
        [50, 60, 20, 30],
        ["ah"] * 4,
        roster={"one": ["a", "b"], "two": ["a", "b"]},
        durations={"one": 100, "two": 100},
        tick_us=1,
    ).runs("ah")


def test_a_recording_that_stands_for_three_counts_like_three_of_them():
    timeline = _timeline()
    weighted = timeline.weighted({"one": 1.0, "two": 3.0})
    stats = sufficient(weighted)
    one, two = (sufficient(timeline).only([name]) for name in ("one", "two"))
    thrice = one + two + two + two
    assert coefficients(stats).alpha == pytest.approx(coefficients(thrice).alpha, abs=1e-12)
    assert coefficients(stats).n_units == 200  # what was looked at, not what it stands for
    fraction = timeline.weighted({"one": 1.5, "two": 100 / 17})
    found = coefficients(sufficient(fraction)).alpha
    assert cross_check(fraction) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("inf"), float("nan")])
def test_a_recording_cannot_stand_for_nothing(wrong):
    with pytest.raises(ValueError, match="above 0"):
        _timeline().weighted({"one": 1.0, "two": wrong})

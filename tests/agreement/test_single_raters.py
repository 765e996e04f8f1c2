"""What is said about single raters: repeats, gold items, drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotation.agreement import (
    Drift,
    GoldAccuracy,
    Interval,
    Ratings,
    Undefined,
    coefficients,
    drift,
    gold_accuracy,
    interval,
    intra_rater,
    sufficient,
    wilson,
)


def test_occasions_play_the_raters_part() -> None:
    rows = [
        ("u1", "ann", 1, "yes"),
        ("u1", "ann", 2, "yes"),
        ("u2", "ann", 1, "no"),
        ("u2", "ann", 2, "yes"),
        ("u3", "ann", 1, "no"),
        ("u3", "ann", 2, "no"),
        ("u1", "bea", 1, "no"),
        ("u2", "bea", 1, "no"),
    ]
    unit, rater, occasion, value = zip(*rows, strict=True)
    found = intra_rater(unit, rater, occasion, value, scale="nominal", values=["no", "yes"])
    own = Ratings.from_long(
        unit[:6], occasion[:6], value[:6], scale="nominal", values=["no", "yes"]
    )
    assert list(found) == ["ann", "bea"]
    assert found["ann"].alpha == coefficients(sufficient(own)).alpha == pytest.approx(4 / 9)
    assert found["ann"].percent == pytest.approx(2 / 3)
    assert found["bea"].alpha == Undefined("no_pairs")
    assert isinstance(interval(found["ann"].statistics, "percent", resamples=50), Interval)
    with pytest.raises(ValueError, match="'ann' rated a unit twice"):
        intra_rater(unit, rater, [1] * 8, value, scale="nominal", values=["no", "yes"])
    with pytest.raises(ValueError, match="differ in length"):
        intra_rater(unit, rater, [1], value, scale="nominal", values=["no", "yes"])


def test_gold_accuracy_has_wilsons_interval() -> None:
    """Wilson's interval of 8 in 10 at 95 % is .4902 to .9433."""
    units = [f"g{n}" for n in range(10)] * 2 + ["other"]
    raters = ["ann"] * 10 + ["bea"] * 10 + ["cleo"]
    values = ["yes"] * 8 + ["no"] * 2 + ["yes"] * 10 + ["no"]
    ratings = Ratings.from_long(units, raters, values, scale="nominal", values=["no", "yes"])
    found = gold_accuracy(ratings, {f"g{n}": "yes" for n in range(10)} | {"unseen": "no"})
    ann = found["ann"]
    assert (ann.n, ann.correct, ann.accuracy) == (10, 8, 0.8)
    assert ann.low == pytest.approx(0.4901625, abs=1e-6)
    assert ann.high == pytest.approx(0.9433178, abs=1e-6)
    assert found["bea"].high == 1.0
    assert found["bea"].low == pytest.approx(0.7224672, abs=1e-6)
    nothing = Undefined("no_ratings")
    assert found["cleo"] == GoldAccuracy(0, 0, nothing, nothing, nothing)
    with pytest.raises(ValueError, match="'maybe' of unit 'g1'"):
        gold_accuracy(ratings, {"g1": "maybe"})
    assert wilson(0, 4)[0] == 0.0


def course(seed: int, before: float, after: float, change: int = 100, n: int = 200) -> Any:
    rng = np.random.default_rng(seed)
    return rng.random(n) < np.where(np.arange(n) < change, before, after)


def test_drift_is_noticed_and_dated() -> None:
    found = drift(["ann"] * 200, range(200), course(1, 0.9, 0.5), window=40)["ann"]
    assert isinstance(found, Drift)
    assert 90 <= found.changed_at <= 115
    assert found.changed_at < found.noticed_at <= 135
    assert len(found.points) == 161
    assert len(found.cusum) == 160
    assert found.points[0].at == 39
    assert found.points[0].share == np.mean(course(1, 0.9, 0.5)[:40])
    assert min(found.cusum) == 0


def test_order_is_that_of_time_and_each_rater_is_by_themselves() -> None:
    steady, worse = course(2, 0.9, 0.9), course(3, 0.9, 0.4)
    rows = [("ann", n, agreed) for n, agreed in enumerate(steady)]
    rows += [("bea", n, agreed) for n, agreed in enumerate(worse)]
    rng = np.random.default_rng(4)
    mixed = [rows[index] for index in rng.permutation(len(rows))]
    found = drift(*zip(*mixed, strict=True), window=30)
    assert found["bea"] == drift(["bea"] * 200, range(200), worse, window=30)["bea"]
    ann, bea = found["ann"], found["bea"]
    assert isinstance(ann, Drift)
    assert isinstance(bea, Drift)
    assert ann.changed_at is None
    assert bea.changed_at is not None


def test_a_steady_rater_is_rarely_accused() -> None:
    """With a known baseline the limit holds over hundreds of items."""
    accused = 0
    for seed in range(60):
        found = drift("a" * 200, range(200), course(seed, 0.85, 0.85), baseline=0.85)["a"]
        assert isinstance(found, Drift)
        accused += found.noticed_at is not None
    assert accused <= 4


def test_too_few_items_have_no_drift() -> None:
    assert drift("aaa", [1, 2, 3], [1, 0, 1], window=3)["a"] == Undefined("too_few_units")
    assert isinstance(drift("aaa", [1, 2, 3], [1, 0, 1], window=3, baseline=0.9)["a"], Drift)
    for wrong in ({"window": 1}, {"odds_ratio": 1}, {"limit": 0}, {"baseline": 1.0}):
        with pytest.raises(ValueError, match=r"."):
            drift("a", [1], [1], **wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="differ in length"):
        drift("a", [1, 2], [1])
    with pytest.raises(ValueError, match="from 0 to 1"):
        drift("a", [1], [2])

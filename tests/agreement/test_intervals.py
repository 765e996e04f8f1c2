"""Intervals from resampled participants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from annotation.agreement import Interval, Ratings, Undefined, compare, interval, sufficient


def study(
    seed: int, *, participants: int = 40, clips: int = 5, error: float = 0.15, shared: bool = True
) -> Ratings:
    """Three raters; clips of one participant tend to be alike, so participants are clusters."""
    rng = np.random.default_rng(seed)
    rows = []
    for participant in range(participants):
        tendency = rng.beta(0.5, 0.5)
        for clip in range(clips):
            truth = rng.random() < tendency
            for rater in range(3):
                said = truth if rng.random() > error else rng.random() < 0.5
                name = f"p{participant}" if shared else f"s{seed}-p{participant}"
                rows.append(((name, clip), rater, int(said), name))
    unit, rater_, value, cluster = zip(*rows, strict=True)
    return Ratings.from_long(unit, rater_, value, scale="nominal", values=[0, 1], cluster=cluster)


@pytest.mark.parametrize("method", ["percentile", "bca", "jackknife_t"])
def test_the_interval_holds_the_estimate_and_repeats_itself(method: Any) -> None:
    stats = sufficient(study(1))
    first = interval(stats, "alpha", method=method, resamples=500, seed=3)
    again = interval(stats, "alpha", method=method, resamples=500, seed=3)
    assert isinstance(first, Interval)
    assert first == again
    assert first.low < first.estimate < first.high
    assert first.n_clusters == 40
    wide = interval(stats, "alpha", method=method, resamples=500, seed=3, level=0.99)
    assert isinstance(wide, Interval)
    assert wide.low < first.low
    assert first.high < wide.high


def test_resampling_statistics_equals_resampling_ratings() -> None:
    """One resample, done by hand: take the drawn participants' ratings and start afresh."""
    data = study(2, participants=6)
    stats = sufficient(data)
    result = interval(stats, "alpha", method="percentile", resamples=1, seed=11)
    assert isinstance(result, Interval)
    drawn = np.random.default_rng(11).integers(0, 6, size=6)
    rows = []
    for copy, participant in enumerate(drawn):
        for unit, rater, code in zip(data.unit, data.rater, data.code, strict=True):
            if data.unit_cluster[unit] == participant:
                rows.append(((copy, int(unit)), int(rater), int(code)))
    unit_, rater_, value = zip(*rows, strict=True)
    again = Ratings.from_long(unit_, rater_, value, scale="nominal", values=[0, 1])
    from annotation.agreement import coefficients

    assert result.replicates[0] == pytest.approx(coefficients(sufficient(again)).alpha, abs=1e-12)


def test_the_jackknife_equals_leaving_participants_out_one_by_one() -> None:
    from annotation.agreement import coefficients

    stats = sufficient(study(3, participants=12))
    left = np.array([coefficients(stats.without([name])).alpha for name in stats.clusters])
    error = np.sqrt(11 / 12 * ((left - left.mean()) ** 2).sum())
    result = interval(stats, "alpha", method="jackknife_t")
    assert isinstance(result, Interval)
    assert (result.high - result.low) / 2 == pytest.approx(2.200985160082949 * error)  # t(.975, 11)


def test_intervals_cover_the_true_value_as_often_as_they_say() -> None:
    truth = np.mean([coefficient(seed) for seed in range(1000, 1030)])
    covered = 0
    for seed in range(200):
        result = interval(sufficient(study(seed)), "alpha", resamples=300, seed=seed)
        assert isinstance(result, Interval)
        covered += result.low <= truth <= result.high
    assert 0.88 <= covered / 200 <= 0.99


def coefficient(seed: int) -> float:
    from annotation.agreement import coefficients

    value = coefficients(sufficient(study(seed, participants=400))).alpha
    assert isinstance(value, float)
    return value


def test_treating_every_clip_as_independent_is_too_narrow() -> None:
    """The reason for clusters: ten identical copies of each clip add no information."""
    data = study(4)
    rows = [
        (f"{unit}-{copy}", int(rater), int(code), int(data.unit_cluster[unit]))
        for copy in range(10)
        for unit, rater, code in zip(data.unit, data.rater, data.code, strict=True)
    ]
    unit_, rater_, value, cluster = zip(*rows, strict=True)
    options: dict[str, Any] = {"scale": "nominal", "values": [0, 1]}
    by_person = sufficient(Ratings.from_long(unit_, rater_, value, cluster=cluster, **options))
    by_copy = sufficient(Ratings.from_long(unit_, rater_, value, **options))
    wide, narrow, single = (
        interval(stats, "alpha", resamples=400, seed=1)
        for stats in (by_person, by_copy, sufficient(data))
    )
    assert isinstance(wide, Interval)
    assert isinstance(narrow, Interval)
    assert isinstance(single, Interval)
    assert wide.high - wide.low == pytest.approx(single.high - single.low, rel=0.02)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_no_interval_without_clusters_pairs_or_variation() -> None:
    one = Ratings.from_long(
        [1, 1, 2, 2], list("abab"), [0, 1, 1, 1], scale="nominal", values=[0, 1], cluster="pppp"
    )
    assert interval(sufficient(one), "alpha") == Undefined("too_few_clusters")
    same = Ratings.from_long(
        [1, 1, 2, 2], list("abab"), [1, 1, 1, 1], scale="nominal", values=[0, 1]
    )
    assert interval(sufficient(same), "alpha") == Undefined("no_variation")
    rare = Ratings.from_long(
        [u for u in range(30) for _ in "ab"],
        list("ab") * 30,
        [1, 1] + [0, 0] * 29,
        scale="nominal",
        values=[0, 1],
    )
    # In a third of the resamples the only positive clip is not drawn.
    assert interval(sufficient(rare), "alpha") == Undefined("too_many_undefined_replicates")
    assert interval(sufficient(rare), "alpha", method="jackknife_t") == Undefined(
        "too_many_undefined_replicates"
    )
    assert isinstance(interval(sufficient(rare), "percent"), Interval)


def test_perfect_agreement_has_an_interval_of_no_width() -> None:
    stats = sufficient(study(5, error=0.0))
    result = interval(stats, "alpha", resamples=200)
    assert isinstance(result, Interval)
    assert (result.low, result.high) == (1.0, 1.0)
    assert result.p_below(0.8) == 0.0


def test_a_study_does_not_differ_from_itself_and_differs_from_a_worse_one() -> None:
    good, poor = sufficient(study(6)), sufficient(study(6, error=0.6))
    none = compare(good, good, "alpha", resamples=200)
    assert isinstance(none, Interval)
    assert (none.low, none.estimate, none.high) == (0.0, 0.0, 0.0)
    paired = compare(good, poor, "alpha", resamples=400, seed=2)
    assert isinstance(paired, Interval)
    assert 0 < paired.low < paired.estimate < paired.high
    assert paired.n_clusters == 40
    apart = compare(
        good, sufficient(study(7, error=0.6, shared=False)), "alpha", resamples=400, seed=2
    )
    assert isinstance(apart, Interval)
    assert apart.n_clusters == 80


def test_unknown_questions_are_refused() -> None:
    stats = sufficient(study(8, participants=3))
    with pytest.raises(ValueError, match="'kappa' is unknown"):
        interval(stats, "kappa")
    with pytest.raises(ValueError, match="one of the codebook's values"):
        interval(stats, "specific", category="yes")
    with pytest.raises(ValueError, match="'magic' is unknown"):
        interval(stats, "alpha", method="magic")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("method", ["percentile", "bca", "jackknife_t"])
def test_the_order_in_which_participants_come_does_not_matter(method: Any) -> None:
    one, other = sufficient(study(1, participants=12)), sufficient(study(2, participants=12))
    turned = replace(one, clusters=one.clusters[::-1], table=one.table[::-1])
    assert turned == one
    first, second = (
        interval(stats, "alpha", method=method, resamples=200, seed=3) for stats in (one, turned)
    )
    assert isinstance(first, Interval)
    assert isinstance(second, Interval)
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-12)
    apart, again = (compare(stats, other, "alpha", resamples=200) for stats in (one, turned))
    assert isinstance(apart, Interval)
    assert isinstance(again, Interval)
    assert (apart.low, apart.high) == pytest.approx((again.low, again.high), abs=1e-12)

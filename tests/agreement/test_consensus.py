"""Consensus: majorities, soft labels, voted segments, Dawid and Skene."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import (
    DawidSkene,
    Ratings,
    Segments,
    Undefined,
    consensus_segments,
    dawid_skene,
    majority,
    vote_distribution,
)

from .vectors import FOLDER

S = 1_000_000


def ratings(votes: dict[str, str]) -> Ratings:
    rows = [(unit, f"r{i}", v.strip("-")) for unit, vs in votes.items() for i, v in enumerate(vs)]
    unit, rater, value = zip(*rows, strict=True)
    return Ratings.from_long(unit, rater, value, scale="nominal", values=["x", "y", "z"])


def test_the_majority_wins_and_a_tie_is_nobodys() -> None:
    votes = ratings({"a": "xxy", "b": "xy-", "c": "yx-", "d": "---", "e": "-zz", "f": "xyz"})
    assert majority(votes) == {
        "a": "x",
        "b": Undefined("tie"),
        "c": Undefined("tie"),
        "d": Undefined("no_ratings"),
        "e": "z",
        "f": Undefined("tie"),
    }


def test_soft_labels_are_shares_with_their_entropy() -> None:
    soft = vote_distribution(ratings({"a": "xxyy", "b": "zzzz", "none": "----"}))
    assert soft.units == ("a", "b")
    np.testing.assert_allclose(soft.shares, [[0.5, 0.5, 0], [0, 0, 1]])
    np.testing.assert_allclose(soft.entropy, [1, 0])
    assert soft.votes.tolist() == [4, 4]
    smooth = vote_distribution(ratings({"a": "xxyy"}), smoothing=1)
    np.testing.assert_allclose(smooth.shares, [[3 / 7, 3 / 7, 1 / 7]])


def marked(spans: dict[str, list[tuple[float, float]]], raters: str = "abc") -> Segments:
    rows = [
        ("r", who, int(start * S), int(end * S), "ah")
        for who, own in spans.items()
        for start, end in own
    ]
    columns: Any = tuple(zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return Segments.from_rows(
        *columns, roster={"r": raters}, durations={"r": 20 * S}, tick_us=10_000, labels=["ah"]
    )


def spans(found: Any) -> list[tuple[float, float]]:
    return [(span.start_us / S, span.end_us / S) for span in found]


def test_segments_are_voted_interval_by_interval() -> None:
    voted = consensus_segments(marked({"a": [(2, 8)], "b": [(4, 10)], "c": [(15, 16)]}), "ah")
    assert spans(voted.segments) == [(4, 8)]
    assert voted.segments[0].share == pytest.approx(2 / 3)
    assert voted.undecided == ()


def test_half_the_votes_are_undecided() -> None:
    voted = consensus_segments(marked({"a": [(2, 8)], "b": [(4, 10)]}, "ab"), "ah")
    assert spans(voted.segments) == [(4, 8)]
    assert voted.segments[0].share == 1
    assert spans(voted.undecided) == [(2, 4), (8, 10)]


def test_short_gaps_close_before_short_segments_fall() -> None:
    both = {who: [(1.0, 1.4), (1.6, 2.0), (10.0, 10.3)] for who in "ab"}
    segments = marked(both)
    assert spans(consensus_segments(segments, "ah").segments) == both["a"]
    voted = consensus_segments(segments, "ah", close_gap_us=S // 5, minimum_us=S // 2)
    assert spans(voted.segments) == [(1, 2)]
    assert voted.segments[0].share == pytest.approx(2 / 3 * 0.8)


def test_one_rater_alone_is_their_own_majority_and_nobody_is_nothing() -> None:
    assert spans(consensus_segments(marked({"a": [(1, 2)]}, "a"), "ah").segments) == [(1, 2)]
    assert consensus_segments(marked({}, ""), "ah").segments == ()


@given(
    cuts=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 18), st.integers(1, 9)), max_size=8
    )
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_vote_is_the_same_second_by_second(cuts: list[tuple[str, int, int]]) -> None:
    own: dict[str, list[tuple[float, float]]] = {}
    seconds = {who: np.zeros(20, dtype=bool) for who in "abc"}
    for who, start, length in cuts:
        end = min(start + length, 20)
        own.setdefault(who, []).append((start, end))
        seconds[who][start:end] = True
    voted = consensus_segments(marked(own), "ah")
    slow = sum(seconds.values()) >= 2
    fast = np.zeros(20, dtype=bool)
    for start, end in spans(voted.segments):
        fast[int(start) : int(end)] = True
    assert fast.tolist() == slow.tolist()
    assert voted.undecided == ()


def test_dawid_and_skene_find_the_careless_rater() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 300)
    rows = []
    for unit, true in enumerate(truth):
        for rater, right in enumerate([0.95, 0.9, 0.9, 0.55]):
            rows.append((unit, rater, int(true if rng.random() < right else 1 - true)))
    unit_, rater_, value = zip(*rows, strict=True)
    table = Ratings.from_long(unit_, rater_, value, scale="nominal", values=[0, 1])
    fit = dawid_skene(table)
    assert isinstance(fit, DawidSkene)
    assert fit.converged
    said = np.array(value).reshape(300, 4)
    actual = [[(said[truth == v, r] == v).mean() for v in (0, 1)] for r in range(4)]
    estimated = fit.confusion.diagonal(axis1=1, axis2=2)
    np.testing.assert_allclose(estimated, actual, atol=0.04)
    assert estimated.mean(axis=1).argmin() == 3
    hits = np.mean([fit.labels()[unit] == true for unit, true in enumerate(truth)])
    votes = majority(table)
    assert hits > np.mean([votes[unit] == true for unit, true in enumerate(truth)])
    np.testing.assert_allclose(fit.confusion.sum(axis=2), 1)
    np.testing.assert_allclose(fit.posterior.sum(axis=1), 1)


def test_dawid_and_skene_without_ratings_or_with_a_tie() -> None:
    nothing = Ratings.from_long(["u"], ["r"], [None], scale="nominal", values=[0, 1])
    assert dawid_skene(nothing) == Undefined("no_ratings")
    tied = Ratings.from_long([1, 1], ["r", "s"], [0, 1], scale="nominal", values=[0, 1])
    fit = dawid_skene(tied)
    assert isinstance(fit, DawidSkene)
    assert fit.labels() == {1: Undefined("tie")}


def test_the_anaesthesia_data_of_dawid_and_skene() -> None:
    import json

    path = FOLDER / "dawid_skene.json"
    if not path.exists():
        pytest.skip("the test vectors dawid_skene.json are not beside this checkout")
    vector = json.loads(path.read_text())
    unit, rater, value = zip(*vector["rows"], strict=True)
    fit = dawid_skene(Ratings.from_long(unit, rater, value, scale="nominal", values=[1, 2, 3, 4]))
    assert isinstance(fit, DawidSkene)
    expected = vector["expected"]
    np.testing.assert_allclose(fit.prevalence, expected["p"], atol=1e-5)
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-5)
    assert [fit.labels()[patient] for patient in range(1, 46)] == expected["argmax"]
    np.testing.assert_allclose(fit.confusion[0], expected["confusion_obs1"], atol=1e-5)


def test_the_consensus_of_tens_of_thousands_of_segments_takes_no_time() -> None:
    # Each of the two raters' segments overlap for half of their length: as many ties as segments.
    count = 15_000
    rows = [
        ("r", who, n * S + who, n * S + S // 2 + who, "ah") for who in (0, 9) for n in range(count)
    ]
    made = Segments.from_rows(
        *zip(*rows, strict=True), roster=[0, 9], durations={"r": count * S}, tick_us=1
    )
    began = time.process_time()
    found = consensus_segments(made, "ah")
    assert (len(found.segments), len(found.undecided)) == (count, 2 * count)
    closed = consensus_segments(made, "ah", close_gap_us=S)
    assert [(span.start_us, span.end_us) for span in closed.segments] == [
        (9, (count - 1) * S + S // 2)
    ]
    assert closed.segments[0].share == pytest.approx(0.5, abs=1e-4)
    assert time.process_time() - began < 5

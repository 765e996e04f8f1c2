"""What is in dispute, and in which order it is worth deciding."""

from __future__ import annotations

import math
from typing import Any

import pytest

from annotation.agreement import (
    Dispute,
    Ratings,
    Segments,
    adjudication_queue,
    dawid_skene,
    disputed_segments,
    disputed_units,
    vote_distribution,
)


def votes(*rows: str) -> Ratings:
    unit, rater, value = [], [], []
    for number, row in enumerate(rows):
        for who, said in enumerate(row):
            unit.append(f"u{number}")
            rater.append(who)
            value.append(said)
    return Ratings.from_long(unit, rater, value, scale="nominal", values=["n", "y"])


def test_the_queue_is_ordered_by_what_a_decision_is_worth() -> None:
    ratings = votes("nnny", "nnyy", "nnnn", "yyyn")
    queue = adjudication_queue(ratings)
    assert [entry.dispute.unit for entry in queue] == ["u1", "u0", "u3"]
    assert queue[0].score == 1.0
    assert queue[1].score == pytest.approx(-0.25 * math.log2(0.25) - 0.75 * math.log2(0.75))
    cheap = adjudication_queue(ratings, cost={"u3": 0.1})
    assert cheap[0].dispute.unit == "u3"
    assert adjudication_queue(vote_distribution(ratings)) == queue
    doubt = adjudication_queue(ratings, uncertainty="doubt")
    assert [entry.score for entry in doubt] == [0.5, 0.25, 0.25]


def test_a_model_may_say_what_is_uncertain() -> None:
    fitted: Any = dawid_skene(votes("nnny", "nnyy", "nnnn", "yyyn"), smoothing=0.1)
    assert {d.unit for d in disputed_units(fitted)} <= {"u0", "u1", "u2", "u3"}
    assert all(sum(e.dispute.probability.values()) == pytest.approx(1)
               for e in adjudication_queue(fitted))  # fmt: skip


def marked() -> Segments:
    rows = [
        ("r", "a", 1_000_000, 4_000_000, "x"),
        ("r", "b", 2_000_000, 6_000_000, "x"),
        ("r", "c", 2_000_000, 4_000_000, "x"),
        ("s", "a", 0, 500_000, "x"),
    ]
    return Segments.from_rows(
        *zip(*rows, strict=True),
        roster={"r": "abc", "s": "ab", "t": "a"},
        durations={"r": 10_000_000, "s": 500_000, "t": 5},
        tick_us=1000,
        labels=["x", "z"],
    )


def test_disputed_stretches_are_found_on_the_recordings_clock() -> None:
    found = disputed_segments(marked(), "x")
    assert [(d.unit, d.start_us, d.end_us) for d in found] == [
        ("r", 1_000_000, 2_000_000),
        ("r", 4_000_000, 6_000_000),
        ("s", 0, 500_000),
    ]
    assert found[0].probability["x"] == pytest.approx(1 / 3)
    assert found[2].entropy == 1.0
    assert disputed_segments(marked(), "z") == []
    assert len(disputed_segments(marked(), "x", minimum_us=1_000_000)) == 2
    queue = adjudication_queue(found, weight={"x": 2.0})
    assert [entry.dispute.start_us for entry in queue] == [4_000_000, 1_000_000, 0]
    assert queue[0].score == pytest.approx(2 * 2 * found[1].entropy)


def test_joined_stretches_average_their_shares_by_time() -> None:
    rows = [("r", "a", 0, 30, "x"), ("r", "b", 0, 10, "x")]
    segments = Segments.from_rows(
        *zip(*rows, strict=True), roster={"r": "abc"}, durations={"r": 40}, tick_us=1
    )
    (only,) = disputed_segments(segments, "x")
    assert (only.start_us, only.end_us) == (0, 30)
    assert only.probability["x"] == pytest.approx((10 * 2 / 3 + 20 / 3) / 30)


def test_nothing_in_the_queue_says_who_said_what() -> None:
    named = votes("nnny", "nnyy")
    text = repr(adjudication_queue(Ratings.from_long(
        ["u", "u"], ["Ann-Kathrin", "Berta"], ["n", "y"], scale="nominal", values=["n", "y"]
    )))  # fmt: skip
    assert "Ann" not in text
    assert "Berta" not in text
    assert adjudication_queue(named)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": {"x": -1.0}}, "weight of label 'x'"),
        ({"cost": 0.0}, "must cost something"),
        ({"uncertainty": "magic"}, "'magic' is unknown"),
    ],
)
def test_impossible_worths_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adjudication_queue([Dispute("u", "x", {"n": 0.5, "y": 0.5})], **options)
    with pytest.raises(ValueError, match="must sum to 1"):
        adjudication_queue([Dispute("u", "x", {"n": 0.5, "y": 0.6})])

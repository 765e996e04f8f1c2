"""Raters' own figures: aggregates of larger portions, from which no control can be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.services.care import figures
from annotation.services.care.disclosure import PORTION, STEP, portions, told_until
from tests.annotation.care_world import MONDAY, World, make_world

WEEK = timedelta(days=7)
NEXT_MONDAY = datetime(2026, 3, 9, tzinfo=UTC)
LATER = MONDAY + 20 * WEEK


@given(
    minutes=st.lists(st.integers(0, 60 * 24 * 60), max_size=120, unique=True),
    controls=st.sets(st.integers(0, 119), max_size=60),
)
def test_nothing_moves_within_a_portion_and_one_item_never_moves_it_alone(minutes, controls):
    times = sorted(MONDAY + timedelta(minutes=each) for each in minutes)
    ends = portions(times, now=LATER)
    starts = [times[0] if times else MONDAY, *ends[:-1]]
    for start, end in zip(starts, ends, strict=False):
        assert sum(start <= at < end for at in times) >= PORTION
        assert (end.weekday(), end.hour, end.minute) == (0, 0, 0)
    marked = [at for place, at in enumerate(times) if place in controls]
    told = told_until(marked, ends)
    assert told is None or told in ends
    if told is not None:
        assert sum(at < told for at in marked) >= STEP
    # Whatever the rater hands in afterwards, what was told of a portion stays as it is.
    more = [*times, *(times[-1] + timedelta(minutes=n) for n in range(1, 4))] if times else []
    assert portions(more, now=LATER)[: len(ends)] == ends or not ends


def test_a_week_that_is_not_over_is_not_told():
    times = [MONDAY + timedelta(minutes=n) for n in range(40)]
    assert portions(times, now=NEXT_MONDAY - timedelta(seconds=1)) == []
    assert portions(times, now=NEXT_MONDAY) == [NEXT_MONDAY]
    # The 25 of two sparse weeks are one portion; one item in a week of its own tells nothing.
    sparse = [*times[:24], MONDAY + WEEK]
    assert portions(sparse, now=NEXT_MONDAY) == []
    assert portions(sparse, now=LATER) == [NEXT_MONDAY + WEEK]


@pytest.fixture
def world(db) -> World:
    return make_world()


def own(world: World, now: datetime) -> figures.RaterFigures:
    found = figures.for_rater(world.study, world.raters[0], now=now)
    assert found is not None
    return found


def told(found: figures.RaterFigures) -> list[tuple[object, ...]]:
    """Give everything on the page that rests on more than what the rater did alone."""
    return [
        (each.key, each.text, each.n, each.means, each.low, each.attention)
        for part in found.sections
        for each in part.figures
        if not each.key.startswith(("pace", "prelabels"))
    ]


def fill(world: World, count: int, *, wrong: int = 0, start: datetime = MONDAY) -> None:
    """Let the first rater label `count` recordings, every third of them a control."""
    rater, other, _ = world.raters
    for place, recording in enumerate(world.recordings(count)):
        at = start + timedelta(minutes=place)
        if place % 3 == 0:
            world.know(recording, [(2, 6)])
            said = [(7, 9)] if place < 3 * wrong else [(2, 6)]
            world.mark(rater, recording, said, is_gold=True, at=at)
        else:
            world.mark(rater, recording, [(2, 6)], at=at)
            world.mark(other, recording, [(2, 6)], at=at)


def test_a_rater_reads_rounded_aggregates_of_whole_portions(world):
    fill(world, 30, wrong=1)
    assert told(own(world, NEXT_MONDAY - timedelta(minutes=1))) == []
    found = own(world, NEXT_MONDAY)
    gold = found.figure("gold")
    assert (gold.text, gold.n, gold.of) == ("90 %", 10, "control items, or a few more")
    assert gold.interval == ""
    assert found.figure("pairwise:main:hesitancy").n == 20
    keys = {each.key for part in found.sections for each in part.figures}
    assert not keys & {"copies", "without:main:hesitancy", "drift:gold", "drift:main"}
    assert found.courses == ()
    assert found.attention == []


def test_one_more_submission_of_any_kind_changes_nothing_but_their_own_counts(world):
    """The probing that a curious rater would try: hand in one recording, look, compare."""
    fill(world, 30, wrong=1)
    before = told(own(world, NEXT_MONDAY))
    rater = world.raters[0]
    recordings = world.recordings(3)
    world.know(recordings[0], [(2, 6)])
    world.mark(rater, recordings[0], [], is_gold=True, at=NEXT_MONDAY + timedelta(hours=1))
    assert told(own(world, NEXT_MONDAY + timedelta(hours=2))) == before
    assert told(own(world, NEXT_MONDAY + 3 * WEEK)) == before
    world.mark(rater, recordings[1], [], at=NEXT_MONDAY + WEEK)
    assert told(own(world, NEXT_MONDAY + 3 * WEEK)) == before


def test_repeats_are_told_rounded_and_without_when_they_came(world):
    rater = world.raters[0]
    recordings = world.recordings(26)
    for place, recording in enumerate(recordings):
        world.answer(rater, recording, "yes" if place % 2 else "no")
    for place, recording in enumerate(recordings[:7]):
        world.answer(rater, recording, "yes" if place % 2 and place > 1 else "no", repeat=1)
    exact = figures.for_lead(world.study, rater).figure("repeats:clip:present")
    found = own(world, LATER).figure("repeats:clip:present")
    assert exact.n == 7
    assert "days (medians)" in exact.means
    assert found.value == pytest.approx(round(exact.value / 0.05) * 0.05)
    assert (found.n, found.of) == (5, "recordings labelled twice, or a few more")
    assert "median" not in found.means


def test_fewer_than_five_controls_are_not_told(world):
    rater, other, _ = world.raters
    for place, recording in enumerate(world.recordings(30)):
        if place < 4:
            world.know(recording, [(2, 6)])
        world.mark(rater, recording, [(2, 6)], is_gold=place < 4)
        world.mark(other, recording, [(2, 6)])
    found = own(world, LATER)
    assert found.until is not None
    assert found.figure("gold") is None


def test_nothing_on_the_page_names_a_recording_or_another_rater(world):
    fill(world, 30, wrong=2)
    text = repr(own(world, LATER))
    for row in world.study.recordings.all():
        assert str(row.pk) not in text
    assert all(rater.username not in text for rater in world.raters)

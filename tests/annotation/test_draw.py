"""The draw: exact shares, even loads, the same by the same seed, whatever the input."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.services.assignment.draw import (
    Place,
    Wanted,
    allocate,
    draw_sample,
    put_in_order,
    share_of,
)

SEEDS = st.integers(0, 2**31)
STEADY = settings(max_examples=60, deadline=None, derandomize=True)


@STEADY
@given(
    strata=st.lists(st.integers(1, 4), min_size=1, max_size=60),
    share=st.floats(0.01, 1),
    seed=SEEDS,
)
def test_the_sample_is_exact_spread_over_strata_and_the_same_by_the_same_seed(strata, share, seed):
    things = {f"r{number}": stratum for number, stratum in enumerate(strata)}
    drawn = draw_sample(things, share, seed=seed)
    size = max(1, share_of(share, len(things)))
    assert len(drawn) == size
    assert drawn == draw_sample(dict(reversed(things.items())), share, seed=seed)
    found = Counter(things[thing] for thing in drawn)
    for stratum, count in Counter(strata).items():
        assert abs(found[stratum] - count * size / len(things)) < 1 + 1e-9


def test_every_recording_is_as_likely_to_be_drawn_as_every_other():
    things = {f"r{number}": number % 3 for number in range(20)}
    often = Counter(thing for seed in range(3000) for thing in draw_sample(things, 0.2, seed=seed))
    # 600 expected of 3,000 draws; the standard deviation is 22.
    assert len(often) == 20
    assert all(500 < count < 700 for count in often.values())


@STEADY
@given(count=st.integers(1, 40), raters=st.integers(1, 10), need=st.integers(1, 10), seed=SEEDS)
def test_loads_differ_by_one_at_most_and_overlap_is_exact(count, raters, need, seed):
    need = min(need, raters)
    people = frozenset(f"p{number}" for number in range(raters))
    wanted = {f"r{number}": Wanted(need, people) for number in range(count)}
    found = allocate(wanted, seed=seed)
    assert {len(given) for given in found.values()} == {need}  # as sets: nobody twice
    load = Counter(rater for given in found.values() for rater in given)
    assert max(load.values()) - min(load[rater] for rater in people) <= 1
    assert found == allocate(dict(reversed(wanted.items())), seed=seed)


@st.composite
def limited(draw):
    """A few recordings that not everybody may label."""
    people = [f"p{number}" for number in range(draw(st.integers(2, 4)))]
    wanted = {}
    for number in range(draw(st.integers(1, 5))):
        may = draw(st.sets(st.sampled_from(people), min_size=1))
        wanted[f"r{number}"] = Wanted(draw(st.integers(1, len(may))), frozenset(may))
    return people, wanted


@STEADY
@given(case=limited(), seed=SEEDS)
def test_where_not_everybody_may_label_everything_no_plan_is_more_even(case, seed):
    _, wanted = case
    found = allocate(wanted, seed=seed)
    for thing, each in wanted.items():
        assert found[thing] <= each.may
        assert len(found[thing]) == each.need
    load = Counter(rater for given in found.values() for rater in given)
    least = min(
        sum(v * v for v in Counter(rater for team in plan for rater in team).values())
        for plan in product(
            *(combinations(sorted(each.may), each.need) for each in wanted.values())
        )
    )
    assert sum(v * v for v in load.values()) == least


def test_earlier_work_decides_between_equals_and_too_few_raters_are_refused():
    both = frozenset({"a", "b"})
    for seed in range(10):
        assert allocate({"r": Wanted(1, both)}, seed=seed, earlier={"a": 1}) == {"r": {"b"}}
    with pytest.raises(ValueError, match="Too few"):
        allocate({"r": Wanted(3, both)}, seed=1)


@STEADY
@given(
    work=st.integers(1, 40),
    gold=st.integers(0, 8),
    repeats=st.integers(0, 10),
    gap=st.integers(0, 50),
    seed=st.binary(min_size=1, max_size=4),
)
def test_repeats_come_late_enough_and_everything_once(work, gold, repeats, gap, seed):
    own, known = [f"w{n}" for n in range(work)], [f"g{n}" for n in range(gold)]
    order = put_in_order(own, known, repeats=repeats, gap=gap, seed=seed)
    assert order == put_in_order(own[::-1], known[::-1], repeats=repeats, gap=gap, seed=seed)
    assert sorted(place.thing for place in order if not place.repeat) == sorted(own + known)
    again = [at for at, place in enumerate(order) if place.repeat]
    for at in again:
        thing = order[at].thing
        assert thing in own
        assert at - order.index(Place(thing)) - 1 >= gap
    assert len({order[at].thing for at in again}) == len(again) <= repeats
    if work + gold > gap + repeats + gold:
        assert len(again) == min(repeats, work)


def test_the_order_is_not_the_recordings_own():
    own = [f"w{n:02}" for n in range(30)]
    orders = [
        [place.thing for place in put_in_order(own, [], repeats=0, gap=0, seed=bytes([number]))]
        for number in range(20)
    ]
    assert len({tuple(order) for order in orders}) == 20
    assert own not in orders

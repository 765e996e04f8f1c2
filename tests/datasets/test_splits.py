"""Folds: by participant, seeded, never empty from three on, and fixed for good."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ParticipantFactory, StudyFactory
from waver.datasets.splits import SHARES, assign, deal, shuffled

FOLDS = st.fixed_dictionaries({fold: st.integers(0, 30) for fold in SHARES})


@given(st.integers(0, 200), FOLDS)
def test_everybody_gets_a_fold_and_none_stays_empty(new, have):
    dealt = deal(new, have)
    assert len(dealt) == new
    final = Counter(have) + Counter(dealt)
    if new >= 3:
        assert all(final[fold] > 0 for fold in SHARES)


@given(st.integers(10, 500))
def test_a_first_release_keeps_the_shares(new):
    counts = Counter(deal(new, {}))
    for fold, share in SHARES.items():
        assert abs(counts[fold] - share * new) <= 1.5


@pytest.mark.parametrize(("n", "folds"), [(1, 1), (2, 2), (3, 3), (4, 3), (12, 3)])
def test_small_numbers(n, folds):
    assert len(set(deal(n, {}))) == folds


@given(st.sets(st.uuids(), max_size=20), st.integers(0, 9))
def test_the_order_depends_on_seed_and_key_only(people, seed):
    order = shuffled(people, seed=seed)
    assert sorted(order) == sorted(people)
    some = set(order[::2])
    assert shuffled(some, seed=seed) == [person for person in order if person in some]


def test_another_seed_gives_another_order():
    people = [UUID(int=n) for n in range(50)]
    assert shuffled(people, seed=1) != shuffled(people, seed=2)


@pytest.mark.django_db
def test_nobody_ever_moves():
    study = StudyFactory()
    people = [ParticipantFactory(study=study).pk for _ in range(5)]
    first = assign(study=study, participants=people)
    assert set(first.values()) == set(SHARES)
    more = [ParticipantFactory(study=study).pk for _ in range(20)]
    second = assign(study=study, participants=[*people[1:], *more])
    assert {who: second[who] for who in people[1:]} == {who: first[who] for who in people[1:]}
    assert assign(study=study, participants=people) == first

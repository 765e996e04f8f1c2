"""A withdrawal is a subtraction: the same statistics as if the person had never been there."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from annotation import codebooks
from annotation.agreement import coefficients
from tests.datasets.worlds import label, policy_text, world
from waver.consent.models import Participant
from waver.datasets import gate, measures, policies, snapshots
from waver.datasets.holders import DatasetsHolder
from waver.datasets.labels import labels_of
from waver.datasets.models import GateRun, Statistic

pytestmark = pytest.mark.django_db
KEYS = ("segments/ah", "video/ah", "video/certainty")
FIELDS = ("alpha", "fleiss", "gwet", "pabak", "percent", "n_units", "n_clusters")


@pytest.fixture
def made():
    """Fourteen participants: four recordings of two thirds drawn, five of a fifth, five alone."""
    found = world(participants=14, raters=4)
    draws = ((slice(0, 4), 4, 2 / 3), (slice(4, 9), 4, 0.2), (slice(9, 14), 1, 0.2))
    for seed, (place, raters, probability) in enumerate(draws):
        label(
            found,
            errors=0.2,
            seed=seed,
            recordings=found.recordings[place],
            raters=found.raters[:raters],
            in_reliability_sample=raters > 1,
            inclusion_probability=probability,
        )
    return found


def _judge(made) -> GateRun:
    rules = yaml.safe_load(policy_text())
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=yaml.safe_dump(rules), actor="lead")
    return gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


def _close(one, other) -> None:
    """The same tables, whatever the order of their participants; the same coefficients."""
    assert set(one.clusters) == set(other.clusters)
    order = sorted(one.clusters)
    a, b = (stats.table[[stats.clusters.index(name) for name in order]] for stats in (one, other))
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    first, second = coefficients(one), coefficients(other)
    for field in FIELDS:
        assert getattr(first, field) == pytest.approx(getattr(second, field), abs=1e-12), field
    for field in ("specific", "alpha_by_category"):
        for value, found in getattr(first, field).items():
            assert found == pytest.approx(getattr(second, field)[value], abs=1e-12), (field, value)


def test_stored_statistics_without_a_participant_are_those_computed_without_them(made):
    run = _judge(made)
    known = labels_of(codebooks.load(made.codebook.text))
    gone = [made.participants[0], made.participants[5], made.participants[12]]
    before = {key: measures.stored(run.snapshot, known[key], _tick(key)) for key in KEYS}
    Participant.objects.filter(pk__in=[person.pk for person in gone]).update(
        state=Participant.State.WITHDRAWN
    )
    again = snapshots.freeze(study=made.study, actor="lead")
    names = {str(person.pk) for person in gone}
    for key in KEYS:
        fresh = measures.measure(again, known[key], tick_us=40_000, sample_only=True).statistics
        left = measures.stored(run.snapshot, known[key], _tick(key))
        _close(left, fresh)
        _close(before[key] - before[key].only(names), fresh)
        assert before[key].scale == ("ordinal" if key == "video/certainty" else "nominal")
        assert not names & set(fresh.clusters)


def test_who_is_erased_leaves_no_statistics(made):
    run = _judge(made)
    gone, stays = made.participants[0], made.participants[1]
    assert Statistic.objects.filter(participant=gone).count() == 3
    Participant.objects.filter(pk=gone.pk).update(state=Participant.State.WITHDRAWN)
    holder = DatasetsHolder()
    holder.erase(gone.pk)
    assert not Statistic.objects.filter(participant=gone).exists()
    assert [held for held in holder.verify_absent(gone.pk) if "tatistic" in held.kind] == []
    assert Statistic.objects.filter(participant=stays).count() == 3
    assert str(gone.pk) not in str(run.receipt)


def _tick(key: str) -> int | None:
    return 40_000 if key.startswith("segments") else None

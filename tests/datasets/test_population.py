"""Whose work counts for agreement: first-time, blind, real work of the sample that was drawn."""

from __future__ import annotations

import pytest

from annotation import codebooks
from annotation.agreement import coefficients, cross_check
from annotation.models import Adjudication, Annotation, Assignment, Batch
from tests.datasets.worlds import label, world
from waver.core.errors import Conflict, IntegrityProblem
from waver.datasets import measures, snapshots
from waver.datasets.labels import labels_of
from waver.studies.models import StudyDesign

pytestmark = pytest.mark.django_db


def _measured(made, key: str = "video/ah", **changes) -> measures.Measured:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    known = labels_of(codebooks.load(made.codebook.text))
    return measures.measure(snapshot, known[key], tick_us=40_000, **changes)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": Batch.Kind.TRAINING},
        {"kind": Batch.Kind.QUALIFICATION},
        {"is_gold": True},
        {"repeat": 1},
    ],
    ids=str,
)
def test_what_is_no_real_work_enters_neither_snapshot_nor_agreement(other):
    made = world(participants=6)
    label(made, errors=0.2)
    before = snapshots.freeze(study=made.study, actor="lead")
    label(made, jitter_us=0, **other)
    assert snapshots.freeze(study=made.study, actor="lead") == before


def test_only_controls_are_nothing_to_freeze():
    made = world(participants=2)
    label(made, is_gold=True)
    with pytest.raises(Conflict, match="nothing to freeze"):
        snapshots.freeze(study=made.study, actor="lead")


def test_the_arm_with_pre_labels_counts_only_where_it_is_asked_for():
    made = world(participants=8)
    label(made, errors=0.2, recordings=made.recordings[:5])
    label(made, jitter_us=0, recordings=made.recordings[5:], arm="prelabel")
    blind = _measured(made)
    shown = _measured(made, arms=[StudyDesign.Arm.PRELABEL])
    assert set(blind.roster) == {str(recording.pk) for recording in made.recordings[:5]}
    assert set(shown.roster) == {str(recording.pk) for recording in made.recordings[5:]}
    assert coefficients(shown.statistics).alpha == 1


def test_what_an_adjudicator_decides_changes_no_agreement():
    made = world(participants=6)
    label(made, errors=0.3)
    before = _measured(made).statistics
    for recording in made.recordings:
        Adjudication.objects.create(
            recording=recording,
            codebook=made.codebook,
            pass_id="video",
            label="ah",
            value="present",
            rationale="The second look shows it.",
            decided_by=made.lead,
        )
    after = _measured(made).statistics
    assert after.to_dict() == before.to_dict()


def test_work_that_is_turned_into_a_control_afterwards_is_noticed():
    made = world(participants=4)
    label(made)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    Assignment.objects.filter(recording=made.recordings[0]).update(is_gold=True)
    with pytest.raises(IntegrityProblem, match="not what was frozen"):
        snapshots.require_whole(snapshot)


@pytest.mark.parametrize(
    "change", [{"inclusion_probability": 0.5}, {"in_reliability_sample": False}], ids=str
)
def test_the_draw_is_part_of_what_is_frozen(change):
    made = world(participants=4)
    label(made)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    Assignment.objects.filter(recording=made.recordings[0]).update(**change)
    with pytest.raises(IntegrityProblem, match="not what was frozen"):
        snapshots.require_whole(snapshot)


@pytest.mark.parametrize("key", ["video/ah", "segments/ah", "video/certainty"])
def test_drawn_recordings_count_with_the_inverse_of_their_probability(key):
    made = world(participants=12)
    drawn, rest = made.recordings[:6], made.recordings[6:]
    label(made, errors=0.3, recordings=drawn[:3], inclusion_probability=1.0)
    label(made, errors=0.3, recordings=drawn[3:], inclusion_probability=1 / 3, seed=9)
    label(
        made,
        recordings=rest,
        raters=made.raters[:1],
        in_reliability_sample=False,
        inclusion_probability=1 / 3,
    )
    all_of_them = _measured(made, key)
    found = _measured(made, key, sample_only=True)
    assert len(all_of_them.roster) == 12
    assert set(found.roster) == {str(recording.pk) for recording in drawn}
    assert found.sample.share == 0.5
    assert found.sample.looks_random  # 3 of 3 at 1, 3 of 9 at a third
    stats = found.statistics
    once = {str(recording.participant.pk) for recording in drawn[:3]}
    plain = _measured(made, key).statistics.only(set(stats.clusters))
    thrice = plain.without(once)
    whole = plain.only(once) + thrice + thrice + thrice
    assert coefficients(stats).alpha == pytest.approx(coefficients(whole).alpha, abs=1e-12)
    assert cross_check(found.data) == pytest.approx(coefficients(stats).alpha, abs=1e-9)


def test_a_draw_that_does_not_fit_its_probabilities_does_not_look_random():
    made = world(participants=10)
    label(made, recordings=made.recordings[:4])
    label(made, recordings=made.recordings[4:], raters=made.raters[:1], in_reliability_sample=False)
    sample = _measured(made, sample_only=True).sample
    assert sample.share == 0.4
    assert not sample.looks_random
    assert Annotation.objects.count() == 2 * (4 * 3 + 6)

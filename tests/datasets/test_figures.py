"""What the agreement page's pictures rest on: the same numbers, without whoever has left."""

from __future__ import annotations

import pytest
from django.utils import timezone

from annotation.agreement import Undefined, coefficients, leave_one_rater_out, pairwise
from annotation.models import RaterProfile
from tests.datasets.worlds import label, policy_text, world
from waver.consent import services
from waver.datasets import disagreement, figures, gate, measures, policies, snapshots
from waver.datasets.models import Figure, GateRun, RecordingDisagreement

pytestmark = pytest.mark.django_db


def looked(made, **changes) -> GateRun:
    """Judge a labelled world and compute its pictures."""
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    text = policy_text(**changes)
    policy = policies.install(study=made.study, text=text, actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    figures.store(run, figures.compute(run))
    return run


def of(run: GateRun, key: str) -> tuple[figures.Judged, measures.Measured]:
    one = figures.judged(run)[key]
    return one, measures.measure(run.snapshot, one.label, tick_us=one.tick_us)


@pytest.mark.parametrize("key", ["segments/ah", "video/ah", "video/certainty"])
def test_every_two_raters_and_all_but_one_are_as_agreement_computes_them(key):
    made = world(participants=8)
    label(made, errors=0.2)
    one, measured = of(run := looked(made), key)
    table = figures.raters(run, one)
    assert {str(pk) for pk in table.raters} == set(measured.raters)
    wanted = {tuple(map(str, pair)): v for pair, v in pairwise(measured.data).items()}
    assert len(table.pairs) == len(wanted) == 3
    for pair, found in table.pairs.items():
        names = tuple(map(str, pair))
        value = wanted.get(names, wanted.get(names[::-1]))
        assert found.alpha == pytest.approx(value, abs=1e-12)
        assert found.recordings == 8
    for pk, value in leave_one_rater_out(measured.data).items():
        found = {str(k): v for k, v in table.without.items()}[str(pk)]
        assert found == pytest.approx(value, abs=1e-12)
    ends = run.receipt["labels"][key]["without_one_rater"]
    assert [min(table.without.values()), max(table.without.values())] == pytest.approx(ends)


def test_recordings_are_ordered_by_how_much_of_them_is_disputed():
    made = world(participants=6)
    quiet, loud = made.recordings[:3], made.recordings[3:]
    label(made, jitter_us=0, recordings=quiet, passes=("segments",))
    label(made, jitter_us=900_000, recordings=loud, passes=("segments",), seed=2)
    run = looked(made, labels=("segments/ah",), clusters=5)
    one, measured = of(run, "segments/ah")
    found = list(figures.most_disputed(run, one))
    assert len(found) == 6
    assert [row.amount for row in found] == sorted((row.amount for row in found), reverse=True)
    assert {row.recording_id for row in found[:2]} <= {row.pk for row in loud}
    assert {row.amount for row in found if row.recording in quiet} == {0}
    # Disagreement over all recordings is 1 minus the percentage that agreement computes.
    total = sum(row.amount for row in found) / sum(measured.data.duration_us)
    assert total == pytest.approx(1 - coefficients(measured.statistics).percent, abs=1e-12)


def test_a_disputed_stretch_of_two_seconds_counts_two_thirds_of_it_among_three_raters():
    made = world(participants=1)
    made.truth[made.recordings[0]] = [(2_000_000, 4_000_000)]
    for n, rater in enumerate(made.raters):
        made.truth[made.recordings[0]] = [] if n else [(2_000_000, 4_000_000)]
        label(made, jitter_us=0, raters=[rater], passes=("segments",))
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    one = figures.labels_of(figures.read_codebook(made.codebook.text))["segments/ah"]
    found = disagreement.recordings(measures.measure(snapshot, one, tick_us=40_000))
    assert [(row.disputed_us, row.amount, row.raters) for row in found] == [
        (2_000_000, pytest.approx(2 / 3 * 2_000_000), 3)
    ]
    assert found[0].share == pytest.approx(2 / 3 * 2 / 10)


@pytest.mark.parametrize("key", ["segments/ah", "video/ah"])
def test_confusion_adds_up_to_what_was_rated_and_its_diagonal_to_agreement(key):
    made = world(participants=8)
    label(made, errors=0.2)
    one, measured = of(run := looked(made), key)
    found = figures.confusion(run, one)
    cells = found.cells
    assert cells[0][1] == pytest.approx(cells[1][0])
    everything = sum(map(sum, cells))
    assert everything == pytest.approx(8 * 3 * (10 if key == "segments/ah" else 1))
    same = sum(cells[n][n] for n in range(len(cells))) / everything
    assert same == pytest.approx(coefficients(measured.statistics).percent)
    assert found.unit == ("seconds" if key == "segments/ah" else "answers")
    assert sum(found.share(0, k) for k in range(2)) == pytest.approx(1)


def test_two_labels_at_once_count_by_half_and_the_gap_is_a_row():
    made = world(participants=1)
    label(made, jitter_us=0, passes=("segments",))
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    one = figures.labels_of(figures.read_codebook(made.codebook.text))["segments/ah"]
    part = measures.measure(snapshot, one, tick_us=40_000)
    # The same spans under two names: 3 of 10 seconds are marked twice, by all three.
    cells = disagreement.of_segments([part, part])
    (matrix,) = cells.values()
    assert matrix[0] == pytest.approx([21, 0, 0])
    assert matrix[1] == pytest.approx([0, 4.5 / 2, 4.5 / 2], abs=0.2)
    assert sum(map(sum, matrix)) == pytest.approx(30)


def test_who_withdrew_is_in_no_picture_and_who_is_erased_in_no_row():
    made = world(participants=8, consented=True)
    label(made, errors=0.2)
    run = looked(made)
    gone = made.participants[0]
    one, _ = of(run, "segments/ah")
    before = figures.raters(run, one)
    services.withdraw(participant=gone, actor="tests")
    left = figures.raters(run, one)
    assert {pair.recordings for pair in left.pairs.values()} == {7}
    assert left.pairs != before.pairs
    assert gone.pk not in {row.participant_id for row in figures.most_disputed(run, one)}
    assert [arm.blind.recordings for arm in figures.arms(run)] == [7, 7, 7]
    # What is left is what the remaining seven alone would give.
    _, measured = of(run, "segments/ah")
    rest = measured.data.only_raters(list(map(str, next(iter(left.pairs)))))
    stats = measures.sufficient(rest).without([str(gone.pk)])
    assert next(iter(left.pairs.values())).alpha == pytest.approx(coefficients(stats).alpha)
    assert services.erase(participant=gone, actor="tests") == []
    for model in (Figure, RecordingDisagreement):
        assert not model.objects.filter(participant=gone).exists()
        assert model.objects.exists()


def test_pictures_that_are_late_for_a_withdrawal_leave_the_person_out():
    made = world(participants=6, consented=True)
    label(made)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    found = figures.compute(run)
    services.withdraw(participant=made.participants[0], actor="tests")
    figures.store(run, found)
    assert Figure.objects.exists()
    assert not Figure.objects.filter(participant=made.participants[0]).exists()


def test_raters_who_share_no_recording_have_no_number():
    made = world(participants=4)
    label(made, raters=made.raters[:2], recordings=made.recordings[:2], passes=("video",))
    label(made, raters=made.raters[1:], recordings=made.recordings[2:], passes=("video",))
    run = looked(made, labels=("video/ah",), clusters=5)
    one, _ = of(run, "video/ah")
    table = figures.raters(run, one)
    first, last = made.raters[0].pk, made.raters[2].pk
    assert (first, last) not in table.pairs
    assert (last, first) not in table.pairs
    assert all(isinstance(v, float | Undefined) for v in table.without.values())


def test_computing_twice_keeps_one_row_each():
    made = world(participants=6)
    label(made)
    run = looked(made)
    count = Figure.objects.count(), RecordingDisagreement.objects.count()
    figures.store(run, figures.compute(run))
    assert (Figure.objects.count(), RecordingDisagreement.objects.count()) == count
    assert figures.are_there(run)


def test_a_rater_whose_time_is_over_is_in_no_picture_and_then_in_no_row():
    made = world(participants=6)
    label(made, errors=0.2)
    run = looked(made)
    one, _ = of(run, "video/ah")
    gone = made.raters[0]
    profile = RaterProfile.objects.create(study=made.study, user=gone)
    assert figures.forget_raters() == 0  # nobody's time is over
    RaterProfile.objects.filter(pk=profile.pk).update(figures_removed_at=timezone.now())
    table = figures.raters(run, one)
    assert gone.pk not in table.raters
    assert gone.pk not in table.without
    assert len(table.pairs) == 1
    assert figures.forget_raters() > 0
    kept = Figure.objects.filter(kind=Figure.Kind.RATERS)
    assert not any(str(gone.pk) in str(row.values) for row in kept)
    assert figures.raters(run, one) == table
    assert figures.forget_raters() == 0

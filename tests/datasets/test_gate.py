"""The gate: what passes, what is blocked, and that nobody can talk it round."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from django.db import Error, transaction
from django.utils import timezone

from annotation import codebooks
from annotation.agreement import coefficients, interval
from annotation.models import Annotation, Segment
from tests.datasets.worlds import label, policy_text, world
from tests.factories import AnnotationFactory, MembershipFactory
from waver.consent.models import Participant
from waver.core.errors import BadInput, Conflict, IntegrityProblem, NotAllowed
from waver.core.models import AuditEntry
from waver.datasets import gate, measures, policies, receipts, snapshots
from waver.datasets.labels import labels_of
from waver.datasets.models import GateRun, Snapshot, Statistic

pytestmark = pytest.mark.django_db


def _run(made, text: str | None = None, **changes) -> GateRun:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=text or policy_text(**changes), actor="lead")
    return gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


def _verdicts(run: GateRun) -> dict[str, str]:
    return {key: found["verdict"] for key, found in run.receipt["labels"].items()}


def _blocked_because(run: GateRun, key: str = "segments/ah") -> str:
    found = run.receipt["labels"][key]
    assert found["verdict"] == "undetermined"
    return " ".join(found["reasons"])


def _segments_label(made):
    return labels_of(codebooks.load(made.codebook.text))["segments/ah"]


# What a run says


def test_a_required_label_that_fails_holds_back_the_others_and_the_sentence_says_so():
    made = world()
    label(made)
    rules = yaml.safe_load(policy_text())
    rules["labels"]["video/certainty"]["required"] = True
    run = _run(made, yaml.safe_dump(rules))
    assert run.verdict == GateRun.Verdict.FAIL
    assert "nothing may be released: video/certainty (fail) blocked" in run.sentence
    assert "may be released: segments" not in run.sentence


def test_one_label_passes_and_one_is_blocked():
    made = world()
    label(made)
    run = _run(made)
    assert _verdicts(run) == {
        "segments/ah": "pass",
        "video/ah": "pass",
        "video/certainty": "fail",
    }
    assert run.verdict == GateRun.Verdict.PASS
    assert "2 of 3 labels may be released" in run.sentence
    for found in run.receipt["labels"].values():
        assert found["sentence"].startswith("For these raters, ")
        assert found["cross_check"]["difference"] <= 1e-9
    said = run.receipt["labels"]["segments/ah"]["sentence"]
    ends = run.receipt["labels"]["segments/ah"]["without_one_rater"]
    assert "95% interval" in said
    assert f"without one rater {ends[0]:.3f} to {ends[1]:.3f}" in said


def test_the_receipt_holds_what_agreement_computes_and_names_nobody():
    made = world()
    label(made, errors=0.05)
    run = _run(made)
    run.refresh_from_db()
    assert receipts.is_genuine(run.receipt, run.signature)
    known = labels_of(measures_codebook(run))
    measured = measures.measure(run.snapshot, known["segments/ah"], tick_us=40_000)
    found = run.receipt["labels"]["segments/ah"]
    stats = measured.statistics
    assert found["alpha"] == pytest.approx(coefficients(stats).alpha, abs=1e-12)
    ends = interval(stats, "alpha", method="bca", resamples=1000, seed=20261120, level=0.95)
    assert (found["interval"]["low"], found["interval"]["high"]) == pytest.approx(
        (ends.low, ends.high), abs=1e-12
    )
    assert found["n"] == {
        "participants": 12,
        "recordings": 12,
        "raters": 3,
        "submissions": 36,
        "positive_participants": found["n"]["positive_participants"],
        "units": 3000.0,
        "duration_us": 120_000_000,
    }
    text = str(run.receipt)
    for person in [*made.participants, *made.raters]:
        assert str(person.pk) not in text
    assert not any(rater.username in text for rater in made.raters)
    assert run.receipt["versions"]["krippendorff"]


def measures_codebook(run: GateRun):
    from annotation import codebooks

    return codebooks.load(run.snapshot.codebook.text)


def test_a_changed_receipt_is_not_believed():
    made = world()
    label(made)
    run = _run(made)
    run.receipt["labels"]["video/certainty"]["verdict"] = "pass"
    with pytest.raises(IntegrityProblem, match="not the one that was signed"):
        gate.standings(run)


def test_the_same_snapshot_and_policy_are_judged_once():
    made = world()
    label(made)
    first = _run(made)
    assert _run(made) == first
    assert GateRun.objects.count() == Snapshot.objects.count() == 1


@pytest.mark.parametrize("row", ["snapshot", "run", "policy"])
def test_what_was_judged_cannot_be_changed_in_the_database(row):
    made = world(participants=6)
    label(made)
    run = _run(made)
    rows = {"snapshot": run.snapshot, "run": run, "policy": run.policy}
    field = {"snapshot": "sha256", "run": "verdict", "policy": "text"}[row]
    with pytest.raises(Error, match="append-only"), transaction.atomic():
        type(rows[row]).objects.filter(pk=rows[row].pk).update(**{field: "x"})


# What is measured


def test_submitted_without_a_segment_is_an_answer_and_not_submitted_is_missing():
    made = world(participants=6, raters=3)
    made.truth[made.recordings[0]] = []
    label(made)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    known = labels_of(measures_codebook_of(snapshot))["segments/ah"]
    full = measures.measure(snapshot, known, tick_us=40_000)
    empty = str(made.recordings[0].pk)
    assert len(full.roster[empty]) == 3
    gone = Annotation.objects.filter(
        assignment__recording=made.recordings[0], assignment__rater=made.raters[0]
    )
    AnnotationFactory(
        assignment=gone.get(assignment__batch__pass_id="segments").assignment,
        verdict=Annotation.Verdict.DELETED,
    )
    later = snapshots.freeze(study=made.study, actor="lead")
    fewer = measures.measure(later, known, tick_us=40_000)
    assert len(fewer.roster[empty]) == 2
    assert fewer.statistics.table.sum() != full.statistics.table.sum()


def measures_codebook_of(snapshot: Snapshot):
    from annotation import codebooks

    return codebooks.load(snapshot.codebook.text)


def test_the_newest_accepted_version_counts():
    made = world(participants=6)
    label(made, passes=("segments",))
    old = Annotation.objects.filter(assignment__recording=made.recordings[0]).first()
    new = AnnotationFactory(
        assignment=old.assignment, segments=[(7_000_000, 8_000_000, "ah")], codebook=old.codebook
    )
    AnnotationFactory(assignment=old.assignment, verdict=Annotation.Verdict.REJECTED)
    frozen = set(
        snapshots.freeze(study=made.study, actor="lead").annotations.values_list("pk", flat=True)
    )
    assert new.pk in frozen
    assert old.pk not in frozen
    assert len(frozen) == 18


def test_freezing_again_without_a_change_gives_the_same_snapshot():
    made = world(participants=6)
    label(made, passes=("video",))
    first = snapshots.freeze(study=made.study, actor="lead")
    assert snapshots.freeze(study=made.study, actor="somebody else") == first
    AnnotationFactory(assignment=Annotation.objects.first().assignment, codebook=made.codebook)
    second = snapshots.freeze(study=made.study, actor="lead")
    assert (second.number, second.sha256 != first.sha256) == (2, True)


def test_freezing_nothing_says_what_to_wait_for():
    with pytest.raises(Conflict, match="no accepted annotation"):
        snapshots.freeze(study=world(participants=1).study, actor="lead")


def test_the_arm_is_part_of_what_is_frozen():
    made = world(participants=6)
    label(made, passes=("video",))
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    Annotation.objects.first().assignment.__class__.objects.update(arm="prelabel")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    with pytest.raises(IntegrityProblem, match="not what was frozen"):
        gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


# What cannot be talked round


def test_one_rater_cannot_pass():
    made = world(raters=1)
    label(made)
    assert "have 3 or more raters" in _blocked_because(_run(made))


def test_too_few_participants_cannot_pass():
    made = world(participants=10)
    label(made, jitter_us=0)
    run = _run(made, clusters=30, demonstration=False)
    assert "There are 10 participants; at least 30 are needed." in _blocked_because(run)
    said = run.receipt["labels"]["segments/ah"]["sentence"]
    assert "What was measured: alpha 1.000, 95% interval 1.000 to 1.000; without one rater" in said
    assert run.verdict == GateRun.Verdict.UNDETERMINED


def test_labels_given_with_pre_labels_in_sight_cannot_pass():
    made = world()
    label(made, jitter_us=0, arm="prelabel")
    assert "without seeing pre-labels" in _blocked_because(_run(made))


def test_pre_labelled_recordings_do_not_help_blind_ones():
    made = world(participants=14)
    label(made, errors=0.4, recordings=made.recordings[:7])
    label(made, jitter_us=0, recordings=made.recordings[7:], arm="prelabel")
    run = _run(made)
    assert run.receipt["labels"]["segments/ah"]["n"]["participants"] == 7
    assert run.receipt["labels"]["segments/ah"]["verdict"] == "fail"


def test_a_high_gwet_does_not_rescue_a_failing_alpha():
    """Rare label, raters who disagree on when it is there: AC1 is high, alpha is not."""
    made = world(participants=20)
    for n, recording in enumerate(made.recordings):
        made.truth[recording] = [(2_000_000, 3_000_000)] if n < 4 else []
    label(made, errors=0.15)
    run = _run(made)
    found = run.receipt["labels"]["video/ah"]
    assert found["report"]["gwet"] > found["alpha"]
    assert found["verdict"] in ("fail", "undetermined")
    text = policy_text().replace("metric: alpha", "metric: gwet")
    with pytest.raises(policies.PolicyProblem, match="alpha only"):
        policies.install(study=made.study, text=text, actor="lead")


def test_a_label_that_nobody_used_is_undetermined():
    made = world()
    made.truth = {recording: [] for recording in made.recordings}
    label(made)
    said = _blocked_because(_run(made))
    assert "There are 0 participants in whom “ah” was seen" in said
    assert "All values are the same" in said


def test_looking_until_it_passes_ends(monkeypatch):
    made = world()
    label(made, passes=("video",))
    text = policy_text(labels=("video/ah",), looks=2)
    runs = [_run(made, text)]
    for _ in range(2):
        AnnotationFactory(
            assignment=Annotation.objects.earliest("pk").assignment,
            codebook=made.codebook,
            clip_labels={"ah": "present"},
        )
        runs.append(_run(made, text))
    assert [run.look for run in runs] == [1, 2, 3]
    assert runs[1].receipt["labels"]["video/ah"]["verdict"] != "undetermined"
    assert "looking until it passes proves nothing" in _blocked_because(runs[2], "video/ah")
    # Nor does another policy open a new account.
    other = _run(made, policy_text(labels=("video/ah",), looks=20))
    assert "looking until it passes" in _blocked_because(other, "video/ah")


def test_more_labels_and_looks_ask_for_more():
    made = world()
    label(made, errors=0.08, passes=("video",))
    alone = _run(made, policy_text(labels=("video/ah",), looks=1))
    shared = _run(
        made, policy_text(labels=("video/ah", "video/certainty"), looks=20, resamples=1600)
    )
    one, two = (run.receipt["labels"]["video/ah"] for run in (alone, shared))
    assert one["alpha"] == two["alpha"]
    assert one["error"] == pytest.approx(0.025)
    assert two["error"] == pytest.approx(0.025 / 20 / 2)


def test_a_difference_to_the_independent_computation_blocks(monkeypatch):
    made = world()
    label(made)
    from waver.datasets import assessment

    true = assessment.cross_check
    monkeypatch.setattr(assessment, "cross_check", lambda data: true(data) + 2e-9)
    assert "Two independent computations of alpha disagree" in _blocked_because(_run(made))


def test_a_policy_must_fit_the_codebook():
    made = world(participants=6)
    label(made, passes=("video",))
    for old, new, said in (
        ("video/ah:", "video/mood:", "names “video/mood”"),
        ("positive: present", "positive: maybe", "calls “maybe” the positive value"),
        ("scale: ordinal", "scale: interval", "but in bah-ah version 1 it is clips"),
    ):
        text = policy_text().replace(old, new)
        assert text != policy_text()
        with pytest.raises(BadInput, match=said):
            _run(made, text)


# Withdrawal


def test_a_withdrawal_is_a_subtraction_with_the_result_of_recomputing():
    made = world()
    label(made, errors=0.1)
    run = _run(made)
    known = labels_of(measures_codebook(run))["segments/ah"]
    gone = made.participants[0]
    Participant.objects.filter(pk=gone.pk).update(state=Participant.State.WITHDRAWN)
    left = measures.stored(run.snapshot, known, 40_000)
    again = snapshots.freeze(study=made.study, actor="lead")
    fresh = measures.measure(again, known, tick_us=40_000).statistics
    assert (
        set(left.clusters)
        == set(fresh.clusters)
        == {str(person.pk) for person in made.participants[1:]}
    )
    assert left.only(sorted(left.clusters)).table == pytest.approx(
        fresh.only(sorted(fresh.clusters)).table
    )
    assert coefficients(left).alpha == pytest.approx(coefficients(fresh).alpha, abs=1e-12)
    assert Statistic.objects.filter(participant=gone).exists()  # erasure removes it, not this


def test_after_a_withdrawal_the_old_snapshot_is_refused_and_the_new_one_costs_no_look():
    made = world()
    label(made)
    text = policy_text(looks=1)
    first = _run(made, text)
    assert first.look == 1
    Participant.objects.filter(pk=made.participants[0].pk).update(state=Participant.State.WITHDRAWN)
    other = policies.install(study=made.study, text=policy_text(clusters=7), actor="lead")
    with pytest.raises(Conflict, match="Freeze a new snapshot"):
        gate.evaluate(snapshot=first.snapshot, policy=other, actor="lead")
    second = _run(made, text)
    assert second != first
    assert second.look == 1
    assert second.receipt["labels"]["segments/ah"]["verdict"] == "pass"
    assert second.receipt["labels"]["segments/ah"]["n"]["participants"] == 11


# Waivers


def test_a_lead_may_waive_a_label_for_a_reason_and_a_while():
    made = world()
    label(made)
    run = _run(made)
    until = timezone.now() + timedelta(days=30)
    why = "Certainty is released for a methods study only."
    with pytest.raises(NotAllowed, match="Only a lead"):
        gate.waive(gate_run=run, label="video/certainty", who=made.raters[0], why=why, until=until)
    researcher = MembershipFactory(study=made.study).user
    with pytest.raises(NotAllowed):
        gate.waive(gate_run=run, label="video/certainty", who=researcher, why=why, until=until)
    with pytest.raises(BadInput, match="reason in a sentence"):
        gate.waive(gate_run=run, label="video/certainty", who=made.lead, why=" ", until=until)
    with pytest.raises(BadInput, match="at most 90 days"):
        gate.waive(
            gate_run=run,
            label="video/certainty",
            who=made.lead,
            why=why,
            until=until + timedelta(days=100),
        )
    with pytest.raises(Conflict, match="nothing to waive"):
        gate.waive(gate_run=run, label="video/ah", who=made.lead, why=why, until=until)
    gate.waive(gate_run=run, label="video/certainty", who=made.lead, why=why, until=until)
    now = gate.standings(run)["video/certainty"]
    assert (now.verdict, now.may_be_released) == ("waived", True)
    assert why in now.sentence
    assert "fails" in now.sentence
    later = gate.standings(run, at=until + timedelta(seconds=1))["video/certainty"]
    assert (later.verdict, later.may_be_released) == ("fail", False)
    assert AuditEntry.objects.filter(verb="gate.waived").count() == 1


def test_a_required_label_that_is_blocked_blocks_all():
    made = world()
    label(made)
    rules = yaml.safe_load(policy_text())
    rules["labels"]["video/certainty"]["required"] = True
    run = _run(made, yaml.safe_dump(rules))
    assert _verdicts(run)["segments/ah"] == "pass"
    assert run.verdict == GateRun.Verdict.FAIL


def test_raw_annotations_stay_as_they_were():
    made = world(participants=6)
    label(made)
    before = list(Segment.objects.values_list("pk", "start_us", "end_us"))
    _run(made)
    assert list(Segment.objects.values_list("pk", "start_us", "end_us")) == before


def test_a_visiting_rater_of_a_few_recordings_changes_only_those():
    made = world()
    label(made)
    made_before = measures.measure(
        snapshots.freeze(study=made.study, actor="lead"), _segments_label(made), tick_us=40_000
    )
    visitor = MembershipFactory(study=made.study).user
    label(made, raters=[visitor], recordings=made.recordings[:2])
    run = _run(made)
    after = measures.measure(run.snapshot, _segments_label(made), tick_us=40_000)
    counted = sorted(len(raters) for raters in after.roster.values())
    assert counted == [3] * 10 + [4] * 2
    assert run.receipt["labels"]["segments/ah"]["n"]["raters"] == 4
    assert run.receipt["labels"]["segments/ah"]["n"]["submissions"] == 38
    old, new = made_before.statistics, after.statistics
    same = {str(recording.participant.pk) for recording in made.recordings[2:]}
    before = dict(zip(old.clusters, old.table.tolist(), strict=True))
    now = dict(zip(new.clusters, new.table.tolist(), strict=True))
    assert {who for who in now if before[who] == now[who]} == same

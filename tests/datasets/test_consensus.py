"""Consensus: derived, versioned, adjudicated; and that it never reaches agreement or verdicts."""

from __future__ import annotations

import csv
import itertools
import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.models import Adjudication, Annotation, ClipLabel
from annotation.services import adjudication
from annotation.services.adjudication import QueueItem, digest_of
from tests.datasets.worlds import World, label, policy_text, with_media, world
from tests.examples import examples
from waver.accounts.models import User
from waver.datasets import consensus, gate, policies, redaction, releases, snapshots
from waver.datasets.consensus import Rules, Terms
from waver.datasets.labels import labels_of, read_codebook
from waver.datasets.models import GateRun, Snapshot, Statistic
from waver.datasets.stretches import overridden, without
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign

SECOND = 1_000_000
SEGMENTS, VIDEO = "segments/ah", "video/ah"


def made_world(participants: int = 7, raters: int = 3) -> World:
    """Raters who agree everywhere but about the first recording, in which one saw nothing."""
    found = world(participants=participants, raters=raters, consented=True)
    first, *others = found.recordings
    label(found, jitter_us=0, recordings=others)
    label(found, jitter_us=0, recordings=[first], raters=found.raters[1:])
    disagree(found, found.raters[:1], [first], [])
    return found


def disagree(made: World, raters: list[User], recordings: list[Recording], truth: list) -> None:
    """Let raters label recordings as if another thing were true."""
    before = {each: made.truth[each] for each in recordings}
    made.truth.update(dict.fromkeys(recordings, truth))
    label(made, jitter_us=0, recordings=recordings, raters=raters)
    made.truth.update(before)


@pytest.fixture
def made(db, storage_folder) -> World:
    found = made_world()
    with_media(found)
    return found


def item(made: World, key: str) -> QueueItem:
    return adjudication.queue(study=made.study, topic_key=key).items[0]


def decide(made: World, key: str, value: str, **more: object) -> Adjudication:
    one = item(made, key)
    return adjudication.decide(
        study=made.study, place=one.place, value=value, rationale="Reasons.", who=made.lead,
        seen=one.decision.pk if one.decision else None, looked_at=digest_of(one.item.looked_at),
        **more,
    )  # fmt: skip


def derive(snapshot: Snapshot, key: str, **rules: object) -> consensus.Consensus:
    found = labels_of(read_codebook(snapshot.codebook.text))[key]
    return consensus.build(
        snapshot, found, rules=Rules(**rules), terms=Terms.now(snapshot), tick_us=40_000
    )


def freeze(made: World) -> Snapshot:
    return snapshots.freeze(study=made.study, actor="lead")


def look(made: World, snapshot: Snapshot | None = None, text: str | None = None) -> GateRun:
    policy = policies.install(study=made.study, text=text or policy_text(), actor="lead")
    return gate.evaluate(snapshot=snapshot or freeze(made), policy=policy, actor="lead")


def let_out(made: World) -> GateRun:
    """Look, and let the label out whose interval seven participants leave too wide."""
    run = look(made, text=policy_text(labels=(SEGMENTS, VIDEO)))
    until = timezone.now() + timedelta(days=7)
    for key, row in run.receipt["labels"].items():
        if row["verdict"] != "pass":
            why = "Too few took part in this test."
            gate.waive(gate_run=run, label=key, who=made.lead, why=why, until=until)
    return run


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"tables/{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# The vote


@pytest.mark.django_db
def test_a_majority_decides_and_a_tie_is_undecided():
    made = made_world(participants=3, raters=2)
    who = str(made.recordings[0].pk)
    found = derive(freeze(made), VIDEO)
    (one,) = found.answers[who]
    assert (one.value, one.share, one.raters) == (None, 0.5, 2)
    assert sorted(v.value for v in found.votes if v.recording == who) == ["absent", "present"]
    (stretch,) = derive(freeze(made), SEGMENTS).answers[who]
    assert (stretch.value, stretch.start_us, stretch.end_us) == (None, 2 * SECOND, 5 * SECOND)


@pytest.mark.django_db
def test_the_same_inputs_give_the_same_consensus_and_other_ones_another():
    made = made_world()
    snapshot = freeze(made)
    first = derive(snapshot, VIDEO)
    assert derive(snapshot, VIDEO).sha256 == first.sha256
    assert derive(snapshot, VIDEO, clips="dawid_skene").sha256 != first.sha256
    assert set(first.identity) >= {"method", "params", "code", "snapshot", "adjudications"}
    assert first.identity["snapshot"] == snapshot.sha256
    decide(made, VIDEO, "absent")
    assert derive(snapshot, VIDEO).sha256 != first.sha256


@pytest.mark.django_db
def test_the_model_of_the_raters_errors_flags_and_never_overwrites():
    made = world(participants=30, raters=5)
    label(made, raters=made.raters[3:])
    # Three careless raters call everything present; the two others are always right.
    disagree(made, made.raters[:3], made.recordings, [(2 * SECOND, 5 * SECOND)])
    snapshot = freeze(made)
    plain, modelled = derive(snapshot, VIDEO), derive(snapshot, VIDEO, clips="dawid_skene")
    assert (plain.method, modelled.method) == ("majority", "dawid_skene")
    values = {who: [one.value for one in said] for who, said in plain.answers.items()}
    assert {who: [one.value for one in said] for who, said in modelled.answers.items()} == values
    flagged = {who for who, said in modelled.answers.items() for one in said if one.flagged}
    empty = {str(recording.pk) for recording in made.recordings if not made.truth[recording]}
    assert flagged == empty
    assert consensus.counts_of(modelled)["flagged"] == len(empty)
    queued = adjudication.queue(study=made.study, topic_key=VIDEO)
    assert {str(one.item.recording) for one in queued.items} == empty
    assert {one.item.model_value for one in queued.items} == {"absent"}


@pytest.mark.django_db
def test_two_raters_are_too_few_for_the_model():
    made = world(participants=5, raters=2)
    label(made)
    found = derive(freeze(made), VIDEO, clips="dawid_skene")
    assert found.method == "majority"
    assert {one.model_value for _, one in consensus.rows_of(found)} == {None}


@pytest.mark.django_db
def test_prelabelled_work_stays_out_and_is_flagged_where_a_design_lets_it_in():
    made = world(participants=6)
    blind, seen = made.recordings[:4], made.recordings[4:]
    label(made, recordings=blind)
    label(made, recordings=seen, arm="prelabel", seed=9)
    snapshot = freeze(made)
    assert set(derive(snapshot, VIDEO).answers) == {str(one.pk) for one in blind}
    StudyDesign.objects.filter(study=made.study).update(consensus_takes_prelabelled=True)
    for key in (VIDEO, SEGMENTS):
        found = derive(snapshot, key)
        assert set(found.answers) == {str(one.pk) for one in made.recordings}
        assert found.prelabelled == {str(one.pk) for one in seen}
        for who, one in consensus.rows_of(found):
            assert one.prelabelled == (who in found.prelabelled)


def test_ratings_on_a_scale_of_numbers_are_averaged():
    found = consensus._means({"r": {"1": 0.25, "4": 0.75}}, {"r": 4})
    (one,) = found["r"]
    assert (one.value, one.share, one.raters) == ("3.25", None, 4)


# Decisions


@pytest.mark.django_db
def test_a_decision_takes_the_place_of_the_vote_and_keeps_it_beside():
    made = made_world()
    snapshot, who = freeze(made), str(made.recordings[0].pk)
    (before,) = derive(snapshot, VIDEO).answers[who]
    assert (before.value, before.adjudicated) == ("present", False)
    row = decide(made, VIDEO, "absent")
    found = derive(snapshot, VIDEO)
    (after,) = found.answers[who]
    assert (after.value, after.adjudicated, after.initial) == ("absent", True, "present")
    assert after.share == pytest.approx(1 / 3)
    (kept,) = found.decisions
    assert (kept.adjudication, kept.initial) == (row.pk, "present")
    assert {v.value: v.votes for v in found.votes if v.recording == who} == {
        "present": 2, "absent": 1,
    }  # fmt: skip
    decide(made, VIDEO, "present")
    (again,) = derive(snapshot, VIDEO).answers[who]
    assert (again.value, len(derive(snapshot, VIDEO).decisions)) == ("present", 1)


@pytest.mark.django_db
def test_a_decided_interval_replaces_the_vote_in_it_only():
    made = made_world()
    snapshot, who = freeze(made), str(made.recordings[0].pk)
    span = item(made, SEGMENTS).item
    assert (span.start_us, span.end_us) == (2 * SECOND, 5 * SECOND)
    decide(made, SEGMENTS, "present", stretch=(3 * SECOND, 4 * SECOND))
    (one,) = derive(snapshot, SEGMENTS).answers[who]
    assert (one.start_us, one.end_us, one.adjudicated) == (3 * SECOND, 4 * SECOND, True)
    assert one.share == pytest.approx(2 / 3)
    decide(made, SEGMENTS, "absent")
    found = derive(snapshot, SEGMENTS)
    assert found.answers[who] == ()
    assert [(d.value, d.share) for d in found.decisions] == [("absent", pytest.approx(1 / 3))]


@pytest.mark.django_db
def test_a_decision_on_other_annotations_does_not_count():
    made = made_world()
    snapshot, who = freeze(made), str(made.recordings[0].pk)
    row = decide(made, VIDEO, "absent")
    old = Annotation.objects.get(
        assignment__recording=made.recordings[0], assignment__rater=made.raters[1],
        assignment__batch__pass_id="video",
    )  # fmt: skip
    newer = Annotation.objects.create(
        assignment=old.assignment, codebook=old.codebook, remote_id=old.remote_id,
        remote_updated_at=old.remote_updated_at, version=2, raw={"result": []},
        raw_sha256="ab" * 32, received_by=old.received_by, verdict=old.verdict,
    )  # fmt: skip
    ClipLabel.objects.create(annotation=newer, scale="ah", value="absent")
    (one,) = derive(freeze(made), VIDEO).answers[who]
    # Two of three now say absent, by their own vote; the decision rested on what was before.
    assert (one.value, one.adjudicated) == ("absent", False)
    # In the older snapshot, on which it rests, it stands.
    assert [d.adjudication for d in derive(snapshot, VIDEO).decisions] == [row.pk]


@pytest.mark.django_db
def test_decisions_never_reach_agreement():
    """Not alpha, not the snapshot or its statistics, not the verdict; not even a new snapshot."""
    made = made_world()
    snapshot = freeze(made)
    run = look(made, snapshot)
    before = [run.verdict, json.dumps(run.receipt["labels"], sort_keys=True)]
    statistics = list(Statistic.objects.order_by("pk").values_list("label", "values"))
    decide(made, VIDEO, "absent")
    decide(made, SEGMENTS, "absent")
    assert freeze(made) == snapshot
    assert list(Statistic.objects.order_by("pk").values_list("label", "values")) == statistics
    Statistic.objects.all().delete()
    other = policy_text(resamples=1000, looks=4)
    again = look(made, snapshot, other)
    alphas = [
        {key: (row["alpha"], row["n"]) for key, row in found.receipt["labels"].items()}
        for found in (run, again)
    ]
    assert alphas[0] == alphas[1]
    run.refresh_from_db()
    assert [run.verdict, json.dumps(run.receipt["labels"], sort_keys=True)] == before


@pytest.mark.django_db
def test_adjudication_does_not_lift_a_fail():
    made = world(participants=7)
    label(made, errors=0.4)
    run = look(made)
    failed = {key for key, row in run.receipt["labels"].items() if row["verdict"] != "pass"}
    assert VIDEO in failed
    for one in adjudication.queue(study=made.study, topic_key=VIDEO).items:
        adjudicated(made, one)
    again = look(made, text=policy_text(looks=4))
    assert again.receipt["labels"][VIDEO]["verdict"] == run.receipt["labels"][VIDEO]["verdict"]
    assert again.receipt["labels"][VIDEO]["alpha"] == run.receipt["labels"][VIDEO]["alpha"]


def adjudicated(made: World, one: QueueItem) -> None:
    """Decide without asking for consent, which this world's participants were not asked for."""
    Adjudication.objects.create(
        recording_id=one.item.recording, codebook=made.codebook, pass_id="video", label="ah",
        value="present", rationale="Reasons.", decided_by=made.lead,
        looked_at=[str(pk) for pk in one.item.looked_at],
    )  # fmt: skip


# Releases


def test_a_release_says_what_was_adjudicated(made):
    run = let_out(made)
    plain = releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")
    decide(made, VIDEO, "absent")
    decide(made, SEGMENTS, "present", stretch=(3 * SECOND, 4 * SECOND))
    after = releases.build(gate_run=run, version="1.1", purpose="research", actor="lead")
    old, new = releases.path_of(plain), releases.path_of(after)
    assert table(old, "adjudications") == []
    decisions = {row["label"]: row for row in table(new, "adjudications")}
    assert decisions[VIDEO]["initial_value"] == "present"
    assert decisions[SEGMENTS]["decided_start_us"] == str(3 * SECOND)
    rows = [row for row in table(new, "consensus") if row["adjudicated"] == "true"]
    assert {row["label"]: row["method"] for row in rows} == {
        SEGMENTS: "adjudicated", VIDEO: "adjudicated",
    }  # fmt: skip
    for name in ("submissions", "segments", "clip_labels", "votes"):
        assert table(old, name) == table(new, name), f"{name} are the raters' own"
    for document in ("README.md", "DATASET_CARD.md"):
        text = (new / document).read_text(encoding="utf-8")
        assert "Adjudicated consensus, initial alpha = " in text
        assert "initial alpha" not in (old / document).read_text(encoding="utf-8")
    said = json.loads((new / "consensus.json").read_text(encoding="utf-8"))
    assert said["labels"][VIDEO]["snapshot"] == run.snapshot.sha256
    assert said["labels"][VIDEO]["counts"]["adjudicated"] == 1
    assert "Reasons." not in "".join(p.read_text() for p in new.rglob("*.csv"))
    assert made.lead.username not in "".join(p.read_text() for p in new.rglob("*.csv"))
    code = rows[0]["recording"]
    for folder, wanted in ((old, "1"), (new, "0")):
        lines = "".join(p.read_text() for p in (folder / "bah/split").glob("*.txt"))
        (line,) = [line for line in lines.splitlines() if code in line]
        assert line.split(",")[1] == wanted
    entry = yaml.safe_load((new / "bah/video_annotation_transcript.yaml").read_text())
    (video,) = [value for key, value in entry.items() if code in key]
    assert video["time_detailed_ah"] == [["00:00:03.000", "00:00:04.000"]]


def test_a_rebuilt_release_keeps_the_consensus_that_it_was_published_with(made):
    run = let_out(made)
    decide(made, VIDEO, "absent")
    release = releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")
    folder = releases.path_of(release)
    gone = made.participants[-1]
    code = {row["recording"] for row in table(folder, "recordings")}
    before = table(folder, "consensus")
    decide(made, VIDEO, "present")
    decide(made, SEGMENTS, "absent")
    StudyDesign.objects.filter(study=made.study).update(consensus_takes_prelabelled=True)
    assert redaction.redact(release=release, participant=gone, actor="tests")
    left = {row["recording"] for row in table(folder, "recordings")}
    assert len(left) == len(code) - 1
    assert table(folder, "consensus") == [row for row in before if row["recording"] in left]


def test_the_demonstration_decides_one_item_and_says_that_a_script_did(made):
    from rich.console import Console

    from waver.demo import deciding
    from waver.demo.report import Report

    run = let_out(made)
    report = Report()
    report.console = said = Console(record=True, width=300)
    deciding.decide_one(report, run)
    assert not Adjudication.objects.exists(), "only where everything is synthetic"
    made.study.is_synthetic = True
    made.study.save()
    run = GateRun.objects.get(pk=run.pk)
    deciding.decide_one(report, run)
    deciding.decide_one(report, run)
    row = Adjudication.objects.get()
    assert row.is_synthetic
    assert row.decided_by.is_synthetic
    assert (row.label, row.value) == ("ah", "present")
    assert "SYNTHETIC" in row.rationale
    assert said.export_text().count("is decided by a script") == 1


# Stretches

times = st.integers(0, 40)
span = st.tuples(times, st.integers(1, 10)).map(lambda p: (p[0], p[0] + p[1]))


def apart(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Keep spans that neither touch nor overlap an earlier one."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if not kept or start > kept[-1][1]:
            kept.append((start, end))
    return kept


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(span, max_size=5), st.lists(st.tuples(span, st.booleans(), times), max_size=4))
def test_within_disputed_intervals_only_decisions_count(won, disputed):
    won = apart(won)
    holes = apart([each for each, _, _ in disputed])
    decided = []
    for hole in holes:
        present, cut = next((p, c) for each, p, c in disputed if each == hole)
        start = hole[0] + cut % (hole[1] - hole[0])
        decided.append((hole, (start, hole[1]) if present else None))
    found = overridden(won, decided)
    for tick in range(60):
        inside = [where for hole, where in decided if hole[0] <= tick < hole[1]]
        if inside:
            expected = inside[0] is not None and inside[0][0] <= tick < inside[0][1]
        else:
            expected = any(a <= tick < b for a, b in won)
        assert any(a <= tick < b for a, b, _ in found) == expected, tick
    for (_, end, _), (start, _, _) in itertools.pairwise(found):
        assert end < start, "stretches that touch are one"


def test_what_a_decision_leaves_of_a_stretch_goes_if_it_is_too_short():
    kept = overridden([(0, 100)], [((5, 90), None)], minimum_us=8)
    assert kept == [(90, 100, False)]
    # A short end beside what was decided to be there belongs to it.
    assert overridden([(0, 100)], [((5, 90), (5, 90))], minimum_us=20) == [(0, 100, True)]
    # What the vote alone gave was judged by the vote's own rule.
    assert overridden([(0, 3)], [((50, 60), None)], minimum_us=8) == [(0, 3, False)]


@given(st.lists(span, max_size=5), st.lists(span, max_size=5))
def test_holes_are_cut_out_exactly(spans, holes):
    left = without(spans, holes)
    for tick in range(60):
        covered = any(a <= tick < b for a, b in spans)
        hole = any(a <= tick < b for a, b in holes)
        assert any(a <= tick < b for a, b in left) == (covered and not hole)


def test_rules_come_from_the_policy_with_the_plain_majority_as_default():
    assert Rules.of({}) == Rules() == Rules("majority", 0, 0)
    text = policy_text()
    more = f"{text}consensus:\n  clips: dawid_skene\n  segments: {{close_gap_us: 200000}}\n"
    assert Rules.of(policies.read(more)) == Rules("dawid_skene", 200_000, 0)
    with pytest.raises(policies.PolicyProblem, match="first_label"):
        policies.read(f"{text}consensus: {{clips: first_label}}\n")

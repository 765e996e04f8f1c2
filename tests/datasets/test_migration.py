"""A new codebook version: work is carried over, agreement is compared, the gate opens again."""

from __future__ import annotations

import pytest
import yaml
from django.core.management import CommandError, call_command

from annotation.agreement import Interval, coefficients
from annotation.models import Annotation, Segment
from annotation.services import codebooks
from tests.datasets.worlds import World, label, policy_text, world
from tests.factories import BatchFactory
from waver.core.errors import Conflict
from waver.datasets import answers, gate, measures, migration, policies, releases, snapshots
from waver.datasets.labels import labels_of
from waver.datasets.models import GateRun, Snapshot

pytestmark = pytest.mark.django_db

FIRST = """\
schema: waver.codebook/1
id: small
version: 1
title: Small
languages: [en]
source: made for a test
passes:
  - id: segments
    unit: segment
    title: Where
    instructions: Mark.
    overlap: forbidden
    labels:
      - {id: ah, title: Hesitancy, colour: "#c2410c"}
      - {id: doubt, title: Doubt, colour: "#15803d"}
"""
RENAMED = (
    FIRST.replace("version: 1\n", "version: 2\n").replace("id: ah", "id: hesitancy")
    + "migration:\n  from: 1\n  rename:\n    - {pass: segments, label: ah, to: hesitancy}\n"
)
MERGED = (
    FIRST.replace("version: 1\n", "version: 2\n").replace(
        '      - {id: doubt, title: Doubt, colour: "#15803d"}\n', ""
    )
    + "migration:\n  from: 1\n  merge:\n    - {pass: segments, labels: [ah, doubt], to: ah}\n"
)
SPLIT = (
    FIRST.replace("version: 1\n", "version: 2\n")
    .replace("id: doubt", "id: worry")
    .replace("migration", "")
    + '      - {id: unease, title: Unease, colour: "#0891b2"}\n'
    + "migration:\n  from: 1\n  split:\n"
    + "    - {pass: segments, label: doubt, into: [worry, unease]}\n"
)


@pytest.fixture
def made() -> World:
    """Nine participants; the third rater calls the first recording's hesitancy a doubt."""
    found = world(participants=9)
    found.codebook = codebooks.install_codebook(found.study, FIRST, "lead")
    first, rest = found.recordings[:1], found.recordings[1:]
    _mark(found, recordings=rest)
    _mark(found, recordings=first, raters=found.raters[:2])
    _mark(found, recordings=first, raters=found.raters[2:], name="doubt")
    return found


def _mark(made: World, **more) -> None:
    label(made, passes=("segments",), with_cues=False, **more)


def _policy(made: World, key: str) -> policies.GatePolicy:
    rules = yaml.safe_load(policy_text(labels=("segments/ah",)))
    rules["labels"] = {key: rules["labels"]["segments/ah"]}
    return policies.install(study=made.study, text=yaml.safe_dump(rules), actor="lead")


def _judge(made: World, key: str) -> GateRun:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    return gate.evaluate(snapshot=snapshot, policy=_policy(made, key), actor="lead")


def _install(made: World, text: str):
    return codebooks.install_codebook(made.study, text, "lead")


def test_a_new_version_reopens_the_gate_and_the_old_work_comes_along(made):
    before = _judge(made, "segments/ah")
    newest = _install(made, RENAMED)
    with pytest.raises(Conflict, match="version 2 has taken its place: that reopens the gate"):
        releases.check(gate_run=before, version="1.0", purpose="research")
    with pytest.raises(Conflict, match="Freeze a new snapshot, which carries the earlier work"):
        gate.evaluate(
            snapshot=before.snapshot, policy=_policy(made, "segments/hesitancy"), actor="lead"
        )
    after = _judge(made, "segments/hesitancy")
    assert after.snapshot.codebook == newest
    assert set(after.snapshot.annotations.all()) == set(before.snapshot.annotations.all())
    assert after.look == 2
    assert (
        after.receipt["labels"]["segments/hesitancy"]["alpha"]
        == before.receipt["labels"]["segments/ah"]["alpha"]
    )
    assert set(Segment.objects.values_list("label", flat=True)) == {"ah", "doubt"}  # as it was
    change = after.receipt["codebook_change"]
    assert before.receipt["codebook_change"] is None
    assert change["from"] == "small version 1"
    assert change["labels"]["segments/hesitancy"]["difference"]["high"] == 0
    assert (
        "nothing is released before a new look"
        in (change["labels"]["segments/hesitancy"]["sentence"])
    )


def test_a_new_name_for_a_label_does_not_lower_what_is_asked_of_it(made):
    _judge(made, "segments/ah")
    _install(made, RENAMED)
    rules = yaml.safe_load(_policy(made, "segments/hesitancy").text)
    rules["labels"]["segments/hesitancy"]["pass"]["lower"] = 0.1
    rules["labels"]["segments/hesitancy"]["tentative"]["lower"] = 0.1
    policy = policies.install(study=made.study, text=yaml.safe_dump(rules), actor="lead")
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    found = run.receipt["labels"]["segments/hesitancy"]
    assert found["verdict"] == "undetermined"
    assert "pass → lower is 0.1, and was 0.667" in found["sentence"]


def test_renaming_changes_no_agreement_and_the_report_says_so(made):
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    found = {one.label: one for one in migration.effect(snapshot, _install(made, RENAMED))}
    renamed = found["segments/hesitancy"]
    assert dict(renamed.before) == {"segments/ah": renamed.after}
    assert isinstance(renamed.difference, Interval)
    assert (renamed.difference.low, renamed.difference.high) == (0, 0)
    assert "27 of 27 annotations were carried over whole" in renamed.sentence
    assert "interval of the difference +0.000 to +0.000" in renamed.sentence


def test_merging_confused_labels_raises_agreement_and_the_report_says_by_how_much(made):
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    newest = _install(made, MERGED)
    (merged,) = migration.effect(snapshot, newest)
    assert set(merged.before) == {"segments/ah", "segments/doubt"}
    assert merged.after > merged.before["segments/ah"]
    assert merged.difference is None  # two labels became one
    assert "The gate is open again" in merged.sentence
    again = snapshots.freeze(study=made.study, actor="lead")
    known = labels_of(codebooks.parsed(newest))["segments/ah"]
    alpha = coefficients(measures.measure(again, known, tick_us=40_000).statistics).alpha
    assert alpha == pytest.approx(merged.after, abs=1e-12)


def test_the_command_says_what_a_new_version_does(made, capsys):
    snapshots.freeze(study=made.study, actor="lead")
    call_command("codebook_effect", made.study.code)
    assert "No later version" in capsys.readouterr().out
    _install(made, RENAMED)
    call_command("codebook_effect", made.study.code)
    said = capsys.readouterr().out
    assert "“segments/hesitancy”: before, “segments/ah” alpha" in said
    with pytest.raises(CommandError, match="no study"):
        call_command("codebook_effect", "nowhere")


def test_what_a_migration_leaves_open_stays_out(made):
    newest = _install(made, SPLIT)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    assert snapshot.codebook == newest
    open_one = Annotation.objects.get(segments__label="doubt")
    assert snapshot.annotations.count() == 26
    assert open_one not in snapshot.annotations.all()


def test_what_was_done_again_with_the_new_version_counts_instead(made):
    _install(made, RENAMED)
    newest = codebooks.current(made.study)
    old = made.codebook
    made.codebook = newest
    _mark(made, recordings=made.recordings[:1], name="hesitancy")
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    items = list(snapshots.items_of(snapshot))
    assert len(items) == 27
    first = [item for item in items if item.recording == made.recordings[0].pk]
    assert {item.codebook for item in first} == {newest.pk}
    assert {item.codebook for item in items} == {newest.pk, old.pk}
    marked = list(answers.marked(items, newest.pk, ["hesitancy"]))
    assert {one.label for one in marked} == {"hesitancy"}


def test_an_older_codebook_of_another_study_reopens_nothing(made):
    other = world(participants=2)
    BatchFactory(study=other.study)
    run = _judge(made, "segments/ah")
    gate.require_newest(run.snapshot)
    assert Snapshot.objects.count() == 1

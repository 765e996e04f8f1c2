"""A rater is away: their unfinished work goes to others, once, and what comes in late stands."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Assignment, Batch, RaterConflict, RemoteProject
from annotation.services import collect, publish
from annotation.services.assignment.clearing import clear_taken_back
from annotation.services.assignment.reassign import give_away
from tests.annotation.conftest import Memory
from tests.annotation.worlds import World
from waver.accounts.models import LabelStudioSession
from waver.core.models import AuditEntry, Job
from workers import runner
from workers import tasks as tasks  # registers the handlers

pytestmark = pytest.mark.django_db
NOTHING: list[dict[str, Any]] = []  # a whole answer: nothing marked
UNKNOWN = [
    {"id": "a", "from_name": "label", "to_name": "audio", "type": "labels",
     "value": {"start": 1, "end": 2, "labels": ["joy"]}},
]  # fmt: skip


def published(world: World, memory: Memory, **more: Any) -> Batch:
    batch: Batch = world.plan(**more)
    publish.start(batch, "lead")
    publish.publish_batch(batch, client=memory)  # type: ignore[arg-type]
    publish.finish(batch)
    return batch


def send(batch: Batch, memory: Memory) -> None:
    publish.publish_batch(batch, client=memory)  # type: ignore[arg-type]
    publish.finish(batch)


def clear(batch: Batch, rater: Any, memory: Memory) -> int:
    project = RemoteProject.objects.get(batch=batch, rater=rater)
    return clear_taken_back(project, client=memory)  # type: ignore[arg-type]


def test_unfinished_work_goes_to_others_with_its_arm_and_sample_and_twice_changes_nothing(
    memory: Memory,
):
    world = World(
        raters=4, recordings=12, overlap="sample", raters_per_recording=2, reliability_share=0.5,
        prelabel_share=0.5,
    )  # fmt: skip
    batch = published(world, memory)
    absent, friend = world.raters[0], world.raters[1]
    other = world.recordings[0].participant
    mine = batch.assignments.filter(rater=absent)
    before = {row.recording_id: row for row in mine}
    done = mine.order_by("order")[0]
    memory.submit(done.pk, NOTHING, minutes=1, remote_id=900)
    collect.collect_all(client=memory)  # type: ignore[arg-type]
    LabelStudioSession.objects.create(
        user=absent,
        remote_project_id=RemoteProject.objects.get(batch=batch, rater=absent).remote_id,
        web_session_hash="x", ticket_hash="y", ticket_expires_at=timezone.now(),
        expires_at=timezone.now(),
    )  # fmt: skip
    RaterConflict.objects.create(profile=world.profile(friend), participant=other)

    found = give_away(study=world.study, rater=absent, actor="lead")

    assert sum(found.given.values()) == len(before) - 1
    assert friend.pk not in found.given
    assert max(found.given.values()) - min(found.given.values()) <= 1
    for row in Assignment.objects.filter(replaces__isnull=False):
        assert row.state == "planned"
        old = before[row.recording_id]
        assert row.replaces_id == old.pk
        assert (row.arm, row.in_reliability_sample, row.inclusion_probability) == (
            old.arm, old.in_reliability_sample, old.inclusion_probability,
        )  # fmt: skip
    assert Counter(mine.values_list("state", flat=True)) == {
        "taken_back": len(before) - 1, "submitted": 1,
    }  # fmt: skip
    pairs = Assignment.objects.values_list("recording_id", "rater_id")
    assert len(pairs) == len(set(pairs))
    assert LabelStudioSession.objects.get().ended_at is not None
    names = Counter(Job.objects.values_list("name", flat=True))
    assert names["annotation.remove"] == 1
    assert AuditEntry.objects.get(verb="rater.work_given_away").detail["kept"] == 0

    again = give_away(study=world.study, rater=absent, actor="lead")
    assert (again.given, again.controls, again.kept) == ({}, 0, 0)
    assert clear(batch, absent, memory) == len(before) - 1
    assert clear(batch, absent, memory) == 0
    left = RemoteProject.objects.get(batch=batch, rater=absent).tasks.values_list("assignment")
    assert list(left) == [(done.pk,)]
    send(batch, memory)
    assert not batch.assignments.filter(state="planned").exists()


def test_work_that_comes_in_meanwhile_wins_and_its_replacement_is_taken_back(memory: Memory):
    world = World(raters=2, recordings=4, raters_per_recording=1)
    batch = published(world, memory)
    absent = world.raters[0]
    late, later = batch.assignments.filter(rater=absent).order_by("order")
    give_away(study=world.study, rater=absent, actor="lead")
    send(batch, memory)
    taken_over = Assignment.objects.get(replaces=later)
    memory.submit(late.pk, NOTHING, minutes=1, remote_id=900)
    memory.submit(later.pk, NOTHING, minutes=1, remote_id=901)
    memory.submit(taken_over.pk, NOTHING, minutes=2, remote_id=902)
    other = RemoteProject.objects.get(batch=batch, rater=world.raters[1])
    collect.collect_project(other, client=memory)  # type: ignore[arg-type]

    assert clear(batch, absent, memory) == 0  # both were submitted: nothing is deleted
    states = dict(Assignment.objects.values_list("pk", "state"))
    assert (states[late.pk], states[later.pk]) == ("submitted", "submitted")
    assert states[Assignment.objects.get(replaces=late).pk] == "taken_back"
    assert states[taken_over.pk] == "submitted"  # both count
    assert late.annotations.get().verdict == "accepted"
    assert clear(batch, world.raters[1], memory) == 1


def test_what_comes_in_between_the_last_look_and_the_deletion_is_not_deleted(memory: Memory):
    world = World(raters=2, recordings=2, raters_per_recording=1)
    batch = published(world, memory)
    absent = world.raters[0]
    row = batch.assignments.get(rater=absent)
    give_away(study=world.study, rater=absent, actor="lead")

    class Late(Memory):
        def forget_unchanged(self, *asked: Any) -> set[int]:
            memory.submit(row.pk, NOTHING, minutes=1, remote_id=900)
            return memory.forget_unchanged(*asked)

        def tasks(self, *asked: Any, **more: Any) -> Any:
            return memory.tasks(*asked, **more)

    assert clear(batch, absent, Late()) == 0
    assert clear(batch, absent, memory) == 0
    row.refresh_from_db()
    assert (row.state, row.annotations.get().verdict) == ("submitted", "accepted")


def test_late_work_that_does_not_fit_the_codebook_changes_nothing(memory: Memory):
    world = World(raters=2, recordings=2, raters_per_recording=1)
    batch = published(world, memory)
    absent = world.raters[0]
    row = batch.assignments.get(rater=absent)
    give_away(study=world.study, rater=absent, actor="lead")
    memory.submit(row.pk, UNKNOWN, minutes=1, remote_id=900)
    assert clear(batch, absent, memory) == 1
    row.refresh_from_db()
    assert (row.state, row.annotations.count()) == ("taken_back", 0)


def test_what_nobody_else_may_label_stays_and_is_said():
    world = World(raters=2, recordings=3, raters_per_recording=2)
    world.plan()
    found = give_away(study=world.study, rater=world.raters[0], actor="lead")
    assert (found.given, found.kept) == ({}, 3)
    (note,) = found.notes
    assert f"stay with {world.raters[0].username}" in note
    assert f"{world.person.code}, prompt 1" in note
    assert not AuditEntry.objects.filter(verb="rater.work_given_away").exists()
    # A third annotator, and it goes.
    third = world.rater()
    assert give_away(study=world.study, rater=world.raters[0], actor="lead").given == {third.pk: 3}


def test_controls_of_the_absent_rater_are_not_asked_for_any_more():
    world = World(
        raters=2, recordings=8, raters_per_recording=1, gold_share=0.25, repeat_share=0.25,
        repeat_gap=1,
    )  # fmt: skip
    world.known(world.recording())
    batch = world.plan()
    found = give_away(study=world.study, rater=world.raters[0], actor="lead")
    assert (sum(found.given.values()), found.controls) == (4, 2)
    assert not batch.assignments.filter(replaces__is_gold=True).exists()


def test_an_open_batch_with_planned_work_is_sent_again_and_stays_open_when_that_fails(
    memory: Memory,
):
    world = World(raters=2, recordings=2, raters_per_recording=1)
    batch = published(world, memory)
    give_away(study=world.study, rater=world.raters[0], actor="lead")
    batch.refresh_from_db()
    job = publish.start(batch, "lead")
    assert job.name == "annotation.publish"
    publish.give_up(str(batch.pk), "Label Studio does not answer.")
    batch.refresh_from_db()
    assert (batch.state, batch.error) == ("open", "Label Studio does not answer.")


def test_what_is_given_away_while_its_batch_is_being_sent_is_sent_too(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    world = World(raters=3, recordings=6, raters_per_recording=1)
    batch = world.plan()
    publish.start(batch, "lead")
    monkeypatch.setattr(publish, "Client", lambda: memory)
    sent = publish._send_tasks
    seen: list[Any] = []

    def send_tasks(batch: Batch, rater: Any, *more: Any) -> None:
        sent(batch, rater, *more)
        seen.append(rater)
        if len(seen) == 3:  # everybody was sent theirs: what comes now is in nobody's list
            give_away(study=world.study, rater=seen[2], actor="lead")

    monkeypatch.setattr(publish, "_send_tasks", send_tasks)
    runner.drain()
    assert len(seen) > 3
    assert set(batch.assignments.values_list("state", flat=True)) == {"sent", "taken_back"}

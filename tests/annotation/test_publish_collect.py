"""Sending, and fetching back: what happens when it is cut short, repeated, or out of order.

The same ways are gone with a real Label Studio in tests/labelstudio.
"""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.holder import AnnotationHolder
from annotation.models import Annotation, Assignment, Batch, RemoteProject, RemoteTask, Segment
from annotation.services import accept, assign, collect, publish, withdrawn
from tests.annotation.conftest import NOON, Lab, Memory
from tests.factories import CueCandidateFactory, ModelRunFactory
from tests.labelstudio.scene import segment
from waver.consent import services as consent
from waver.core import holders
from waver.core.errors import Conflict, Missing, TemporaryProblem
from waver.core.models import Job
from workers import runner

State = Assignment.State


@pytest.fixture
def published(lab: Lab, memory: Memory) -> Batch:
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    publish.start(batch, "lead")
    publish.publish_batch(batch, client=memory)
    publish.finish(batch)
    return batch


def test_each_rater_has_one_project_and_each_assignment_one_task(published, lab, memory):
    assert published.state == Batch.State.OPEN
    projects = {row.rater_id: row.remote_id for row in published.projects.all()}
    assert set(memory.admitted) == {(str(rater), project) for rater, project in projects.items()}
    for row in published.assignments.select_related("remote_task__project"):
        assert row.state == State.SENT
        assert row.remote_task.project.rater_id == row.rater_id
    for rater in lab.raters:
        sent = [task.assignment_id for task in memory.held[projects[rater.pk]]]
        rows = published.assignments.filter(rater=rater).order_by("order")
        assert sent == [str(row.pk) for row in rows]


def test_half_a_published_batch_is_finished_and_nothing_is_doubled(lab, memory):
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    publish.start(batch, "lead")
    memory.fails_after = 1
    with pytest.raises(TemporaryProblem):
        publish.publish_batch(batch, client=memory)
    assert RemoteTask.objects.count() == 5
    RemoteTask.objects.all().delete()  # as if the crash had come just before they were noted
    Assignment.objects.update(state=State.PLANNED)
    memory.fails_after = None
    publish.publish_batch(batch, client=memory)
    publish.publish_batch(batch, client=memory)
    assert len(memory.sent) == 10
    assert len({task.assignment_id for task in memory.sent}) == 10
    assert RemoteProject.objects.count() == len(memory.projects) == 2
    assert RemoteTask.objects.count() == 10


def test_tasks_whose_sending_seemed_to_fail_are_not_there_twice(lab, memory, monkeypatch):
    """Label Studio goes on with an import after the one who asked has stopped waiting."""
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    publish.start(batch, "lead")
    send = memory.import_tasks

    def answer_lost(project_id, tasks):
        waiting.append((project_id, tasks))
        raise TemporaryProblem("Label Studio did not answer.")

    waiting: list = []
    monkeypatch.setattr(memory, "import_tasks", answer_lost)
    with pytest.raises(TemporaryProblem):
        publish.publish_batch(batch, client=memory)

    def both_arrive(project_id, tasks):
        send(project_id, tasks)
        if waiting:
            send(*waiting.pop())

    monkeypatch.setattr(memory, "import_tasks", both_arrive)
    publish.publish_batch(batch, client=memory)
    held = [task for tasks in memory.held.values() for task in tasks]
    assert len(memory.sent) == 15
    assert len(held) == len({task.assignment_id for task in held}) == 10
    known = set(RemoteTask.objects.values_list("remote_id", flat=True))
    assert known == {task.remote_id for task in held}


def test_a_batch_is_sent_once_and_a_failed_one_becomes_a_draft_with_its_reason(lab):
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    job = publish.start(batch, "lead")
    assert publish.start(batch, "lead") == job
    publish.give_up(str(batch.pk), "Label Studio did not answer.")
    batch.refresh_from_db()
    assert (batch.state, batch.error) == ("draft", "Label Studio did not answer.")
    Batch.objects.update(state="open")
    batch.assignments.update(state="sent")
    batch.refresh_from_db()
    with pytest.raises(Conflict):
        publish.start(batch, "lead")


def test_of_a_task_labelled_twice_what_stands_counts_when_the_other_is_deleted(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=77)
    memory.submit(row.pk, segment(3.0, 4.0), minutes=2, remote_id=78)
    assert collect.collect_all(client=memory).stored == 2
    memory.remove(row.pk, minutes=3, remote_id=78)
    found = collect.collect_all(client=memory)
    assert (found.deleted, found.stored) == (1, 1)
    assert collect.collect_all(client=memory).stored == 0
    row.refresh_from_db()
    assert row.state == State.SUBMITTED
    newest = row.annotations.order_by("-version").first()
    assert (newest.remote_id, newest.verdict) == (77, "accepted")
    assert newest.segments.get().start_us == 1_000_000


def test_a_look_that_began_earlier_takes_nothing_back(published, memory):
    """Two looks at one project at once: what one read too early to see is not taken for deleted."""
    row = published.assignments.first()
    project = RemoteProject.objects.get(rater=row.rater)
    early = list(memory.tasks(project.remote_id))

    class Slow:
        def tasks(self, project_id, *, updated_since=None):
            memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=77)
            assert collect.collect_project(project, client=memory).stored == 1
            yield from early

    found = collect.collect_project(project, client=Slow(), compare=True)
    assert (found.deleted, found.lost_tasks) == (0, 0)
    assert Annotation.objects.get().verdict == "accepted"


def test_what_was_taken_for_deleted_and_is_there_is_stored_anew(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=77)
    collect.collect_all(client=memory)
    accept.record_deletion(row, 77, "poll")
    RemoteProject.objects.update(compared_at=None)
    assert collect.collect_all(client=memory).stored == 1
    verdicts = row.annotations.order_by("version").values_list("verdict", flat=True)
    assert list(verdicts) == ["accepted", "deleted", "accepted"]


def test_a_webhook_call_queues_one_collection_and_is_noted_while_one_runs(
    published, django_assert_num_queries
):
    project = published.projects.first()
    assert not collect.wake(999_999)
    assert collect.wake(project.remote_id)
    with django_assert_num_queries(1):
        assert collect.wake(project.remote_id)
    job = Job.objects.get(name="annotation.collect")
    Job.objects.filter(pk=job.pk).update(state="running", lease_until=timezone.now())
    collect.begin_look(project)
    assert not collect.called_since(project)
    assert collect.wake(project.remote_id)
    with django_assert_num_queries(1):
        assert collect.wake(project.remote_id)
    assert collect.called_since(project)
    assert Job.objects.filter(name="annotation.collect").count() == 1


def test_a_page_of_work_takes_a_handful_of_queries(
    published, memory, django_assert_max_num_queries
):
    for number, row in enumerate(published.assignments.all()):
        memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=100 + number)
    project = published.projects.first()
    with django_assert_max_num_queries(14):
        assert collect.collect_project(project, client=memory).stored == 5


def test_consent_is_asked_again_just_before_sending(lab, memory):
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    gone = lab.recordings[2]
    # The rows of the plan are older than the withdrawal, as after a long queue.
    consent.withdraw(participant=gone.take.participant, actor="tests", purpose="annotate")
    Assignment.objects.filter(recording=gone).update(state=State.PLANNED)
    publish.publish_batch(batch, client=memory)
    assert len(memory.sent) == 8
    assert {row.state for row in batch.assignments.filter(recording=gone)} == {State.WITHDRAWN}


def test_candidates_are_shown_in_the_prelabel_arm_only_and_joined_where_they_overlap(lab, memory):
    for recording in lab.recordings:
        run = ModelRunFactory(recording=recording)
        for start, end in ((2_000_000, 3_000_000), (2_500_000, 3_500_000), (8_000_000, 8_400_000)):
            CueCandidateFactory(run=run, recording=recording, start_us=start, end_us=end)
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    publish.publish_batch(batch, client=memory)
    arms = {str(row.pk): row.arm for row in batch.assignments.all()}
    for task in memory.sent:
        assert (task.prediction is not None) == (arms[task.assignment_id] == "prelabel")
        if task.prediction is not None:
            spans = [(each["value"]["start"], each["value"]["end"]) for each in task.prediction]
            assert spans == [(2.0, 3.5), (8.0, 8.4)]
    stored = {str(row.pk): row.prelabels for row in batch.assignments.all()}
    assert stored == {task.assignment_id: task.prediction for task in memory.sent}
    by_clip = assign.plan_batch(lab.study, "video", lab.raters, "lead")
    memory.sent.clear()
    publish.publish_batch(by_clip, client=memory)
    assert {task.prediction for task in memory.sent} == {None}  # no segments, no candidates


def test_work_is_stored_once_whoever_brings_it_and_however_often(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=77)
    assert collect.collect_all(client=memory).stored == 1
    assert collect.collect_all(client=memory).stored == 0
    project = RemoteProject.objects.get(rater=row.rater)
    RemoteProject.objects.update(reconciled_to=None, compared_at=None)
    assert collect.collect_project(project, client=memory).stored == 0
    stored = Annotation.objects.get()
    assert (stored.assignment, stored.version, stored.lead_time_us) == (row, 1, 3_500_000)


def test_a_change_is_a_new_version_and_a_late_old_one_is_ignored(published, memory):
    row = published.assignments.first()
    for minutes, end in ((1, 2.0), (2, 3.0)):
        memory.submit(row.pk, segment(1.0, end), minutes=minutes, remote_id=77)
        collect.collect_all(client=memory)
    late = accept.accept(row, segment(1.0, 2.0), 77, NOON, None, "webhook")
    assert late.version == 2
    assert [each.segments.get().end_us for each in row.annotations.order_by("version")] == [
        2_000_000,
        3_000_000,
    ]


def test_what_does_not_fit_goes_back_with_the_reason(published, memory):
    row = published.assignments.first()
    wrong = segment(1.0, 2.0)
    wrong[0]["value"]["labels"] = ["sleepy"]
    memory.submit(row.pk, wrong, minutes=1, remote_id=5)
    found = collect.collect_all(client=memory)
    assert (found.stored, found.rejected) == (1, 1)
    row.refresh_from_db()
    assert row.state == State.RETURNED
    assert "sleepy" in row.return_reason
    stored = row.annotations.get()
    assert (stored.verdict, stored.reason) == ("rejected", row.return_reason)
    assert not Segment.objects.exists()


def test_an_empty_submission_is_an_answer(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, [], minutes=1, remote_id=6)
    collect.collect_all(client=memory)
    row.refresh_from_db()
    assert row.state == State.SUBMITTED
    assert row.annotations.get().verdict == "accepted"


def test_what_a_page_may_send_and_no_row_can_hold_keeps_nobody_waiting(
    published, memory, monkeypatch
):
    first, second = (published.assignments.filter(rater=rater)[0] for rater in _raters(published))
    memory.submit(first.pk, segment(1e300, 2e300), minutes=1, remote_id=6)
    memory.change(first.pk, lead_time=1e300)
    assert collect.collect_all(client=memory).stored == 1
    row = first.annotations.get()
    assert (row.verdict, row.lead_time_us) == ("rejected", None)
    memory.submit(second.pk, segment(1.0, 2.0), minutes=2, remote_id=7)
    whole = collect.collect_project

    def broken(project, **more):
        if project.rater_id == first.rater_id:
            raise ValueError("This project cannot be read.")
        return whole(project, **more)

    monkeypatch.setattr(collect, "collect_project", broken)
    with pytest.raises(ValueError, match="cannot be read"):
        collect.collect_all(client=memory)
    second.refresh_from_db()
    assert second.state == State.SUBMITTED


def _raters(batch):
    """The raters in the order in which their projects are looked at."""
    return [project.rater for project in batch.projects.order_by("pk")]


def test_a_project_that_is_gone_takes_no_collected_work_with_it(published, memory, monkeypatch):
    first, second = (published.assignments.filter(rater=rater)[0] for rater in _raters(published))
    memory.submit(first.pk, segment(1.0, 2.0), minutes=1, remote_id=6)
    collect.collect_all(client=memory)
    memory.submit(second.pk, segment(1.0, 2.0), minutes=2, remote_id=7)
    RemoteProject.objects.update(compared_at=None)
    gone = first.remote_task.project.remote_id
    tasks = memory.tasks

    def read(project_id, **more):
        if project_id == gone:
            raise Missing("Label Studio has no such project any more.")
        return tasks(project_id, **more)

    monkeypatch.setattr(memory, "tasks", read)
    found = collect.collect_all(client=memory)
    assert (found.stored, found.deleted, found.lost_tasks) == (1, 0, 0)
    first.refresh_from_db()
    published.refresh_from_db()
    assert first.state == State.SUBMITTED
    assert published.error == "Label Studio has no such project any more."


def test_deletions_and_lost_tasks_are_recorded(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=9)
    collect.collect_all(client=memory)
    memory.remove(row.pk, minutes=2, remote_id=9)
    assert collect.collect_all(client=memory).deleted == 1
    row.refresh_from_db()
    assert row.state == State.SENT
    memory.submit(row.pk, segment(1.0, 2.0), minutes=3, remote_id=10)
    collect.collect_all(client=memory)
    verdicts = row.annotations.order_by("version").values_list("verdict", flat=True)
    assert list(verdicts) == ["accepted", "deleted", "accepted"]
    memory.forget_tasks(row.remote_task.project.remote_id, [row.remote_task.remote_id])
    project = RemoteProject.objects.get(rater=row.rater)
    assert collect.collect_project(project, client=memory).lost_tasks == 0  # not compared yet
    found = collect.collect_project(project, client=memory, compare=True)
    assert (found.lost_tasks, found.deleted) == (1, 1)
    row.refresh_from_db()
    assert row.state == State.PLANNED
    assert not RemoteTask.objects.filter(assignment=row).exists()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["submit", "remove", "collect", "compare"])),
        max_size=12,
    )
)
def test_whatever_raters_do_waver_ends_with_what_label_studio_holds(published, memory, steps):
    rows = list(published.assignments.order_by("pk")[:3])
    with transaction.atomic():
        for minutes, (which, what) in enumerate(steps, start=1):
            row = rows[which]
            if what == "submit":
                drawn = segment(1.0, 2.0 + minutes / 10)
                memory.submit(row.pk, drawn, minutes=minutes, remote_id=100 + which)
            elif what == "remove":
                memory.remove(row.pk, minutes=minutes, remote_id=100 + which)
            else:
                for project in published.projects.all():
                    collect.collect_project(project, client=memory, compare=what == "compare")
        for project in published.projects.all():
            collect.collect_project(project, client=memory)
        for row in rows:
            held = [
                accept.digest_of(annotation.result)
                for tasks in memory.held.values()
                for task in tasks
                if task.assignment_id == str(row.pk)
                for annotation in task.annotations
            ]
            newest = row.annotations.order_by("-version").first()
            alive = newest is not None and newest.verdict == "accepted"
            assert ([newest.raw_sha256] if alive else []) == held
            row.refresh_from_db()
            assert (row.state == State.SUBMITTED) == bool(held)
        for row in rows:
            memory.remove(row.pk, minutes=0, remote_id=100 + rows.index(row))
        transaction.set_rollback(True)


def test_stored_work_cannot_be_changed_by_anybody(published, memory):
    row = published.assignments.first()
    memory.submit(row.pk, segment(1.0, 2.0), minutes=1, remote_id=3)
    collect.collect_all(client=memory)
    for rows, change in (
        (Annotation.objects.all(), {"verdict": "rejected"}),
        (Segment.objects.all(), {"end_us": 5_000_000}),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(**change)
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.delete()


def test_synthetic_raters_work_is_marked(published, lab, memory):
    lab.raters[0].is_synthetic = True
    lab.raters[0].save()
    for number, rater in enumerate(lab.raters):
        row = published.assignments.filter(rater=rater).first()
        memory.submit(row.pk, [], minutes=1, remote_id=number + 1)
    collect.collect_all(client=memory)
    marks = Annotation.objects.values_list("assignment__rater", "is_synthetic")
    assert dict(marks) == {lab.raters[0].pk: True, lab.raters[1].pk: False}


def test_a_withdrawal_stops_work_at_once_and_deletes_the_tasks(published, lab, memory):
    gone, participant = lab.recordings[0], lab.recordings[0].take.participant
    row = published.assignments.filter(recording=gone).first()
    consent.withdraw(participant=participant, actor="tests", purpose="research")
    assert not Assignment.objects.filter(state=State.WITHDRAWN).exists()
    consent.withdraw(participant=participant, actor="tests", purpose="annotate")
    stopped = Assignment.objects.filter(state=State.WITHDRAWN)
    assert set(stopped.values_list("recording", flat=True)) == {gone.pk}
    assert Job.objects.filter(name="annotation.remove", state="queued").count() == 1
    row.refresh_from_db()
    with pytest.raises(Conflict):
        accept.accept(row, [], 1, NOON, None, "poll")
    assert withdrawn.remove_tasks(participant.pk, client=memory) == 2
    assert withdrawn.remove_tasks(participant.pk, client=memory) == 0
    assert len(memory.deleted) == 2
    left = {task.assignment_id for tasks in memory.held.values() for task in tasks}
    assert str(row.pk) not in left
    assert len(left) == 8


def test_a_no_on_a_later_form_stops_work_as_a_withdrawal_does(
    published, lab, django_capture_on_commit_callbacks
):
    participant = lab.recordings[0].take.participant
    document = participant.consent_records.get().document
    answers = {item.code: item.purpose != "annotate" for item in document.items.all()}
    now = timezone.now()
    with django_capture_on_commit_callbacks(execute=True):
        consent.record_consent(
            participant=participant,
            document=document,
            answers=answers | {i.code: True for i in document.items.filter(required=True)},
            presented_at=now,
            given_at=now,
            entered_by="tests",
            channel="paper",
        )
    stopped = Assignment.objects.filter(state=State.WITHDRAWN)
    assert set(stopped.values_list("recording", flat=True)) == {lab.recordings[0].pk}


@pytest.mark.parametrize("erased", [False, True])
def test_a_withdrawal_while_tasks_are_sent_leaves_none_of_them(lab, memory, monkeypatch, erased):
    participant = lab.recordings[0].take.participant
    monkeypatch.setattr(withdrawn, "Client", lambda: memory)
    send, come = memory.import_tasks, iter([True])

    def send_and_be_overtaken(project_id: int, tasks) -> None:
        send(project_id, tasks)
        if next(come, False):
            consent.withdraw(participant=participant, actor="tests", purpose="annotate")
            runner.drain()
            if erased:
                AnnotationHolder().erase(participant.pk)

    monkeypatch.setattr(memory, "import_tasks", send_and_be_overtaken)
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    publish.publish_batch(batch, client=memory)
    runner.drain()
    left = {task.assignment_id for tasks in memory.held.values() for task in tasks}
    wanted = batch.assignments.exclude(recording=lab.recordings[0])
    assert left == {str(row.pk) for row in wanted}
    assert not withdrawn.withdrawn_tasks(participant.pk).exists()


def test_an_erasure_leaves_nothing_and_touches_nobody_else(published, lab, memory, monkeypatch):
    for number, row in enumerate(published.assignments.all(), start=1):
        memory.submit(row.pk, segment(1.0, 2.0, note="a remark"), minutes=1, remote_id=number)
    collect.collect_all(client=memory)
    monkeypatch.setattr(withdrawn, "Client", lambda: memory)
    participant = lab.recordings[0].take.participant
    holder = AnnotationHolder()
    kinds = [held.kind for held in holder.list(participant.pk)]
    assert sorted(kinds) == ["annotation"] * 2 + ["assignment"] * 2 + ["task"] * 2
    others = Segment.objects.count() - 2
    holder.erase(participant.pk)
    holder.erase(participant.pk)
    assert holder.verify_absent(participant.pk) == []
    assert Segment.objects.count() == others
    assert {"annotation.Annotation", "annotation.Segment"} <= holders.models_with_holder()

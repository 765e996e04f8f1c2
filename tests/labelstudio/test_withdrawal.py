"""A participant who withdraws: nothing of theirs stays in Label Studio, and that is proven.

What is left is searched for here by the tests' own means: every table as text, every file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.holder import AnnotationHolder
from annotation.labelstudio.client import Client, NewTask
from annotation.models import Annotation, Assignment, RemoteProject
from annotation.services import collect, withdrawn
from tests.labelstudio.running import stop_label_studio
from tests.labelstudio.scene import Scene, segment, submit
from waver.consent import services as consent
from waver.core.errors import TemporaryProblem

pytestmark = pytest.mark.labelstudio


@pytest.fixture(scope="module")
def exported(stage: Scene) -> Scene:
    """Rater A has submitted the first clip and drafted the second, and all of it was exported."""
    labels = stage.start_labelling(stage.sign_in(stage.raters[0]))
    rows = stage.assignments(stage.raters[0])
    assert submit(labels, stage.task(rows[0]), segment(1.0, 2.0, note="a note")).is_success
    body = {"result": segment(2.0, 3.0, note="a draft"), "lead_time": 1.0}
    assert labels.post(f"/api/tasks/{stage.task(rows[1])}/drafts", json=body).is_success
    collect.collect_all()
    client = Client()
    for project in stage.batch.projects.all():
        client._sdk.projects.exports.as_json(project_id=project.remote_id)
        every = client._sdk.projects.exports.download_sync(
            id=project.remote_id, export_type="JSON", download_all_tasks=True
        )
        assert b"".join(every)
    return stage


def found(stage: Scene, words: list[str]) -> set[str]:
    """Name the tables and the kinds of files in which one of the words stands."""
    names = stage.running.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    places = set()
    for (table,) in names:
        for (text,) in stage.running.sql(f'SELECT t::text FROM "{table}" t'):
            if any(word in text for word in words):
                places.add(table)
    for path in (stage.running.folder / "data").rglob("*"):
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words):
            places.add(str(Path(*path.relative_to(stage.running.folder / "data").parts[:2])))
    return places


def words_of(rows: list[Assignment]) -> list[str]:
    return [word for row in rows for word in (str(row.pk), row.media_token)]


def test_an_erasure_reaches_tasks_drafts_predictions_and_exports(exported):
    rows = exported.assignments(exported.raters[0])
    gone, stays = rows[0].recording.take.participant, rows[1]
    theirs = list(Assignment.objects.filter(recording__take__participant=gone))
    words = words_of(theirs)
    tasks = [exported.task(row) for row in theirs]
    before = found(exported, words)
    assert {"task"} < before
    assert sum(place.startswith(("export", "media")) for place in before) == 2, before
    annotations = "SELECT count(*) FROM task_completion WHERE task_id = ANY(%s)"
    assert exported.running.sql(annotations, [tasks]) == [(1,)]

    assert consent.erase(participant=gone, actor="tests") == []

    assert found(exported, words) == set()
    for table in ("task_completion", "tasks_annotationdraft", "prediction"):
        count = f"SELECT count(*) FROM {table} WHERE task_id = ANY(%s)"
        assert exported.running.sql(count, [tasks]) == [(0,)]
    assert not Annotation.objects.filter(assignment_id__in=[row.pk for row in theirs]).exists()
    # The other participants' tasks are where they were, a draft among them.
    kept = found(exported, words_of([stays]))
    assert kept == {"task"}
    drafts = "SELECT count(*) FROM tasks_annotationdraft WHERE task_id = %s"
    assert exported.running.sql(drafts, [exported.task(stays)]) == [(1,)]


def test_a_task_that_a_crash_left_unnoted_is_found_and_deleted(exported):
    row = exported.assignments(exported.raters[1])[1]
    gone = row.recording.take.participant
    Assignment.objects.get(pk=row.pk).remote_task.delete()  # sent, and the note of it lost
    words = words_of(list(Assignment.objects.filter(recording__take__participant=gone)))
    assert found(exported, words)
    assert consent.erase(participant=gone, actor="tests") == []
    assert found(exported, words) == set()


def test_what_label_studio_still_holds_keeps_the_erasure_open(exported, monkeypatch):
    row = exported.assignments(exported.raters[1])[-1]
    gone = row.recording.take.participant
    with monkeypatch.context() as patch:
        patch.setattr(Client, "forget_tasks", lambda *_: None)  # as if it had done nothing
        with pytest.raises(TemporaryProblem, match="still holds something of this participant"):
            consent.erase(participant=gone, actor="tests")
    assert Assignment.objects.filter(pk=row.pk).exists()  # or nobody could ask again
    assert consent.erase(participant=gone, actor="tests") == []


def test_a_task_of_nobody_known_is_reported(exported):
    project = exported.batch.projects.get(rater=exported.raters[0])
    somebody = exported.recordings[-1].take.participant_id
    client = Client()
    unknown = NewTask("01a1fbe0-0000-7000-8000-000000000000", "/waver/media/unknown")
    client.import_tasks(project.remote_id, [unknown])
    ((kind, task),) = withdrawn.unknown_to_waver()
    assert kind == "task"
    held = AnnotationHolder().verify_absent(somebody)
    assert ("task", task, "Label Studio") in {(h.kind, h.object_id, h.where) for h in held}
    client.forget_tasks(project.remote_id, [int(task)])
    assert withdrawn.unknown_to_waver() == []


def test_while_label_studio_is_down_nothing_counts_as_erased(exported):
    assert RemoteProject.objects.exists()
    row = exported.assignments(exported.raters[0])[-1]
    gone = row.recording.take.participant
    with stop_label_studio(exported.running), pytest.raises(TemporaryProblem):
        consent.erase(participant=gone, actor="tests")
    row.refresh_from_db()
    assert row.state == Assignment.State.WITHDRAWN
    assert consent.erase(participant=gone, actor="tests") == []

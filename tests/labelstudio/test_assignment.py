"""Controls, the day's limit and work given to others, on a real Label Studio."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotation.models import Annotation, Assignment
from annotation.services import assign, codebooks, gold, publish
from annotation.services.assignment.reassign import give_away
from tests.factories import AssetFactory, RecordingFactory, consented_participant
from tests.labelstudio.scene import SECONDS, Scene, segment, submit
from waver.core.models import Job
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign
from workers.runner import drain

pytestmark = pytest.mark.labelstudio
State = Assignment.State


@pytest.fixture(scope="module")
def mixed(stage: Scene) -> Scene:
    """A second batch: eight recordings, one rater each, with controls among each rater's work."""

    def recording() -> Recording:
        made: Recording = RecordingFactory(
            participant=consented_participant(stage.study), duration_us=SECONDS * 1_000_000
        )
        AssetFactory(recording=made, data=stage.clip)
        return made

    StudyDesign.objects.filter(study=stage.study).update(
        raters_per_recording=1, gold_share=0.25, repeat_share=0.5, repeat_gap=1, prelabel_share=0
    )
    gold.set_answer(
        codebook=codebooks.current(stage.study), recording=recording(), pass_id="segments",
        answer={"segments": []}, rationale="Nothing shows.", set_by="lead",
    )  # fmt: skip
    for _ in range(8):
        recording()
    batch = assign.plan_batch(stage.study, "segments", list(stage.raters), "tests")
    publish.start(batch, "tests")
    assert [job.state for job in drain(queues=["io"])] == ["done"]
    batch.refresh_from_db()
    return replace(stage, batch=batch)


def remote_tasks(scene: Scene, labels, rater) -> dict[str, dict]:
    answer = labels.get("/api/tasks/", params={"project": scene.project(rater), "fields": "all"})
    return {task["data"]["assignment"]: task for task in answer.json()["tasks"]}


def next_of(scene: Scene, labels, rater):
    return labels.get(f"/api/projects/{scene.project(rater)}/next")


def test_a_rater_meets_controls_and_repeats_that_look_like_all_other_tasks(mixed: Scene):
    one = mixed.raters[0]
    labels = mixed.start_labelling(mixed.sign_in(one))
    rows = mixed.assignments(one)
    assert sorted((row.is_gold, row.repeat) for row in rows) == [
        *[(False, 0)] * 4, *[(False, 1)] * 2, (True, 0),
    ]  # fmt: skip
    tasks = remote_tasks(mixed, labels, one)
    assert list(tasks) == [str(row.pk) for row in rows]
    changing = {"id", "data", "inner_id", "created_at", "updated_at", "state", "meta"}
    shown = [{k: v for k, v in task.items() if k not in changing} for task in tasks.values()]
    assert all(task == shown[0] for task in shown)
    assert {tuple(sorted(task["data"])) for task in tasks.values()} == {("assignment", "video")}
    repeat = next(row for row in rows if row.repeat)
    first = next(r for r in rows if r.recording_id == repeat.recording_id and not r.repeat)
    for row, end in ((first, 2.0), (repeat, 3.0)):
        assert submit(labels, mixed.task(row), segment(1.0, end)).status_code == 201
    drain(queues=["io"])
    stored = Annotation.objects.filter(assignment__in=[first, repeat]).order_by("assignment")
    assert [row.segments.get().end_us for row in stored] == (
        [2_000_000, 3_000_000] if first.pk < repeat.pk else [3_000_000, 2_000_000]
    )


def test_at_the_days_limit_no_next_recording_comes_but_the_open_one_is_taken(mixed: Scene):
    other = mixed.raters[1]
    labels = mixed.start_labelling(mixed.sign_in(other))
    StudyDesign.objects.filter(study=mixed.study).update(daily_limit=1)
    first, second, *_ = mixed.assignments(other)
    assert next_of(mixed, labels, other).status_code == 200
    assert submit(labels, mixed.task(first), []).status_code == 201
    drain(queues=["io"])
    refused = next_of(mixed, labels, other)
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("You have labelled 1 recording today")
    asked = labels.post(
        "/api/dm/actions/",
        params={"id": "next_task", "project": mixed.project(other)},
        json={"project": mixed.project(other)},
    )
    assert asked.status_code == 403
    assert submit(labels, mixed.task(second), []).status_code == 201  # it was open already
    drain(queues=["io"])
    second.refresh_from_db()
    assert second.state == State.SUBMITTED
    StudyDesign.objects.filter(study=mixed.study).update(daily_limit=None)
    assert next_of(mixed, labels, other).status_code == 200


def test_work_given_to_others_leaves_label_studio_and_late_work_stands(mixed: Scene):
    away, other = mixed.raters
    labels = mixed.start_labelling(mixed.sign_in(away))
    late, moved, *_ = [
        row
        for row in mixed.assignments(away)
        if row.state == State.SENT and not row.is_gold and not row.repeat
    ]
    assert submit(labels, mixed.task(late), []).status_code == 201
    Job.objects.filter(name="annotation.collect").delete()  # not known to Waver yet
    open_before = {str(row.pk) for row in mixed.assignments(away) if row.state == State.SENT}
    give_away(study=mixed.study, rater=away, actor="lead")
    assert labels.get("/api/current-user/whoami").status_code == 403  # the stay has ended
    assert {job.state for job in drain(queues=["io"])} == {"done"}
    late.refresh_from_db()
    moved.refresh_from_db()
    assert (late.state, moved.state) == (State.SUBMITTED, State.TAKEN_BACK)
    assert Assignment.objects.get(replaces=late).state == State.TAKEN_BACK
    assert Assignment.objects.get(replaces=moved).state == State.SENT
    again = mixed.start_labelling(mixed.sign_in(away))
    left = set(remote_tasks(mixed, again, away))
    assert left & open_before == {str(late.pk)}
    theirs = set(remote_tasks(mixed, mixed.start_labelling(mixed.sign_in(other)), other))
    assert str(Assignment.objects.get(replaces=moved).pk) in theirs
    assert str(Assignment.objects.get(replaces=late).pk) not in theirs

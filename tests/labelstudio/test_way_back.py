"""Raters' work on its way: into Label Studio, labelled over HTTP as a browser does, and back."""

from __future__ import annotations

import httpx
import pytest

from annotation.models import Annotation, Assignment, Batch, RemoteTask
from annotation.services import collect
from tests.labelstudio.scene import Scene, land, post_form, segment, submit
from waver.accounts.models import LabelStudioSession
from waver.consent import services as consent
from waver.core.models import Job
from waver.studies.models import StudyDesign
from workers.runner import drain

pytestmark = pytest.mark.labelstudio
State = Assignment.State


@pytest.fixture(scope="module")
def browsers(stage: Scene) -> dict[str, httpx.Client]:
    """Rater A and rater B, signed in to Waver and in Label Studio."""
    waver = {letter: stage.sign_in(who) for letter, who in zip("AB", stage.raters, strict=True)}
    labels = {letter: stage.start_labelling(browser) for letter, browser in waver.items()}
    return {**labels, "A in Waver": waver["A"], "B in Waver": waver["B"]}


def test_tasks_say_nothing_but_opaque_names_and_show_candidates_in_one_arm(stage, browsers):
    project = stage.project(stage.raters[0])
    answer = browsers["A"].get("/api/tasks/", params={"project": project, "fields": "all"})
    tasks = answer.json()["tasks"]
    rows = {str(row.pk): row for row in stage.assignments(stage.raters[0])}
    assert [task["data"]["assignment"] for task in tasks] == list(rows)
    for task in tasks:
        row = rows[task["data"]["assignment"]]
        shown = row.arm == StudyDesign.Arm.PRELABEL
        assert task["data"] == {
            "video": f"/waver/media/{row.media_token}",
            "assignment": str(row.pk),
        }
        assert len(task["predictions"]) == shown
        if shown:
            value = task["predictions"][0]["result"][0]["value"]
            assert (value["start"], value["end"], value["labels"]) == (1.5, 2.5, ["ah"])
    assert sum(row.arm == StudyDesign.Arm.PRELABEL for row in rows.values()) == 2


def test_media_comes_by_byte_range_and_only_to_its_own_rater(stage, browsers):
    row = stage.assignments(stage.raters[0])[0]
    path = f"/waver/media/{row.media_token}"
    whole = browsers["A"].get(path)
    assert (whole.status_code, whole.content) == (200, stage.clip)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["cache-control"] == "no-store"
    part = browsers["A"].get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, stage.clip[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(stage.clip)}"
    to_the_end = browsers["A"].get(path, headers={"Range": "bytes=200-"})
    assert (to_the_end.status_code, to_the_end.content) == (206, stage.clip[200:])
    behind = browsers["A"].get(path, headers={"Range": f"bytes={len(stage.clip)}-"})
    assert behind.status_code == 416
    assert browsers["B"].get(path).status_code == 404
    assert httpx.get(f"{stage.running.label_studio_url}{path}").status_code == 403
    internal = f"{stage.running.waver_url}/internal/label-studio/media/{row.media_token}"
    assert httpx.get(internal).status_code == 403
    assert browsers["A in Waver"].get(internal).status_code == 403


def test_submitted_work_arrives_by_the_webhook(stage, browsers):
    row = stage.assignments(stage.raters[0])[0]
    done = submit(browsers["A"], stage.task(row), segment(1.25, 2.5001, note="smiles"))
    assert done.status_code == 201, done.text
    queued = Job.objects.get(name="annotation.collect", state="queued")
    assert queued.subject_kind == "remote_project"
    assert [job.state for job in drain(queues=["io"])] == ["done"]
    stored = Annotation.objects.get(assignment=row)
    assert stored.received_by == "webhook"
    assert stored.verdict == "accepted"
    assert stored.lead_time_us == 4_250_000
    assert stored.raw["result"] == done.json()["result"]
    found = stored.segments.get()
    assert (found.start_us, found.end_us) == (1_250_000, 2_500_100)
    assert (found.label, found.certainty, found.note) == ("ah", 3, "smiles")
    row.refresh_from_db()
    assert row.state == State.SUBMITTED


def test_work_whose_webhook_was_lost_is_found_by_polling_and_stored_once(stage, browsers):
    row = stage.assignments(stage.raters[1])[0]
    assert submit(browsers["B"], stage.task(row), segment(3.0, 4.0)).status_code == 201
    Job.objects.filter(name="annotation.collect").delete()  # as if the call had been lost
    assert collect.collect_all().stored == 1
    assert collect.collect_all().stored == 0
    stored = Annotation.objects.get(assignment=row)
    assert (stored.received_by, stored.version) == ("poll", 1)


def test_work_that_does_not_fit_the_codebook_goes_back_and_its_correction_is_version_2(
    stage, browsers
):
    row = stage.assignments(stage.raters[0])[1]
    wrong = segment(1.0, 2.0)
    wrong[0]["value"]["labels"] = ["sleepiness"]
    done = submit(browsers["A"], stage.task(row), wrong)
    collect.collect_all()
    row.refresh_from_db()
    assert row.state == State.RETURNED
    assert "sleepiness" in row.return_reason
    again = stage.start_labelling(browsers["A in Waver"], assignment=str(row.pk))
    corrected = again.patch(
        f"/api/annotations/{done.json()['id']}/", json={"result": segment(1.0, 2.0)}
    )
    assert corrected.status_code == 200, corrected.text
    collect.collect_all()
    row.refresh_from_db()
    assert (row.state, row.return_reason) == (State.SUBMITTED, "")
    verdicts = row.annotations.order_by("version").values_list("version", "verdict")
    assert list(verdicts) == [(1, "rejected"), (2, "accepted")]


def test_deleted_work_is_recorded_and_may_be_done_anew(stage, browsers):
    row = stage.assignments(stage.raters[1])[0]
    first = row.annotations.get()
    assert browsers["B"].delete(f"/api/annotations/{first.remote_id}/").status_code == 204
    assert collect.collect_all().deleted == 1
    assert collect.collect_all().deleted == 0
    row.refresh_from_db()
    assert row.state == State.SENT
    assert row.annotations.get(version=2).verdict == "deleted"
    assert row.annotations.get(version=1).segments.count() == 1
    assert submit(browsers["B"], stage.task(row), segment(3.1, 4.1)).status_code == 201
    collect.collect_all()
    row.refresh_from_db()
    assert row.state == State.SUBMITTED
    assert row.annotations.order_by("-version")[0].segments.get().start_us == 3_100_000


def test_a_task_deleted_in_label_studio_is_noticed_and_published_again(stage, browsers):
    from annotation.labelstudio.client import Client
    from annotation.services import publish

    row = stage.assignments(stage.raters[1])[3]
    project = stage.batch.projects.get(rater=stage.raters[1])
    Client().forget_tasks(project.remote_id, [stage.task(row)])
    assert collect.collect_project(project, compare=True).lost_tasks == 1
    row.refresh_from_db()
    assert row.state == State.PLANNED
    publish.publish_batch(stage.batch)
    row.refresh_from_db()
    assert row.state == State.SENT
    tasks = list(Client().tasks(project.remote_id))
    assert len({task.assignment_id for task in tasks}) == len(tasks) == 4


def test_a_project_that_is_not_there_is_not_one_whose_tasks_are_gone(stage):
    from annotation.labelstudio.client import Client
    from waver.core.errors import Missing

    with pytest.raises(Missing, match="has no project 999999 any more"):
        list(Client().tasks(999_999))


def test_withdrawn_consent_closes_the_media_at_once_and_removes_the_tasks(stage, browsers):
    row = stage.assignments(stage.raters[0])[2]
    path = f"/waver/media/{row.media_token}"
    assert browsers["A"].get(path, headers={"Range": "bytes=0-9"}).status_code == 206
    participant = row.recording.take.participant
    tasks = list(
        RemoteTask.objects.filter(assignment__recording=row.recording).values_list(
            "remote_id", flat=True
        )
    )
    assert len(tasks) == 2
    consent.withdraw(participant=participant, purpose="annotate", actor="tests")
    refused = browsers["A"].get(path, headers={"Range": "bytes=0-9"})
    assert refused.status_code == 403
    sentence = refused.json()["detail"]
    assert "does not allow" in sentence
    assert participant.code not in sentence
    removed = [job.state for job in drain(queues=["io"]) if job.name == "annotation.remove"]
    assert removed == ["done"]
    left = stage.running.sql("SELECT count(*) FROM task WHERE id = ANY(%s)", [tasks])
    assert left == [(0,)]
    answer = browsers["A"].get(f"/api/projects/{stage.project(stage.raters[0])}/next/")
    assert answer.json()["data"]["assignment"] != str(row.pk)


def test_a_ticket_opens_the_door_once(stage, browsers):
    address, fields = stage.way_in(browsers["A in Waver"])
    from_waver = stage.from_waver
    assert "?" not in address
    # A browser that loads ahead, a mail scanner, another site's page: nothing is used up.
    for answer in (
        httpx.get(address, params=fields),
        httpx.head(address, params=fields),
        httpx.post(address, data=fields),
        httpx.post(address, data=fields, headers={"Origin": "null"}),
        httpx.post(address, data=fields, headers={"Origin": "https://evil.example"}),
        httpx.post(address, params=fields, headers=from_waver),
        httpx.put(address, data=fields, headers=from_waver),
    ):
        assert answer.status_code == 403, answer.request
    first = httpx.post(address, data=fields, headers=from_waver)
    assert land(first.headers["Location"]) == f"/projects/{stage.project(stage.raters[0])}/data"
    second = httpx.post(address, data=fields, headers={**from_waver, "Accept": "text/html"})
    assert second.status_code == 403
    assert "Start labelling" in second.text
    forged = {"ticket": f"{fields['ticket'][:-2]}xx"}
    assert httpx.post(address, data=forged, headers=from_waver).status_code == 403
    assert fields["ticket"] not in stage.running.log.read_text(errors="replace")


def test_a_stranger_to_the_batch_gets_no_ticket(stage, browsers):
    from tests.factories import MembershipFactory

    stranger = MembershipFactory(study=stage.study, role="annotator").user
    answer = post_form(stage.sign_in(stranger), f"/label/start/{stage.batch.pk}/", {})
    assert answer.status_code == 404


def test_a_closed_batch_plays_nothing_and_ends_the_stay(stage, browsers):
    rows = stage.assignments(stage.raters[1])
    row = next(row for row in rows if row.state != State.WITHDRAWN)
    media = f"/waver/media/{row.media_token}"
    assert browsers["B"].get(media, headers={"Range": "bytes=0-9"}).status_code == 206
    stage.batch.state = Batch.State.CLOSED
    stage.batch.save()
    try:
        for path in (media, "/api/current-user/whoami", f"/api/tasks/{stage.task(row)}/"):
            assert browsers["B"].get(path).status_code == 403
        answer = post_form(browsers["B in Waver"], f"/label/start/{stage.batch.pk}/", {})
        assert answer.status_code == 409
        assert "closed" in answer.text
    finally:
        stage.batch.state = Batch.State.OPEN
        stage.batch.save()
    browsers["B"] = stage.start_labelling(browsers["B in Waver"])
    assert browsers["B"].get(media, headers={"Range": "bytes=0-9"}).status_code == 206


def test_signing_out_of_waver_ends_label_studio_at_once(stage, browsers):
    waver = stage.sign_in(stage.raters[1])
    labels = stage.start_labelling(waver)
    assert labels.get("/api/current-user/whoami").status_code == 200
    kept = httpx.Cookies(labels.cookies)
    post_form(waver, "/sign-out/", {})
    ended = labels.get("/api/current-user/whoami")
    assert ended.status_code == 403
    assert "has ended" in ended.json()["detail"]
    with httpx.Client(base_url=labels.base_url, cookies=kept) as stolen:
        assert stolen.get("/api/current-user/whoami").status_code == 403
    assert browsers["B"].get("/api/current-user/whoami").status_code == 200  # another session


def test_signing_out_of_label_studio_ends_the_stay_in_waver_too(stage, browsers):
    labels = stage.start_labelling(browsers["B in Waver"])
    kept = httpx.Cookies(labels.cookies)
    assert labels.get("/logout/").status_code == 302
    with httpx.Client(base_url=labels.base_url, cookies=kept) as again:
        assert again.get("/api/current-user/whoami").status_code == 403
    assert LabelStudioSession.objects.filter(user=stage.raters[1], ended_at__isnull=False).exists()


def test_the_webhook_answers_only_to_its_secret(stage):
    url = f"{stage.running.waver_url}/internal/label-studio/webhook"
    body = {"action": "ANNOTATION_CREATED", "project": {"id": stage.project(stage.raters[0])}}
    assert httpx.post(url, json=body).status_code == 403
    headers = {"X-Waver-Webhook": "tests-webhook-secret"}
    assert httpx.post(url, json=body, headers=headers).status_code == 204
    assert httpx.post(url, json={"action": "x"}, headers=headers).status_code == 400

"""What a researcher sets going from the pages: batches, a look of the gate."""

from __future__ import annotations

import pytest
from django.urls import reverse

from annotation.models import Batch
from tests.factories import MembershipFactory, RecordingFactory, consented_participant
from tests.website.conftest import House
from tests.website.material import bah_codebook, make_gate_run, make_material
from waver.core.models import Job
from waver.studies.models import StudyDesign


@pytest.fixture
def ready(house: House, storage_folder) -> House:
    """Give the study a codebook, a recording that is ready, and a design of one rater."""
    bah_codebook(house.study)
    RecordingFactory(participant=consented_participant(house.study, code="VOICE-0009"))
    StudyDesign.objects.filter(study=house.study).update(raters_per_recording=1)
    return house


def batches(house: House) -> str:
    return reverse("website:batches", args=[house.study.code])


def test_recordings_are_planned_and_queued_for_sending(ready: House):
    client = ready.client("researcher")
    page = client.get(batches(ready)).content.decode()
    assert "1 recording to send" in page
    rater = ready.people["annotator"]
    answer = client.post(batches(ready), {"pass": "segments", "rater": [str(rater.pk)]})
    assert (answer.status_code, answer["Location"]) == (302, batches(ready))
    batch = Batch.objects.get(study=ready.study)
    assert (batch.pass_id, batch.state) == ("segments", Batch.State.PUBLISHING)
    assert [a.rater for a in batch.assignments.all()] == [rater]
    assert Job.objects.get().name == "annotation.publish"
    assert "0 recordings to send" in client.get(batches(ready)).content.decode()


def test_a_wrong_choice_stands_beside_the_form_which_keeps_the_rest(ready: House):
    answer = ready.client("researcher").post(batches(ready), {"pass": "segments"})
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "wants 1 raters for each recording" in text
    assert 'value="segments" required checked' in text
    assert not Batch.objects.exists()


def test_nobody_is_sent_clips_who_is_no_annotator_of_the_study(ready: House):
    stranger = MembershipFactory(role="annotator").user
    lead = ready.people["lead"]
    for person in (stranger, lead):
        fields = {"pass": "segments", "rater": [str(person.pk)]}
        assert ready.client("lead").post(batches(ready), fields).status_code == 400
    assert not Batch.objects.exists()


def test_a_batch_that_could_not_be_sent_says_why_and_is_sent_again(ready: House):
    rater = ready.people["annotator"]
    client = ready.client("lead")
    client.post(batches(ready), {"pass": "segments", "rater": [str(rater.pk)]})
    Job.objects.update(state="failed")
    Batch.objects.update(state=Batch.State.DRAFT, error="Label Studio does not answer. Start it.")
    assert "Label Studio does not answer. Start it." in client.get(batches(ready)).content.decode()
    batch = Batch.objects.get()
    assert client.post(reverse("website:batch-again", args=["voices", batch.pk])).status_code == 302
    batch.refresh_from_db()
    assert (batch.state, batch.error) == (Batch.State.PUBLISHING, "")


def test_a_look_is_asked_for_once_and_done_by_a_worker(house: House, storage_folder):
    from workers import runner, tasks

    assert tasks is not None
    make_material(house.study, house.people["annotator"])
    client = house.client("researcher")
    path = reverse("website:agreement-look", args=["voices"])
    client.post(path)
    client.post(path)
    job = Job.objects.get(name="datasets.judge")
    assert "Measuring agreement" in client.get("/studies/voices/").content.decode()
    done = runner.drain()
    job.refresh_from_db()
    # The pictures of the look are a job of their own: they cannot make a look fail.
    assert [ran.name for ran in done] == ["datasets.judge", "datasets.figures"]
    assert done[0].pk == job.pk
    assert [ran.error for ran in done] == ["", ""]
    # One rater is too few for a verdict, and the page says so.
    assert job.state == "done", job.error
    text = client.get("/studies/voices/agreement/").content.decode()
    assert "Undetermined" in text


def test_the_agreement_page_says_what_a_new_codebook_version_did(house):
    change = {
        "from": "bah-ah version 1",
        "to": "bah-ah version 2",
        "labels": {
            "segments/ah": {"sentence": "“segments/ah”: before, alpha 0.700; after, 0.800."}
        },
    }
    make_gate_run(house.study, bah_codebook(house.study), codebook_change=change)
    text = house.client("researcher").get("/studies/voices/agreement/").content.decode()
    assert "What bah-ah version 2 did to agreement, compared with bah-ah version 1" in text
    assert "before, alpha 0.700; after, 0.800." in text

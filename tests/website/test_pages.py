"""What the pages say, as page and as fragment; and lists need a constant number of queries."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment
from tests.factories import (
    AssignmentFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from tests.website.conftest import House
from tests.website.material import Material, make_gate_run, make_material, second_rater
from waver.core.models import Job
from waver.recordings.models import Recording, Stage
from waver.studies.models import Membership, Study
from waver.website.queries import jobs, studies

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    return make_material(house.study, house.people["annotator"])


def text_of(house: House, role: str, name: str, **arguments: object) -> str:
    path = reverse(f"website:{name}", kwargs={"code": "voices", **arguments})
    return house.client(role).get(path).content.decode()


# ---- the overview ----


def test_an_empty_study_says_how_to_begin(house: House):
    text = text_of(house, "researcher", "study")
    assert "No recordings yet" in text
    assert "manage.py import_recordings voices FOLDER" in text


def test_the_overview_shows_work_problems_annotation_and_verdict(house: House, material: Material):
    bad = RecordingFactory(
        participant=material.participant,
        state=Recording.State.FAILED,
        error="The file is empty: it has zero bytes. Supply the recording again.",
    )
    job = Job.objects.create(
        name="recordings.faces", subject_kind="recording", subject_id=str(material.recording.pk),
        queue="cpu", state="running", lease_until=timezone.now() + timedelta(minutes=1),
        progress=0.25, note="frame 75 of 300", started_at=timezone.now() - timedelta(minutes=1),
    )  # fmt: skip
    text = text_of(house, "researcher", "study")
    assert "The file is empty: it has zero bytes." in text
    assert reverse("website:recording", args=["voices", bad.pk]) in text
    assert jobs.title_of(job.name) in text
    assert "frame 75 of 300" in text
    assert "about 3 min left" in text or "about 4 min left" in text
    assert "1 of 1" in text  # labelled
    assert "For these raters, 1 of 3 labels may be released" in text
    assert "Release 1.0.0" in text
    assert "could not be prepared: look at why" in text


def test_page_and_fragment_come_from_one_view(house: House, material: Material):
    client = house.client("researcher")
    for name, marker in (("study", 'id="overview"'), ("recordings", 'id="recordings"')):
        path = reverse(f"website:{name}", args=["voices"])
        page, part = client.get(path), client.get(path, headers=FRAGMENT)
        assert "<html" in page.content.decode()
        assert marker in page.content.decode()
        assert part.content.decode().strip().startswith("<div")
        assert marker in part.content.decode()
        assert "<html" not in part.content.decode()


def test_the_overview_looks_again_soon_only_while_something_moves(house: House, material: Material):
    Assignment.objects.update(state=Assignment.State.SUBMITTED)
    assert 'hx-trigger="every 20s"' in text_of(house, "researcher", "study")
    AssignmentFactory(batch=material.batch, recording=material.recording)
    assert 'hx-trigger="every 2s"' in text_of(house, "researcher", "study")


def test_the_overviews_queries_do_not_grow(
    house: House, material: Material, django_assert_max_num_queries
):
    def fill(count: int) -> None:
        for _ in range(count):
            recording = RecordingFactory(
                participant=material.participant,
                state=Recording.State.ATTENTION,
                error="Two people were seen. Decide which of them is the participant.",
            )
            AssignmentFactory(batch=material.batch, recording=recording)
            Job.objects.create(
                name="recordings.faces", subject_kind="recording", subject_id=str(recording.pk),
                queue="cpu",
            )  # fmt: skip

    fill(1)
    study = Study.objects.get(code="voices")
    with django_assert_max_num_queries(16) as few:
        studies.overview(study)
    fill(6)
    with django_assert_max_num_queries(len(few)):
        studies.overview(study)


def test_jobs_of_another_study_do_not_show(house: House, material: Material):
    other = RecordingFactory()
    Job.objects.create(
        name="recordings.faces", subject_kind="recording", subject_id=str(other.pk), queue="cpu"
    )
    assert jobs.open_jobs(house.study) == ([], 0)
    assert jobs.open_jobs(other.study)[1] == 1


@pytest.mark.parametrize(
    ("progress", "started", "left"),
    [(0.0, 60, None), (0.04, 60, None), (0.5, 60, 60), (0.75, 90, 30), (1.0, 60, None)],
)
def test_the_time_left_follows_from_what_was_needed_so_far(progress, started, left):
    now = timezone.now()
    found = jobs.time_left(started_at=now - timedelta(seconds=started), progress=progress, now=now)
    assert (found.total_seconds() if found else None) == (pytest.approx(left) if left else None)


# ---- the list of recordings ----


def test_the_list_is_paged_and_filtered(house: House, material: Material):
    other = consented_participant(house.study, code="VOICE-0002")
    for _ in range(51):
        RecordingFactory(participant=other, state=Recording.State.PROCESSING)
    client = house.client("researcher")
    path = reverse("website:recordings", args=["voices"])
    text = client.get(path).content.decode()
    assert "1–50 of 52" in text
    assert "VOICE-0001" not in text  # older, so on the second page
    assert "VOICE-0001" in client.get(path, {"page": "2"}).content.decode()
    assert "51–52 of 52" in client.get(path, {"page": "99"}).content.decode()
    ready = client.get(path, {"state": "ready"}).content.decode()
    assert "1–1 of 1" in ready
    assert "It has no sound." in ready
    assert "1–1 of 1" in client.get(path, {"participant": "0001"}).content.decode()
    nothing = client.get(path, {"participant": "x"}).content.decode()
    assert "No recording fits these filters" in nothing
    assert "1–50 of 52" in client.get(path, {"state": "no such"}).content.decode()


def test_the_lists_queries_do_not_grow(
    house: House, material: Material, django_assert_max_num_queries
):
    client = house.client("researcher")
    path = reverse("website:recordings", args=["voices"])
    with django_assert_max_num_queries(8) as few:
        client.get(path)
    for _ in range(5):
        RecordingFactory(participant=material.participant)
    with django_assert_max_num_queries(len(few)):
        client.get(path)


# ---- one recording ----


def test_the_recording_page_holds_facts_notes_and_provenance(house: House, material: Material):
    text = text_of(house, "researcher", "recording", recording_id=material.recording.pk)
    assert "VOICE-0001" in text
    assert "It has no sound." in text
    assert "Nobody has written down what is said here." in text
    assert "300 frames" in text
    assert material.proxy.blob.sha256[:16] in text
    assert "Candidates for people to judge, not labels." in text
    assert "long pause" in text
    assert 'data-rate-numerator="30"' in text


def test_the_statuses_of_the_face_are_said_in_words(house: House, material: Material):
    figures = {"frames": 300, "frames_detected": 225, "frames_occluded": 60, "frames_absent": 15}
    Stage.objects.filter(recording=material.recording, name="faces").delete()
    Stage.objects.create(recording=material.recording, name="faces", version=1, figures=figures)
    text = text_of(house, "researcher", "recording", recording_id=material.recording.pk)
    legend = " ".join(
        re.sub(r"<[^>]+>", " ", text.partition("What the row “Face” says")[2]).split()
    )
    assert "detected Seen in this frame. yes 225 75 %" in legend
    assert "occluded Something covers about a third of the face or more. no 60 20 %" in legend
    assert "off frame A part of the face lies outside the picture. no 0 0 %" in legend


def test_raters_are_numbered_and_named_to_the_lead_only(house: House, material: Material):
    second_rater(material, is_synthetic=True)
    name = house.people["annotator"].username
    path = reverse("website:recording-timeline", args=["voices", material.recording.pk])
    for role, named in (("researcher", False), ("lead", True)):
        page = text_of(house, role, "recording", recording_id=material.recording.pk)
        drawn = house.client(role).get(path)
        assert "Rater 1" in page
        assert "Rater 2" in page
        assert (name in page) == named
        assert (name in drawn.content.decode()) == named
        raters = drawn.json()["raters"]
        assert [rater["name"] for rater in raters] == ["Rater 1", "Rater 2"]
        assert [rater["is_synthetic"] for rater in raters] == [False, True]


def test_the_timeline_gives_marks_in_microseconds_with_the_codebooks_words(
    house: House, material: Material
):
    path = reverse("website:recording-timeline", args=["voices", material.recording.pk])
    drawn = house.client("researcher").get(path).json()
    mark = drawn["raters"][0]["marks"][0]
    assert (mark["start_us"], mark["end_us"], mark["certainty"]) == (1_000_000, 2_500_000, 2)
    assert mark["label"] != "ah"  # the codebook's title
    assert mark["colour"].startswith("#")
    assert drawn["cues"][0]["cue"] == "long_pause"
    assert drawn["rate"] == [30, 1]


def test_the_recordings_queries_do_not_grow_with_raters(
    house: House, material: Material, django_assert_max_num_queries
):
    client = house.client("lead")
    path = reverse("website:recording", args=["voices", material.recording.pk])
    with django_assert_max_num_queries(38) as few:
        client.get(path)
    second_rater(material)
    with django_assert_max_num_queries(len(few)):
        client.get(path)


def test_a_withdrawn_participants_recording_is_not_shown(house: House, material: Material):
    from waver.consent.services import withdraw

    withdraw(participant=material.participant, actor="tests")
    client = house.client("lead")
    page = client.get(reverse("website:recording", args=["voices", material.recording.pk]))
    assert page.status_code == 200
    assert "has withdrawn from the study" in page.content.decode()
    assert "<video" not in page.content.decode()
    for name, more in (("recording-media", ["proxy"]), ("recording-timeline", [])):
        path = reverse(f"website:{name}", args=["voices", material.recording.pk, *more])
        answer = client.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 403
        assert "has withdrawn from the study" in answer.json()["problem"]


def test_a_decision_is_taken_on_the_page(house: House, material: Material):
    Recording.objects.filter(pk=material.recording.pk).update(
        state=Recording.State.ATTENTION, error="Two people were seen."
    )
    text = text_of(house, "researcher", "recording", recording_id=material.recording.pk)
    assert "Two people were seen." in text
    assert "Use it as it is" in text
    path = reverse("website:recording-accept", args=["voices", material.recording.pk])
    assert house.client("researcher").get(path).status_code == 405
    assert house.client("researcher").post(path).status_code == 302
    material.recording.refresh_from_db()
    assert material.recording.state == Recording.State.READY


# ---- agreement ----


def test_the_agreement_page_answers_first_and_then_explains(house: House, material: Material):
    text = text_of(house, "researcher", "agreement")
    order = [
        "For these raters, 1 of 3 labels may be released",
        "Why?",
        "<svg",
        "The numbers",
        "Label by label",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "the receipt&#x27;s signature is right" in text or "signature is right" in text
    assert "no evidence about any label" in text  # a demonstration policy


def test_a_changed_receipt_is_told(house: House, material: Material):
    make_gate_run(house.study, material.batch.codebook, number=2, signature="ab" * 32)
    assert "changed after it was signed" in text_of(house, "researcher", "agreement")


def test_the_table_comes_as_csv_with_gaps_where_a_value_is_undefined(
    house: House, material: Material
):
    text = text_of(house, "researcher", "agreement-table", run_id=material.gate_run.pk)
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(text))}
    assert float(rows["segments/ah"]["alpha"]) == 0.812
    assert float(rows["segments/ah"]["without_one_rater_low"]) == 0.79
    assert rows["video/ah"]["alpha"] == ""
    assert rows["video/ah"]["verdict"] == "undetermined"


def test_the_plot_stands_by_itself_and_is_well_formed(house: House, material: Material):
    text = text_of(house, "researcher", "agreement-plot", run_id=material.gate_run.pk)
    tree = ET.fromstring(text)
    words = "".join(tree.itertext())
    assert "0.81 [0.74, 0.87]" in words
    assert "undefined" in words
    assert "−0.2" in words  # the axis reaches down to the negative interval


def test_before_the_first_look_the_page_says_what_to_do(house: House):
    assert "No snapshot has been looked at yet" in text_of(house, "lead", "agreement")


# ---- the annotator's pages ----


def test_the_queue_counts_ones_own_clips(house: House, material: Material):
    rater = house.people["annotator"]
    for state in (Assignment.State.SENT, Assignment.State.RETURNED):
        AssignmentFactory(
            batch=material.batch,
            recording=RecordingFactory(participant=material.participant),
            rater=rater,
            state=state,
            return_reason="Two segments overlap; they may not.",
        )
    text = house.client("annotator").get("/queue/").content.decode()
    assert "1 of 3 clips labelled" in text
    assert "Clip 3 came back to you: Two segments overlap; they may not." in text
    assert reverse("website:label-start", args=[material.batch.pk]) in text


def test_a_study_that_one_has_left_is_in_the_queue_no_more(house: House, material: Material):
    browser = house.client("annotator")
    assert "clips labelled" in browser.get("/queue/").content.decode()
    other = StudyFactory()
    Membership.objects.filter(user=house.people["annotator"]).update(study=other)
    assert "clips labelled" not in browser.get("/queue/").content.decode()


def test_a_finished_batch_says_thank_you(house: House, material: Material):
    text = house.client("annotator").get("/queue/").content.decode()
    assert "Done, thank you" in text
    assert "Start labelling" not in text


def test_a_paragraph_keeps_its_words_together_and_its_marks_harmless():
    from waver.website.templatetags.waver import paragraphs

    assert paragraphs("one\ntwo\n\n<b>three") == "<p>one two</p><p>&lt;b&gt;three</p>"


def test_the_queues_form_may_lead_to_label_studio(house: House, material: Material, settings):
    policy = house.client("annotator").get("/queue/")["Content-Security-Policy"]
    rule = next(part for part in policy.split(";") if part.strip().startswith("form-action"))
    assert rule.split() == ["form-action", "'self'", settings.LABEL_STUDIO_URL]


def test_the_instructions_come_from_the_codebook(house: House, material: Material):
    path = reverse("website:instructions", args=[material.batch.pk])
    text = house.client("annotator").get(path).content.decode()
    assert "What to do" in text
    assert "Examples" in text
    assert "#" in text  # the label's colour


# ---- status ----


def test_the_status_page_counts_queues_without_naming_anybody(house: House, material: Material):
    recording = {"subject_kind": "recording", "subject_id": str(material.recording.pk)}
    late = timezone.now() - timedelta(minutes=1)
    private = "ada-lovelace-private.mp4 is empty."
    for name, state, extra in (
        ("recordings.normalise", "queued", {}),
        ("recordings.normalise", "running", {"lease_until": late}),
        ("recordings.faces", "failed", {"error": private, "finished_at": late}),
        ("annotation.publish", "failed", {"error": "The disk is full.", "finished_at": late}),
    ):
        Job.objects.create(name=name, queue="cpu", state=state, **recording, **extra)
    text = house.client("administrator").get("/status/").content.decode()
    assert "lost their worker" in text
    assert "The disk is full." in text
    assert "VOICE-0001" not in text
    assert "ada-lovelace" not in text


def test_the_status_page_shows_the_programs_of_the_stack(house: House, settings, tmp_path):
    from waver.stack.status import ProgramStatus, Status

    settings.VAR = tmp_path
    running = ProgramStatus(pid=1, state="running", restarts=2, log="var/log/worker.log")
    Status(
        pid=1, run="r", programs={"worker": running}, label_studio_url="http://ls.example"
    ).write(tmp_path)
    text = house.client("administrator").get("/status/").content.decode()
    assert "var/log/worker.log" in text
    assert "does not answer yet" in text


def test_the_overview_says_what_still_fails_but_not_what_was_done_again(
    house: House, material: Material
):
    about = {"name": "datasets.release", "subject_kind": "gate_run", "queue": "io"}
    about["subject_id"] = str(material.gate_run.pk)
    Job.objects.create(**about, state="failed", error="The folder is full. Make room.")
    assert "The folder is full. Make room." in text_of(house, "lead", "study")
    Job.objects.create(**about, state="done")
    assert "The folder is full. Make room." not in text_of(house, "lead", "study")

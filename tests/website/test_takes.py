"""Takes with several views on the pages: grouped, counted, filtered, and one view for raters."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from annotation.models import Assignment
from annotation.services.assign import plan_batch
from tests.factories import (
    AssetFactory,
    AssignmentFactory,
    MembershipFactory,
    RecordingFactory,
    sensor_recording,
)
from tests.website.conftest import House
from tests.website.material import Material, make_material
from waver.core.errors import BadInput
from waver.recordings.models import Recording, Take

View = Recording.View


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    return make_material(house.study, house.people["annotator"])


@pytest.fixture
def side(material: Material) -> Recording:
    Take.objects.filter(pk=material.recording.take_id).update(name="T7", capture_condition="dim")
    made = RecordingFactory(
        take=material.recording.take, view=View.SECOND_CAMERA, offset_us=250_000,
        occlusion=Recording.Occlusion.FACE_MASK, original_name="side.mp4",
    )  # fmt: skip
    AssetFactory(recording=made)
    sensor_recording(
        material.recording.take, offset_us=-500_000, name="<b>EDA</b>", rate_numerator=250,
        rate_denominator=3,
    )  # fmt: skip
    return made


def page(house: House, name: str, **arguments) -> str:
    query = arguments.pop("query", "")
    path = reverse(f"website:{name}", kwargs={"code": "voices", **arguments}) + query
    answer = house.client("lead").get(path)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_a_recording_shows_its_take_s_views_tags_and_channels(house, material, side):
    text = page(house, "recording", recording_id=material.recording.pk)
    assert "Take “T7” Second camera , begins 0.25 s after this view" in text
    assert "Physiology , begins 0.5 s before this view" in text
    assert "Condition dim" in text
    assert "&lt;b&gt;EDA&lt;/b&gt; µS wrist.csv 250/3 40 0 0.1 – 0.9" in text
    assert "Side by side" in text
    own = page(house, "recording", recording_id=side.pk)
    assert "View Second camera, begins 0.25 s after the webcam" in own
    assert "Occlusion Face mask throughout" in own
    assert "VOICE-0001 · prompt 1 · second camera" in own


def test_the_list_groups_and_filters_and_the_overview_counts_no_moment_twice(house, material, side):
    listed = page(house, "recordings")
    places = [listed.index(word) for word in ("prompt 1 take", "· second camera", "· physiology")]
    assert places == sorted(places)
    assert "Face mask" in listed
    only = page(house, "recordings", query="?view=second_camera")
    assert "1–1 of 1" in only
    overview = page(house, "study")
    assert "3 recordings of 1 participant, 0:10 in all" in overview
    assert "other views of a take: 1 second camera, 1 physiology" in overview


def test_only_the_webcam_is_drawn_for_raters(house, material, side):
    study = material.batch.study
    other = RecordingFactory(study=study, participant=material.participant)
    raters = [MembershipFactory(study=study, role="annotator").user for _ in range(3)]
    batch = plan_batch(study, "video", raters, "tests")
    drawn = set(batch.assignments.values_list("recording__original_name", flat=True))
    assert drawn == {material.recording.original_name, other.original_name}
    named = plan_batch(study, "segments", raters, "tests", [side])
    assert set(named.assignments.values_list("recording", flat=True)) == {side.pk}
    with pytest.raises(BadInput, match="No recording"):
        plan_batch(study, "segments", raters, "tests",
                   Recording.objects.filter(view=View.PHYSIOLOGY))  # fmt: skip


@pytest.mark.parametrize("name", ["recording-sensors", "recording-sensors-csv"])
def test_a_rater_who_has_not_submitted_sees_no_sensors(house, material, side, name):
    """As with the page that plots them: a heart's rate is no part of what raters judge."""
    rater = house.people["annotator"]
    MembershipFactory(study=house.study, user=rater, role="researcher")
    path = reverse(f"website:{name}", args=["voices", material.recording.pk])
    asked = f"{path}?start_us=0&end_us=1000000"
    AssignmentFactory(recording=material.recording, rater=rater, state=Assignment.State.SENT)
    assert house.client("annotator").get(asked).status_code == 403

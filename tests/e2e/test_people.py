"""Who is seen in a recording, in a real browser, and saying who the participant is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.urls import reverse

from tests.e2e.conftest import Visitor
from tests.factories import RECORDED_AT, consented_participant
from tests.recordings.clips import two_faces_clip
from tests.website.conftest import House
from waver.recordings import services
from waver.recordings.models import Recording
from workers import runner
from workers import tasks as tasks  # registers the handlers

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def take_picture(visitor: Visitor, name: str) -> None:
    if folder := os.environ.get("WAVER_PICTURES"):
        visitor.page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def recording(
    transactional_db, house: House, storage_folder: Path, tmp_path: Path, settings
) -> Recording:
    settings.WAVER_MODELS = tmp_path / "models"
    consented_participant(house.study, code="P9")
    given = os.environ.get("WAVER_TEST_RECORDING")
    made = services.receive(
        study=house.study,
        source=Path(given) if given else two_faces_clip(tmp_path / "two.mp4"),
        original_name="two.mp4",
        participant_code="P9",
        prompt_order=None,
        recorded_at=RECORDED_AT,
        actor="tests",
    )
    runner.drain()
    made.refresh_from_db()
    return made


def test_the_participant_is_corrected_by_a_look_and_a_click(
    visitor: Visitor, house: House, recording: Recording
):
    visitor.sign_in(house.people["lead"].username)
    address = reverse("website:recording", args=["voices", recording.pk])
    visitor.open(address)
    page = visitor.page
    people = page.locator("#people li")
    assert people.count() == 2
    assert "The participant (person 1)" in people.nth(0).inner_text()
    assert people.nth(0).locator("form").count() == 0
    visitor.until(
        "[...document.querySelectorAll('#people video')].every(v => v.readyState >= 1 && "
        "v.videoWidth === 128 && v.duration > 0.5 && v.duration <= 10.5)"
    )
    take_picture(visitor, "people")
    people.nth(1).locator("summary").click()
    visitor.until("[...document.querySelectorAll('#people img')].some(i => i.naturalWidth > 700)")
    take_picture(visitor, "people-sheet")

    people.nth(1).get_by_role("button", name="This is the participant").click()
    page.wait_for_load_state("networkidle")
    assert "Person 2 is the participant" in page.locator("body").inner_text()
    runner.drain()
    visitor.open(address)
    assert "The participant (person 2)" in people.nth(0).inner_text()
    assert "chosen by hand" in page.locator("#people").inner_text()
    take_picture(visitor, "people-chosen")
    page.get_by_role("button", name="Choose by rule again").click()
    page.wait_for_load_state("networkidle")
    runner.drain()
    visitor.open(address)
    assert "The participant (person 1)" in people.nth(0).inner_text()
    assert visitor.problems == []

"""The pages in a real browser: no complaint, exact stepping, the keyboard."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from django.urls import reverse

from tests.e2e.conftest import Visitor
from tests.e2e.moving import FRAMES, READ_NUMBER
from tests.website.conftest import House
from tests.website.material import Material
from waver.datasets.models import Release

pytestmark = pytest.mark.browser

STUDY = ["voices"]
SHOWN = "document.getElementById('recording').dataset.frame"


def pages(material: Material) -> dict[str, list[str]]:
    """List the pages that each role can reach."""
    research = [
        reverse("website:studies"),
        reverse("website:study", args=STUDY),
        reverse("website:recordings", args=STUDY),
        reverse("website:recording", args=[*STUDY, material.recording.pk]),
        reverse("website:quality", args=STUDY),
        reverse("website:batches", args=STUDY),
        reverse("website:agreement", args=STUDY),
        reverse("website:anchoring", args=STUDY),
        reverse("website:releases", args=STUDY),
        reverse("website:release", args=[*STUDY, material.release.pk]),
    ]
    return {
        "lead": research,
        "consent_manager": research[1:3],
        "annotator": [
            reverse("website:queue"),
            reverse("website:instructions", args=[material.batch.pk]),
        ],
        "administrator": [reverse("website:status")],
    }


@pytest.mark.parametrize("role", ["lead", "consent_manager", "annotator", "administrator"])
def test_every_page_opens_without_a_complaint(
    visitor: Visitor, house: House, material: Material, role: str
):
    visitor.sign_in(house.people[role].username)
    for path in pages(material)[role]:
        visitor.open(path)
        assert visitor.page.locator("h1").count() == 1, path
        visitor.page.emulate_media(color_scheme="dark")
        wide = visitor.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{path} is wider than the window"
        visitor.page.emulate_media(color_scheme="light")
    assert visitor.problems == []


def test_a_page_that_does_not_exist_is_a_sentence(visitor: Visitor, db):
    visitor.open("/nothing/")
    assert "There is nothing here" in visitor.page.inner_text("main")


def open_recording(visitor: Visitor, house: House, material: Material) -> None:
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:recording", args=[*STUDY, material.recording.pk]))
    visitor.until("document.getElementById('recording').dataset.ready === 'yes'")
    visitor.until("document.getElementById('video').readyState >= 3")


def at(visitor: Visitor, frame: int) -> None:
    """Wait until the page names a frame, and read from the picture that it is that frame."""
    visitor.until(f"{SHOWN} === '{frame}' && !document.getElementById('video').seeking")
    assert visitor.page.evaluate(READ_NUMBER) == frame
    assert f"frame {frame} ·" in visitor.page.inner_text("#where")


def test_stepping_shows_exactly_the_frame_that_it_names(
    visitor: Visitor, house: House, material: Material
):
    open_recording(visitor, house, material)
    press = visitor.page.keyboard.press
    at(visitor, 0)
    for frame in range(1, 36):  # past the first key frames at 29.97 frames per second
        press("ArrowRight")
        at(visitor, frame)
    for frame in (34, 33, 32):
        press("ArrowLeft")
        at(visitor, frame)
    press("Shift+ArrowRight")
    at(visitor, 61)  # 32 frames are 1.067733 s; frame 61 is the last that begins by 2.067733 s
    press("Shift+ArrowLeft")
    at(visitor, 31)
    visitor.page.click("[data-do=next-frame]")
    at(visitor, 32)
    visitor.page.click("[data-do=previous-frame]")
    at(visitor, 31)
    assert visitor.problems == []


def test_the_ends_hold(visitor: Visitor, house: House, material: Material):
    open_recording(visitor, house, material)
    press = visitor.page.keyboard.press
    press("ArrowLeft")
    at(visitor, 0)
    for _ in range(9):
        press("Shift+ArrowRight")
    at(visitor, FRAMES - 1)
    press("ArrowRight")
    at(visitor, FRAMES - 1)


def test_brackets_go_to_the_neighbouring_segments(
    visitor: Visitor, house: House, material: Material
):
    open_recording(visitor, house, material)
    press = visitor.page.keyboard.press
    # At 29.97 frames per second: 1 s, 2 s and 4 s lie in frames 29, 59 and 119.
    for frame in (29, 59, 119):
        press("]")
        at(visitor, frame)
    press("]")
    at(visitor, 119)  # there is none after it
    press("[")
    at(visitor, 59)
    visitor.page.click("[data-seek-us='4000000']")
    at(visitor, 119)


def test_playing_pausing_and_looping(visitor: Visitor, house: House, material: Material):
    open_recording(visitor, house, material)
    page = visitor.page
    page.keyboard.press("Space")
    visitor.until(f"Number({SHOWN}) > 5")
    assert page.inner_text("[data-do=toggle]") == "Pause"
    page.keyboard.press("k")
    visitor.until("document.getElementById('video').paused")
    stopped = int(page.evaluate(SHOWN))
    page.keyboard.press("j")
    visitor.until(f"Number({SHOWN}) < {stopped}")
    page.keyboard.press("k")
    page.keyboard.press("]")  # into the first segment: 1.0 s to 2.5 s
    page.keyboard.press("Shift+L")
    assert page.get_attribute("[data-do=loop]", "aria-pressed") == "true"
    page.click("[data-seek-us='1000000']")
    for _ in range(43):
        page.keyboard.press("ArrowRight")
    visitor.until(f"Number({SHOWN}) >= 68")
    page.keyboard.press("l")
    visitor.until(f"Number({SHOWN}) < 60 && Number({SHOWN}) >= 29")
    page.keyboard.press("k")
    assert visitor.problems == []


def test_pointing_at_the_timeline_says_what_is_there(
    visitor: Visitor, house: House, material: Material
):
    open_recording(visitor, house, material)
    page = visitor.page
    names = page.locator("#timeline-names > div")
    shown = names.all_inner_texts()
    assert shown[0] == "Time"
    assert "Candidate: long pause" in shown
    assert shown[-3] == "Rater 1"
    assert [part.strip() for part in shown[-2].split("\n")] == ["Rater 2", "synthetic"]
    assert shown[-1] == "Share of raters"
    canvas = page.locator("#timeline")
    rows = [row.bounding_box() for row in names.all()]
    row = rows[shown.index("Rater 1")]
    place = {
        "x": canvas.bounding_box()["width"] * 1.5e6 / material.recording.duration_us,
        "y": row["y"] - rows[0]["y"] + row["height"] / 2,
    }
    canvas.hover(position=place)
    assert "Rater 1:" in page.inner_text("#under-pointer")
    canvas.click(position=place)
    visitor.until(f"Math.abs(Number({SHOWN}) - 44) <= 1")


def test_typing_in_a_field_does_not_move_the_video(
    visitor: Visitor, house: House, material: Material
):
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:recordings", args=STUDY))
    visitor.page.fill("#participant", "VOICE-0001")
    visitor.until("location.search.includes('participant=VOICE-0001')")
    assert "VOICE-0001" in visitor.page.inner_text("#recordings")
    visitor.page.fill("#participant", "nobody")
    visitor.page.wait_for_selector("text=No recording fits these filters")
    assert visitor.problems == []


def test_the_overview_follows_by_itself(visitor: Visitor, house: House, material: Material):
    from tests.factories import AssignmentFactory

    AssignmentFactory(batch=material.batch, recording=material.recording)  # so it looks often
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:study", args=STUDY))
    Release.objects.filter(pk=material.release.pk).update(version="9.9.9")
    visitor.page.wait_for_selector("text=Release 9.9.9", timeout=15_000)
    assert visitor.problems == []


def test_a_picture_is_downloaded_with_the_numbers_that_its_page_shows(
    visitor: Visitor, house: House, material: Material
):
    from tests.website.material import make_pictures

    make_pictures(material.gate_run, *material.batch.assignments.all())
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:agreement", args=STUDY))
    page = visitor.page
    page.click(".chips a[href*='segments']")
    page.wait_for_selector(".chips a[aria-current][href*='segments']")
    assert page.locator("#where svg").count() == 1
    cells = "#who svg [data-value]"
    shown = page.eval_on_selector_all(cells, "all => all.map(cell => cell.dataset.value)")
    assert shown
    with page.expect_download() as waited:
        page.click("#who a[href*='raters.svg']")
    assert waited.value.suggested_filename == "voices-raters-segments-ah-snapshot-1-look-1.svg"
    drawn = ET.fromstring(waited.value.path().read_bytes())
    assert [one.get("data-value") for one in drawn.iter() if one.get("data-value")] == shown
    # From a number to what it counts, and on to the recording with its timeline.
    page.click(f"#who svg a:has({cells.split()[-1]})")
    assert page.url.endswith("label=segments/ah#where")
    page.click("#where a[href$='#disagreement']")
    page.wait_for_selector("#disagreement svg")
    assert visitor.problems == []

"""Reading along and correcting a transcript in a real browser: by keyboard, and without scripts."""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from tests.e2e.conftest import PASSWORD, Visitor
from tests.website.conftest import House
from tests.website.material import Material
from waver.recordings.models import Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment, Word

pytestmark = pytest.mark.browser
S = 1_000_000
READY = "document.getElementById('recording').dataset.ready === 'yes'"
TEXTS = "[name=text]"


def picture(visitor: Visitor, name: str) -> None:
    """Keep a picture of the page where somebody asks for it (WAVER_PICTURES=folder)."""
    folder = os.environ.get("WAVER_PICTURES")
    if folder:
        visitor.page.screenshot(path=f"{folder}/transcript-{name}.png", full_page=True)


@pytest.fixture
def address(material: Material) -> str:
    """Give the address of a recording with a transcript of three segments."""
    texts = ("Well, I dew want to stop.", "But on the other hand …", "I really don't know.")
    segments = [
        Segment(n * S, (n + 1) * S - 100_000, text, "Ada" if n == 1 else "")
        for n, text in enumerate(texts)
    ]
    words = [Word(n * 150_000, (n + 1) * 150_000, text) for n, text in enumerate(texts[0].split())]
    segments[0] = Segment(0, 900_000, texts[0], words=tuple(words))
    versions.store(
        recording=material.recording, said=Said(tuple(segments), "en"),
        source=Transcript.Source.IMPORTED, made_from="WebVTT", made_by="ada",
    )  # fmt: skip
    return reverse("website:recording", args=["voices", material.recording.pk])


def texts(visitor: Visitor) -> list[str]:
    return visitor.page.locator(TEXTS).evaluate_all("all => all.map((one) => one.value)")


def test_the_segment_that_is_heard_is_marked(visitor: Visitor, house: House, address: str):
    visitor.sign_in(house.people["lead"].username)
    visitor.open(address)
    visitor.until(READY)
    page = visitor.page
    assert "Transcript" in page.inner_text("#timeline-names")
    page.click("#transcript li:nth-child(2) .time")
    visitor.until(
        "document.querySelector('#transcript .heard')?.textContent.includes('other hand')"
    )
    assert page.locator("#transcript [aria-current=true]").count() == 1
    # The timeline's row tells the words under the pointer.
    page.locator("#timeline").scroll_into_view_if_needed()
    row = page.locator("#timeline-names > div", has_text="Transcript").bounding_box()
    canvas = page.locator("#timeline").bounding_box()
    assert row
    assert canvas
    page.mouse.move(canvas["x"] + 20, row["y"] + row["height"] / 2)
    visitor.until("document.getElementById('under-pointer').textContent.includes('I dew want')")
    picture(visitor, "reading")
    page.emulate_media(color_scheme="dark")
    picture(visitor, "reading-dark")
    assert visitor.problems == []


def test_a_transcript_is_corrected_by_keyboard(
    visitor: Visitor, house: House, address: str, material: Material
):
    visitor.sign_in(house.people["lead"].username)
    visitor.open(address)
    visitor.until(READY)
    page = visitor.page
    page.click("text=Correct it")
    visitor.until(READY)
    press = page.keyboard.press
    first = page.locator(TEXTS).first
    first.fill("Well, I do want to stop.")
    # Down to the second segment: the video goes there, too.
    first.focus()
    press("Alt+ArrowDown")
    visitor.until("Math.abs(document.getElementById('video').currentTime - 1) < 0.1")
    visitor.until("document.activeElement.value.startsWith('But on')")
    page.locator(TEXTS).nth(1).evaluate("one => one.setSelectionRange(6, 6)")
    page.evaluate("document.getElementById('video').currentTime = 1.4")
    visitor.until("!document.getElementById('video').seeking")
    press("Alt+Enter")
    visitor.until("document.querySelectorAll('#transcript [name=text]').length === 4")
    assert texts(visitor)[1:3] == ["But on", "the other hand …"]
    assert page.locator("[name=end]").nth(1).input_value() == "0:01.400"
    visitor.until("document.activeElement.value === 'the other hand …'")
    press("Alt+[")
    press("Alt+p")
    visitor.until("!document.getElementById('video').paused")
    press("Alt+p")
    visitor.until("document.getElementById('video').paused")
    page.locator("[value='remove 3']").click()
    visitor.until("document.querySelectorAll('#transcript [name=text]').length === 3")
    picture(visitor, "correcting")
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0
    # A wrong time is told, and what was typed stays.
    page.locator("[name=start]").first.fill("soon")
    page.locator(TEXTS).first.focus()
    with page.expect_navigation(wait_until="load"):
        press("Control+Enter")
    assert "“soon” is no time" in page.inner_text("#transcript")
    picture(visitor, "problem")
    visitor.problems.clear()  # the browser reports the 400 that was asked for
    page.locator("[name=start]").first.fill("0:00.000")
    page.locator(TEXTS).first.focus()
    with page.expect_navigation(wait_until="load"):
        press("Control+Enter")
    assert "Saved as version 2" in page.inner_text("main")
    said = versions.said_in(versions.standing(material.recording))
    assert [s.text for s in said.segments] == [
        "Well, I do want to stop.", "But on", "the other hand …",
    ]  # fmt: skip
    assert [w.start_us for w in said.segments[0].words] == [n * 150_000 for n in range(6)]
    visitor.open(address + "transcript/versions/")
    assert "From version 1 to version 2" in page.inner_text("main")
    picture(visitor, "versions")
    with page.expect_navigation(wait_until="load"):
        page.click("text=Let it stand again")
    assert "Version 3 stands: version 1 again." in page.inner_text("main")
    assert visitor.problems == []


def test_everything_works_without_a_script(
    browser, live_server, house: House, address: str, material
):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    try:
        page.goto(live_server.url + "/sign-in/")
        page.fill("#id_username", house.people["researcher"].username)
        page.fill("#id_password", PASSWORD)
        page.click("button.button-main")
        page.goto(live_server.url + address)
        page.click("text=Correct it")
        page.locator(TEXTS).first.fill("Well, I do | want to stop.")
        page.click("[value='split 0']")
        assert page.locator(TEXTS).first.input_value() == "Well, I do"
        page.click("[value='merge 1']")
        page.click("text=Save as a new version")
        assert "Saved as version 2" in page.inner_text("main")
        said = versions.said_in(versions.standing(material.recording))
        assert [s.text for s in said.segments][:2] == [
            "Well, I do", "want to stop. But on the other hand …",
        ]  # fmt: skip
        page.click("summary:has-text('Bring in a file')")
        page.set_input_files(
            "#transcript-file",
            {"name": "a.srt", "mimeType": "text/plain", "buffer": b"no times"},
        )
        page.check("[name=replace] >> nth=0")
        page.click("text=Bring it in")
        assert "Line 1: the file holds no times" in page.inner_text("#transcript")
    finally:
        context.close()

"""A rater in a real browser: signs in to Waver, sees and hears the clip, draws, submits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from annotation.models import Annotation, RaterProfile
from tests.factories import PASSWORD
from tests.labelstudio.conftest import committed_database, pair
from tests.labelstudio.running import Running
from tests.labelstudio.scene import SECONDS, Scene, scene
from waver.accounts.models import User
from waver.consent import services as consent
from workers.runner import drain

__all__ = ["committed_database", "pair"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.browser]

LABEL = "Ambivalence or hesitancy"
PATIENCE_MS = 60_000
STATES = (
    "[...document.querySelectorAll('video,audio')].map("
    "m => [m.tagName, m.currentTime, m.paused, m.readyState, m.error && m.error.message])"
)
CURRENT_TIMES = "[...document.querySelectorAll('video,audio')].map(media => media.currentTime)"


@pytest.fixture
def blind(pair: Running, django_db_blocker, tmp_path: Path, browser: Browser) -> Iterator[Scene]:
    yield from _scene(pair, django_db_blocker, tmp_path, prelabel_share=0.0, count=2)


@pytest.fixture
def shown(pair: Running, django_db_blocker, tmp_path: Path, browser: Browser) -> Iterator[Scene]:
    yield from _scene(pair, django_db_blocker, tmp_path, prelabel_share=1.0, count=1)


@pytest.fixture
def whole(pair: Running, django_db_blocker, tmp_path: Path, browser: Browser) -> Iterator[Scene]:
    yield from _scene(pair, django_db_blocker, tmp_path, count=1, pass_id="video")


def _scene(pair: Running, blocker, folder: Path, **how) -> Iterator[Scene]:
    from django.conf import settings

    with blocker.unblock(), scene(pair, folder, settings, **how) as made:
        yield made


def test_a_rater_draws_a_segment_and_it_arrives_to_the_microsecond(blind: Scene, browser: Browser):
    rater, other = blind.raters
    RaterProfile.objects.filter(user=rater).update(notice_read_at=None, notice_sha256="")
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = _start_labelling(blind, context, rater, reads_notice=True)
        assert f"/projects/{blind.project(rater)}/data?labeling=1" in page.url
        _plays(page)
        _is_seen_and_heard(page)
        page.keyboard.press("a")  # the label
        pixel_us = _draw(page, start=1.5, end=3.0)
        _region(page).click()
        page.keyboard.press("3")  # certain
        page.get_by_text("Pause", exact=True).click()
        _submit(page)
        expect(page.get_by_text("2 of 2").first).to_be_visible(timeout=PATIENCE_MS)
    first = blind.assignments(rater)[0]
    assert {job.state for job in drain(queues=["io"])} == {"done"}
    stored = Annotation.objects.get(assignment=first)
    assert (stored.received_by, stored.verdict) == ("webhook", "accepted")
    found = stored.segments.get()
    value = stored.raw["result"][0]["value"]
    for us, seconds in ((found.start_us, value["start"]), (found.end_us, value["end"])):
        assert us == int((Decimal(repr(seconds)) * 1_000_000).quantize(Decimal(1)))
    # The mouse was put down and let go on whole pixels of the waveform: no more than one off.
    assert abs(found.start_us - 1_500_000) <= pixel_us
    assert abs(found.end_us - 3_000_000) <= pixel_us
    assert (found.label, found.certainty) == ("ah", 3)
    assert [(cue.modality, cue.cue) for cue in found.cues.all()] == [("audio", "pause")]
    _out_of_reach(blind, browser, other, first, stored.remote_id)


def _out_of_reach(blind: Scene, browser: Browser, other: User, first, annotation: int) -> None:
    """As rater B: A's project, task, annotation and media are refused."""
    with browser.new_context() as context:
        page = _start_labelling(blind, context, other)
        project, task = blind.project(blind.raters[0]), blind.task(first)
        for path in (
            f"/projects/{project}/data",
            f"/api/projects/{project}",
            f"/api/tasks/{task}",
            f"/api/annotations/{annotation}",
            f"/waver/media/{first.media_token}",
        ):
            answer = page.request.get(f"{blind.running.label_studio_url}{path}")
            assert answer.status in (403, 404), path
            assert first.media_token not in answer.text()
        page.goto(f"{blind.running.label_studio_url}/projects/{project}/data")
        expect(page.get_by_text("not part of your work")).to_be_visible()


def test_a_cue_candidate_is_a_start_that_the_rater_must_judge(shown: Scene, browser: Browser):
    rater = shown.raters[0]
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = _start_labelling(shown, context, rater)
        _region(page).click()
        expect(page.get_by_role("heading", name="How sure are you?")).to_be_visible()
        page.get_by_role("button", name="Submit").first.click()
        expect(page.get_by_text("Please answer: How sure are you?")).to_be_visible()
        page.get_by_role("button", name="OK").click()
        expect(page.get_by_text("Please answer: How sure are you?")).to_be_hidden()
        page.keyboard.press("1")
        expect(page.get_by_role("radio", name="Unsure")).to_be_checked()
        _submit(page)
    drain(queues=["io"])
    stored = Annotation.objects.get(assignment=shown.assignments(rater)[0])
    found = stored.segments.get()
    assert (found.start_us, found.end_us, found.certainty) == (1_500_000, 2_500_000, 1)
    assert stored.assignment.arm == "prelabel"


def test_a_rater_judges_a_whole_clip_with_the_keyboard(whole: Scene, browser: Browser):
    rater = whole.raters[0]
    first = whole.assignments(rater)[0]
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = _start_labelling(whole, context, rater)
        _plays(page)
        _is_seen_and_heard(page)
        page.keyboard.press("y")
        expect(page.get_by_role("radio", name="Present", exact=False).last).to_be_checked()
        page.keyboard.press("2")
        expect(page.get_by_role("radio", name="Fairly sure")).to_be_checked()
        with page.expect_response(re.compile(r"/annotations")) as answer:
            page.keyboard.press("Control+Enter")
        assert answer.value.status == 201
    drain(queues=["io"])
    stored = Annotation.objects.get(assignment=first)
    assert (stored.received_by, stored.verdict) == ("webhook", "accepted")
    label = stored.clip_labels.get()
    assert (label.scale, label.value, label.confidence) == ("ah", "present", 2)
    assert stored.segments.count() == 0
    kept = next(answer for answer in stored.raw["result"] if answer["from_name"] == "ah")
    assert "start" not in kept["value"]


def test_who_withdraws_while_a_rater_works_is_explained_and_the_next_clip_comes(
    blind: Scene, browser: Browser
):
    rater = blind.raters[0]
    first, second = blind.assignments(rater)
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = _start_labelling(blind, context, rater)
        participant = first.recording.take.participant
        consent.withdraw(participant=participant, purpose="annotate", actor="tests")
        # The browser has this short clip whole; of a longer one it would ask for more by now.
        page.reload()
        note = page.get_by_role("alert").filter(has_text="does not allow this recording")
        expect(note).to_be_visible(timeout=PATIENCE_MS)
        assert participant.code not in note.inner_text()
        task = blind.task(first)
        assert {job.state for job in drain(queues=["io"])} == {"done"}
        # Submitting it all the same is refused with a sentence, and stores nothing.
        submit = """task => fetch(`/api/tasks/${task}/annotations/`, {
          method: "POST", body: '{"result": []}', headers: {"Content-Type": "application/json"},
        }).then(answer => answer.status)"""
        assert page.evaluate(submit, task) == 403
        expect(page.get_by_role("alert").filter(has_text="not any more")).to_be_visible()
        with page.expect_navigation():
            page.locator("#waver-note button").click()  # “Go on with the next clip”
        expect(page.get_by_text("Labeling Instructions")).to_be_visible(timeout=PATIENCE_MS)
        page.keyboard.press("Escape")
        page.wait_for_function(
            f"[...document.querySelectorAll('video')].some(v => v.currentSrc.includes("
            f"'{second.media_token}') && v.readyState >= 2)",
            timeout=PATIENCE_MS,
        )
    assert not Annotation.objects.filter(assignment=first).exists()


def _start_labelling(
    stage: Scene, context: BrowserContext, rater: User, *, reads_notice: bool = False
) -> Page:
    """Sign in to Waver, read the notice, press “Start labelling”, close the instructions."""
    page = context.new_page()
    page.goto(f"{stage.running.waver_url}/sign-in/")
    page.fill("input[name=username]", rater.username)
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/queue/")
    if reads_notice:
        expect(page.get_by_role("button", name="Start labelling")).to_have_count(0)
        page.get_by_role("link", name="Read what is recorded about your work").click()
        page.locator("main form button").click()
        page.wait_for_url("**/queue/")
    page.get_by_role("button", name="Start labelling").click()
    page.wait_for_url("**/projects/**", timeout=PATIENCE_MS)
    expect(page.get_by_text("Labeling Instructions")).to_be_visible(timeout=PATIENCE_MS)
    page.keyboard.press("Escape")
    expect(page.get_by_text("Labeling Instructions")).to_be_hidden()
    expect(page.get_by_role("button", name="Submit").first).to_be_enabled(timeout=PATIENCE_MS)
    page.wait_for_function(
        "[...document.querySelectorAll('video,audio')].some(media => media.readyState === 4) &&"
        "[...document.querySelectorAll('video,audio')].every(media => media.readyState === 4)",
        timeout=PATIENCE_MS,
    )
    return page


def _plays(page: Page) -> None:
    """The sound and the picture move on together when played."""
    moved = f"Math.min(...{CURRENT_TIMES}) > 0.4"
    for _ in range(6):
        button = page.get_by_test_id("playback-button:play").last
        if button.is_visible():  # it may still be taking in the media, and ignore the first press
            button.click()
        try:
            page.wait_for_function(moved, timeout=5_000)
            break
        except PlaywrightTimeout:
            continue
    assert page.evaluate(moved), page.evaluate(STATES)
    times = page.evaluate(CURRENT_TIMES)  # one player, or the picture's and the waveform's
    page.evaluate("document.querySelectorAll('video,audio').forEach(media => media.pause())")
    assert max(times) - min(times) < 0.5


def _is_seen_and_heard(page: Page) -> None:
    """The picture is no single colour and changes, and the decoded sound is no silence."""
    found = page.evaluate(
        """async () => {
          const video = document.querySelector("video");
          const picture = () => {
            const canvas = new OffscreenCanvas(64, 48), pen = canvas.getContext("2d");
            pen.drawImage(video, 0, 0, 64, 48);
            return [...pen.getImageData(0, 0, 64, 48).data];
          };
          const at = seconds => new Promise(done => {
            video.addEventListener("seeked", () => done(picture()), { once: true });
            video.currentTime = seconds;
          });
          const one = await at(0.5), other = await at(4.0);
          const bytes = await (await fetch(video.currentSrc)).arrayBuffer();
          const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes);
          const wave = sound.getChannelData(0);
          return {
            colours: new Set(one).size,
            moved: one.filter((value, i) => Math.abs(value - other[i]) > 16).length,
            loudness: Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length),
            seconds: sound.duration,
          };
        }"""
    )
    assert found["colours"] > 16, found
    assert found["moved"] > 100, found
    assert found["loudness"] > 0.01, found
    assert abs(found["seconds"] - SECONDS) < 0.1, found


def _draw(page: Page, *, start: float, end: float) -> float:
    """Drag over the waveform from `start` to `end`, in seconds; give a pixel's microseconds."""
    expect(page.locator("canvas")).to_have_count(2)
    shades = """canvas => {
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(new Uint32Array(data.buffer)).size;
    }"""
    # The layer with the waveform on it, and the one above it on which segments are drawn.
    assert max(page.locator("canvas").nth(n).evaluate(shades) for n in range(2)) > 1
    box = page.locator("canvas").nth(1).bounding_box()
    assert box is not None
    height = box["y"] + 80
    page.mouse.move(box["x"] + box["width"] * start / SECONDS, height)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (start + end) / 2 / SECONDS, height, steps=5)
    page.mouse.move(box["x"] + box["width"] * end / SECONDS, height, steps=5)
    page.mouse.up()
    return SECONDS * 1_000_000 / box["width"]


def _region(page: Page):
    """The first entry of the list of segments, on the right."""
    return page.locator(".lsf-outliner-item, [class*=outliner-item]").filter(has_text=LABEL).first


def _submit(page: Page) -> None:
    with page.expect_response(re.compile(r"/annotations")) as answer:
        page.get_by_role("button", name="Submit").first.click()
    assert answer.value.status == 201

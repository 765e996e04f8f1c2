"""The kinds of questions in the real labelling interface: answered there, stored as rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from annotation.models import Annotation
from tests.e2e.test_rater import PATIENCE_MS, _submit
from tests.factories import PASSWORD
from tests.labelstudio.conftest import committed_database, pair
from tests.labelstudio.running import Running
from tests.labelstudio.scene import SECONDS, Scene, scene
from workers.runner import drain

__all__ = ["committed_database", "pair"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.browser, pytest.mark.slow]


TICK_PX = 16  # on Label Studio's line of ticks, however wide the window is


@contextmanager
def labelling(
    pair: Running, blocker: Any, folder: Path, browser: Browser, **how: Any
) -> Iterator[tuple[Scene, Page]]:
    """Publish one recording with a codebook's pass, and open it as its rater."""
    from django.conf import settings

    with (
        blocker.unblock(),
        scene(pair, folder, settings, count=1, prelabel_share=0.0, **how) as made,
        browser.new_context(viewport={"width": 1400, "height": 1000}) as context,
    ):
        page = context.new_page()
        page.goto(f"{made.running.waver_url}/sign-in/")
        page.fill("input[name=username]", made.raters[0].username)
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/queue/")
        page.get_by_role("button", name="Start labelling").click()
        page.wait_for_url("**/projects/**", timeout=PATIENCE_MS)
        expect(page.get_by_text("Labeling Instructions")).to_be_visible(timeout=PATIENCE_MS)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Submit").first).to_be_enabled(timeout=PATIENCE_MS)
        page.wait_for_function(
            "[...document.querySelectorAll('video')].some(m => m.readyState === 4)",
            timeout=PATIENCE_MS,
        )
        yield made, page


def drag(page: Page, start: float, end: float, height: float) -> None:
    """Drag from left to right, in pixels of the window."""
    page.mouse.move(start, height)
    page.mouse.down()
    page.mouse.move((start + end) / 2, height, steps=5)
    page.mouse.move(end, height, steps=5)
    page.mouse.up()


def stored(made: Scene) -> Annotation:
    """The row of what was submitted."""
    assert {job.state for job in drain(queues=["io"])} == {"done"}
    row = Annotation.objects.get(assignment=made.assignments(made.raters[0])[0])
    assert row.verdict == "accepted", row.reason
    return row


def choose(page: Page, role: str, title: str, place: int = 0) -> None:
    """Click an answer, which may show its key behind it, and see that it is chosen."""
    name = re.compile(rf"^{re.escape(title)}(\[.\])?$")
    control = page.get_by_role(role, name=name).nth(place)
    control.locator("xpath=ancestor::label[1]").click()
    expect(control).to_be_checked()


def test_several_emotions_each_with_a_confidence(pair, django_db_blocker, tmp_path, browser):
    how = {"codebook": "mafw", "pass_id": "clip", "said": "I did not expect that."}
    with labelling(pair, django_db_blocker, tmp_path, browser, **how) as (made, page):
        expect(page.get_by_text("I did not expect that.")).to_be_visible()
        expect(page.get_by_text("Anger: How sure are you that it is there?")).to_be_hidden()
        choose(page, "checkbox", "Anger")
        expect(page.get_by_text("Anger: How sure are you that it is there?")).to_be_visible()
        choose(page, "radio", "0.9")
        choose(page, "checkbox", "Surprise")
        choose(page, "radio", "0.3", 1)
        choose(page, "checkbox", "Surprise", 1)
        choose(page, "checkbox", "Anger", 1)
        page.locator("textarea").first.fill("The brows go up.")
        _submit(page)
        row = stored(made)
        assert set(row.clip_labels.values_list("scale", "value", "confidence")) == {
            ("emotions", "anger", 0.9), ("emotions", "surprise", 0.3),
            ("blend", "anger+surprise", None), ("what_told", "The brows go up.", None),
        }  # fmt: skip


def test_valence_and_arousal_by_rating(pair, django_db_blocker, tmp_path, browser):
    how = {"codebook": "dimensional", "pass_id": "clip"}
    with labelling(pair, django_db_blocker, tmp_path, browser, **how) as (made, page):
        choose(page, "radio", "-0.25")
        choose(page, "radio", "1", 1)
        page.locator("input[type=range]").last.fill("37")
        choose(page, "radio", "Certain")
        _submit(page)
        row = stored(made)
        assert set(row.clip_labels.values_list("scale", "value", "confidence")) == {
            ("valence", "-0.25", 3), ("arousal", "1", 3), ("dominance", "37", 3),
        }  # fmt: skip


def test_action_units_with_intensities(pair, django_db_blocker, tmp_path, browser):
    how = {"codebook": "clues", "pass_id": "units"}
    with labelling(pair, django_db_blocker, tmp_path, browser, **how) as (made, page):
        expect(page.locator("canvas")).to_have_count(2, timeout=PATIENCE_MS)
        page.get_by_text("Movement of the face", exact=True).click()
        page.wait_for_function(
            "[...document.querySelectorAll('video,audio')].every(m => m.readyState === 4)",
            timeout=PATIENCE_MS,
        )
        wave = page.locator("canvas").nth(1).bounding_box()
        assert wave is not None
        second = wave["width"] / SECONDS
        drag(page, wave["x"] + second, wave["x"] + 2 * second, wave["y"] + 80)
        page.locator("[class*=outliner-item]").filter(has_text="Movement of the face").first.click()
        choose(page, "checkbox", "AU1 inner brow raiser")
        choose(page, "radio", "B")
        page.locator("textarea").first.fill("The inner brows go up.")
        _submit(page)
        segment = stored(made).segments.get()
        assert abs(segment.start_us - 1_000_000) < 20_000
        assert segment.cues.values_list("cue", "grade").get() == ("au1", "b")
        text = segment.texts.values_list("question", "text").get()
        assert text == ("clue", "The inner brows go up.")


def test_a_line_of_ticks(pair, django_db_blocker, tmp_path, browser):
    how = {"codebook": "dimensional", "pass_id": "segments"}
    with labelling(pair, django_db_blocker, tmp_path, browser, **how) as (made, page):
        line = page.locator(".lsf-timeline-frames__labels-bg").first
        line.wait_for(state="attached", timeout=PATIENCE_MS)
        names = line.bounding_box()
        assert names is not None
        left, height = names["x"] + names["width"], names["y"] + 40
        page.keyboard.press("s")
        # From the middle of tick 11 to that of tick 31.
        drag(page, left + TICK_PX * 10.5, left + TICK_PX * 30.5, height)
        page.locator("[class*=outliner-item]").filter(has_text="A state that").first.click()
        choose(page, "radio", "0.5")
        choose(page, "radio", "-1", 1)
        choose(page, "radio", "Fairly sure")
        _submit(page)
        row = stored(made)
        (drawn,) = row.raw["result"][0]["value"]["ranges"]
        assert (drawn["start"], drawn["end"]) == (11, 31)
        segment = row.segments.get()
        assert (segment.start_us, segment.end_us) == (1_000_000, 3_100_000)
        assert segment.certainty == 2
        assert set(segment.cues.values_list("modality", "cue")) == {
            ("valence", "0.5"), ("arousal", "-1"),
        }  # fmt: skip

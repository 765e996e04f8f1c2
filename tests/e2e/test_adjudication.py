"""Deciding one item in a real browser, by keyboard alone."""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from annotation.models import Adjudication
from annotation.services import adjudication
from tests.e2e.conftest import Visitor
from tests.website.conftest import House
from tests.website.material import Material

pytestmark = pytest.mark.browser
AT = "Number(document.getElementById('adjudication').dataset.at)"
READY = "document.getElementById('adjudication')?.dataset.ready === 'yes'"


def picture(visitor: Visitor, name: str) -> None:
    """Keep a picture of the page where somebody asks for it (WAVER_PICTURES=folder)."""
    folder = os.environ.get("WAVER_PICTURES")
    if folder:
        visitor.page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_an_item_is_decided_by_keyboard(visitor: Visitor, house: House, material: Material):
    visitor.sign_in(house.people["lead"].username)
    queue = reverse("website:adjudication", args=["voices"]) + "?label=segments/ah"
    visitor.open(queue)
    picture(visitor, "queue")
    press = visitor.page.keyboard.press
    visitor.page.get_by_label("Decide item 1").focus()
    with visitor.page.expect_navigation(wait_until="load"):
        press("Enter")
    visitor.until(READY)
    visitor.until("document.getElementById('video').readyState >= 3")
    # The disputed stretch begins at 4 s, so 3 s before it are shown.
    visitor.until(f"Math.abs({AT} - 1) < 0.05")
    press("ArrowRight")
    press("ArrowRight")
    visitor.until(f"{AT} > 1.05 && !document.getElementById('video').seeking")
    press("Space")
    visitor.until("!document.getElementById('video').paused")
    press("Space")
    visitor.until("document.getElementById('video').paused")
    press("[")  # before the disputed stretch: kept at its beginning
    assert visitor.page.input_value("#start") == "4"
    press("1")
    assert visitor.page.locator("input[name=value][value=present]").is_checked()
    visitor.page.keyboard.type("The gaze wanders off, 1 of the signs.")
    assert visitor.page.locator("input[name=value][value=present]").is_checked()
    visitor.page.fill("#end", "99")
    with visitor.page.expect_navigation(wait_until="load"):
        press("Control+Enter")
    assert "The stretch must lie between" in visitor.page.inner_text("#decision")
    assert visitor.page.input_value("#rationale").startswith("The gaze wanders")
    picture(visitor, "problem")
    visitor.problems.clear()  # the browser reports the 400 that was asked for
    visitor.page.fill("#end", "5.5")
    visitor.page.focus("#rationale")
    with visitor.page.expect_navigation(wait_until="load"):
        press("Control+Enter")
    assert "This is the next item" in visitor.page.inner_text("main")
    visitor.until(READY)
    picture(visitor, "next")
    (first, _) = adjudication.queue(study=house.study, topic_key="segments/ah").items
    row = Adjudication.objects.get()
    assert first.decision == row
    assert (row.decided_start_us, row.decided_end_us) == (4_000_000, 5_500_000)
    visitor.page.emulate_media(color_scheme="dark")
    picture(visitor, "dark")
    wide = visitor.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0
    press("n")
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.problems == []

"""Raters and their lead in a real browser: the notice first, then the figures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from annotation.models import RaterProfile
from tests.annotation.care_world import MONDAY, World
from tests.e2e.conftest import Visitor
from tests.factories import CodebookVersionFactory, MembershipFactory
from tests.website.conftest import House

pytestmark = pytest.mark.browser


@pytest.fixture
def world(transactional_db, house: House, storage_folder) -> World:
    """Three raters; the first marks otherwise from the 30th recording on, and has controls."""
    CodebookVersionFactory(study=house.study)
    others = [
        MembershipFactory(study=house.study, role="annotator", user__username=name).user
        for name in ("grace.hopper", "katherine.johnson")
    ]
    made = World(house.study, [house.people["annotator"], *others])
    for place, recording in enumerate(made.recordings(45)):
        at = MONDAY + timedelta(hours=7 * place)
        for number, rater in enumerate(made.raters):
            early = [(2 - 0.1 * number, 6)]
            said = early if number or place < 30 else [(7, 9)]
            made.mark(rater, recording, said, at=at, lead=(20 + 3 * place) % 70 + 8)
    for place, recording in enumerate(made.recordings(8)):
        made.know(recording, [(2, 6)])
        made.mark(made.raters[0], recording, [(2, 6)] if place else [], is_gold=True,
                  at=MONDAY + timedelta(days=place, minutes=5))  # fmt: skip
    waiting = made.recordings(1)[0]
    made.mark(made.raters[0], waiting, [])
    return made


def fits(visitor: Visitor) -> bool:
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return bool(visitor.page.evaluate(wide) <= 0)


def test_a_rater_reads_the_notice_before_starting_and_finds_their_figures(
    visitor: Visitor, house: House, world: World
):
    rater = world.raters[0]
    assignment = rater.assignments.order_by("-order").first()
    assignment.state = "sent"
    assignment.save()
    visitor.sign_in(rater.username)
    visitor.open(reverse("website:queue"))
    assert visitor.page.get_by_role("button", name="labelling").count() == 0
    visitor.page.get_by_role("link", name="Read what is recorded about your work").click()
    assert fits(visitor)
    visitor.page.get_by_role("button", name="I have read this").click()
    visitor.page.wait_for_url("**/queue/")
    assert visitor.page.get_by_role("button", name="Go on labelling").is_visible()
    assert RaterProfile.objects.get(user=rater).notice_sha256
    visitor.page.get_by_role("navigation").get_by_role("link", name="My figures").click()
    visitor.page.get_by_role("main").get_by_role("link", name="My figures").click()
    assert visitor.page.get_by_role("heading", name="Time on task").is_visible()
    assert visitor.page.get_by_role("heading", name="With the other raters").is_visible()
    assert fits(visitor)
    assert visitor.problems == []


def test_a_lead_sees_who_needs_a_word_and_why(visitor: Visitor, house: House, world: World):
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:raters", args=["voices"]))
    assert fits(visitor)
    visitor.page.get_by_role("link", name=world.raters[0].username).click()
    text = visitor.page.inner_text("main")
    assert "Lower since" in text
    assert visitor.page.locator("svg.plot").count() >= 2
    assert fits(visitor)
    visitor.page.fill("#absent_from", "2026-12-20")
    visitor.page.get_by_role("button", name="Set").click()
    assert "Languages and absence are set" in visitor.page.inner_text("main")
    visitor.open(reverse("website:gold", args=["voices"]))
    visitor.page.get_by_role("link", name="Choose", exact=True).first.click()
    assert visitor.page.get_by_text("My own answer").is_visible()
    assert fits(visitor)
    assert visitor.problems == []

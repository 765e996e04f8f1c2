"""The pages about raters: who may read them, what stands on them, and what leads can set."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment, GoldItem, RaterConflict, RaterProfile
from annotation.services import codebooks
from tests.annotation.care_world import MONDAY, SECOND, World
from tests.factories import (
    CodebookVersionFactory,
    MembershipFactory,
    StudyFactory,
    UserFactory,
)
from tests.website.conftest import House
from tests.website.material import bah_codebook
from waver.accounts.models import User
from waver.studies.models import Membership, Study


@pytest.fixture
def world(house: House) -> World:
    """Three raters who marked two recordings."""
    return made_world(house, recordings=2, controls=0)


@pytest.fixture
def full(house: House) -> World:
    """Three raters with 24 shared recordings, of which the first rater marks some otherwise."""
    return made_world(house, recordings=24, controls=6)


def made_world(house: House, *, recordings: int, controls: int) -> World:
    CodebookVersionFactory(study=house.study)
    others = [
        MembershipFactory(study=house.study, role="annotator", user__username=name).user
        for name in ("grace", "katherine")
    ]
    made = World(house.study, [house.people["annotator"], *others])
    for place, recording in enumerate(made.recordings(recordings)):
        at = MONDAY + timedelta(hours=place)
        for number, rater in enumerate(made.raters):
            said = [(2, 6)] if number or place < 20 else [(7, 9)]
            made.mark(rater, recording, said, at=at, lead=30 + place)
    for place, recording in enumerate(made.recordings(controls)):
        made.know(recording, [(2, 6)])
        made.mark(made.raters[0], recording, [(2, 6)] if place else [], is_gold=True,
                  at=MONDAY + timedelta(days=2, hours=place))  # fmt: skip
    return made


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(study: Study, rater: User, name: str = "rater", **more: object) -> str:
    return reverse(f"website:{name}", kwargs={"code": study.code, "rater_id": rater.pk, **more})


ABOUT_ONE = [
    ("rater", {}), ("rater-table", {}), ("rater-times-svg", {"place": 0}),
    ("rater-times-csv", {"place": 0}), ("rater-held", {}),
]  # fmt: skip


def test_only_the_lead_and_that_rater_read_a_rater_s_page(house: House, world: World):
    rater = world.raters[0]
    elsewhere = StudyFactory(code="elsewhere")
    outsiders = {
        "a lead of another study": (MembershipFactory(study=elsewhere, role="lead").user, 404),
        "a rater of another study": (
            MembershipFactory(study=elsewhere, role="annotator").user, 404
        ),
        "an administrator": (house.people["administrator"], 404),
        "somebody signed in": (UserFactory(), 404),
        "another rater": (world.raters[1], 403),
        "a researcher": (house.people["researcher"], 403),
        "a consent manager": (house.people["consent_manager"], 403),
    }  # fmt: skip
    for who, (user, status) in outsiders.items():
        client = signed_in(user)
        for name, more in ABOUT_ONE:
            answer = client.get(address(world.study, rater, name, **more))
            assert answer.status_code == status, (who, name)
            assert rater.username not in answer.content.decode(), (who, name)
    for name, more in ABOUT_ONE:
        path = address(world.study, rater, name, **more)
        assert Client().get(path)["Location"].startswith("/sign-in/")
        assert signed_in(rater).get(path).status_code == 200, name
        lead = signed_in(house.people["lead"]).get(path).status_code
        assert lead == (403 if name == "rater-held" else 200), name


def test_a_rater_who_left_still_reads_their_own_page_and_no_other(house: House, world: World):
    rater = world.raters[0]
    Membership.objects.filter(user=rater).delete()
    client = signed_in(rater)
    assert client.get(address(world.study, rater)).status_code == 200
    assert client.get(address(world.study, world.raters[1])).status_code == 404
    assert world.study.title in client.get(reverse("website:my-figures")).content.decode()


def test_a_rater_who_left_finds_the_way_to_what_is_held_about_them(house: House, world: World):
    rater = world.raters[0]
    Membership.objects.filter(user=rater).delete()
    client = signed_in(rater)
    home = client.get("/")
    assert (home.status_code, home["Location"]) == (302, reverse("website:my-figures"))
    page = client.get(home["Location"]).content.decode()
    for path in (
        address(world.study, rater),
        address(world.study, rater, "rater-held"),
        reverse("website:rater-notice", args=[world.study.code]),
    ):
        assert f'href="{path}"' in page
        assert client.get(path).status_code == 200, path
    assert "I have read this" not in client.get(path).content.decode()


def test_who_is_no_rater_has_no_page(house: House, world: World):
    lead = signed_in(house.people["lead"])
    for person in (house.people["researcher"], UserFactory()):
        assert lead.get(address(world.study, person)).status_code == 404


def test_the_lead_sees_figures_intervals_plots_and_what_needs_attention(house: House, full: World):
    client = signed_in(house.people["lead"])
    text = client.get(address(full.study, full.raters[0])).content.decode()
    for words in (
        "83 %", "44 % to 97 %", "control items", "What needs attention",
        "No recording has been labelled a second time yet.", "<polyline", "<rect",
        "No pre-label was shown to this rater.", "Evidence for a fall",
    ):  # fmt: skip
        assert words in text, words
    listed = client.get(reverse("website:raters", args=[full.study.code])).content.decode()
    for rater in full.raters:
        assert rater.username in listed
    assert "30 of 30" in listed
    assert "44 % to 97 %, n = 6" in listed


def test_the_table_and_the_plots_can_be_taken_away(house: House, full: World):
    client, rater = signed_in(house.people["lead"]), full.raters[0]
    rows = list(
        csv.DictReader(
            io.StringIO(client.get(address(full.study, rater, "rater-table")).content.decode())
        )
    )
    found = {row["figure"]: row for row in rows}
    assert float(found["gold"]["value"]) == 5 / 6
    assert (found["repeats"]["value"], found["repeats"]["n"]) == ("", "0")
    svg = client.get(address(full.study, rater, "rater-course-svg", place=1))
    assert svg["Content-Type"] == "image/svg+xml"
    assert b"<polyline" in svg.content
    course = client.get(address(full.study, rater, "rater-course-csv", place=1)).content.decode()
    assert course.splitlines()[0] == "item,at,agreement,rolling,cusum"
    assert len(course.splitlines()) == 25
    gone = client.get(address(full.study, rater, "rater-course-svg", place=9))
    assert gone.status_code == 404


def test_a_rater_reads_no_controls_no_items_and_no_names(house: House, full: World):
    rater = full.raters[0]
    client = signed_in(rater)
    pages = [
        client.get(address(full.study, rater, name, **more)).content.decode()
        for name, more in ABOUT_ONE
    ]
    secrets = {other.username for other in full.raters[1:]} | {"is_gold"}
    secrets |= set(full.study.participants.values_list("code", flat=True))
    secrets |= {str(pk) for pk in full.study.recordings.values_list("pk", flat=True)}
    secrets |= set(full.study.recordings.values_list("original_name", flat=True))
    for text in pages:
        assert [word for word in secrets if word in text] == []
    # Six controls among 30 recordings of a week that is over: told in one step, rounded.
    assert "Blind control items" in pages[0]
    assert "85 %" in pages[0]
    assert "control items, or a few more" in pages[0]
    held = json.loads(pages[-1])
    assert held["code_in_releases"] is None
    assert len(held["assignments"]) == 30
    assert {row["kind"] for row in held["assignments"]} == {"work"}


def test_my_figures_stand_in_a_rater_s_menu_only(house: House, world: World):
    mine = f'href="{reverse("website:my-figures")}"'
    assert mine in house.client("annotator").get("/queue/").content.decode()
    assert mine not in house.client("lead").get("/studies/").content.decode()


def test_the_lead_sets_languages_and_absence(house: House, world: World):
    world.study.languages = ["en", "fr"]
    world.study.save()
    client, rater = signed_in(house.people["lead"]), world.raters[0]
    path = address(world.study, rater, "rater-profile")
    fields = {"language": ["fr"], "absent_from": "2026-04-01", "absent_until": "2026-04-14"}
    assert client.post(path, fields).status_code == 302
    profile = RaterProfile.objects.get(user=rater)
    assert profile.languages == ["fr"]
    assert (str(profile.absent_from), str(profile.absent_until)) == ("2026-04-01", "2026-04-14")
    wrong = client.post(path, {**fields, "absent_until": "2026-03-14"})
    assert wrong.status_code == 400
    assert "before it begins" in wrong.content.decode()
    assert 'value="2026-03-14"' in wrong.content.decode()
    listed = client.get(reverse("website:raters", args=[world.study.code])).content.decode()
    assert "away" not in listed or "2026" not in listed  # it is over


def test_the_lead_names_whom_a_rater_must_not_judge(house: House, world: World):
    client, rater = signed_in(house.people["lead"]), world.raters[0]
    path = address(world.study, rater, "rater-conflicts")
    code = world.study.participants.get().code
    assert client.post(path, {"participant": "nobody"}).status_code == 400
    assert client.post(path, {"participant": code, "reason": "Neighbours"}).status_code == 302
    found = RaterConflict.objects.get()
    assert "Neighbours" in client.get(address(world.study, rater)).content.decode()
    assert code not in signed_in(rater).get(address(world.study, rater)).content.decode()
    assert client.post(path, {"remove": "x"}).status_code == 404
    assert client.post(path, {"remove": str(found.pk)}).status_code == 302
    assert not RaterConflict.objects.exists()


# Known answers


def test_a_lead_makes_an_answer_known_and_takes_it_out_of_use(house: House, world: World):
    client = signed_in(house.people["lead"])
    path = reverse("website:gold", args=[world.study.code])
    row = Assignment.objects.filter(rater=world.raters[1]).order_by("order").first()
    assert row is not None
    annotation = row.annotations.get()
    page = client.get(path, {"pass": "main", "recording": str(row.recording_id)}).content.decode()
    assert "grace&#x27;s answer" in page
    assert "2.00–6.00 s hesitancy" in page
    fields = {"recording": str(row.recording_id), "pass": "main",
              "source": f"annotation:{annotation.pk}"}  # fmt: skip
    silent = client.post(path, fields)
    assert silent.status_code == 400
    assert "needs its reason" in silent.content.decode()
    assert client.post(path, {**fields, "rationale": "Plain to see."}).status_code == 302
    item = GoldItem.objects.get(recording=row.recording)
    assert item.answer["segments"][0]["start_us"] == 2 * SECOND
    assert item.set_by == house.people["lead"].username
    assert "Plain to see." in client.get(path).content.decode()
    retire = reverse("website:gold-retire", args=[world.study.code, item.pk])
    assert client.post(retire).status_code == 302
    assert client.post(retire).status_code == 409


def test_a_lead_writes_an_answer_of_their_own(house: House, world: World):
    client = signed_in(house.people["lead"])
    path = reverse("website:gold", args=[world.study.code])
    recording = world.study.recordings.order_by("pk").first()
    fields = {"recording": str(recording.pk), "pass": "main", "source": "own",
              "rationale": "I know."}  # fmt: skip
    for segments, words in (("2 six hesitancy", "is no segment"), ("2 6 joy", "does not know"),
                            ("2 60 hesitancy", "leaves the recording")):  # fmt: skip
        wrong = client.post(path, {**fields, "segments": segments})
        assert wrong.status_code == 400
        assert words in wrong.content.decode()
        assert segments in wrong.content.decode()
    assert client.post(path, {**fields, "segments": "2.5 6.25 hesitancy\n"}).status_code == 302
    item = GoldItem.objects.get(recording=recording)
    assert [(s["start_us"], s["end_us"]) for s in item.answer["segments"]] == [
        (2_500_000, 6_250_000)
    ]
    assert client.post(path, {**fields, "source": "elsewhere"}).status_code == 400
    assert client.post(path, {**fields, "recording": "x"}).status_code == 404


def test_known_answers_need_no_certainty_that_raters_are_asked_for(house: House, storage_folder):
    world = World(house.study, [house.people["annotator"]])
    bah_codebook(house.study)
    recording = world.recordings(1)[0]
    client = signed_in(house.people["lead"])
    path = reverse("website:gold", args=[house.study.code])
    part = codebooks.parsed(codebooks.current(house.study)).pass_("video")
    question = next(each for each in part.questions if each.role == "label")
    fields = {
        "recording": str(recording.pk), "pass": "video", "source": "own", "rationale": "Plain.",
        f"answer-{question.id}": question.value_ids[0],
    }  # fmt: skip
    assert client.post(path, fields).status_code == 302
    assert GoldItem.objects.get().answer["clip_labels"] == [
        {"scale": question.id, "value": question.value_ids[0]}
    ]

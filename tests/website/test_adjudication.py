"""The pages of adjudication: the queue, one item, who may, and what a form keeps."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Adjudication, Annotation
from annotation.services import adjudication
from tests.factories import AnnotationFactory, AssignmentFactory, MembershipFactory
from tests.website.conftest import House
from tests.website.material import Material, make_material, second_rater
from waver.accounts.models import User
from waver.consent import services as consent

QUEUE = "/studies/voices/adjudication/?label=segments/ah"


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    """One recording: a rater marked 1 to 2.5 s, another 4 to 6 s."""
    made = make_material(house.study, house.people["annotator"])
    second_rater(made)
    return made


def items(house: House) -> tuple[adjudication.QueueItem, ...]:
    return adjudication.queue(study=house.study, topic_key="segments/ah").items


def address(one: adjudication.QueueItem) -> str:
    return reverse("website:adjudication-item", args=["voices", one.place.key])


def hidden(text: str) -> dict[str, str]:
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def send(client: Client, path: str, **fields: str):
    form = hidden(client.get(path).content.decode())
    return client.post(path, {**form, "rationale": "A reason.", **fields})


def test_the_queue_shows_votes_length_and_order(house: House, material: Material):
    text = house.client("researcher").get(QUEUE).content.decode()
    assert "0 of 2 decided" in text
    first, second = text.index("0:04.000 to 0:06.000"), text.index("0:01.000 to 0:02.500")
    assert first < second, "the longer stretch is worth more"
    assert "Present 1, Absent 1" in text
    assert "spread of the votes" in text
    for secret in ("grace.hopper", house.people["annotator"].username, "VOICE-0001", "Prompt"):
        assert secret not in text


def test_without_a_label_named_the_queue_opens_at_one_in_dispute(house: House, material: Material):
    text = house.client("researcher").get(QUEUE.split("?")[0]).content.decode()
    assert "0 of 2 decided" in text
    assert '<option value="segments/ah" selected>' in text


def test_one_rater_alone_is_not_said_to_agree(house: House, storage_folder):
    make_material(house.study, house.people["annotator"])
    text = house.client("researcher").get(QUEUE).content.decode()
    assert "No recording has two raters whose labels count here." in text
    assert "do not disagree" not in text


def test_a_study_without_work_says_what_comes(house: House):
    text = house.client("lead").get("/studies/voices/adjudication/").content.decode()
    assert "No rater has submitted anything yet" in text


def test_an_item_shows_the_stretch_and_nobodys_name(house: House, material: Material):
    segment = Annotation.objects.get(assignment=material.assignment)
    assert segment.lead_time_us == 60_000_000
    one = next(one for one in items(house) if one.item.start_us == 1_000_000)
    text = house.client("lead").get(address(one)).content.decode()
    assert "Rater A" in text
    assert "Rater B" in text
    assert "0:01.000 to 0:02.500" in text
    assert "certainty: fairly sure" in text
    assert "From its first sign to its last" in text
    secrets = [
        "grace.hopper", house.people["annotator"].username, "VOICE-0001", "reluctance-expected",
        "ada-lovelace", "Rater 1", str(material.assignment.pk), str(material.assignment.rater_id),
    ]  # fmt: skip
    assert [secret for secret in secrets if secret in text] == []
    assert "lead time" not in text.lower()


def test_letters_differ_from_item_to_item(house: House, material: Material):
    """Over many items both orders occur, so a letter follows nobody."""
    from waver.website.queries import adjudication as queries

    rows = list(Annotation.objects.select_related("assignment"))
    (one, *_) = items(house)
    codebook = material.batch.codebook
    topic = adjudication.find_topic(house.study, "segments/ah")[1]
    orders = set()
    for n in range(40):
        place = adjudication.Place(one.item.recording, topic.key, n, n + 1)
        lanes = queries._lanes(topic, codebook, place, rows, (0, 10_000_000))
        assert [lane.name for lane in lanes] == ["Rater A", "Rater B"]
        orders.add(tuple(tuple(mark.words for mark in lane.marks) for lane in lanes))
    assert len(orders) == 2


def test_a_decision_is_stored_and_leads_to_the_next_item(house: House, material: Material):
    client = house.client("researcher")
    first, second = items(house)
    answer = send(client, address(first), value="present", start="4.5", end="5,5")
    assert (answer.status_code, answer["Location"]) == (302, address(second))
    row = Adjudication.objects.get()
    assert (row.value, row.decided_start_us, row.decided_end_us) == (
        "present",
        4_500_000,
        5_500_000,
    )
    assert row.decided_by == house.people["researcher"]
    answer = send(client, address(second), value="absent")
    assert answer["Location"].startswith("/studies/voices/adjudication/")
    text = client.get(answer["Location"]).content.decode()
    assert "Nothing is left to decide" in text
    assert "2 of 2 decided" in text
    assert "Everything in dispute is decided" in text
    assert "A reason." in client.get(address(first)).content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": "present", "start": "1", "end": "5"}, "The stretch must lie between"),
        ({"value": "present", "start": "soon", "end": "5"}, "“soon” is no time"),
        ({"value": "maybe"}, "Choose what"),
        ({"value": "absent", "rationale": "  "}, "Write why"),
    ],
)
def test_what_was_typed_is_kept_with_the_problem(house: House, material: Material, fields, said):
    first, _ = items(house)
    answer = send(house.client("lead"), address(first), **fields)
    text = answer.content.decode()
    assert answer.status_code == 400
    assert said in text
    assert ("A reason." in text) == ("rationale" not in fields)
    assert f'value="{fields.get("start", "")}"' in text
    assert not Adjudication.objects.exists()


def test_of_two_who_decide_the_second_reads_the_first_and_keeps_their_words(
    house: House, material: Material
):
    first, _ = items(house)
    slow = house.client("lead")
    form = hidden(slow.get(address(first)).content.decode())
    send(house.client("researcher"), address(first), value="absent", rationale="No sign of it.")
    typed = {"value": "present", "rationale": "Clear to see."}
    answer = slow.post(address(first), {**form, **typed})
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "Somebody else decided this item" in text
    assert "No sign of it." in text
    assert "Clear to see." in text
    again = slow.post(address(first), {**hidden(text), **typed})
    assert again.status_code == 302
    assert Adjudication.objects.get(rationale="Clear to see.").supersedes is not None


def resubmit(material: Material, start_us: int) -> None:
    AnnotationFactory(
        assignment=material.assignment, segments=[(start_us, 2_500_000, "ah")],
        remote_updated_at=material.assignment.created_at + timedelta(days=2),
    )  # fmt: skip


def test_a_resubmission_makes_a_decision_out_of_date(house: House, material: Material):
    client = house.client("lead")
    long, short = items(house)
    send(client, address(long), value="absent")
    resubmit(material, 1_500_000)
    text = client.get(QUEUE).content.decode()
    assert "1 out of date" in text
    assert (
        "so the decision below does not count any more"
        in client.get(address(long)).content.decode()
    )
    # The other item's stretch is gone; what was typed for it is not.
    answer = client.post(address(short), {"value": "absent", "rationale": "I saw nothing."})
    assert answer.status_code == 404
    assert "I saw nothing." in answer.content.decode()
    assert "do not differ here any more" in answer.content.decode()


def test_nobody_decides_about_their_own_work(house: House, material: Material):
    rater: User = house.people["annotator"]
    MembershipFactory(study=house.study, user=rater, role="researcher")
    client = house.client("annotator")
    assert "you rated it" in client.get(QUEUE).content.decode()
    first, _ = items(house)
    for answer in (client.get(address(first)), client.post(address(first), {"value": "absent"})):
        assert answer.status_code == 403
        assert "You are a rater of this recording yourself" in answer.content.decode()


def test_somebody_asked_to_rate_it_later_may_not_look_either(house: House, material: Material):
    AssignmentFactory(
        batch=material.batch, recording=material.recording, rater=house.people["researcher"]
    )
    first, _ = items(house)
    assert house.client("researcher").get(address(first)).status_code == 403


def test_after_a_withdrawal_the_page_says_why(house: House, material: Material):
    first, _ = items(house)
    consent.withdraw(participant=material.participant, actor="tests")
    client = house.client("lead")
    answer = client.get(address(first))
    assert answer.status_code == 403
    assert "withdr" in answer.content.decode()
    assert "0 of 0 decided" in client.get(QUEUE).content.decode()


def test_the_queue_takes_a_constant_number_of_queries(
    house: House, material: Material, django_assert_max_num_queries
):
    client = house.client("lead")
    client.get(QUEUE)
    with django_assert_max_num_queries(22):
        client.get(QUEUE)

"""A rater's stay in Label Studio, and what Waver answers to the guard."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Batch, RemoteProject
from annotation.services import care, stays
from tests.factories import AssetFactory, AssignmentFactory, MembershipFactory, UserFactory
from waver.accounts.models import LabelStudioSession, User
from waver.consent import services as consent
from waver.core.errors import Conflict, Missing, NotAllowed
from waver.core.models import Job
from waver.studies.models import Membership

GUARD = {"X-Waver-Guard": "tests-guard-secret"}
CLIP = bytes(range(256)) * 8


@pytest.fixture
def row(db, storage_folder) -> Assignment:
    made = AssignmentFactory()
    AssetFactory(recording=made.recording, data=CLIP)
    RemoteProject.objects.create(batch=made.batch, rater=made.rater, remote_id=41)
    return made


def test_a_ticket_is_good_once_and_for_a_minute(row, monkeypatch):
    ticket = stays.begin(row.rater, row.batch, "web-session")
    stay = stays.redeem(ticket)
    assert (stay.user, stay.project) == (row.rater, 41)
    assert stays.check(stay.key).user == row.rater
    with pytest.raises(NotAllowed, match="used already"):
        stays.redeem(ticket)
    for forged in ("", ticket[:-1], ticket.split(":")[0], f"x{ticket}"):
        with pytest.raises(NotAllowed):
            stays.redeem(forged)
    late = stays.begin(row.rater, row.batch, "web-session")
    LabelStudioSession.objects.filter(redeemed_at__isnull=True).update(
        ticket_expires_at=timezone.now() - timedelta(seconds=1)
    )
    with pytest.raises(NotAllowed):
        stays.redeem(late)


def test_neither_ticket_nor_key_is_stored_as_it_is(row):
    ticket = stays.begin(row.rater, row.batch, "web-session")
    key = stays.redeem(ticket).key
    stored = json.dumps(list(LabelStudioSession.objects.values()), default=str)
    assert ticket not in stored
    assert key not in stored
    assert "web-session" not in stored


def test_a_stay_ends_with_the_web_session_the_account_and_the_time(row):
    def stay() -> str:
        return stays.redeem(stays.begin(row.rater, row.batch, "one")).key

    key, other = stay(), stays.redeem(stays.begin(row.rater, row.batch, "two")).key
    assert stays.end_with_web_session("one") == 1
    with pytest.raises(NotAllowed, match="ended"):
        stays.check(key)
    assert stays.check(other)
    pending = stays.begin(row.rater, row.batch, "one")
    stays.end_with_web_session("one")
    with pytest.raises(NotAllowed):
        stays.redeem(pending)
    stays.end(other)
    with pytest.raises(NotAllowed):
        stays.check(other)
    third = stay()
    User.objects.filter(pk=row.rater.pk).update(is_active=False)
    with pytest.raises(NotAllowed):
        stays.check(third)
    User.objects.filter(pk=row.rater.pk).update(is_active=True)
    LabelStudioSession.objects.update(expires_at=timezone.now())
    with pytest.raises(NotAllowed):
        stays.check(third)
    with pytest.raises(NotAllowed):
        stays.check("")


def test_a_stay_ends_when_the_rater_leaves_the_study(row):
    key = stays.redeem(stays.begin(row.rater, row.batch, "web")).key
    MembershipFactory(user=row.rater, role=Membership.Role.ANNOTATOR)  # of another study
    row.rater.memberships.filter(study=row.batch.study).delete()
    with pytest.raises(NotAllowed, match="ended"):
        stays.check(key)
    with pytest.raises(NotAllowed, match="no annotator"):
        stays.begin(row.rater, row.batch, "web")


def test_a_new_password_ends_stays_and_tickets(row):
    key = stays.redeem(stays.begin(row.rater, row.batch, "web")).key
    ticket = stays.begin(row.rater, row.batch, "web")
    row.rater.first_name = "Ada"
    row.rater.save()
    assert stays.check(key)
    row.rater.set_password("a new password")
    row.rater.save()
    with pytest.raises(NotAllowed, match="ended"):
        stays.check(key)
    with pytest.raises(NotAllowed):
        stays.redeem(ticket)


def test_a_stay_does_not_outlive_the_web_session(row):
    client = Client()
    client.force_login(row.rater)
    web = Session.objects.get()
    Session.objects.update(expire_date=timezone.now() + timedelta(minutes=5))
    stays.begin(row.rater, row.batch, web.session_key)
    web.refresh_from_db()
    assert LabelStudioSession.objects.get().expires_at == web.expire_date


def test_only_a_rater_of_an_open_batch_gets_a_ticket(row):
    with pytest.raises(Missing):
        stays.begin(UserFactory(), row.batch, "web-session")
    Batch.objects.update(state="publishing")
    row.batch.refresh_from_db()
    with pytest.raises(Conflict, match="being sent"):
        stays.begin(row.rater, row.batch, "web-session")


def test_start_labelling_hands_over_and_signing_out_ends_it(row, settings):
    client = Client()
    client.force_login(row.rater)
    start = reverse("website:label-start", args=[row.batch.pk])
    assert client.get(start).status_code == 405
    care.read_present_notice(row.rater, row.batch.study)
    answer = client.post(start)
    assert answer.status_code == 200
    # Else the browser would not say where the ticket comes from, which the other side asks.
    assert answer["Referrer-Policy"] == "strict-origin"
    assert answer.context["address"] == f"{settings.LABEL_STUDIO_URL}/waver/enter"
    key = stays.redeem(answer.context["fields"]["ticket"]).key
    client.post(reverse("website:sign-out"))
    with pytest.raises(NotAllowed):
        stays.check(key)


def test_media_is_the_raters_own_and_the_refusal_names_nobody(row):
    key = stays.redeem(stays.begin(row.rater, row.batch, "web")).key
    other = AssignmentFactory(batch=row.batch, recording=row.recording)
    RemoteProject.objects.create(batch=other.batch, rater=other.rater, remote_id=42)
    as_other = stays.redeem(stays.begin(other.rater, other.batch, "web")).key
    path = reverse("website:guard-media", args=[row.media_token])

    def ask(session: str, **more: str):
        return Client().get(path, headers={**GUARD, "X-Waver-Session": session, **more})

    whole = ask(key)
    assert (whole.status_code, whole.getvalue()) == (200, CLIP)
    part = ask(key, Range="bytes=10-19")
    assert (part.status_code, part.getvalue()) == (206, CLIP[10:20])
    assert ask(as_other).status_code == 404
    assert ask("").status_code == 403
    assert Client().get(path, headers={"X-Waver-Session": key}).status_code == 403
    participant = row.recording.take.participant
    consent.withdraw(participant=participant, actor="tests", purpose="annotate")
    for _ in range(2):  # first by the assignment's state, then by asking for consent itself
        refused = ask(key)
        assert refused.status_code == 403
        assert participant.code not in refused.json()["detail"]
        assert "next one" in refused.json()["detail"]
        Assignment.objects.update(state="sent")


def test_the_webhook_only_notes_that_something_changed(row):
    path = reverse("website:label-studio-webhook")

    def call(body: object, secret: str = "tests-webhook-secret"):
        return Client().post(
            path,
            data=json.dumps(body),
            content_type="application/json",
            headers={"X-Waver-Webhook": secret},
        )

    body = {"action": "ANNOTATION_CREATED", "project": {"id": 41}, "annotation": {"id": 1}}
    assert call(body, secret="wrong").status_code == 403
    assert [call(body).status_code for _ in range(3)] == [204] * 3
    job = Job.objects.get(name="annotation.collect")
    assert job.subject_kind == "remote_project"
    assert call({"project": {"id": 999}}).status_code == 204
    assert call({"action": "x"}).status_code == 400
    assert call([]).status_code == 400
    assert Job.objects.count() == 1

"""Raters are told what is recorded about them, and nothing is labelled before they have read it."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment, RaterNotice, RaterProfile, RemoteProject
from annotation.services import care
from tests.factories import AssignmentFactory, MembershipFactory
from waver.core.errors import Conflict, Missing
from waver.core.models import AuditEntry
from waver.studies.models import StudyDesign

pytestmark = pytest.mark.django_db


@pytest.fixture
def row() -> Assignment:
    made = AssignmentFactory()
    RemoteProject.objects.create(batch=made.batch, rater=made.rater, remote_id=41)
    return made


def signed_in(row: Assignment) -> Client:
    client = Client()
    client.force_login(row.rater)
    return client


def pages(row: Assignment) -> tuple[str, str]:
    code = row.batch.study.code
    return reverse("website:label-start", args=[row.batch.pk]), reverse(
        "website:rater-notice", args=[code]
    )


def test_labelling_begins_only_after_the_notice_was_read(row):
    client = signed_in(row)
    start, notice = pages(row)
    refused = client.post(start)
    assert refused.status_code == 409
    assert f'href="{notice}"' in refused.content.decode()
    assert "Start labelling" not in client.get("/queue/").content.decode()
    assert notice in client.get("/queue/").content.decode()
    text = care.notice(row.batch.study)
    page = client.get(notice).content.decode()
    assert text.sha256 in page
    assert all(section.heading in page for section in text.sections)
    assert client.post(notice, {"sha256": text.sha256}).status_code == 302
    assert "/waver/enter" in client.post(start).content.decode()
    assert "Start labelling" in client.get("/queue/").content.decode()


def test_a_reading_records_when_which_text_by_whom(row):
    client = signed_in(row)
    _, notice = pages(row)
    sha256 = care.notice(row.batch.study).sha256
    for _ in range(2):
        client.post(notice, {"sha256": sha256})
    profile = RaterProfile.objects.get()
    assert (profile.user, profile.notice_sha256) == (row.rater, sha256)
    assert profile.notice_read_at is not None
    kept = RaterNotice.objects.get()
    assert (kept.sha256, kept.text) == (sha256, care.notice(row.batch.study).text)
    entry = AuditEntry.objects.get(verb="rater.notice_read")
    assert (entry.object_id, entry.detail) == (str(profile.pk), {"sha256": sha256})
    assert entry.actor == f"rater {row.rater.pk}"


def test_a_changed_notice_must_be_read_again(row):
    client = signed_in(row)
    start, notice = pages(row)
    old = care.notice(row.batch.study).sha256
    client.post(notice, {"sha256": old})
    StudyDesign.objects.filter(study=row.batch.study).update(rater_figures_days=90)
    refused = client.post(start)
    assert refused.status_code == 409
    assert "has changed since you read" in refused.content.decode()
    late = client.post(notice, {"sha256": old})
    assert late.status_code == 409
    assert "90 days after" in late.content.decode()
    assert "changed while you were reading" in late.content.decode()
    client.post(notice, {"sha256": care.notice(row.batch.study).sha256})
    assert "/waver/enter" in client.post(start).content.decode()
    assert RaterNotice.objects.count() == 2


def test_the_notice_says_what_it_must(row):
    lead = MembershipFactory(study=row.batch.study, role="lead", user__email="lead@example.org")
    text = care.notice(row.batch.study).text
    for words in (
        row.batch.study.title, "answer is known", "labelled before", "365 days after",
        "code that is drawn by lot", "My figures", lead.user.username, "lead@example.org",
        "seen by the study's leads and by you",
    ):  # fmt: skip
        assert words in text


def test_reading_is_for_raters_of_the_study(row):
    stranger = MembershipFactory(role="annotator").user
    with pytest.raises(Missing):
        care.profile_of(user=stranger, study=row.batch.study)
    with pytest.raises(Conflict):
        care.read_notice(
            care.profile_of(user=row.rater, study=row.batch.study), sha256="of another text"
        )
    assert not RaterNotice.objects.exists()


def test_a_text_that_was_read_cannot_be_changed(row):
    care.read_present_notice(row.rater, row.batch.study)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        RaterNotice.objects.update(text="Nothing is recorded.")

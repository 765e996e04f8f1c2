"""What is kept about a rater goes in time, labels and evidence stay; raters can take it away."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, transaction

from annotation import jobs
from annotation.models import (
    Annotation,
    Qualification,
    RaterConflict,
    RaterProfile,
    RemoteProject,
    Segment,
)
from annotation.services import care
from annotation.services.care import figures, profiles, retention
from annotation.services.care.holdings import held_about
from tests.annotation.care_world import MONDAY, World, make_world
from waver.accounts.models import LabelStudioSession
from waver.core import audit
from waver.core.errors import BadInput, Missing
from waver.core.jobs import enqueue
from waver.core.models import AuditEntry
from waver.studies.models import StudyDesign
from workers import tasks as tasks
from workers.runner import drain

pytestmark = pytest.mark.django_db

YEAR = timedelta(days=365)


@pytest.fixture
def world() -> World:
    made = make_world()
    rater, other, _ = made.raters
    one, two, three = made.recordings(3)
    made.know(one, [(2, 6)])
    made.mark(rater, one, [(2, 6)], is_gold=True)
    made.mark(rater, two, [(2, 6)])
    made.mark(rater, two, [(2, 6)], repeat=1)
    made.mark(rater, three, [])
    made.mark(other, two, [(2, 5)], at=MONDAY + YEAR)
    care.read_present_notice(rater, made.study)
    profile = profiles.profile_of(user=rater, study=made.study)
    profiles.set_availability(
        profile=profile, languages=["en"], absent_from=MONDAY.date(), absent_until=None,
        actor="lead",
    )  # fmt: skip
    profiles.add_conflict(
        profile=profile, participant_code=f" {one.take.participant.code}", reason="My sister",
        actor="lead",
    )  # fmt: skip
    Qualification.objects.create(
        profile=profile, codebook=made.batch("main").codebook, pass_id="main", n=10, agreed=0.9,
        minimum=0.8, passed=True,
    )  # fmt: skip
    RemoteProject.objects.create(batch=made.batch("main"), rater=rater, remote_id=41)
    LabelStudioSession.objects.create(
        user=rater, remote_project_id=41, web_session_hash="a", ticket_hash="b",
        ticket_expires_at=MONDAY, expires_at=MONDAY,
    )  # fmt: skip
    return made


def test_nothing_goes_before_its_time(world):
    assert retention.due(now=MONDAY + YEAR) == []
    assert retention.remove_due(now=MONDAY + YEAR) == 0
    assert Annotation.objects.filter(lead_time_us__isnull=True).count() == 0


def test_after_its_time_what_is_about_the_rater_goes_and_the_labels_stay(world):
    rater, other, _ = world.raters
    labels = list(Segment.objects.order_by("pk").values_list("pk", "start_us", "end_us"))
    now = MONDAY + YEAR + timedelta(hours=1)
    assert [each.rater for each in retention.due(now=now)] == [rater]
    assert retention.remove_due(now=now) == 1
    profile = RaterProfile.objects.get(user=rater)
    assert (profile.languages, profile.absent_from) == ([], None)
    assert profile.figures_removed_at == now
    assert profile.notice_read_at is not None
    assert not Qualification.objects.exists()
    assert not RaterConflict.objects.exists()
    assert not LabelStudioSession.objects.exists()
    theirs = Annotation.objects.filter(assignment__rater=rater)
    assert set(theirs.values_list("lead_time_us", flat=True)) == {None}
    assert Annotation.objects.get(assignment__rater=other).lead_time_us == 60_000_000
    assert labels == list(Segment.objects.order_by("pk").values_list("pk", "start_us", "end_us"))
    assert theirs.count() == 4
    entry = AuditEntry.objects.get(verb="rater.figures_removed")
    assert entry.detail == {"times": 4, "qualifications": 1, "conflicts": 1, "stays": 1}
    assert audit.first_broken() is None
    # Nothing about them is shown any more, and a second look finds nothing to remove.
    found = figures.for_lead(world.study, rater)
    assert found is not None
    assert found.submitted == 0
    assert retention.due(now=now) == []
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Annotation.objects.update(lead_time_us=1)


def test_new_work_begins_a_new_time(world):
    rater = world.raters[0]
    now = MONDAY + YEAR + timedelta(hours=1)
    retention.remove_due(now=now)
    world.mark(rater, world.recordings(1)[0], [], at=now + timedelta(days=1))
    found = figures.for_lead(world.study, rater)
    assert found is not None
    assert found.submitted == 1
    later = now + YEAR + timedelta(days=2)
    assert rater in [each.rater for each in retention.due(now=later)]


def test_the_study_says_how_long(world):
    StudyDesign.objects.filter(study=world.study).update(rater_figures_days=30)
    assert retention.remove_due(now=MONDAY + timedelta(days=31)) == 1


def test_the_clock_asks_for_it(world):
    StudyDesign.objects.filter(study=world.study).update(rater_figures_days=1)
    enqueue(jobs.FORGET_RATERS, subject_kind="periodic", subject_id=jobs.FORGET_RATERS.name)
    assert [job.state for job in drain(queues=["io"])] == ["done"]
    assert RaterProfile.objects.get(user=world.raters[0]).figures_removed_at is not None


def test_what_is_held_can_be_taken_away_and_names_no_control_and_nobody_else(world):
    rater, other, _ = world.raters
    held = held_about(rater, world.study)
    text = json.dumps(held, cls=DjangoJSONEncoder, ensure_ascii=False)
    assert len(held["assignments"]) == 4
    assert held["assignments"][0]["submissions"][0]["open_for_seconds"] == 60.0
    assert held["profile"]["conflicts"][0]["reason"] == "My sister"
    assert held["profile"]["notice_read"] == care.notice(world.study).text
    assert held["profile"]["qualifications"][0]["agreed"] == 0.9
    assert len(held["stays_in_label_studio"]) == 1
    notice = json.dumps(held["present_notice"], ensure_ascii=False)[1:-1]
    told = text.replace(held["left_out"], "").replace(notice, "")
    for secret in ("gold", "repeat", other.username, str(other.pk)):
        assert secret not in told
    assert {key for row in held["assignments"] for key in row} == {
        "id", "batch", "kind", "state", "sent_back_because", "submissions",
    }  # fmt: skip
    participant = world.study.participants.get()
    names = {participant.code, str(participant.pk)}
    names |= {str(pk) for pk in world.study.recordings.values_list("pk", flat=True)}
    names |= set(world.study.recordings.values_list("original_name", flat=True))
    assert [name for name in names if name in text] == []


def test_a_profile_says_what_is_wrong_with_it(world):
    profile = RaterProfile.objects.get()
    today = MONDAY.date()
    for languages, begin, end, words in (
        (["xx"], None, None, "no language of this study"),
        ([], None, today, "no beginning"),
        ([], today, today - timedelta(days=1), "before it begins"),
    ):
        with pytest.raises(BadInput, match=words):
            profiles.set_availability(
                profile=profile, languages=languages, absent_from=begin, absent_until=end,
                actor="lead",
            )  # fmt: skip
    with pytest.raises(BadInput, match="no participant"):
        profiles.add_conflict(profile=profile, participant_code="P999", reason="", actor="lead")
    conflict = RaterConflict.objects.get()
    profiles.remove_conflict(profile=profile, conflict_id=conflict.pk, actor="lead")
    with pytest.raises(Missing):
        profiles.remove_conflict(profile=profile, conflict_id=conflict.pk, actor="lead")

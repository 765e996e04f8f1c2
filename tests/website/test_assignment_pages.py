"""Plans looked at and sent, work given to others, the design set, and the queue in its order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Batch, Qualification, RemoteProject
from annotation.services.accept import accept
from annotation.services.shared_accounts import doubts
from tests.annotation.conftest import NOON
from tests.annotation.worlds import World
from tests.factories import AnnotationFactory, MembershipFactory, UserFactory
from waver.accounts.models import LabelStudioSession, User
from waver.studies.models import StudyDesign

pytestmark = pytest.mark.django_db


def world(**more) -> World:
    return World(**{"raters": 2, "recordings": 4, "raters_per_recording": 1, **more})


def sign_in(client, made: World, role: str = "lead"):
    user = MembershipFactory(study=made.study, role=role).user
    client.force_login(user)
    return client


def opened(batch: Batch) -> Batch:
    Batch.objects.filter(pk=batch.pk).update(state="open")
    batch.assignments.update(state="sent")
    return Batch.objects.get(pk=batch.pk)


def fields(made: World, **more) -> dict[str, object]:
    return {"pass": "segments", "rater": [str(r.pk) for r in made.raters], **more}


def test_a_plan_is_shown_before_it_is_made(client):
    made = world(overlap="sample", raters_per_recording=2, reliability_share=0.5)
    path = reverse("website:batches", args=[made.study.code])
    answer = sign_in(client, made).post(path, fields(made, do="preview", kind="work"))
    text = answer.content.decode()
    assert "The plan: 4 recordings, 2 of them for reliability, 0 with cue candidates" in text
    assert f'<td>{made.raters[0].username}</td><td class="number">3</td>' in text
    assert "50% of the recordings, drawn at random, by 2" in text
    assert not Batch.objects.exists()
    assert client.post(path, fields(made, do="send", at_most="2")).status_code == 302
    assert Batch.objects.get().assignments.values("recording").distinct().count() == 2
    refused = client.post(path, fields(made, at_most="two"))
    assert refused.status_code == 400
    assert "“two” is no number of recordings" in refused.content.decode()
    refused = client.post(path, fields(made, kind="qualification"))
    assert "asks for no qualification" in refused.content.decode()


def test_unfinished_work_is_given_to_others_with_one_button(client):
    made = world()
    opened(made.plan())
    made.profile(made.raters[0], absent_from=timezone.localdate())
    path = reverse("website:batches", args=[made.study.code])
    text = sign_in(client, made).get(path).content.decode()
    assert text.count("Give to others") == 2
    assert "away" in text
    give = reverse("website:batch-give-away", args=[made.study.code])
    answer = client.post(give, {"rater": str(made.raters[0].pk)}, follow=True)
    assert f"2 recordings of {made.raters[0].username} went to 1 other" in answer.content.decode()
    assert Assignment.objects.filter(rater=made.raters[1], state="planned").count() == 2
    assert client.post(give, {"rater": str(made.raters[0].pk)}).status_code == 400
    text = client.get(path).content.decode()
    assert "0 of 4" in text  # what was taken back is not counted as asked for


def test_the_design_is_read_by_researchers_and_set_by_the_lead(client):
    made = world()
    path = reverse("website:design", args=[made.study.code])
    page = sign_in(client, made, "researcher").get(path).content.decode()
    assert "Each recording is coded by 1 rater." in page
    assert "Set the design" not in page
    posted = {
        "overlap": "sample", "raters_per_recording": "3", "reliability_share": "0.25",
        "passes": "video, segments", "prelabel_share": "0", "seed": "9",
        "qualification_minimum": "", "gold_share": "0.05", "repeat_share": "0,05",
        "repeat_gap": "40", "daily_limit": "", "rater_figures_days": "200",
    }  # fmt: skip
    assert client.post(path, posted).status_code == 403
    sign_in(client, made)
    assert client.post(path, posted).status_code == 302
    row = StudyDesign.objects.get(study=made.study)
    assert (row.overlap, row.reliability_share, row.passes) == (
        "sample", 0.25, ["video", "segments"],
    )  # fmt: skip
    assert (row.repeat_share, row.daily_limit, row.rater_figures_days) == (0.05, None, 200)
    for change, says in (
        ({"daily_limit": "many"}, "“many” under “Recordings a day” is not a whole number"),
        ({"passes": "dance"}, "has no pass"),
        ({"reliability_share": "0"}, "measures nothing"),
    ):
        answer = client.post(path, {**posted, **change})
        assert answer.status_code == 400
        assert says in answer.content.decode()
        assert f'value="{next(iter(change.values()))}"' in answer.content.decode()
    made.study.design.refresh_from_db()
    made.plan([*made.raters, made.rater()], pass_id="video")
    answer = client.post(path, {**posted, "seed": "10"})
    assert answer.status_code == 409
    assert "A design cannot change halfway" in answer.content.decode()
    assert client.post(path, {**posted, "daily_limit": "30"}).status_code == 302


def test_the_queue_shows_training_qualification_and_work_in_their_order(client):
    made = world(raters=1, qualification_minimum=0.5)
    for _ in range(4):
        made.known(made.recording())
    (rater,) = made.raters
    opened(made.plan())
    training = opened(made.plan(kind="training", at_most=1))
    test = opened(made.plan(kind="qualification", at_most=2))
    client.force_login(rater)
    text = client.get("/queue/").content.decode()
    order = [text.index(word) for word in ("Training ·", "Qualification ·", "Batch 1 ·")]
    assert order == sorted(order)
    assert "Finish the training first" in text
    assert "Go on with the training in your queue." in text
    assert text.count("/label/start/") + text.count("raters/notice") >= 1
    answers = reverse("website:training", args=[training.pk])
    assert "appears here after you have submitted" in client.get(answers).content.decode()
    assert "Nothing shows." not in client.get(answers).content.decode()
    accept(training.assignments.get(), [], 1, NOON, 9.0, "poll")
    page = client.get(answers).content.decode()
    assert "Nothing shows." in page
    assert "As known" in page
    assert str(training.assignments.get().recording_id) not in page
    assert made.person.code not in page
    # The answers of a qualification are shown to nobody.
    hidden = reverse("website:training", args=[test.pk])
    assert client.get(hidden).status_code == 404
    for number, row in enumerate(test.assignments.all()):
        accept(row, [], 10 + number, NOON, 9.0, "poll")
    assert Qualification.objects.get().passed
    text = client.get("/queue/").content.decode()
    assert "100% of your 2 labels equal the known answers; 50% are needed. You have passed." in text
    other = UserFactory()
    client.force_login(other)
    assert client.get(answers).status_code == 403


def stay(user: User, session: str, **more) -> None:
    now = timezone.now()
    LabelStudioSession.objects.create(
        **{
            "user": user, "remote_project_id": 5, "web_session_hash": session,
            "ticket_hash": f"{session}-{user.pk}", "ticket_expires_at": now,
            "redeemed_at": now, "expires_at": now + timedelta(hours=1), **more,
        }
    )  # fmt: skip


def test_the_lead_is_warned_of_an_account_that_two_people_seem_to_use(client):
    made = world(recordings=12)
    batch = opened(made.plan())
    one, two = made.raters
    RemoteProject.objects.create(batch=batch, rater=one, remote_id=5)
    stay(one, "a")
    assert doubts(made.study) == []
    stay(one, "b", ended_at=timezone.now())
    stay(two, "c", expires_at=timezone.now())
    stay(two, "d")
    assert doubts(made.study) == []
    stay(one, "e")
    (doubt,) = doubts(made.study)
    assert doubt.rater == one
    assert "from 2 sign-ins at once" in doubt.sentence
    # Six recordings within three minutes, two minutes each, were not labelled one after another.
    start = timezone.now() - timedelta(hours=1)
    for number, row in enumerate(batch.assignments.filter(rater=two)):
        AnnotationFactory(
            assignment=row,
            remote_updated_at=start + timedelta(seconds=30 * number),
            lead_time_us=120_000_000,
        )
    assert [doubt.rater for doubt in doubts(made.study)] == sorted(
        [one, two], key=lambda rater: rater.username
    )
    path = reverse("website:batches", args=[made.study.code])
    text = sign_in(client, made).get(path).content.decode()
    assert "from 2 sign-ins at once" in text
    assert "5 recordings of" in text
    assert "sign-ins at once" not in sign_in(client, made, "researcher").get(path).content.decode()

"""When a batch opens to a rater: training, qualification, the pass before, the day's limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotation.codebooks import ParsedAnnotation, ParsedSegment, to_result
from annotation.models import (
    Assignment,
    Batch,
    Qualification,
    RemoteProject,
)
from annotation.services import codebooks, opening, qualification, stays, withdrawn, workload
from annotation.services.accept import accept
from tests.annotation.conftest import NOON
from tests.annotation.worlds import World
from tests.factories import AnnotationFactory, consented_participant
from waver.accounts.models import User
from waver.consent import services as consent
from waver.core.errors import BadInput, Conflict

pytestmark = pytest.mark.django_db


def marked(world: World, *spans: tuple[int, int]) -> list[dict[str, Any]]:
    segments = tuple(ParsedSegment(start, end, "ah", 2) for start, end in spans)
    book = codebooks.parsed(codebooks.current(world.study))
    return to_result(book, "segments", ParsedAnnotation(segments=segments), 10_000_000)


def label(world: World, batch: Batch, rater: User, *, right: int) -> None:
    """Submit a rater's part of a batch, `right` of it as the known answers say: nothing marked."""
    rows = batch.assignments.filter(rater=rater).order_by("order")
    for number, row in enumerate(rows):
        raw = [] if number < right else marked(world, (2_000_000, 5_000_000))
        accept(row, raw, 5000 + row.batch.number * 100 + number, NOON, 12.0, "poll")


@pytest.fixture
def world() -> World:
    made = World(raters=1, recordings=2, raters_per_recording=1, qualification_minimum=0.75)
    for _ in range(14):
        made.known(made.recording())
    Batch.objects.update(state="open")
    return made


def planned(world: World, **more: Any) -> Batch:
    batch: Batch = world.plan(**more)
    Batch.objects.filter(pk=batch.pk).update(state="open")
    batch.assignments.update(state="sent")
    batch.refresh_from_db()
    return batch


def test_real_work_opens_with_the_qualification_and_says_what_is_missing_till_then(world: World):
    (rater,) = world.raters
    work = planned(world)
    assert any("must pass the qualification in this pass" in note for note in work.notes)
    says = opening.refusal(rater, work)
    assert "at least 75% of your labels" in says
    assert "lead sends you the qualification" in says
    training = planned(world, kind="training", at_most=2)
    test = planned(world, kind="qualification", at_most=4)
    assert opening.refusal(rater, training) == ""
    assert "Finish the training first" in opening.refusal(rater, test)
    label(world, training, rater, right=0)
    assert opening.refusal(rater, test) == ""
    assert "is in your queue" in opening.refusal(rater, work)
    label(world, test, rater, right=3)
    row = Qualification.objects.get()
    assert (row.n, row.agreed, row.minimum, row.passed, row.batch) == (4, 0.75, 0.75, True, test)
    assert opening.refusal(rater, work) == ""
    # What is changed afterwards does not count.
    first = test.assignments.get(rater=rater, order=1)
    accept(first, marked(world, (0, 9_000_000)), 7777, NOON + timedelta(1), 3.0, "poll")
    assert Qualification.objects.count() == 1
    with pytest.raises(BadInput, match="passed already, with 75%"):
        planned(world, kind="qualification")


def test_who_fails_trains_and_tries_once_more_with_other_recordings(world: World):
    (rater,) = world.raters
    work = planned(world)
    first = planned(world, kind="qualification", at_most=4)
    label(world, first, rater, right=2)
    says = opening.refusal(rater, work)
    assert "you reached 50% of 4. Before your second try comes a training" in says
    with pytest.raises(BadInput, match="reached 50% and tries again after a training"):
        planned(world, kind="qualification", at_most=4)
    training = planned(world, kind="training", at_most=2)
    assert "Go on with the training" in opening.refusal(rater, work)
    label(world, training, rater, right=2)
    second = planned(world, kind="qualification", at_most=4)
    assert not set(second.assignments.values_list("recording")) & set(
        first.assignments.values_list("recording")
    )
    label(world, second, rater, right=1)
    assert "You have used both tries" in opening.refusal(rater, work)
    planned(world, kind="training", at_most=2)
    with pytest.raises(BadInput, match="failed 2 times"):
        planned(world, kind="qualification", at_most=1)


def test_nobody_starts_by_another_way_and_the_sentence_reaches_the_rater(world: World):
    (rater,) = world.raters
    work = planned(world)
    RemoteProject.objects.create(batch=work, rater=rater, remote_id=1)
    with pytest.raises(Conflict, match="Real work in this pass opens when"):
        stays.begin(rater, work, "web-session")


def test_a_qualification_that_waited_only_for_somebody_who_withdrew_is_judged(world: World):
    leaving = consented_participant(world.study)
    world.known(world.recording(of=leaving))
    test = planned(world, kind="qualification", at_most=15)
    waits = test.assignments.get(recording__take__participant=leaving)
    for number, row in enumerate(test.assignments.exclude(pk=waits.pk)):
        accept(row, [], 5000 + number, NOON, 12.0, "poll")
    assert not Qualification.objects.exists()
    consent.withdraw(participant=leaving, actor="tests")
    assert withdrawn.stop(leaving.pk) == 0  # done by the withdrawal
    for _ in range(2):
        qualification.after_withdrawal(leaving.pk)
    made = Qualification.objects.get(batch=test)
    assert (made.n, made.passed) == (14, True)


def test_a_half_done_qualification_is_not_judged(world: World):
    test = planned(world, kind="qualification", at_most=3)
    row = test.assignments.order_by("order")[0]
    accept(row, [], 1, NOON, 12.0, "poll")
    assert not Qualification.objects.exists()
    test.assignments.exclude(pk=row.pk).update(state="withdrawn")  # a participant withdrew
    row.refresh_from_db()
    made = qualification.after_submission(row)
    assert made is not None
    assert (made.n, made.passed) == (1, True)


def test_the_pass_before_comes_first_for_each_rater():
    world = World(raters=2, recordings=2, raters_per_recording=1, passes=["video", "segments"])
    first, second = planned(world, pass_id="video"), planned(world)
    for rater in world.raters:
        assert opening.refusal(rater, first) == ""
        says = opening.refusal(rater, second)
        assert says.startswith("First comes the pass “video”: 1 of these recordings still waits")
    first.assignments.filter(rater=world.raters[0]).update(state="submitted")
    assert opening.refusal(world.raters[0], second) == ""
    assert opening.refusal(world.raters[1], second) != ""


def test_a_full_day_says_when_to_come_back_and_lets_no_further_recording_out():
    world = World(raters=1, recordings=5, raters_per_recording=1, daily_limit=2)
    (rater,) = world.raters
    batch = planned(world)
    RemoteProject.objects.create(batch=batch, rater=rater, remote_id=3)
    rows = list(batch.assignments.order_by("order"))
    AnnotationFactory(assignment=rows[0])
    stay = stays.Stay(rater, 3)
    assert workload.submitted_today(rater, world.study) == 1
    assert (workload.refusal(rater, batch), stays.pause(stay)) == ("", "")
    AnnotationFactory(assignment=rows[0])  # a correction does not count again
    assert workload.refusal(rater, batch) == ""
    AnnotationFactory(assignment=rows[1])
    tomorrow = timezone.localdate() + timedelta(days=1)
    says = workload.refusal(rater, batch)
    assert says.startswith("You have labelled 2 recordings today")
    assert f"Come back on {tomorrow:%A}" in says
    assert stays.pause(stay) == says
    with pytest.raises(Conflict, match="labelled 2 recordings today"):
        stays.begin(rater, batch, "web-session")
    # What is open already is taken in all the same.
    accept(rows[2], [], 77, NOON, 3.0, "poll")
    assert Assignment.objects.get(pk=rows[2].pk).state == "submitted"


def test_yesterdays_work_and_imported_work_leave_the_day_free():
    world = World(raters=1, recordings=3, raters_per_recording=1, daily_limit=1)
    (rater,) = world.raters
    batch = planned(world)
    rows = list(batch.assignments.order_by("order"))
    AnnotationFactory(assignment=rows[0], created_at=timezone.now() - timedelta(days=1))
    AnnotationFactory(assignment=rows[1], received_by="import", remote_id=None)
    assert workload.submitted_today(rater, world.study) == 0
    assert workload.refusal(rater, batch) == ""

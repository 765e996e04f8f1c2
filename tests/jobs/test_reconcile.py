"""What crashed workers and lost messages leave behind is put right."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from waver.core import jobs, reconcile
from waver.core.models import Job
from workers import runner

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wake-up calls that would have been sent."""
    sent: list[str] = []
    monkeypatch.setattr(reconcile, "wake", lambda queue: sent.append(queue) or True)
    return sent


def enqueue(name: jobs.JobName) -> Job:
    return jobs.enqueue(name, subject_kind="recording", subject_id="r1")


def let_the_worker_die() -> None:
    Job.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_dead_workers_job_is_run_again(declare, calls: list[str]) -> None:
    enqueue(declare())
    jobs.claim_next(queues=["cpu"])
    assert reconcile.reconcile() == reconcile.Reconciled(0, 0, 0), "its lease still holds"
    let_the_worker_die()
    assert reconcile.reconcile() == reconcile.Reconciled(queued_again=1, failed=0, calls=1)
    assert calls == ["cpu"]
    (ended,) = runner.drain()
    assert (ended.state, ended.attempts) == ("done", 2)


def test_a_job_that_keeps_killing_its_worker_fails_in_a_sentence(declare, calls: list[str]) -> None:
    told = []
    enqueue(declare(max_attempts=2))
    for _ in range(2):
        Job.objects.filter(state="queued").update(not_before=None)
        assert jobs.claim_next(queues=["cpu"]) is not None
        let_the_worker_die()
        found = reconcile.reconcile(on_failure={"tests.job": told.append})
    assert found.failed == 1
    row = Job.objects.get()
    assert row.state == "failed"
    assert "stopped 2 times in the middle of this job" in row.error
    assert [job.pk for job in told] == [row.pk]
    assert jobs.claim_next(queues=["cpu"]) is None


def test_lost_calls_are_sent_again_with_growing_pauses(declare, calls: list[str]) -> None:
    enqueue(declare())
    reconcile.reconcile()
    reconcile.reconcile()
    assert calls == ["cpu"], "a call is not repeated at once"
    sent_after = []
    for _ in range(4):
        dispatches = Job.objects.get().dispatches
        for seconds in (8, 9, 11, 19, 21, 39, 41, 79, 81):
            Job.objects.update(dispatched_at=timezone.now() - timedelta(seconds=seconds))
            reconcile.reconcile()
            if Job.objects.get().dispatches > dispatches:
                sent_after.append(seconds)
                break
    assert sent_after == [11, 21, 41, 81]


def test_a_long_queue_makes_no_flood_of_calls(declare, calls: list[str]) -> None:
    name, other = declare(), declare(name="tests.gpu", queue="gpu")
    for _ in range(30):
        enqueue(name)
    enqueue(other)
    assert reconcile.reconcile().calls == 5
    assert sorted(calls) == ["cpu"] * 4 + ["gpu"]
    assert not Job.objects.filter(dispatched_at=None).exists()


def test_a_broker_that_is_away_is_called_again_next_time(
    declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "wake", lambda queue: False)
    enqueue(declare())
    assert reconcile.reconcile().calls == 0
    assert Job.objects.get().dispatched_at is None


def test_a_job_that_is_held_back_is_announced_when_it_is_due(declare, calls: list[str]) -> None:
    job = jobs.enqueue(
        declare(), subject_kind="recording", subject_id="r1",
        not_before=timezone.now() + timedelta(minutes=1),
    )  # fmt: skip
    reconcile.reconcile()
    assert calls == []
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    reconcile.reconcile()
    assert calls == ["cpu"]

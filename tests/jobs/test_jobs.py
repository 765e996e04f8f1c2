"""Jobs are claimed once, finished once, and end in a sentence when they cannot be finished."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from waver.core import jobs
from waver.core.errors import BadInput, Conflict, ConsentRefused, TemporaryProblem
from waver.core.jobs import JobName, JobRun, LeaseLost
from waver.core.models import AuditEntry, Job
from workers import runner
from workers.tasks.maintenance import enqueue_periodic

pytestmark = pytest.mark.django_db


def enqueue(job_name: JobName, **more: object) -> Job:
    return jobs.enqueue(job_name, subject_kind="recording", subject_id="r1", **more)


def claim(*queues: str) -> Job:
    job = jobs.claim_next(queues=queues or ("cpu",))
    assert job is not None
    return job


def write_something() -> None:
    AuditEntry.objects.create(
        at=timezone.now(), actor="test", verb="wrote", object_kind="x", object_id="1",
        previous_hash="", hash="h",
    )  # fmt: skip


def test_a_declaration_is_kept_and_cannot_be_changed(declare) -> None:
    name = declare(limit_seconds=5)
    assert jobs.declare("tests.job", queue="cpu", limit_seconds=5) == name
    assert jobs.declared()["tests.job"].limit_seconds == 5
    with pytest.raises(ValueError, match="declared twice"):
        jobs.declare("tests.job", queue="gpu", limit_seconds=5)
    with pytest.raises(ValueError, match="positive"):
        jobs.declare("tests.other", queue="cpu", max_attempts=0)


def test_a_job_runs_its_handler_and_is_done(declare) -> None:
    seen = []
    job = enqueue(declare(lambda run: seen.append(run.job.payload)), payload={"a": 1})
    assert (job.state, job.attempts) == ("queued", 0)
    (ended,) = runner.drain()
    assert seen == [{"a": 1}]
    assert (ended.pk, ended.state, ended.attempts, ended.progress) == (job.pk, "done", 1, 1.0)
    assert ended.finished_at is not None
    assert ended.lease_until is None


def test_the_oldest_job_of_the_queue_is_claimed_first(declare) -> None:
    cpu, gpu = declare(), declare(name="tests.gpu", queue="gpu")
    first, second, other = enqueue(cpu), enqueue(cpu), enqueue(gpu)
    assert claim().pk == first.pk
    assert claim("gpu", "io").pk == other.pk
    assert claim("gpu", "cpu").pk == second.pk
    assert jobs.claim_next(queues=["cpu", "gpu", "io"]) is None


def test_a_job_is_held_back_until_its_time(declare) -> None:
    job = enqueue(declare(), not_before=timezone.now() + timedelta(hours=1))
    assert jobs.claim_next(queues=["cpu"]) is None
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    assert claim().pk == job.pk


def test_one_key_is_open_once(declare) -> None:
    name = declare()
    first = enqueue(name, key="normalise:r1")
    assert enqueue(name, key="normalise:r1").pk == first.pk
    assert enqueue(name, key="normalise:r2").pk != first.pk
    claim()
    assert enqueue(name, key="normalise:r1").pk == first.pk, "a running job holds its key too"
    runner.run(Job.objects.get(pk=first.pk), guarded=False)
    assert enqueue(name, key="normalise:r1").pk != first.pk
    assert Job.objects.filter(key="normalise:r1").count() == 2
    assert enqueue(name).pk != enqueue(name).pk, "without a key every call is a job"


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_job(declare) -> None:
    name = declare()
    expected = {enqueue(name).pk for _ in range(24)}
    start = threading.Barrier(4)

    def claim_all() -> list[object]:
        start.wait()
        mine = []
        while (job := jobs.claim_next(queues=["cpu"])) is not None:
            mine.append(job.pk)
        connection.close()
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [pk for future in [pool.submit(claim_all) for _ in range(4)]
                   for pk in future.result()]  # fmt: skip
    assert len(claimed) == 24
    assert set(claimed) == expected


@pytest.mark.django_db(transaction=True)
def test_two_askers_with_one_key_get_one_job(declare) -> None:
    name = declare()
    start = threading.Barrier(4)

    def ask() -> object:
        start.wait()
        with transaction.atomic():
            found = enqueue(name, key="same").pk
        connection.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        found = {future.result() for future in [pool.submit(ask) for _ in range(4)]}
    assert len(found) == 1
    assert Job.objects.count() == 1


def test_an_attempt_that_lost_its_lease_writes_nothing(declare) -> None:
    enqueue(declare())
    slow = JobRun(claim())
    Job.objects.update(state="queued", lease_until=None)
    fast = JobRun(claim())
    assert (slow.job.attempts, fast.job.attempts) == (1, 2)
    assert not slow.still_mine()
    assert not jobs.heartbeat(slow.job)
    with pytest.raises(LeaseLost), slow.commit():
        write_something()
    with pytest.raises(LeaseLost):
        slow.progress(0.5)
    assert AuditEntry.objects.count() == 0
    assert jobs.heartbeat(fast.job)
    with fast.commit():
        write_something()
    assert AuditEntry.objects.count() == 1
    assert Job.objects.get().state == "done"


def test_done_and_the_results_are_one_transaction(declare) -> None:
    enqueue(declare(max_attempts=2))
    attempt = JobRun(claim())
    with pytest.raises(ZeroDivisionError), attempt.commit():  # noqa: PT012 - both in one
        write_something()
        raise ZeroDivisionError
    assert AuditEntry.objects.count() == 0
    assert attempt.still_mine()
    with attempt.commit():
        write_something()
    with pytest.raises(RuntimeError, match="already committed"), attempt.commit():
        write_something()
    assert AuditEntry.objects.count() == 1


def test_a_handler_that_loses_its_lease_leaves_the_winner_alone(declare) -> None:
    def lose(run: JobRun) -> None:
        Job.objects.update(attempts=5)
        with run.commit():
            write_something()

    enqueue(declare(lose))
    (ended,) = runner.drain()
    assert (ended.state, ended.attempts) == ("running", 5)
    assert AuditEntry.objects.count() == 0


def test_progress_is_written_at_most_once_a_second(declare) -> None:
    enqueue(declare())
    attempt = JobRun(claim())
    attempt.progress(0.25, "frame 25 of 100")
    attempt.progress(0.26, "frame 26 of 100")
    row = Job.objects.get()
    assert (row.progress, row.note) == (0.25, "frame 25 of 100")


def test_an_unexpected_error_is_tried_again_after_growing_pauses(declare) -> None:
    def fail(run: JobRun) -> None:
        raise KeyError("lost")

    job = enqueue(declare(fail, max_attempts=3))
    pauses = []
    for _ in range(3):
        before = timezone.now()
        (ended,) = runner.drain()
        if ended.not_before is not None:
            pauses.append(round((ended.not_before - before).total_seconds()))
            assert "KeyError" in ended.error
        Job.objects.filter(state="queued").update(not_before=None)
    assert pauses == [5, 10]
    assert (ended.pk, ended.state, ended.attempts) == (job.pk, "failed", 3)
    assert "attempt 3 of 3" in ended.error
    assert "administrator" in ended.error


def test_pauses_double_and_end_at_ten_minutes() -> None:
    assert [jobs.pause_after(n) for n in (1, 2, 3, 8, 50)] == [5, 10, 20, 600, 600]


class PermanentProblem(Exception):
    """As a pure worker raises it, which knows no WaverError."""

    permanent = True


@pytest.mark.parametrize(
    ("error", "state", "attempts"),
    [
        (ConsentRefused("P1 did not agree to this.", purpose="faces"), "refused", 1),
        (BadInput("The file is empty. Export it again."), "failed", 1),
        (PermanentProblem("The file is no video."), "failed", 1),
        (TemporaryProblem("Label Studio does not answer."), "queued", 1),
        (OSError("disk"), "queued", 1),
    ],
)
def test_how_a_job_ends_depends_on_who_must_act(
    declare, error: Exception, state: str, attempts: int
) -> None:
    told = []

    def fail(run: JobRun) -> None:
        raise error

    enqueue(declare(fail, on_failure=told.append))
    (ended,) = runner.drain()
    assert (ended.state, ended.attempts) == (state, attempts)
    assert ended.error.startswith(str(error)) or state == "queued"
    assert [job.state for job in told] == ([] if state == "queued" else [state])


def test_what_else_is_done_on_failure_is_done_with_it_or_not_at_all(declare) -> None:
    def fail(run: JobRun) -> None:
        raise BadInput("no")

    def hook(job: Job) -> None:
        write_something()
        raise RuntimeError("the hook fails")

    enqueue(declare(fail, on_failure=hook))
    with pytest.raises(RuntimeError, match="the hook fails"):
        runner.drain()
    assert Job.objects.get().state == "running"
    assert AuditEntry.objects.count() == 0


def test_a_job_without_a_handler_says_so(declare, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue(declare())
    monkeypatch.setattr(runner, "_HANDLERS", {})
    (ended,) = runner.drain()
    assert ended.state == "failed"
    assert "no handler for jobs named tests.job" in ended.error


def test_a_cancelled_job_is_not_run_and_a_running_one_stores_nothing(declare) -> None:
    name = declare()
    enqueue(name)
    attempt = JobRun(claim())
    enqueue(name)
    assert jobs.cancel(subject_kind="recording", subject_id="r1", reason="Withdrawn.") == 2
    assert jobs.claim_next(queues=["cpu"]) is None
    with pytest.raises(LeaseLost), attempt.commit():
        write_something()
    assert set(Job.objects.values_list("state", "error")) == {("cancelled", "Withdrawn.")}


def test_a_failed_job_can_be_tried_again_and_its_attempts_count_on(declare) -> None:
    outcomes = [BadInput("no"), None]

    def work(run: JobRun) -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    job = enqueue(declare(work, max_attempts=2))
    runner.drain()
    job.refresh_from_db()
    jobs.retry(job)
    assert (job.state, job.max_attempts, job.error) == ("queued", 3, "")
    (ended,) = runner.drain()
    assert (ended.state, ended.attempts) == ("done", 2)
    with pytest.raises(Conflict, match="only failed and refused"):
        jobs.retry(job)


def test_a_released_job_loses_no_attempt(declare) -> None:
    enqueue(declare(max_attempts=1))
    held = claim()
    assert jobs.release(held)
    assert not jobs.release(held)
    again = claim()
    assert (again.attempts, again.max_attempts) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_the_wake_up_call_is_sent_when_the_job_is_committed(
    declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(jobs, "wake", lambda queue: calls.append(queue) or True)
    name = declare()
    with transaction.atomic():
        kept = enqueue(name)
        assert calls == []
    assert calls == ["cpu"]
    kept.refresh_from_db()
    assert (kept.dispatches, kept.dispatched_at is not None) == (1, True)
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - both in one
        enqueue(name)
        raise ZeroDivisionError
    assert calls == ["cpu"]


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_costs_nothing_but_a_log_line(declare, settings) -> None:
    from waver.core import dispatch

    dispatch._producer.cache_clear()
    settings.CELERY_BROKER_URL = "pgmq://"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {
        "conn_string": "host=/nonexistent dbname=none user=none password=x",
        "init_extension": False,
        "pool_timeout": 0.2,
    }
    try:
        job = enqueue(declare())
    finally:
        dispatch._producer.cache_clear()
    job.refresh_from_db()
    assert (job.state, job.dispatched_at) == ("queued", None)


@pytest.mark.django_db(transaction=True)
def test_whatever_goes_wrong_when_the_workers_are_called_the_job_stands(
    declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(queue: str) -> bool:
        raise RuntimeError(f"no way to call {queue}")

    monkeypatch.setattr(jobs, "wake", broken)
    job = enqueue(declare())
    job.refresh_from_db()
    assert job.state == "queued"


def test_of_threads_that_call_the_workers_first_one_imports_celery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two that import it at the same moment: one would find it half imported."""
    from waver.core import dispatch

    inside, most = [], []
    second = threading.Event()

    def slow() -> str:
        inside.append(threading.current_thread())
        most.append(len(inside))
        second.wait(0.2)  # time enough for another thread to come in, if it could
        inside.pop()
        return "made"

    monkeypatch.setattr(dispatch, "_producer", slow)
    with ThreadPoolExecutor(max_workers=2) as pool:
        assert list(pool.map(lambda _: dispatch.producer(), range(2))) == ["made", "made"]
    assert most == [1, 1]


def test_a_periodic_job_is_open_once_and_its_old_rows_go(declare) -> None:
    name = declare(name="tests.periodic", queue="io")
    enqueue_periodic(name.name)
    enqueue_periodic(name.name)
    assert Job.objects.count() == 1
    runner.drain()
    Job.objects.update(finished_at=timezone.now() - timedelta(hours=2))
    enqueue_periodic(name.name)
    assert [job.state for job in Job.objects.all()] == ["queued"]

"""Jobs: named pieces of work that outlive the process that asked for them.

A row of `Job` is the truth, the broker's message only a wake-up call:

1. `enqueue` inserts the row; when the transaction commits, a wake-up call is sent.
2. A worker claims the next queued row with a lease (`claim_next`) and a heartbeat renews it.
3. The attempt number is the fence: only who holds the present attempt may report progress or
   finish. `JobRun.commit` makes "done" and the handler's own writes one transaction.
4. `waver.core.reconcile` takes back expired leases, sends lost wake-up calls again with a
   growing pause, and fails what keeps killing its worker.

Names are declared in the `jobs` module of each app; handlers live in `workers.tasks`.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from waver.core.dispatch import wake
from waver.core.errors import Conflict, NotAllowed, WaverError
from waver.core.models import Job

log = logging.getLogger(__name__)

# What happens in the transaction in which a job ends badly.
OnFailure = Callable[[Job], None]

_PROGRESS_EVERY_SECONDS = 1.0
_DATABASE_PATIENCE_SECONDS = 60.0
_STOPPING_PATIENCE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 600


class LeaseLost(WaverError):
    """Another worker holds this job now, or it was cancelled: what was computed is dropped."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            f"The job {job.name} {job.pk} is no longer held by attempt {job.attempts}. "
            "Nothing was stored; nothing needs to be done."
        )


# Names


@dataclass(frozen=True, kw_only=True)
class JobName:
    """A declared kind of job and how it may use its worker.

    `lease_seconds` is how long a silent worker is believed to be alive, `limit_seconds` how
    long one attempt may take, `max_attempts` how many attempts there are.
    """

    name: str
    queue: Job.Queue
    lease_seconds: int
    limit_seconds: int
    max_attempts: int


_DECLARED: dict[str, JobName] = {}


def declare(
    name: str,
    *,
    queue: str,
    lease_seconds: int = 30,
    limit_seconds: int = 3600,
    max_attempts: int = 3,
) -> JobName:
    """Declare a kind of job once, when its app's `jobs` module is imported.

    Raises ValueError when the name is taken by another declaration, or a number is not positive.
    """
    job_name = JobName(
        name=name,
        queue=Job.Queue(queue),
        lease_seconds=lease_seconds,
        limit_seconds=limit_seconds,
        max_attempts=max_attempts,
    )
    if min(lease_seconds, limit_seconds, max_attempts) < 1:
        raise ValueError(f"The job {name} needs positive lease, limit and attempts.")
    if _DECLARED.setdefault(name, job_name) != job_name:
        raise ValueError(f"The job name {name} is declared twice, and differently.")
    return job_name


def declared() -> Mapping[str, JobName]:
    """Return every declared kind of job by its name."""
    return MappingProxyType(_DECLARED)


# Asking for work


def enqueue(
    job_name: JobName,
    *,
    subject_kind: str,
    subject_id: str | UUID,
    payload: dict[str, Any] | None = None,
    key: str = "",
    not_before: datetime | None = None,
) -> Job:
    """Add a job to its queue and return its row; a worker hears of it when this commits.

    With a `key`, a job of that key which is still queued or running is returned instead of
    adding a second one. `not_before` holds the job back until then.
    """
    while True:
        job = Job(
            name=job_name.name,
            subject_kind=subject_kind,
            subject_id=str(subject_id),
            payload=payload or {},
            key=key,
            queue=job_name.queue,
            max_attempts=job_name.max_attempts,
            lease_seconds=job_name.lease_seconds,
            limit_seconds=job_name.limit_seconds,
            not_before=not_before,
        )
        Job.objects.bulk_create([job], ignore_conflicts=bool(key))
        if key:
            # Without the conflict the row that holds the key is the one just made.
            holder = Job.objects.filter(
                key=key, state__in=(Job.State.QUEUED, Job.State.RUNNING)
            ).first()
            if holder is None:
                continue  # the other one ended between the two statements
            if holder.pk != job.pk:
                return holder
        if not_before is None:
            _wake_on_commit(job)
        return job


def cancel(*, subject_kind: str, subject_id: str | UUID, reason: str) -> int:
    """Cancel the open jobs of one subject and return how many there were.

    A job that is running loses its fence: whatever it computes is dropped. `reason` is a
    sentence for the person who looks the job up.
    """
    return Job.objects.filter(
        subject_kind=subject_kind,
        subject_id=str(subject_id),
        state__in=(Job.State.QUEUED, Job.State.RUNNING),
    ).update(state=Job.State.CANCELLED, lease_until=None, error=reason, finished_at=Now())


def retry(job: Job) -> None:
    """Queue a job again that failed or was refused, with as many attempts as at first.

    Attempts are counted on, never from zero, because their number is the fence.
    Raises Conflict when the job is in another state, or another open job has its key.
    """
    again = _DECLARED[job.name].max_attempts if job.name in _DECLARED else 1
    if job.key and Job.objects.filter(
        key=job.key, state__in=(Job.State.QUEUED, Job.State.RUNNING)
    ).exclude(pk=job.pk):
        raise Conflict(f"{job} is already being tried again. Wait for that job to end.")
    changed = Job.objects.filter(pk=job.pk, state__in=(Job.State.FAILED, Job.State.REFUSED)).update(
        state=Job.State.QUEUED,
        max_attempts=F("attempts") + again,
        not_before=None,
        dispatched_at=None,
        dispatches=0,
        error="",
        finished_at=None,
    )
    if changed != 1:
        raise Conflict(f"{job} cannot be tried again: only failed and refused jobs can.")
    _wake_on_commit(job)
    job.refresh_from_db()


# Doing work


def claim_next(*, queues: Iterable[str]) -> Job | None:
    """Take the oldest queued job of `queues` under a lease, or return None if there is none.

    Rows that another worker is claiming at this moment are skipped. The returned row's
    `attempts` is the fence of this claim.
    """
    with transaction.atomic():
        job = (
            Job.objects.select_for_update(skip_locked=True)
            .filter(is_due(), state=Job.State.QUEUED, queue__in=list(queues))
            .order_by("created_at", "id")
            .first()
        )
        if job is None:
            return None
        Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(
            state=Job.State.RUNNING,
            attempts=F("attempts") + 1,
            lease_until=in_seconds(job.lease_seconds),
            started_at=Coalesce("started_at", Now()),
            not_before=None,
            progress=0.0,
            note="",
            error="",
        )
        job.refresh_from_db()
    return job


def heartbeat(job: Job) -> bool:
    """Renew the lease of `job` and return True, or return False when it is no longer held."""
    renewed = _held(job).update(lease_until=in_seconds(job.lease_seconds))
    return renewed == 1


@dataclass
class JobRun:
    """One attempt at one job, as its handler sees it."""

    job: Job
    finished: bool = field(default=False, init=False)
    _reported_at: float = field(default=float("-inf"), init=False)

    def progress(self, fraction: float, note: str = "") -> None:
        """Report how much of the work is done: `fraction` from 0 to 1, and a few words.

        Written at most once a second, and only on the page: a database that is away for a
        moment does not disturb the work. Raises LeaseLost when the job is no longer held.
        """
        now = time.monotonic()
        if now - self._reported_at < _PROGRESS_EVERY_SECONDS:
            return
        self._reported_at = now
        _forget_broken_connection()
        try:
            held = _held(self.job).update(progress=min(max(fraction, 0.0), 1.0), note=note[:200])
        except OperationalError:
            log.warning("The progress of %s could not be written.", self.job, exc_info=True)
            return
        if held != 1:
            raise LeaseLost(self.job)

    def still_mine(self) -> bool:
        """Whether this attempt still holds the job."""
        return _held(self.job).exists()

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Finish the job and write its results, in one transaction.

        The job is marked as done first, on condition that this attempt still holds it; the
        body then writes. If the body raises, nothing is written and the job is still running.
        Raises LeaseLost before the body when the job is no longer held.
        """
        if self.finished:
            raise RuntimeError(f"{self.job} was already committed.")
        _wait_for_database()
        with transaction.atomic():
            done = _held(self.job).update(
                state=Job.State.DONE, progress=1.0, lease_until=None, finished_at=Now()
            )
            if done != 1:
                raise LeaseLost(self.job)
            yield
        self.finished = True


def record_error(run: JobRun, error: BaseException, *, on_failure: OnFailure | None = None) -> None:
    """Write down how an attempt ended that raised `error`.

    NotAllowed (a consent that does not cover this) makes the job refused. A WaverError that
    trying again cannot help makes it failed with its own sentence, and so does any other error
    with a true class attribute `permanent`. Everything else is tried again after a growing
    pause, until the attempts are used up. `on_failure` runs in the transaction that ends the
    job. Does nothing when the job is no longer held.
    """
    job = run.job
    if isinstance(error, NotAllowed):
        end_badly(job, Job.State.REFUSED, str(error), on_failure)
    elif _is_permanent(error):
        end_badly(job, Job.State.FAILED, str(error), on_failure)
    elif job.attempts >= job.max_attempts:
        sentence = (
            f"{_what(error)} This was attempt {job.attempts} of {job.max_attempts}, so it is not "
            "tried again by itself. Ask an administrator to look at the log of the worker."
        )
        end_badly(job, Job.State.FAILED, sentence, on_failure)
    else:
        pause = pause_after(job.attempts)
        sentence = f"{_what(error)} It will be tried again in {pause} seconds."
        queue_again(job, pause=pause, error=sentence)


def release(job: Job) -> bool:
    """Give a job back whose worker is being stopped; the attempt does not count.

    Returns False when the job is no longer held.
    """
    _wait_for_database(patience=_STOPPING_PATIENCE_SECONDS)
    given_back = _held(job).update(
        state=Job.State.QUEUED,
        lease_until=None,
        max_attempts=F("max_attempts") + 1,
        dispatched_at=None,
        dispatches=0,
    )
    return given_back == 1


def pause_after(attempts: int) -> int:
    """Return the seconds to wait after `attempts` (from 1) in vain: 5, 10, 20 and so on."""
    return int(min(5 * 2 ** (max(attempts, 1) - 1), _LONGEST_PAUSE_SECONDS))


# Parts


def _held(job: Job) -> QuerySet[Job]:
    """The row of `job` if this attempt holds it: at most one."""
    return Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, attempts=job.attempts)


def is_due() -> Q:
    """Give the condition that a job is not held back any longer."""
    return Q(not_before__isnull=True) | Q(not_before__lte=Now())


def in_seconds(seconds: float) -> ExpressionWrapper[Any]:
    """Give a moment by the database's clock, which all machines share."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def end_badly(job: Job, state: Job.State, sentence: str, on_failure: OnFailure | None) -> None:
    """End `job` as failed or refused with `sentence`, if this attempt still holds it."""
    _wait_for_database()
    with transaction.atomic():
        ended = _held(job).update(state=state, error=sentence, lease_until=None, finished_at=Now())
        if ended != 1:
            log.info("%s ended elsewhere; not recorded: %s", job, sentence)
            return
        job.refresh_from_db()
        if on_failure is not None:
            on_failure(job)


def queue_again(job: Job, *, pause: int, error: str) -> None:
    """Put `job` back in its queue for `pause` seconds from now, if this attempt still holds it."""
    _wait_for_database()
    _held(job).update(
        state=Job.State.QUEUED,
        lease_until=None,
        not_before=in_seconds(pause) if pause else None,
        dispatched_at=None,
        dispatches=0,
        error=error,
    )


def _is_permanent(error: BaseException) -> bool:
    if isinstance(error, WaverError):
        return not error.retry
    return bool(getattr(type(error), "permanent", False))


def _what(error: BaseException) -> str:
    if isinstance(error, WaverError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk for Waver's temporary files is full. Ask an administrator to free space."
    return f"Something unexpected went wrong ({type(error).__name__}: {error})."


def _wake_on_commit(job: Job) -> None:
    def send() -> None:  # no partial: Django names the function when it logs that it failed
        _wake_for(job.pk, job.queue)

    # Robust: the row is committed, so nothing that happens now may fail who asked for the job.
    transaction.on_commit(send, robust=True)


def _wake_for(pk: UUID, queue: str) -> None:
    """Send the wake-up call for a row that has just been committed, and note that on it."""
    if wake(queue):
        Job.objects.filter(pk=pk, state=Job.State.QUEUED).update(
            dispatched_at=Now(), dispatches=F("dispatches") + 1
        )


def _forget_broken_connection() -> None:
    """Drop a connection that has died in the meantime; the next query opens a new one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _wait_for_database(*, patience: float = _DATABASE_PATIENCE_SECONDS) -> None:
    """Wait until PostgreSQL answers, which it may not for a moment after a crash.

    Raises OperationalError after `patience` seconds. Inside a transaction there is nothing to
    wait for.
    """
    if connection.in_atomic_block:
        return
    deadline = time.monotonic() + patience
    while True:
        _forget_broken_connection()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return

"""Runs jobs: the registry of their handlers, and the loop that works off queues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

from django.db import connection

from waver.core import jobs
from waver.core.dispatch import wake
from waver.core.errors import IntegrityProblem
from waver.core.jobs import JobName, JobRun, LeaseLost, OnFailure
from waver.core.models import Job
from workers import stopping
from workers.guard import Guard

log = logging.getLogger(__name__)

Handler = Callable[[JobRun], None]

# After so many jobs a pool process lets Celery look at it, which replaces one that has grown.
_JOBS_PER_CALL = 20

_HANDLERS: dict[str, Handler] = {}
_ON_FAILURE: dict[str, OnFailure] = {}


def handles(
    job_name: JobName, *, on_failure: OnFailure | None = None
) -> Callable[[Handler], Handler]:
    """Register the decorated function as what does the jobs of `job_name`.

    The function gets a `JobRun`. It computes outside any transaction and writes inside
    `with run.commit():`; when it returns without, the job is simply done. `on_failure` gets the
    job in the transaction in which it fails or is refused. Raises ValueError for a second handler.
    """

    def register(handler: Handler) -> Handler:
        if _HANDLERS.setdefault(job_name.name, handler) is not handler:
            raise ValueError(f"The job {job_name.name} has two handlers.")
        if on_failure is not None:
            _ON_FAILURE[job_name.name] = on_failure
        return handler

    return register


def handlers() -> Mapping[str, Handler]:
    """Return every handler by the name of its job."""
    return MappingProxyType(_HANDLERS)


def failure_hooks() -> Mapping[str, OnFailure]:
    """Return what else to do when a job fails, by the name of the job."""
    return MappingProxyType(_ON_FAILURE)


def work(*, queues: Iterable[str]) -> int:
    """Claim and run jobs of `queues` until none is left; return how many ran.

    Stops early when this process was told to stop, and after a number of jobs, when it sends
    itself another wake-up call.
    """
    served = list(queues)
    for ran in range(_JOBS_PER_CALL):
        job = None if stopping.requested() else jobs.claim_next(queues=served)
        if job is None:
            return ran
        run(job, guarded=True)
    wake(served[0])
    return _JOBS_PER_CALL


def drain(*, queues: Iterable[str] = tuple(Job.Queue)) -> list[Job]:
    """Run every job that is due, in this thread and without a guard; return them as they ended.

    For tests and for command lines that work without a running stack.
    """
    served, ended = list(queues), []
    while (job := jobs.claim_next(queues=served)) is not None:
        run(job, guarded=False)
        job.refresh_from_db()
        ended.append(job)
    return ended


def run(job: Job, *, guarded: bool) -> None:
    """Run one claimed job and write down how it ended. Raises nothing that its handler raises."""
    this_run = JobRun(job)
    on_failure = _ON_FAILURE.get(job.name)
    guard: AbstractContextManager[None] = (
        Guard(this_run, on_failure=on_failure) if guarded else nullcontext()
    )
    try:
        with guard, stopping.interruptible():
            _handler_of(job)(this_run)
            if not this_run.finished:
                with this_run.commit():
                    log.debug("%s had nothing to write.", job)
    except stopping.Interrupted:
        connection.close()  # the interruption may have come in the middle of a query
        if jobs.release(job):
            log.info("%s goes back to its queue: this worker is being stopped.", job)
    except LeaseLost as lost:
        log.info("%s", lost)
    except Exception as error:
        log.warning("%s raised %s.", job, type(error).__name__, exc_info=error)
        jobs.record_error(this_run, error, on_failure=on_failure)


def _handler_of(job: Job) -> Handler:
    try:
        return _HANDLERS[job.name]
    except KeyError:
        raise IntegrityProblem(
            f"This worker has no handler for jobs named {job.name}. Restart the workers, so "
            "that they run the same version as the web server, and try the job again."
        ) from None

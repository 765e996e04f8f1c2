"""The thread beside a running job: it renews the lease, and ends what must not go on."""

from __future__ import annotations

import logging
import os
import threading
import time
from types import TracebackType

from django.db import DatabaseError, connection

from waver.core import jobs
from waver.core.models import Job
from workers import stopping
from workers.processes import kill_descendants

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
_GRACE_SECONDS = 10.0


class TookTooLong(Exception):
    """One attempt took longer than its kind of job may."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            f"it took longer than the {job.limit_seconds} seconds that {job.name} may take"
        )


class Guard:
    """Watches over `run` while the body of the `with` statement works on it.

    It renews the lease three times per lease. When the time limit passes, it records that; when
    the lease is lost, it drops the job; when the worker is being stopped, the job goes back. In
    each case the job is first interrupted, and if it sits in a library that does not return, the
    whole process ends. The process also ends when
    its parent has: an orphan must not work on.
    """

    def __init__(self, run: jobs.JobRun, *, on_failure: jobs.OnFailure | None = None) -> None:
        self._run = run
        self._on_failure = on_failure
        self._over = threading.Event()
        self._parent = os.getppid()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="job-guard", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            renewed_at = self._started
            while not self._over.wait(_TICK_SECONDS):
                now = time.monotonic()
                if os.getppid() != self._parent:
                    self._end_process("its worker is gone")
                elif stopping.requested():
                    self._end_job("its worker is being stopped")
                    return
                elif now - self._started > self._run.job.limit_seconds:
                    self._record_time_limit()
                    self._end_job("it took too long")
                    return
                elif now - renewed_at >= self._run.job.lease_seconds / 3:
                    if not self._renew():
                        self._end_job("it is no longer held by this attempt")
                        return
                    renewed_at = now
        finally:
            connection.close()  # this thread's own

    def _renew(self) -> bool:
        """Renew the lease. A database that is away is no reason to stop: it may come back."""
        job = self._run.job
        connection.close_if_unusable_or_obsolete()
        try:
            if jobs.heartbeat(job):
                return True
            return Job.objects.filter(
                pk=job.pk, attempts=job.attempts, state=Job.State.DONE
            ).exists()
        except DatabaseError:
            log.warning("The lease of %s could not be renewed.", job, exc_info=True)
            connection.close()
            return True

    def _record_time_limit(self) -> None:
        try:
            jobs.record_error(self._run, TookTooLong(self._run.job), on_failure=self._on_failure)
        except DatabaseError:
            # Its lease runs out, and the reconciler takes it from there.
            log.warning("The end of %s could not be recorded.", self._run.job, exc_info=True)

    def _end_job(self, why: str) -> None:
        log.info("Ending %s: %s.", self._run.job, why)
        stopping.interrupt_job()
        if not self._over.wait(_GRACE_SECONDS):
            self._end_process(why)

    def _end_process(self, why: str) -> None:
        log.error("Ending the process that runs %s: %s.", self._run.job, why)
        kill_descendants(os.getpid())
        os._exit(1)

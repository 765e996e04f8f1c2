"""The Celery tasks: work off the queues, put right what was lost, and start what is periodic.

The last two run on the queue `upkeep`, which no job ever occupies.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from waver.core import jobs, storage
from waver.core.dispatch import ENQUEUE_TASK, RECONCILE_TASK, WAKE_TASK
from waver.core.models import Job
from waver.core.reconcile import reconcile
from workers import runner
from workers.celery import app

_KEEP_PERIODIC = timedelta(hours=1)


@app.task(name=WAKE_TASK)  # type: ignore[untyped-decorator]  # Celery has no types
def work_off(queue: str) -> None:
    """Run jobs until none is left in the queues that this worker serves."""
    served = tuple(app.amqp.queues.consume_from) or (queue,)
    runner.work(queues=served)


@app.task(name=RECONCILE_TASK)  # type: ignore[untyped-decorator]  # Celery has no types
def reconcile_jobs() -> None:
    """Take back expired leases, send lost wake-up calls again, erase forgotten bytes."""
    reconcile(on_failure=runner.failure_hooks())
    storage.remove_forgotten()


@app.task(name=ENQUEUE_TASK)  # type: ignore[untyped-decorator]  # Celery has no types
def enqueue_periodic(name: str) -> None:
    """Enqueue the job `name`, which has no subject, unless one is still open.

    For entries of CELERY_BEAT_SCHEDULE: `{"task": "workers.enqueue", "args": [name]}`.
    Its rows that were done over an hour ago are deleted, as nobody needs them.
    """
    jobs.enqueue(jobs.declared()[name], subject_kind="periodic", subject_id=name, key=name)
    Job.objects.filter(
        name=name,
        subject_kind="periodic",
        state=Job.State.DONE,
        finished_at__lt=timezone.now() - _KEEP_PERIODIC,
    ).delete()

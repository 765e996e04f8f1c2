"""The two Celery tasks: work off the queues, and put right what was lost."""

from __future__ import annotations

from waver.core.dispatch import RECONCILE_TASK, WAKE_TASK
from waver.core.reconcile import reconcile
from workers import runner
from workers.celery import app


@app.task(name=WAKE_TASK)
def work_off(queue: str) -> None:
    """Run jobs until none is left in the queues that this worker serves."""
    served = tuple(app.amqp.queues.consume_from) or (queue,)
    runner.work(queues=served)


@app.task(name=RECONCILE_TASK)
def reconcile_jobs() -> None:
    """Take back expired leases and send lost wake-up calls again."""
    reconcile(on_failure=runner.failure_hooks())

"""Putting right what crashed workers and lost messages left behind in the queues of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from waver.core.dispatch import wake
from waver.core.jobs import (
    OnFailure,
    end_badly,
    in_seconds,
    is_due,
    pause_after,
    queue_again,
)
from waver.core.models import Job

# One wake-up call empties a queue; a few let several processes share the work.
_CALLS_PER_QUEUE = 4


@dataclass(frozen=True)
class Reconciled:
    """What one round of `reconcile` found: numbers of jobs, and of wake-up calls sent."""

    queued_again: int
    failed: int
    calls: int


def reconcile(*, on_failure: Mapping[str, OnFailure] | None = None) -> Reconciled:
    """Put right what crashed workers and lost messages left behind. Safe to run twice at once.

    Jobs whose lease has expired are queued again, or failed when they have used up their
    attempts; `on_failure` maps job names to what else to do then. Queues with jobs that
    nobody has been told of, or not lately, get wake-up calls.
    """
    queued_again = failed = 0
    expired = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=Now())
    for pk in list(expired.values_list("pk", flat=True)):
        with transaction.atomic():
            job = expired.select_for_update(skip_locked=True).filter(pk=pk).first()
            if job is None:
                continue  # its worker was only slow, or somebody else reconciles it
            if job.attempts < job.max_attempts:
                pause = 0 if job.attempts == 1 else pause_after(job.attempts)
                queue_again(job, pause=pause, error="Its worker stopped; it starts again.")
                queued_again += 1
                continue
            times = "once" if job.attempts == 1 else f"{job.attempts} times"
            sentence = (
                f"Its worker stopped {times} in the middle of this job, so it is not tried again "
                "by itself. Ask an administrator to look at the log of the worker: the memory "
                "may not suffice, or the input may crash a library."
            )
            end_badly(job, Job.State.FAILED, sentence, (on_failure or {}).get(job.name))
            failed += 1
    return Reconciled(queued_again=queued_again, failed=failed, calls=_send_lost_calls())


def _send_lost_calls() -> int:
    """Call the workers of every queue that has jobs nobody was told of, or not lately.

    The pause between calls for the same job grows, so that a long queue makes no flood.
    """
    due: dict[str, list[UUID]] = {}
    waiting = Job.objects.filter(is_due(), state=Job.State.QUEUED)
    never = waiting.filter(dispatched_at__isnull=True)
    silent = waiting.none()
    for dispatches in range(1, 8):
        again = Q(dispatches=dispatches) if dispatches < 7 else Q(dispatches__gte=dispatches)
        silent |= waiting.filter(again, dispatched_at__lt=in_seconds(-2 * pause_after(dispatches)))
    for pk, queue in (never | silent).values_list("pk", "queue"):
        due.setdefault(queue, []).append(pk)
    calls = 0
    for queue, pks in due.items():
        sent = sum(wake(queue) for _ in pks[:_CALLS_PER_QUEUE])
        if sent:
            Job.objects.filter(pk__in=pks, state=Job.State.QUEUED).update(
                dispatched_at=Now(), dispatches=F("dispatches") + 1
            )
        calls += sent
    return calls

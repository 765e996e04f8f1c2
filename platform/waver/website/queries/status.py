"""What an administrator sees: programs, queues, workers' leases, storage, models.

Nothing here names a participant or a file: why a recording failed is for its study to read.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from waver.accounts.models import User
from waver.core.models import Blob, Job
from waver.recordings.models import ModelCard
from waver.stack import status as stack_status
from waver.studies.models import Study
from waver.website.queries import jobs

FAR_BEHIND = timedelta(minutes=2)


@dataclass(frozen=True)
class QueueLine:
    """One queue. `oldest_wait` is how long its first job has been waiting for a worker."""

    name: str
    queued: int
    running: int
    done_today: int
    failed_today: int
    lease_late: int
    last_finished: datetime | None
    oldest_wait: timedelta | None

    @property
    def state(self) -> str:
        """Say in a word how the queue's workers are."""
        if self.lease_late:
            return "failed"
        if self.oldest_wait and self.oldest_wait > FAR_BEHIND and not self.running:
            return "attention"
        return "running" if self.running else "done"

    @property
    def sentence(self) -> str:
        """Say what that means and what to do."""
        if self.lease_late:
            return (
                f"{self.lease_late} job(s) lost their worker; they are taken back and tried again "
                "by themselves within seconds. If this stays, look at the worker's log."
            )
        if self.state == "attention":
            return "Work is waiting and nobody takes it: check that a worker serves this queue."
        return "Working." if self.running else "Nothing to do."


@dataclass(frozen=True)
class Storage:
    """Stored bytes, and what the disk still holds."""

    files: int
    size: int
    erased: int
    free: int
    total: int

    @property
    def used_share(self) -> float:
        """Give the used share of the disk, 0 to 1."""
        return 1 - self.free / self.total if self.total else 0.0


@dataclass(frozen=True)
class Failure:
    """A job that failed. `why` is empty for a recording's, whose sentence may hold a file name."""

    title: str
    finished_at: datetime | None
    subject: str
    why: str


@dataclass(frozen=True)
class Status:
    """Everything on the status page. `stack` is None where no supervisor runs (production)."""

    stack: stack_status.Status | None
    queues: list[QueueLine]
    open_jobs: list[jobs.JobLine]
    failed_jobs: list[Failure]
    storage: Storage
    cards: QuerySet[ModelCard]
    studies: int
    people: int


def status() -> Status:
    """Read the state of the house."""
    open_rows = Job.objects.filter(state__in=jobs.OPEN).order_by("-state", "created_at")[:12]
    return Status(
        stack=stack_status.read_status(Path(settings.VAR)),
        queues=queue_lines(),
        open_jobs=[_without_person(line) for line in jobs.lines(list(open_rows))],
        failed_jobs=_failures(),
        storage=_storage(),
        cards=ModelCard.objects.order_by("code", "-created_at"),
        studies=Study.objects.count(),
        people=User.objects.filter(is_active=True).count(),
    )


def _failures() -> list[Failure]:
    rows = Job.objects.filter(state=Job.State.FAILED).order_by("-finished_at")[:10]
    return [
        Failure(
            title=jobs.title_of(row.name),
            finished_at=row.finished_at,
            subject=f"{row.subject_kind} {row.subject_id}",
            why="" if row.name.startswith("recordings.") else row.error,
        )
        for row in rows
    ]


def queue_lines() -> list[QueueLine]:
    """Count each queue's jobs, in one query."""
    now = timezone.now()
    today = Q(finished_at__gte=now - timedelta(hours=24))
    rows = {
        row["queue"]: row
        for row in Job.objects.order_by()
        .values("queue")
        .annotate(
            queued=Count("pk", filter=Q(state="queued")),
            running=Count("pk", filter=Q(state="running")),
            done_today=Count("pk", filter=Q(state="done") & today),
            failed_today=Count("pk", filter=Q(state="failed") & today),
            lease_late=Count("pk", filter=Q(state="running", lease_until__lt=now)),
            last_finished=Max("finished_at"),
            oldest=Min(
                "created_at",
                filter=Q(state="queued") & (Q(not_before=None) | Q(not_before__lte=now)),
            ),
        )
    }
    found = []
    for queue in Job.Queue.values:
        row: dict[str, Any] = {**rows.get(queue, {})}
        oldest = row.get("oldest")
        found.append(
            QueueLine(
                name=queue,
                queued=row.get("queued", 0),
                running=row.get("running", 0),
                done_today=row.get("done_today", 0),
                failed_today=row.get("failed_today", 0),
                lease_late=row.get("lease_late", 0),
                last_finished=row.get("last_finished"),
                oldest_wait=now - oldest if oldest else None,
            )
        )
    return found


def _without_person(line: jobs.JobLine) -> jobs.JobLine:
    """An administrator sees that work goes on, not about whom."""
    return replace(line, about="", recording_id=None)


def _storage() -> Storage:
    totals = Blob.objects.aggregate(
        files=Count("pk", filter=Q(erased_at=None)),
        size=Sum("size", filter=Q(erased_at=None)),
        erased=Count("pk", filter=Q(erased_at__isnull=False)),
    )
    folder = Path(settings.VAR)
    disk = shutil.disk_usage(folder if folder.exists() else folder.anchor)
    return Storage(
        files=totals["files"],
        size=totals["size"] or 0,
        erased=totals["erased"],
        free=disk.free,
        total=disk.total,
    )

"""What every app stands on: jobs, the audit chain, stored bytes."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from waver.core.ids import new_id


class Row(models.Model):
    """Base of every table: a key that sorts by time, and when the row was made."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True


class Job(Row):
    """One piece of work. This row is the truth; the broker's message is only a wake-up call."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        REFUSED = "refused"
        CANCELLED = "cancelled"

    class Queue(models.TextChoices):
        CPU = "cpu"
        GPU = "gpu"
        IO = "io"

    name = models.CharField(max_length=80)
    subject_kind = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=80)
    payload = models.JSONField(default=dict, blank=True)
    key = models.CharField(max_length=200, blank=True)
    queue = models.CharField(max_length=8, choices=Queue.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    lease_seconds = models.PositiveIntegerField(default=60)
    limit_seconds = models.PositiveIntegerField(default=3600)
    lease_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    dispatches = models.PositiveIntegerField(default=0)
    progress = models.FloatField(default=0.0)
    note = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=["queued", "running"]) & ~Q(key=""),
                name="job_key_unique_while_open",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False),
                name="job_running_has_lease",
            ),
        ]
        indexes = [
            models.Index(
                fields=["queue", "created_at"],
                condition=Q(state="queued"),
                name="job_queued",
            ),
            models.Index(
                fields=["lease_until"], condition=Q(state="running"), name="job_running_lease"
            ),
            models.Index(fields=["subject_kind", "subject_id"], name="job_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.subject_kind} {self.subject_id} ({self.state})"


class AuditEntry(models.Model):
    """One thing that happened, chained to the one before. Values are copied, never foreign keys.

    No personal data stands in an entry: digests and pseudonymous ids only, or erasure would
    break the chain.
    """

    seq = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=120)
    verb = models.CharField(max_length=60)
    object_kind = models.CharField(max_length=60)
    object_id = models.CharField(max_length=80)
    detail = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        indexes = [models.Index(fields=["object_kind", "object_id"], name="audit_object")]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.verb} {self.object_kind}"


class Blob(Row):
    """Stored bytes, addressed by their SHA-256. `references` counts the assets that use them."""

    sha256 = models.CharField(max_length=64, unique=True)
    size = models.PositiveBigIntegerField()
    references = models.PositiveIntegerField(default=0)
    key_id = models.CharField(max_length=80, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.sha256[:12]} ({self.size} bytes)"

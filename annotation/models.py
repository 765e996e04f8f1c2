"""Codebooks, who labels what, and the raters' work as it came: immutable rows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from waver.core.models import Row
from waver.recordings.models import Recording
from waver.studies.models import Study, StudyDesign


class CodebookVersion(Row):
    """One version of a codebook, as the file that it came from. Never changed, only superseded."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="codebooks")
    code = models.SlugField(max_length=60)
    version = models.PositiveIntegerField()
    text = models.TextField()  # the YAML file, as it was
    sha256 = models.CharField(max_length=64)
    supersedes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["study", "code", "version"], name="codebook_version_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} version {self.version}"


class Batch(Row):
    """Recordings sent to raters together, with one codebook version and one pass."""

    class State(models.TextChoices):
        DRAFT = "draft"
        PUBLISHING = "publishing"
        OPEN = "open"
        CLOSED = "closed"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="batches")
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT, related_name="batches")
    pass_id = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    error = models.TextField(blank=True)
    # Sentences for the researcher: which recordings were left out, and why.
    notes = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        constraints = [
            models.UniqueConstraint(
                fields=["study", "pass_id", "number"], name="batch_number_unique"
            )
        ]


class RemoteProject(Row):
    """One rater's Label Studio project for one batch: nobody else can address it."""

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="projects")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    remote_id = models.PositiveBigIntegerField(unique=True)
    # The newest change in Label Studio that was collected, by Label Studio's clock.
    reconciled_to = models.DateTimeField(null=True, blank=True)
    # When the webhook called last.
    woken_at = models.DateTimeField(null=True, blank=True)
    # When all ids were last compared, by ours.
    compared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "rater"], name="project_one_per_rater")
        ]


class Assignment(Row):
    """One rater is asked to label one recording, once, in one arm. Its id is what raters see."""

    class State(models.TextChoices):
        PLANNED = "planned"
        SENT = "sent"
        RETURNED = "returned", "Sent back to the rater"
        SUBMITTED = "submitted"
        WITHDRAWN = "withdrawn"

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="assignments")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="assignments")
    rater = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments"
    )
    arm = models.CharField(max_length=10, choices=StudyDesign.Arm.choices)
    order = models.PositiveIntegerField()
    repeat = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PLANNED)
    return_reason = models.TextField(blank=True)
    # The opaque name under which Label Studio asks for the media.
    media_token = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "recording", "rater", "repeat"], name="assignment_once"
            )
        ]
        indexes = [models.Index(fields=["rater", "state"], name="assignment_rater_state")]


class RemoteTask(Row):
    """Which Label Studio task carries an assignment."""

    assignment = models.OneToOneField(
        Assignment, on_delete=models.CASCADE, related_name="remote_task"
    )
    project = models.ForeignKey(RemoteProject, on_delete=models.CASCADE, related_name="tasks")
    remote_id = models.PositiveBigIntegerField(unique=True)


class Annotation(Row):
    """What a rater submitted, as it came. A later version supersedes it; nothing is overwritten."""

    class Verdict(models.TextChoices):
        ACCEPTED = "accepted"
        REJECTED = "rejected", "Sent back: does not fit the codebook"
        DELETED = "deleted", "Deleted by the rater in Label Studio"

    class Route(models.TextChoices):
        WEBHOOK = "webhook"
        POLL = "poll"

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, related_name="annotations")
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT)
    remote_id = models.PositiveBigIntegerField()
    remote_updated_at = models.DateTimeField()
    version = models.PositiveIntegerField()  # 1, 2, ... per assignment
    raw = models.JSONField()
    raw_sha256 = models.CharField(max_length=64)
    lead_time_us = models.BigIntegerField(null=True, blank=True)
    received_by = models.CharField(max_length=8, choices=Route.choices)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.TextField(blank=True)
    is_synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["assignment", "version"], name="annotation_version_unique"
            ),
            models.UniqueConstraint(
                fields=["assignment", "remote_id", "raw_sha256", "remote_updated_at"],
                name="annotation_stored_once",
            ),
        ]


class Segment(Row):
    """A labelled stretch of one annotation, in microseconds of the recording's clock."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="segments")
    start_us = models.BigIntegerField()
    end_us = models.BigIntegerField()
    label = models.CharField(max_length=60)
    certainty = models.PositiveIntegerField(null=True, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["start_us"]
        constraints = [
            models.CheckConstraint(
                condition=Q(end_us__gt=F("start_us")) & Q(start_us__gte=0),
                name="segment_span_forward",
            )
        ]


class SegmentCue(Row):
    """A cue that a rater saw or heard in a segment."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="cues")
    modality = models.CharField(max_length=40)
    cue = models.CharField(max_length=60)


class ClipLabel(Row):
    """A label of a whole recording: a choice, one of several choices, or a point on a scale."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="clip_labels")
    scale = models.CharField(max_length=60)  # the label's id in the codebook
    value = models.CharField(max_length=120)
    confidence = models.FloatField(null=True, blank=True)

"""Codebooks, who labels what, and the raters' work as it came: immutable rows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from waver.consent.models import Participant
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
    # What became of labels that the superseded version had and this one has not, as written in the
    # file: renamed, merged or split. Empty when no label was orphaned.
    migration = models.JSONField(null=True, blank=True)

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

    class Kind(models.TextChoices):
        WORK = "work", "Real work"
        TRAINING = "training", "Training: answers are shown, nothing counts"
        QUALIFICATION = "qualification", "Qualification: must be passed before real work"

    kind = models.CharField(max_length=14, choices=Kind.choices, default=Kind.WORK)
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
    # When the webhook called for the first time since the last look began; empty if it has not.
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
        TAKEN_BACK = "taken_back", "Given to another rater"

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="assignments")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="assignments")
    rater = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments"
    )
    arm = models.CharField(max_length=10, choices=StudyDesign.Arm.choices)
    order = models.PositiveIntegerField()
    # 0 for the first time, 1 for a blind repeat by the same rater; repeats never enter agreement.
    repeat = models.PositiveIntegerField(default=0)
    # A blind control whose answer is known (GoldItem); it never enters agreement or a release.
    is_gold = models.BooleanField(default=False)
    # Whether the recording was drawn to be coded by several raters, and how probable that was:
    # weights for agreement are its inverse.
    in_reliability_sample = models.BooleanField(default=True)
    inclusion_probability = models.FloatField(default=1.0)
    # The unfinished assignment of an absent rater that this one took over.
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaced_by"
    )
    # The pre-labels that the rater was sent, as Label Studio's result; empty in the blind arm.
    prelabels = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PLANNED)
    return_reason = models.TextField(blank=True)
    # The opaque name under which Label Studio asks for the media.
    media_token = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "recording", "rater", "repeat"], name="assignment_once"
            ),
            models.CheckConstraint(
                condition=Q(inclusion_probability__gt=0) & Q(inclusion_probability__lte=1),
                name="assignment_probability_above_0",
            ),
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
        IMPORT = "import", "Brought in from another program"

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, related_name="annotations")
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT)
    remote_id = models.PositiveBigIntegerField(null=True, blank=True)  # empty: imported
    remote_updated_at = models.DateTimeField()
    version = models.PositiveIntegerField()  # 1, 2, ... per assignment
    # How many deletions of the assignment came before: what stands after one is stored anew.
    after_deletions = models.PositiveIntegerField(default=0)
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
                fields=[
                    "assignment",
                    "remote_id",
                    "raw_sha256",
                    "remote_updated_at",
                    "after_deletions",
                ],
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
    """A cue that a rater saw or heard in a segment, or a number or choice given for it."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="cues")
    modality = models.CharField(max_length=40)
    cue = models.CharField(max_length=120)
    confidence = models.FloatField(null=True, blank=True)  # how sure the rater is of this cue
    grade = models.CharField(max_length=40, blank=True)  # how strong it is: an intensity


class SegmentText(Row):
    """A description that a rater wrote about a segment: a clue and its reason. Personal data."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="texts")
    question = models.CharField(max_length=40)
    text = models.TextField()


class ClipLabel(Row):
    """A label of a whole recording: a choice, one of several, a point on a scale, or a text."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="clip_labels")
    scale = models.CharField(max_length=60)  # the label's id in the codebook
    value = models.TextField()
    confidence = models.FloatField(null=True, blank=True)
    grade = models.CharField(max_length=40, blank=True)  # how strong it is: an intensity


class GoldItem(Row):
    """A recording whose answer is known, set by a lead: for training, qualification and control."""

    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT, related_name="gold")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="gold")
    pass_id = models.CharField(max_length=40)
    # {"segments": [{start_us, end_us, label, certainty, cues}], "clip_labels": [{scale, value}]}
    answer = models.JSONField()
    rationale = models.TextField()
    set_by = models.CharField(max_length=120)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["codebook", "recording", "pass_id"],
                condition=Q(retired_at__isnull=True),
                name="gold_one_answer",
            ),
            models.CheckConstraint(condition=~Q(rationale=""), name="gold_has_rationale"),
        ]


class RaterNotice(Row):
    """A text that raters of a study read about what is recorded of their work, as it was then."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="rater_notices")
    sha256 = models.CharField(max_length=64)
    text = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "sha256"], name="rater_notice_once")
        ]


class RaterProfile(Row):
    """What a study knows of one of its raters: a data subject too, and told so before any work."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="rater_profiles")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="rater_profiles"
    )
    languages = models.JSONField(default=list, blank=True)  # empty: every language of the study
    absent_from = models.DateField(null=True, blank=True)
    absent_until = models.DateField(null=True, blank=True)
    # When the rater read what is recorded about their work, why, and for how long.
    notice_read_at = models.DateTimeField(null=True, blank=True)
    notice_sha256 = models.CharField(max_length=64, blank=True)
    # When what was kept about the rater was removed, its time being over; work after it counts.
    figures_removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "user"], name="rater_profile_once")]


class RaterConflict(Row):
    """A participant whom a rater must not judge: they know each other, for example."""

    profile = models.ForeignKey(RaterProfile, on_delete=models.CASCADE, related_name="conflicts")
    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="rater_conflicts"
    )
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["profile", "participant"], name="conflict_once")
        ]


class Qualification(Row):
    """How a rater did in a pass's qualification. A later row stands in the place of an earlier."""

    profile = models.ForeignKey(
        RaterProfile, on_delete=models.CASCADE, related_name="qualifications"
    )
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT)
    pass_id = models.CharField(max_length=40)
    # The set that was judged: once, when its last recording came in.
    batch = models.ForeignKey(Batch, null=True, blank=True, on_delete=models.PROTECT)
    n = models.PositiveIntegerField()
    agreed = models.FloatField()  # share of n
    minimum = models.FloatField()
    passed = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["profile", "batch"], name="qualification_once_per_set")
        ]


class Adjudication(Row):
    """A decision on one disputed item, kept beside the raw labels. A later row supersedes it.

    It feeds consensus, never agreement.
    """

    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="adjudications")
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT)
    pass_id = models.CharField(max_length=40)
    # A segment label, a question, or question/answer where a question allows several answers.
    label = models.CharField(max_length=90)
    # The disputed interval; both empty for a label of the whole recording.
    start_us = models.BigIntegerField(null=True, blank=True)
    end_us = models.BigIntegerField(null=True, blank=True)
    value = models.CharField(max_length=120)  # for a segment label: present or absent
    # Where a segment label is present within the disputed interval; empty where it is absent.
    decided_start_us = models.BigIntegerField(null=True, blank=True)
    decided_end_us = models.BigIntegerField(null=True, blank=True)
    rationale = models.TextField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    # The annotations that were looked at, by id: a decision on other ones is out of date.
    looked_at = models.JSONField(default=list)
    supersedes = models.ForeignKey("self", null=True, blank=True, on_delete=models.RESTRICT)
    is_synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(rationale=""), name="adjudication_has_rationale"),
            models.CheckConstraint(
                condition=Q(start_us__isnull=True, end_us__isnull=True)
                | Q(start_us__gte=0, end_us__gt=F("start_us")),
                name="adjudication_span_forward",
            ),
            models.CheckConstraint(
                condition=Q(decided_start_us__isnull=True, decided_end_us__isnull=True)
                | Q(
                    decided_start_us__gte=F("start_us"),
                    decided_end_us__gt=F("decided_start_us"),
                    decided_end_us__lte=F("end_us"),
                ),
                name="adjudication_decides_inside",
            ),
            # One first decision per item, and one later one for each: decisions form a chain.
            models.UniqueConstraint(fields=["supersedes"], name="adjudication_superseded_once"),
            models.UniqueConstraint(
                fields=["recording", "codebook", "pass_id", "label", "start_us", "end_us"],
                condition=Q(supersedes__isnull=True),
                nulls_distinct=False,
                name="adjudication_first_once",
            ),
        ]

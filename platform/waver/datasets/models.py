"""Frozen snapshots, the gate's verdicts, releases and what they consist of."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Annotation, CodebookVersion
from waver.consent.models import Participant
from waver.core.models import Row
from waver.recordings.models import Recording
from waver.studies.models import Study


class Snapshot(Row):
    """A frozen set of annotations of one codebook version: what the gate looks at."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="snapshots")
    codebook = models.ForeignKey(CodebookVersion, on_delete=models.PROTECT)
    number = models.PositiveIntegerField()
    annotations = models.ManyToManyField(Annotation, related_name="snapshots")
    sha256 = models.CharField(max_length=64)  # over annotations, raters, recordings and arms
    frozen_by = models.CharField(max_length=120)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["study", "number"], name="snapshot_number_unique")
        ]


class Statistic(Row):
    """Additive sufficient statistics of one label and one participant in a snapshot.

    A withdrawal subtracts the participant's row.
    """

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="statistics")
    label = models.CharField(max_length=80)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    values = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "label", "participant"], name="statistic_unique"
            )
        ]


class GatePolicy(Row):
    """What a label must reach before it may be released, as the file that it came from."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="gate_policies")
    text = models.TextField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "gate policies"
        constraints = [
            models.UniqueConstraint(fields=["study", "sha256"], name="policy_once_per_study")
        ]


class GateRun(Row):
    """One look at one snapshot under one policy. Looks are counted; a receipt records it."""

    class Verdict(models.TextChoices):
        PASS = "pass", "Pass"
        TENTATIVE = "tentative", "Tentative"
        FAIL = "fail", "Fail"
        UNDETERMINED = "undetermined", "Undetermined"
        WAIVED = "waived", "Waived"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="gate_runs")
    policy = models.ForeignKey(GatePolicy, on_delete=models.PROTECT)
    look = models.PositiveIntegerField()
    # PASS when at least one label passes and no label that the policy requires is blocked.
    verdict = models.CharField(max_length=12, choices=Verdict.choices)
    sentence = models.TextField()
    # Per label: verdict, reasons, values, intervals, n; versions and the seed.
    receipt = models.JSONField()
    signature = models.CharField(max_length=128)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "policy"], name="gate_once_per_snapshot_and_policy"
            )
        ]


class Waiver(Row):
    """Somebody with the right to do so lets a blocked label out, for a reason, for a while."""

    gate_run = models.ForeignKey(GateRun, on_delete=models.PROTECT, related_name="waivers")
    label = models.CharField(max_length=80)
    waived_by = models.CharField(max_length=120)
    reason = models.TextField()
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gate_run", "label"], name="waiver_once_per_label"),
            models.CheckConstraint(condition=~Q(reason=""), name="waiver_has_reason"),
        ]


class SplitAssignment(Row):
    """A participant's fold in a study. It never moves between releases."""

    class Fold(models.TextChoices):
        TRAIN = "train"
        VALIDATION = "val"
        TEST = "test"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="splits")
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    fold = models.CharField(max_length=8, choices=Fold.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "participant"], name="split_once")]


class ReleaseCode(Row):
    """The name that a participant or a rater has in every release of a study.

    It is drawn by lot and never derived from the code in use inside, so that nobody can get from
    one to the other without this row; erasing the person destroys it.
    """

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="release_codes")
    participant = models.ForeignKey(Participant, null=True, blank=True, on_delete=models.CASCADE)
    rater = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE
    )
    code = models.CharField(max_length=20)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "code"], name="release_code_unique"),
            models.UniqueConstraint(
                fields=["study", "participant"],
                condition=Q(participant__isnull=False),
                name="release_code_once_per_participant",
            ),
            models.UniqueConstraint(
                fields=["study", "rater"],
                condition=Q(rater__isnull=False),
                name="release_code_once_per_rater",
            ),
            models.CheckConstraint(
                condition=Q(participant__isnull=True) ^ Q(rater__isnull=True),
                name="release_code_names_one",
            ),
        ]


class Release(Row):
    """A published version of a dataset: immutable, except that leaves become tombstones."""

    class State(models.TextChoices):
        BUILDING = "building"
        PUBLISHED = "published"
        HELD = "held", "Held back until a withdrawal is carried out"
        FAILED = "failed"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="releases")
    gate_run = models.ForeignKey(GateRun, on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=20)
    purpose = models.CharField(max_length=16)  # a consent purpose: research, challenge
    state = models.CharField(max_length=12, choices=State.choices, default=State.BUILDING)
    root = models.CharField(max_length=64, blank=True)  # of the manifest's hash tree
    folder = models.CharField(max_length=80, blank=True)  # its name below the releases' folder
    figures = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["study", "version", "purpose"], name="release_version_unique"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["published", "held"]) | ~Q(root=""),
                name="release_published_has_root",
            ),
        ]


class Leaf(Row):
    """One participant's share of one logical object in a release. The salt dies on erasure."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="leaves")
    index = models.PositiveIntegerField()
    participant = models.ForeignKey(Participant, null=True, blank=True, on_delete=models.SET_NULL)
    recording = models.ForeignKey(Recording, null=True, blank=True, on_delete=models.SET_NULL)
    logical_object = models.CharField(max_length=255)
    content_sha256 = models.CharField(max_length=64, blank=True)
    salt = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    tombstone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["release", "index"], name="leaf_index_unique")
        ]


class Container(Row):
    """A file of a release that mixes participants, made by a pinned builder."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="containers")
    path = models.CharField(max_length=255)
    builder = models.CharField(max_length=80)  # name and version
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["release", "path"], name="container_path_unique")
        ]


class Figure(Row):
    """One participant's part of what a picture of a snapshot shows: sums, never single answers.

    A picture is the sum over those who still take part, so a withdrawal is a subtraction here too.
    """

    class Kind(models.TextChoices):
        RATERS = "raters", "Agreement of every two raters"
        CONFUSION = "confusion", "Labels mistaken for each other"
        ARMS = "arms", "With and without pre-labels"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="figures")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    label = models.CharField(max_length=100)  # as in Statistic; for segments, the pass as well
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    values = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "kind", "label", "participant"], name="figure_unique"
            )
        ]


class RecordingDisagreement(Row):
    """How far apart the raters of one recording are about one label of a snapshot."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="disagreements")
    label = models.CharField(max_length=100)  # as in Statistic
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    raters = models.PositiveIntegerField()
    # Share of rater pairs that say different things; over time for segments, 0 to 1.
    share = models.FloatField()
    # What the list is ordered by: the share, for segments times the recording's length in µs.
    amount = models.FloatField()
    # Time in which not all raters said the same; empty for labels of the whole recording.
    disputed_us = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "label", "recording"], name="disagreement_unique"
            )
        ]
        indexes = [models.Index(fields=["snapshot", "label", "-amount"], name="disagreement_worst")]

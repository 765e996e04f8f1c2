"""A study: its design, its prompts, its people."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from waver.core.models import Row
from waver.studies.access import StudyQuerySet


class Study(Row):
    """A study and what its ethics approval allows."""

    class Setting(models.TextChoices):
        LAB = "lab", "Laboratory"
        HOME = "home", "Home"
        EDUCATION = "education", "Education"
        WORKPLACE = "workplace", "Workplace"
        HEALTH = "health", "Health care"

    class Exemption(models.TextChoices):
        NONE = "none", "None recorded"
        RESEARCH_ONLY = "research_only", "Developed and used solely for scientific research"
        PRE_MARKET = "pre_market", "Research before any market, not in real-world use"

    code = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=200)
    setting = models.CharField(max_length=12, choices=Setting.choices)
    jurisdictions = models.JSONField(default=list, blank=True)
    languages = models.JSONField(default=list, blank=True)
    ethics_approval = models.CharField(max_length=120, blank=True)
    ethics_expires_on = models.DateField(null=True, blank=True)
    intended_use = models.TextField(blank=True)
    # A study in education or at work gets no emotion inference without one (EU AI Act, 5(1)(f)).
    exemption = models.CharField(max_length=16, choices=Exemption.choices, default=Exemption.NONE)
    exemption_reviewed_by = models.CharField(max_length=120, blank=True)
    is_synthetic = models.BooleanField(default=False)

    objects = StudyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "studies"
        constraints = [
            models.CheckConstraint(
                condition=Q(exemption="none") | ~Q(exemption_reviewed_by=""),
                name="study_exemption_names_reviewer",
            )
        ]

    def __str__(self) -> str:
        return self.title


class Prompt(Row):
    """What a participant is asked. The expected response never reaches a rater or participant."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="prompts")
    order = models.PositiveIntegerField()
    text = models.JSONField(default=dict)  # language code -> text
    expected_response = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(fields=["study", "order"], name="prompt_order_unique")
        ]

    def __str__(self) -> str:
        return f"Prompt {self.order}"


class Membership(Row):
    """A person's role in a study."""

    class Role(models.TextChoices):
        LEAD = "lead", "Lead"
        CONSENT_MANAGER = "consent_manager", "Consent manager"
        RESEARCHER = "researcher", "Researcher"
        ANNOTATOR = "annotator", "Annotator"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=20, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "user", "role"], name="membership_unique")
        ]


class StudyDesign(Row):
    """How a study is annotated: overlap, arms, seed."""

    class Arm(models.TextChoices):
        BLIND = "blind", "Without pre-labels"
        PRELABEL = "prelabel", "With pre-labels shown"

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="design")

    class Overlap(models.TextChoices):
        FULL = "full", "Every recording to the same number of raters"
        SAMPLE = "sample", "One rater each, and a random sample to several"

    overlap = models.CharField(max_length=8, choices=Overlap.choices, default=Overlap.FULL)
    # Raters for each recording; under SAMPLE, for each recording of the reliability sample.
    raters_per_recording = models.PositiveIntegerField(default=3)
    # Under SAMPLE: the share of recordings drawn to be coded by several raters.
    reliability_share = models.FloatField(default=0.2)
    # Control items mixed into a rater's work, as shares of it: with a known answer, and repeated.
    gold_share = models.FloatField(default=0.0)
    repeat_share = models.FloatField(default=0.0)
    # How many other items lie between a recording and its repeat, at least.
    repeat_gap = models.PositiveIntegerField(default=50)
    # How many recordings a rater may submit in one day; empty for no limit.
    daily_limit = models.PositiveIntegerField(null=True, blank=True)
    # The share of the qualification's labels that must equal the known answers before real work;
    # empty for no qualification.
    qualification_minimum = models.FloatField(null=True, blank=True)
    # Whether labels from the pre-label arm may enter consensus, each such item flagged.
    consensus_takes_prelabelled = models.BooleanField(default=False)
    # How long figures about single raters are kept after their last work.
    rater_figures_days = models.PositiveIntegerField(default=365)
    # Share of recordings whose raters see the cue candidates; the rest is annotated blind.
    prelabel_share = models.FloatField(default=0.0)
    passes = models.JSONField(default=list)  # pass ids of the codebook, in order
    seed = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(prelabel_share__gte=0) & Q(prelabel_share__lte=1),
                name="design_share_between_0_and_1",
            ),
            models.CheckConstraint(
                condition=Q(raters_per_recording__gte=1), name="design_has_raters"
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{share}__gte": 0, f"{share}__lte": 1}),
                    name=f"design_{share}_between_0_and_1",
                )
                for share in (
                    "reliability_share",
                    "gold_share",
                    "repeat_share",
                    "qualification_minimum",
                )
            ),
        ]

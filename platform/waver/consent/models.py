"""Participants and what they agreed to. Evidence is append-only and never cascade-deleted.

Triggers in the first migration refuse UPDATE and DELETE on documents in force, items, records,
answers and events.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from waver.core.models import Row
from waver.studies.models import Study


class Purpose(models.TextChoices):
    """What a participant's data may be used for; each is asked separately."""

    PROCESS = "process", "Store and prepare the recording"
    INFER = "infer", "Let computer models mark possible cues"
    ANNOTATE = "annotate", "Let trained raters watch and label the recording"
    RESEARCH = "research", "Share the recording with other research teams"
    CHALLENGE = "challenge", "Use the recording in a research challenge"
    PUBLICATION = "publication", "Show pictures of me in scientific publications"


class Participant(Row):
    """Somebody who takes part, known here by a pseudonymous code only."""

    data_subject = True  # rows that lead here by foreign keys are personal data, see core.holders

    class State(models.TextChoices):
        ACTIVE = "active"
        WITHDRAWN = "withdrawn"
        ERASED = "erased"

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="participants")
    code = models.CharField(max_length=40)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACTIVE)
    is_synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study", "code"], name="participant_code_unique")
        ]

    def __str__(self) -> str:
        return self.code


class ConsentDocument(Row):
    """One version of a consent form, in one language."""

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="consent_documents")
    version = models.PositiveIntegerField()
    language = models.CharField(max_length=12)
    title = models.CharField(max_length=200)
    body = models.TextField()
    approved_by = models.CharField(max_length=120)
    effective_from = models.DateTimeField()
    supersedes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT)
    sha256 = models.CharField(max_length=64)  # over title, body and items

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["study", "version", "language"], name="document_version_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.title}, version {self.version} ({self.language})"


class ConsentItem(Row):
    """One thing that is asked. There is no default answer: nothing is ever pre-ticked."""

    document = models.ForeignKey(ConsentDocument, on_delete=models.PROTECT, related_name="items")
    order = models.PositiveIntegerField()
    code = models.SlugField(max_length=40)
    text = models.TextField()
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    required = models.BooleanField()

    class Meta:
        ordering = ["order"]
        constraints = [
            models.UniqueConstraint(fields=["document", "code"], name="item_code_unique")
        ]

    def __str__(self) -> str:
        return self.text


class ConsentRecord(Row):
    """A participant answered a document."""

    class Channel(models.TextChoices):
        WEB = "web", "On the web"
        PAPER = "paper", "On paper, entered by staff"

    participant = models.ForeignKey(
        Participant, on_delete=models.PROTECT, related_name="consent_records"
    )
    document = models.ForeignKey(ConsentDocument, on_delete=models.PROTECT, related_name="records")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    presented_at = models.DateTimeField()
    given_at = models.DateTimeField()
    entered_by = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)  # over document hash, answers and times

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(given_at__gte=F("presented_at")), name="record_given_after_presented"
            )
        ]

    def __str__(self) -> str:
        return f"{self.participant} on {self.given_at:%Y-%m-%d}"


class ConsentAnswer(Row):
    """The answer to one item: yes or no, never absent by accident."""

    record = models.ForeignKey(ConsentRecord, on_delete=models.PROTECT, related_name="answers")
    item = models.ForeignKey(ConsentItem, on_delete=models.PROTECT, related_name="answers")
    value = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["record", "item"], name="answer_once_per_item")
        ]


class ConsentEvent(Row):
    """What happened to a participant's consent, in order. The state follows from these rows."""

    class Type(models.TextChoices):
        GIVEN = "given"
        REFUSED = "refused"
        WITHDRAWN_PURPOSE = "withdrawn_purpose", "Withdrawn for one purpose"
        WITHDRAWN_ALL = "withdrawn_all", "Withdrawn"
        ERASED = "erased"

    participant = models.ForeignKey(
        Participant, on_delete=models.PROTECT, related_name="consent_events"
    )
    type = models.CharField(max_length=20, choices=Type.choices)
    record = models.ForeignKey(
        ConsentRecord, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    purpose = models.CharField(max_length=16, choices=Purpose.choices, blank=True)
    effective_at = models.DateTimeField()
    actor = models.CharField(max_length=120)
    sequence = models.PositiveIntegerField()  # per participant, from 1
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "sequence"], name="event_sequence_unique"
            )
        ]


class ConsentState(Row):
    """Derived from the events: since when a purpose is allowed, and until when it was."""

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="consent_states"
    )
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    allowed = models.BooleanField()
    # Recordings made at this moment or later are covered; earlier ones never are.
    given_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "purpose"], name="state_one_per_purpose")
        ]


class Restriction(Row):
    """A stretch of an asset that must not be used. Restrictions of one asset never overlap.

    The first migration adds the exclusion constraint.
    """

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="restrictions"
    )
    recording_id = models.UUIDField(db_index=True)
    start_us = models.BigIntegerField()
    end_us = models.BigIntegerField()
    reason = models.CharField(max_length=200)
    made_by = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(start_us__gte=0) & Q(end_us__gt=F("start_us")),
                name="restriction_span_forward",
            )
        ]

"""Rows for tests, made the way the product makes them: consent by its services, bytes by storage.

Every factory fills what a test does not name. Pass `study=` to keep rows in one study.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import factory
from factory.django import DjangoModelFactory, Password

from annotation.models import Annotation, Assignment, Batch, ClipLabel, CodebookVersion, Segment
from waver.accounts.models import User
from waver.consent.models import Participant, Purpose
from waver.core import storage
from waver.recordings.models import (
    Asset,
    CueCandidate,
    ModelCard,
    ModelRun,
    Recording,
    SensorChannel,
    Take,
)
from waver.studies.models import Membership, Prompt, Study, StudyDesign

PASSWORD = "a-password-for-tests"
GIVEN_AT = datetime(2024, 3, 1, 9, 0, tzinfo=UTC)
RECORDED_AT = datetime(2024, 3, 1, 10, 0, tzinfo=UTC)

SMALL_CODEBOOK = """\
schema: waver.codebook/1
id: small
version: 1
title: A small codebook for tests
languages: [en]
source: Made for the tests.
passes:
  - id: clip
    unit: clip
    title: The whole answer
    instructions: Watch the whole answer, then answer.
    questions:
      - id: present
        kind: exclusive
        title: Hesitancy
        required: true
        values:
          - {id: "no", title: Not present, hotkey: "n", export: 0}
          - {id: "yes", title: Present, hotkey: "y", export: 1}
  - id: main
    unit: segment
    title: Where it happens
    instructions: Mark every stretch that shows it.
    labels:
      - id: hesitancy
        title: Hesitancy
        hotkey: "1"
        colour: "#c2410c"
        export: 1
    candidates: hesitancy
    overlap: forbidden
"""


class UserFactory(DjangoModelFactory):
    """Somebody who can sign in with PASSWORD."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    email = factory.LazyAttribute(lambda o: f"{o.username}@example.org")
    password = Password(PASSWORD)


class StudyFactory(DjangoModelFactory):
    """A laboratory study with a design. `design={...}` sets fields of the design."""

    class Meta:
        model = Study
        skip_postgeneration_save = True

    code = factory.Sequence(lambda n: f"study-{n}")
    title = factory.Sequence(lambda n: f"Study {n}")
    setting = Study.Setting.LAB
    languages = ["en"]
    jurisdictions = ["EU"]
    ethics_approval = "REB 2024-17"

    @factory.post_generation
    def design(
        self: Study, create: bool, extracted: Mapping[str, Any] | None, **fields: Any
    ) -> None:
        StudyDesign.objects.create(
            study=self, **{"passes": ["main"], **(extracted or {}), **fields}
        )


class PromptFactory(DjangoModelFactory):
    """One question of a study."""

    class Meta:
        model = Prompt

    study = factory.SubFactory(StudyFactory)
    order = factory.LazyAttribute(lambda o: o.study.prompts.count() + 1)
    text = factory.LazyAttribute(lambda o: {"en": f"Question {o.order}?"})
    expected_response = "ambivalence"


class MembershipFactory(DjangoModelFactory):
    """A person's role in a study, researcher by default."""

    class Meta:
        model = Membership

    study = factory.SubFactory(StudyFactory)
    user = factory.SubFactory(UserFactory)
    role = Membership.Role.RESEARCHER


class ParticipantFactory(DjangoModelFactory):
    """A participant who has not been asked for consent yet."""

    class Meta:
        model = Participant

    study = factory.SubFactory(StudyFactory)
    code = factory.Sequence(lambda n: f"P{n:04d}")


def consented_participant(
    study: Study | None = None,
    code: str | None = None,
    purposes: Iterable[str] = tuple(Purpose),
    given_at: datetime = GIVEN_AT,
) -> Participant:
    """Give a participant who said yes to `purposes`, and no to the others, at `given_at`.

    Goes through the consent services: document, record, answers, chained events, derived state.
    """
    from waver.consent import services

    study = study or StudyFactory()
    participant = ParticipantFactory(study=study, **({"code": code} if code else {}))
    document = study.consent_documents.first() or services.publish_document(
        study=study,
        language="en",
        title="Consent for tests",
        body="What taking part means.",
        items=[
            services.ItemText(code=purpose.value, text=purpose.label, purpose=purpose)
            for purpose in Purpose
        ],
        approved_by="A reviewer",
        effective_from=datetime(2000, 1, 1, tzinfo=UTC),
    )
    yes = {Purpose(purpose) for purpose in purposes}
    services.record_consent(
        participant=participant,
        document=document,
        answers={purpose.value: purpose in yes for purpose in Purpose},
        presented_at=given_at - timedelta(minutes=10),
        given_at=given_at,
        entered_by="tests",
        channel="paper",
    )
    return participant


class TakeFactory(DjangoModelFactory):
    """One participant answering one prompt once."""

    class Meta:
        model = Take

    participant = factory.LazyFunction(consented_participant)
    prompt = factory.LazyAttribute(lambda o: PromptFactory(study=o.participant.study))
    recorded_at = RECORDED_AT


class RecordingFactory(DjangoModelFactory):
    """A recording that is ready for annotation: 10 s, 300 frames at 30 per second, 640 × 480.

    `participant`, `prompt` and `recorded_at` go to its take.
    """

    class Meta:
        model = Recording

    class Params:
        participant: Participant | None = None
        prompt: Prompt | None = None
        recorded_at = RECORDED_AT

    study = factory.LazyAttribute(
        lambda o: o.participant.study if o.participant else StudyFactory()
    )
    take = factory.LazyAttribute(
        lambda o: TakeFactory(
            participant=o.participant or consented_participant(o.study),
            prompt=o.prompt or PromptFactory(study=o.study),
            recorded_at=o.recorded_at,
        )
    )
    state = Recording.State.READY
    original_name = factory.Sequence(lambda n: f"recording-{n}.mp4")
    original_sha256 = factory.Sequence(
        lambda n: hashlib.sha256(f"original {n}".encode()).hexdigest()
    )
    duration_us = 10_000_000
    frame_count = 300
    rate_numerator = 30
    rate_denominator = 1
    width = 640
    height = 480

    @classmethod
    def _generate(cls, strategy: str, params: dict[str, Any]) -> Recording:
        if "take" in params:
            params.setdefault("study", params["take"].participant.study)
        return super()._generate(strategy, params)


def stored_blob(data: bytes) -> Any:
    """Store `data` through the storage interface and take a reference to it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        return storage.acquire(storage.put(path))


class AssetFactory(DjangoModelFactory):
    """Bytes that belong to a recording: `data` is really stored."""

    class Meta:
        model = Asset

    class Params:
        data = b"not really a video, but bytes all the same"

    recording = factory.SubFactory(RecordingFactory)
    kind = Asset.Kind.PROXY
    blob = factory.LazyAttribute(lambda o: stored_blob(o.data))
    media_type = "video/mp4"
    made_by = factory.LazyFunction(lambda: {"stage": "tests", "version": 1})


def sensor_recording(
    take: Take, *, offset_us: int = 0, data: bytes = b"samples", **channel: Any
) -> Recording:
    """Give the sensors of a take: one channel, “EDA” in µS at 4 per second for 10 s, or another.

    `data` stands for the stored samples where a test does not read them.
    """
    row = RecordingFactory(
        take=take,
        view=Recording.View.PHYSIOLOGY,
        offset_us=offset_us,
        frame_count=None,
        rate_numerator=None,
        rate_denominator=None,
        original_name="wrist.csv",
    )
    outline = {"start_us": 0, "bucket_us": 1_000_000, "low": [0.1] * 10, "high": [0.9] * 10}
    AssetFactory(recording=row, kind=Asset.Kind.SIGNALS, data=data)
    AssetFactory(
        recording=row,
        kind=Asset.Kind.SIGNAL_OUTLINE,
        data=json.dumps({"channels": [outline]}).encode(),
    )
    SensorChannel.objects.create(
        recording=row,
        **{
            "number": 0,
            "name": "EDA",
            "unit": "µS",
            "rate_numerator": 4,
            "rate_denominator": 1,
            "samples": 40,
            "start_us": 0,
            "end_us": 10_000_000,
            "minimum": 0.1,
            "maximum": 0.9,
            **channel,
        },
    )
    return row


class ModelCardFactory(DjangoModelFactory):
    """The card of a rule that marks recordings."""

    class Meta:
        model = ModelCard

    code = factory.Sequence(lambda n: f"rule-{n}")
    version = "1"
    kind = "rule"
    describes = "A rule for tests."
    licence = "GPL-3.0-or-later"
    sha256 = factory.LazyAttribute(lambda o: hashlib.sha256(o.code.encode()).hexdigest())


class ModelRunFactory(DjangoModelFactory):
    """A rule applied to a recording."""

    class Meta:
        model = ModelRun

    card = factory.SubFactory(ModelCardFactory)
    recording = factory.SubFactory(RecordingFactory)
    coverage = 1.0
    seconds = 0.1
    device = "cpu"


class CueCandidateFactory(DjangoModelFactory):
    """One second, two seconds in, that a rule marked."""

    class Meta:
        model = CueCandidate

    run = factory.SubFactory(ModelRunFactory)
    recording = factory.SelfAttribute("run.recording")
    start_us = 2_000_000
    end_us = 3_000_000
    cue = "long_pause"
    score = 0.5
    detail = "A pause of 1.0 s within the answer."


class CodebookVersionFactory(DjangoModelFactory):
    """A codebook version of a study. `text` is the YAML file."""

    class Meta:
        model = CodebookVersion

    study = factory.SubFactory(StudyFactory)
    code = "small"
    version = factory.LazyAttribute(lambda o: o.study.codebooks.filter(code=o.code).count() + 1)
    text = factory.LazyAttribute(
        lambda o: SMALL_CODEBOOK.replace("version: 1", f"version: {o.version}", 1)
    )
    sha256 = factory.LazyAttribute(lambda o: hashlib.sha256(o.text.encode()).hexdigest())


class BatchFactory(DjangoModelFactory):
    """An open batch."""

    class Meta:
        model = Batch

    study = factory.SubFactory(StudyFactory)
    codebook = factory.LazyAttribute(
        lambda o: (
            o.study.codebooks.order_by("-version").first() or CodebookVersionFactory(study=o.study)
        )
    )
    pass_id = "main"
    number = factory.LazyAttribute(lambda o: o.study.batches.count() + 1)
    state = Batch.State.OPEN


class AssignmentFactory(DjangoModelFactory):
    """One rater asked to label one recording, blind. Batch and recording share a study."""

    class Meta:
        model = Assignment

    batch = factory.SubFactory(BatchFactory)
    recording = factory.LazyAttribute(lambda o: RecordingFactory(study=o.batch.study))
    rater = factory.LazyAttribute(lambda o: _annotator(o.batch.study))
    arm = StudyDesign.Arm.BLIND
    order = factory.LazyAttribute(lambda o: o.batch.assignments.filter(rater=o.rater).count() + 1)
    state = Assignment.State.SENT
    media_token = factory.Sequence(lambda n: hashlib.sha256(f"token {n}".encode()).hexdigest())

    @classmethod
    def _generate(cls, strategy: str, params: dict[str, Any]) -> Assignment:
        if "recording" in params and "batch" not in params and "batch__study" not in params:
            params["batch__study"] = params["recording"].study
        return super()._generate(strategy, params)


def _annotator(study: Study) -> User:
    return MembershipFactory(study=study, role=Membership.Role.ANNOTATOR).user


class AnnotationFactory(DjangoModelFactory):
    """An accepted annotation.

    `segments` is a list of `(start_us, end_us, label)` or of dictionaries of Segment's fields,
    `clip_labels` a dictionary scale -> value (or a list of values).
    """

    class Meta:
        model = Annotation
        skip_postgeneration_save = True

    assignment = factory.SubFactory(AssignmentFactory)
    codebook = factory.SelfAttribute("assignment.batch.codebook")
    remote_id = factory.Sequence(lambda n: n + 1)
    remote_updated_at = RECORDED_AT + timedelta(days=1)
    version = factory.LazyAttribute(lambda o: o.assignment.annotations.count() + 1)
    raw = factory.LazyFunction(lambda: {"result": []})
    raw_sha256 = factory.LazyAttribute(
        lambda o: hashlib.sha256(
            json.dumps([o.remote_id, o.version, o.raw], sort_keys=True).encode()
        ).hexdigest()
    )
    lead_time_us = 60_000_000
    received_by = Annotation.Route.POLL
    verdict = Annotation.Verdict.ACCEPTED

    @factory.post_generation
    def segments(self: Annotation, create: bool, extracted: Any, **_: Any) -> None:
        for segment in extracted or ():
            fields = (
                segment
                if isinstance(segment, Mapping)
                else dict(zip(("start_us", "end_us", "label"), segment, strict=True))
            )
            Segment.objects.create(annotation=self, **fields)

    @factory.post_generation
    def clip_labels(self: Annotation, create: bool, extracted: Any, **_: Any) -> None:
        for scale, values in (extracted or {}).items():
            for value in [values] if isinstance(values, str) else values:
                ClipLabel.objects.create(annotation=self, scale=scale, value=value)

"""One of everything that a page can show, in one study."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from django.test import Client

from annotation.codebooks import shipped
from annotation.models import Assignment, Batch, CodebookVersion
from tests.factories import (
    AnnotationFactory,
    AssetFactory,
    AssignmentFactory,
    BatchFactory,
    CodebookVersionFactory,
    CueCandidateFactory,
    PromptFactory,
    RecordingFactory,
    UserFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.consent.models import Participant
from waver.datasets import policies, receipts
from waver.datasets.models import GatePolicy, GateRun, Release, Snapshot
from waver.recordings.models import Asset, FaceTrack, Recording
from waver.recordings.quality import rules as quality_rules
from waver.studies.models import Membership, Study

VIDEO = bytes(range(256)) * 8
FIGURES = {
    "usable_face_share": 0.9, "face_size_px": 61.5, "people": 1.0, "brightness": 118.0,
    "voice_level_dbfs": -24.0, "snr_db": {"undefined": "No speech was found."}, "duration_s": 10.0,
}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """What was made."""

    participant: Participant
    recording: Recording
    proxy: Asset
    batch: Batch
    assignment: Assignment
    gate_run: GateRun
    release: Release


def make_material(study: Study, annotator: User) -> Material:
    """Make a recording with a proxy, a batch with an annotation, a gate run and a release."""
    participant = consented_participant(study, code="VOICE-0001")
    recording = RecordingFactory(
        participant=participant,
        prompt=PromptFactory(study=study, expected_response="reluctance-expected-here"),
        original_name="ada-lovelace-private.mp4",
        notes=["It has no sound."],
    )
    proxy = AssetFactory(recording=recording, data=VIDEO)
    FaceTrack.objects.create(
        recording=recording, number=1, start_us=0, end_us=10_000_000, usable_share=0.9,
        mean_score=0.8, is_participant=True,
    )  # fmt: skip
    CueCandidateFactory(run__recording=recording)
    quality_rules.record(recording, FIGURES)
    batch = BatchFactory(study=study, codebook=bah_codebook(study), pass_id="segments")
    assignment = AssignmentFactory(batch=batch, recording=recording, rater=annotator)
    AnnotationFactory(
        assignment=assignment,
        segments=[{"start_us": 1_000_000, "end_us": 2_500_000, "label": "ah", "certainty": 2}],
    )
    Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.SUBMITTED)
    gate_run = make_gate_run(study, batch.codebook)
    make_pictures(gate_run, assignment)
    release = Release.objects.create(
        study=study, gate_run=gate_run, version="1.0.0", purpose="research",
        state=Release.State.PUBLISHED, root="ab" * 32, folder="voices-1.0.0-research",
    )  # fmt: skip
    return Material(participant, recording, proxy, batch, assignment, gate_run, release)


def make_pictures(gate_run: GateRun, *assignments: Assignment) -> None:
    """Put assignments' labels into the look's snapshot and compute its pictures."""
    from waver.datasets import figures

    for assignment in assignments:
        gate_run.snapshot.annotations.add(*assignment.annotations.all())
    figures.store(gate_run, figures.compute(gate_run))


def bah_codebook(study: Study) -> CodebookVersion:
    """Give the study the BAH codebook that ships with Waver."""
    return study.codebooks.filter(code="bah").first() or CodebookVersionFactory(
        study=study, code="bah", text=shipped()["bah"].read_text(encoding="utf-8")
    )


def second_rater(material: Material, *, is_synthetic: bool = False) -> User:
    """Add another rater, who marked something else in the same recording."""
    rater = UserFactory(username="grace.hopper", is_synthetic=is_synthetic)
    Membership.objects.create(
        study=material.batch.study, user=rater, role=Membership.Role.ANNOTATOR
    )
    AnnotationFactory(
        assignment=AssignmentFactory(
            batch=material.batch,
            recording=material.recording,
            rater=rater,
            state=Assignment.State.SUBMITTED,
        ),
        segments=[(4_000_000, 6_000_000, "ah")],
        is_synthetic=is_synthetic,
    )
    return rater


def interval(low: float, high: float) -> dict[str, object]:
    """Give an interval in the form of a receipt."""
    return {"low": low, "high": high, "level": 0.95, "method": "cluster bootstrap, bca"}


def label_of_receipt(**changes: object) -> dict[str, object]:
    """Give one label's part of a receipt, in the gate's form."""
    return {
        "verdict": "pass",
        "sentence": "For these raters, “segments/ah” passes: alpha 0.812.",
        "reasons": [],
        "lower": 0.701,
        "error": 0.008333333333,
        "required": 0.667,
        "data": "segments",
        "metric": "alpha",
        "scale": "nominal",
        "alpha": 0.812,
        "interval": {
            "low": 0.742,
            "high": 0.871,
            "level": 0.95,
            "method": "cluster bootstrap, bca",
        },
        "without_one_rater": [0.79, 0.83],
        "cross_check": {"package": "krippendorff", "alpha": 0.812, "difference": 1.1e-16},
        "prevalence": 0.18,
        "n": {"participants": 12, "recordings": 24, "raters": 3},
        "report": {"fleiss": 0.81, "gwet": 0.84, "pabak": 0.83, "percent": 0.91},
        **changes,
    }


def make_gate_run(
    study: Study, codebook: CodebookVersion, *, number: int = 1, signature: str = "", **more: object
) -> GateRun:
    """Store a signed look of the gate: one label passes, one is blocked, one is undetermined."""
    labels = {
        "segments/ah": label_of_receipt(tick_us=40_000),
        "video/certainty": label_of_receipt(
            verdict="fail", alpha=-0.04, lower=-0.21, without_one_rater=[-0.11, 0.06],
            interval=interval(-0.19, 0.12),
            sentence="For these raters, “video/certainty” fails: alpha -0.040.",
            reasons=["The lower end that counts is -0.210; 0.667 is needed."],
        ),
        "video/ah": label_of_receipt(
            verdict="undetermined", alpha={"undefined": "one value only"}, lower=None,
            interval={"undefined": "one value only"}, without_one_rater=None, prevalence=None,
            cross_check={"package": "krippendorff", "alpha": None, "difference": None},
            sentence="For these raters, nothing can be said about “video/ah”.",
            reasons=["Everybody always gave the same value."],
        ),
    }  # fmt: skip
    text = f"{policies.shipped('demonstration')}# {number}\n"  # one policy of a text in a study
    policy = GatePolicy.objects.create(
        study=study, text=text, sha256=hashlib.sha256(text.encode()).hexdigest()
    )
    receipt = {
        "schema": "waver.receipt/1",
        "snapshot": {"number": number, "sha256": "cd" * 32},
        "policy": {"demonstration": True, "sha256": policy.sha256},
        "look": {"number": 1, "allowed": 3, "error": 0.008333333333},
        "labels": labels,
        **more,
    }
    snapshot = Snapshot.objects.create(
        study=study, codebook=codebook, number=number, sha256="cd" * 32, frozen_by="tests"
    )
    return GateRun.objects.create(
        snapshot=snapshot,
        policy=policy,
        look=1,
        verdict=GateRun.Verdict.PASS,
        sentence="Pass. For these raters, 1 of 3 labels may be released: segments/ah.",
        receipt=receipt,
        signature=signature or receipts.sign(receipt),
    )


def status_of(client: Client, path: str, method: str = "get") -> int:
    """Ask for an address and give the answer's status."""
    return int(getattr(client, method)(path).status_code)


def some_id() -> UUID:
    """Give an id that no row has."""
    return UUID("00000000-0000-7000-8000-000000000000")

"""The factories make rows that the database accepts and the product could have made."""

from __future__ import annotations

import pytest

from annotation.codebooks.loader import load
from tests.factories import (
    AnnotationFactory,
    AssetFactory,
    AssignmentFactory,
    CodebookVersionFactory,
    CueCandidateFactory,
    MembershipFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from waver.consent import policy
from waver.core import storage
from waver.core.subjects import Subject


@pytest.mark.django_db
def test_a_recording_is_consented_dated_and_ready():
    study = StudyFactory(design={"prelabel_share": 0.5})
    participant = consented_participant(study, code="P9")
    recording = RecordingFactory(participant=participant)
    assert recording.study == study == recording.take.prompt.study
    assert recording.participant.code == "P9"
    assert recording.rate == 30
    assert study.design.prelabel_share == 0.5
    subject = Subject(participant.pk, None, "original", recording.take.recorded_at)
    assert policy.decide("annotate", subject)


@pytest.mark.django_db
def test_an_asset_s_bytes_are_really_stored(storage_folder):
    asset = AssetFactory(data=b"twelve bytes")
    assert b"".join(storage.open_range(asset.blob)) == b"twelve bytes"
    assert asset.blob.references == 1


@pytest.mark.django_db
def test_an_annotation_has_its_segments_and_stays_in_one_study():
    annotation = AnnotationFactory(
        segments=[(1_000_000, 2_000_000, "hesitancy")], clip_labels={"present": "yes"}
    )
    assert [s.label for s in annotation.segments.all()] == ["hesitancy"]
    assert annotation.clip_labels.get().value == "yes"
    assert annotation.assignment.recording.study == annotation.assignment.batch.study
    recording = RecordingFactory()
    assert AssignmentFactory(recording=recording).batch.study == recording.study
    assert CueCandidateFactory().recording is not None
    assert MembershipFactory().role == "researcher"


@pytest.mark.django_db
def test_a_codebook_version_holds_a_codebook_that_can_be_read():
    study = StudyFactory()
    first, second = CodebookVersionFactory(study=study), CodebookVersionFactory(study=study)
    assert (load(first.text).version, load(second.text).version) == (1, 2)
    assert {one.id for one in load(first.text).passes} == {"clip", "main"}

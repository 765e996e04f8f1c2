from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tests.factories import GIVEN_AT, StudyFactory, consented_participant
from tests.recordings.conftest import stored_bytes
from waver.consent import services as consent
from waver.core import storage
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.core.models import AuditEntry, Blob, Job
from waver.recordings import services
from waver.recordings.models import Asset, Recording, Stage, Take

pytestmark = pytest.mark.django_db


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "answer.mp4"
    path.write_bytes(b"bytes of a recording")
    return path


def test_rows_original_and_job_are_there_together(receive, clip):
    recording = receive(clip)
    original = recording.assets.get(kind=Asset.Kind.ORIGINAL)
    assert b"".join(storage.open_range(original.blob)) == b"bytes of a recording"
    assert original.blob.sha256 == recording.original_sha256
    assert original.media_type == "video/mp4"
    assert set(recording.stages.values_list("name", "state")) == {
        (name, "waiting") for name in ("normalise", "faces", "speech", "cues", "quality")
    }
    job = Job.objects.get()
    assert (job.name, job.subject_id, job.state) == (
        "recordings.normalise",
        str(recording.pk),
        "queued",
    )


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"participant_code": "P9"}, Missing, "has no participant “P9”"),
        ({"prompt_order": 7}, Missing, "has no prompt 7 (it has: 1)"),
        ({"recorded_at": None}, ConsentRefused, "Give the time of recording"),
        ({"recorded_at": GIVEN_AT - timedelta(days=1)}, ConsentRefused, "before consent"),
        ({"recorded_at": timezone.now() + timedelta(days=1)}, BadInput, "in the future"),
        (
            {"recorded_at": datetime(2024, 3, 1, tzinfo=UTC).replace(tzinfo=None)},
            BadInput,
            "no time zone",
        ),
    ],
)
def test_what_may_not_be_taken_in_leaves_nothing_behind(receive, clip, stack, changes, error, says):
    with pytest.raises(error) as caught:
        receive(clip, **changes)
    assert says in caught.value.sentence
    assert stored_bytes(stack) == set()
    for model in (Recording, Take, Asset, Stage, Job, Blob):
        assert not model._default_manager.exists()


def test_a_refusal_stands_in_the_audit_chain(receive, clip):
    with pytest.raises(ConsentRefused):
        receive(clip, recorded_at=None)
    entry = AuditEntry.objects.get(verb="consent.refused")
    assert entry.detail["rule"] == "undated"


def test_a_file_that_is_not_there_is_missing(receive, clip):
    clip.unlink()
    with pytest.raises(Missing, match=r"answer\.mp4 is not there"):
        receive(clip)


def test_a_duplicate_names_the_earlier_recording(receive, clip, tmp_path, stack):
    receive(clip)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    with pytest.raises(services.Duplicate, match=r"copy\.mp4 .* answer\.mp4 of P1") as caught:
        receive(copy, code="P2")
    assert caught.value.earlier == Recording.objects.get()
    assert len(stored_bytes(stack)) == 1
    assert Blob.objects.get().references == 1


def test_two_studies_may_hold_the_same_file(receive, clip):
    receive(clip)
    other = StudyFactory()
    consented_participant(other, code="Q1")
    receive(clip, study=other, participant_code="Q1", prompt_order=None)
    assert Blob.objects.get().references == 2


def test_consent_that_ends_while_the_file_is_copied_stops_it(receive, clip, stack, monkeypatch):
    put = storage.put

    def put_and_withdraw(source):
        stored = put(source)
        participant = consent.Participant.objects.get(code="P1")
        consent.withdraw(participant=participant, actor="tests")
        return stored

    monkeypatch.setattr(services.storage, "put", put_and_withdraw)
    with pytest.raises(ConsentRefused, match="withdrawn"):
        receive(clip)
    assert stored_bytes(stack) == set()
    assert not Recording.objects.exists()


def test_only_a_recording_that_needs_a_decision_can_be_accepted(receive, clip):
    recording = receive(clip)
    with pytest.raises(Conflict, match="could not become"):
        services.accept(recording=recording, actor="tests")
    Recording.objects.update(state=Recording.State.ATTENTION)
    services.accept(recording=recording, actor="tests")
    assert recording.state == Recording.State.READY

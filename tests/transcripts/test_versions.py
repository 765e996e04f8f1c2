"""Versions of a transcript: kept, corrected, restored; never without consent, never overwritten."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from annotation.services import transcripts as for_raters
from tests.factories import RecordingFactory, StudyFactory, consented_participant
from waver.consent.models import Purpose, Restriction
from waver.consent.withdrawal import withdraw
from waver.core import holders, storage
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.core.models import AuditEntry, Blob
from waver.recordings.models import Asset, Recording, Transcript
from waver.recordings.timeline import timeline
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment

pytestmark = pytest.mark.django_db
S = 1_000_000
Source = Transcript.Source


def said(*texts: str) -> Said:
    return Said(tuple(Segment(n * S, (n + 1) * S, text) for n, text in enumerate(texts)), "en")


@pytest.fixture
def recording(storage_folder) -> Recording:
    participant = consented_participant(StudyFactory(code="s"), code="P1")
    return RecordingFactory(participant=participant)


def keep(recording: Recording, *texts: str, source=Source.IMPORTED, **more) -> versions.Kept:
    return versions.store(
        **{
            "recording": recording,
            "said": said(*texts),
            "source": source,
            "made_from": "WebVTT",
            "made_by": "ada",
            **more,
        }
    )


def test_the_highest_version_stands_and_the_asset_is_it(recording):
    assert versions.standing(recording) is None
    first = keep(recording, "I do").transcript
    second = keep(recording, "I don't", source=Source.CORRECTED, based_on=1).transcript
    assert (first.version, second.version) == (1, 2)
    assert versions.standing(recording) == second
    assert [row.version for row in versions.versions(recording)] == [2, 1]
    asset = recording.assets.get(kind=Asset.Kind.TRANSCRIPT)
    assert asset.blob == second.blob
    assert asset.made_by["version"] == 2
    # The older version's bytes are still there, and nothing is counted twice.
    assert versions.read(first, actor="t") == said("I do")
    assert list(Blob.objects.order_by("references").values_list("references", flat=True)) == [1, 2]
    assert for_raters.texts_of([recording.pk])[recording.pk] == "0:00  I don't"
    kept = AuditEntry.objects.filter(verb="transcript.kept").order_by("seq")
    assert [entry.detail["version"] for entry in kept] == [1, 2]
    assert "I do" not in json.dumps([entry.detail for entry in kept])


def test_the_timeline_draws_the_standing_version(recording):
    assert timeline(recording)["transcript"] is None
    keep(recording, "I do")
    drawn = timeline(recording)["transcript"]
    assert drawn == {
        "version": 1,
        "language": "en",
        "source": "imported",
        "segments": [{"start_us": 0, "end_us": S, "text": "I do", "speaker": ""}],
    }


def test_the_same_again_makes_no_new_version(recording):
    keep(recording, "one")
    keep(recording, "two", source=Source.CORRECTED)
    # An import that was kept before stays replaced by the correction.
    again = keep(recording, "one")
    assert (again.is_new, again.transcript.version) == (False, 1)
    assert not keep(recording, "two", source=Source.CORRECTED, based_on=2).is_new
    assert recording.transcripts.count() == 2
    # But who wants it in the correction's place gets it there, once.
    back = keep(recording, "one", replace=True)
    assert (back.is_new, back.transcript.version) == (True, 3)
    assert not keep(recording, "one", replace=True).is_new


def test_who_was_overtaken_is_told_and_nothing_is_lost(recording):
    keep(recording, "one")
    keep(recording, "two", source=Source.CORRECTED, based_on=1, made_by="grace")
    with pytest.raises(versions.Overtaken, match="grace saved version 2 meanwhile") as caught:
        keep(recording, "three", source=Source.CORRECTED, based_on=1)
    assert caught.value.standing.version == 2
    assert recording.transcripts.count() == 2
    assert keep(recording, "three", source=Source.CORRECTED, based_on=2).transcript.version == 3


def test_less_does_not_take_the_place_of_peoples_work(recording):
    keep(recording, "a model heard this", source=Source.MODEL)
    keep(recording, "a model heard that", source=Source.MODEL)
    keep(recording, "brought in")
    with pytest.raises(Conflict, match="does not take the place of people's work"):
        keep(recording, "a model again", source=Source.MODEL)
    keep(recording, "corrected", source=Source.CORRECTED)
    with pytest.raises(Conflict, match="ada corrected the transcript by hand"):
        keep(recording, "another import")
    assert keep(recording, "another import", replace=True).transcript.version == 5


def test_an_older_version_can_stand_again(recording):
    keep(recording, "one")
    keep(recording, "two", source=Source.CORRECTED)
    back = versions.restore(recording=recording, number=1, actor="grace", based_on=2).transcript
    assert (back.version, back.source, back.made_from) == (3, "corrected", "version 1")
    assert back.blob == versions.version(recording, 1).blob
    with pytest.raises(Missing, match="no version 9"):
        versions.restore(recording=recording, number=9, actor="grace", based_on=3)


@pytest.mark.django_db(transaction=True)  # or `on_commit` would not erase what is not kept
def test_what_does_not_fit_the_recording_is_refused(recording):
    with pytest.raises(BadInput, match="lies beyond the recording"):
        keep(recording, said=Said((Segment(0, 900 * S, "x"),)))
    Recording.objects.update(duration_us=None)
    recording.refresh_from_db()
    with pytest.raises(BadInput, match="has not been prepared"):
        keep(recording, "x")
    assert not Blob.objects.filter(references__gt=0).exists()


def test_without_consent_nothing_is_kept_and_the_refusal_is(recording, storage_folder):
    withdraw(participant=recording.participant, actor="t", purpose=Purpose.PROCESS)
    with pytest.raises(ConsentRefused, match="P1 withdrew consent"):
        keep(recording, "x")
    assert not recording.transcripts.exists()
    assert AuditEntry.objects.filter(verb="consent.refused", actor="ada").exists()
    assert not [path for path in storage_folder.rglob("*") if path.is_file()]


def test_a_stretch_that_must_not_be_used_is_not_transcribed(recording):
    Restriction.objects.create(
        participant=recording.participant, recording_id=recording.pk,
        start_us=1_500_000, end_us=2 * S, reason="a name is said",
    )  # fmt: skip
    with pytest.raises(ConsentRefused, match="must not be used"):
        keep(recording, "one", "two", "three")
    allowed = versions.without_restricted(recording, said("one", "two", "three"))
    assert allowed.text == "one three"
    assert keep(recording, said=allowed).is_new


def test_a_transcript_is_listed_erased_and_looked_for_again(recording):
    keep(recording, "one")
    keep(recording, "two", source=Source.CORRECTED)
    blobs = [row.blob for row in recording.transcripts.select_related("blob")]
    participant = recording.participant
    holder = next(each for each in holders.all_holders() if each.name == "recordings")
    kinds = [held.kind for held in holder.list(participant.pk)]
    assert {"transcript, version 1", "transcript, version 2", "asset transcript"} <= set(kinds)

    holder.erase(participant.pk)
    assert all(storage.verify_absent(blob) for blob in blobs)
    assert holder.verify_absent(participant.pk) == []
    assert not Transcript.objects.exists()


def test_two_recordings_with_the_same_words_share_no_fate(recording):
    other = RecordingFactory(
        participant=consented_participant(recording.study, code="P2"),
        original_sha256=uuid4().hex * 2,
    )
    keep(recording, "the same")
    keep(other, "the same")
    holder = next(each for each in holders.all_holders() if each.name == "recordings")
    holder.erase(recording.participant.pk)
    assert for_raters.texts_of([other.pk])[other.pk] == "0:00  the same"

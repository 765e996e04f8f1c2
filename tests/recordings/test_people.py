"""The participant's track, chosen by rule and corrected by hand."""

from __future__ import annotations

import io
import tarfile

import pyarrow.parquet as pq
import pytest

from tests.factories import AssetFactory
from tests.recordings.clips import two_faces_clip
from waver.consent import withdrawal
from waver.core import storage
from waver.core.errors import Conflict, ConsentRefused, Missing
from waver.core.models import AuditEntry, Blob
from waver.recordings import people, pipeline, services
from waver.recordings.models import Asset, Recording
from workers import runner
from workers.tasks import recordings as handlers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs]


@pytest.fixture
def recording(receive, tmp_path) -> Recording:
    made = receive(two_faces_clip(tmp_path / "two.mp4"))
    runner.drain()
    made.refresh_from_db()
    services.accept(recording=made, actor="tests")
    return made


def content(recording: Recording, kind: str, number: int = 0) -> bytes:
    row = recording.assets.select_related("blob").get(kind=kind, number=number)
    return b"".join(storage.open_range(row.blob))


def participant(recording: Recording) -> int:
    return recording.face_tracks.get(is_participant=True).number


def own_x(recording: Recording) -> float:
    rows = pq.read_table(io.BytesIO(content(recording, Asset.Kind.LANDMARKS))).to_pylist()
    return next(row["lm2x"] for row in rows if row["is_participant"])


def check_pictures(recording: Recording, *, first: int, other: int) -> None:
    """Every person has a sheet and a film, and only the participant crops."""
    kinds = [Asset.Kind.CONTACT_SHEET, Asset.Kind.FACE_PREVIEW]
    there = recording.assets.filter(kind__in=kinds).values_list("kind", "number")
    assert set(there) == {
        ("contact_sheet", 0),
        ("contact_sheet", other),
        ("face_preview", first),
        ("face_preview", other),
    }
    with tarfile.open(fileobj=io.BytesIO(content(recording, Asset.Kind.CROPS))) as tar:
        assert len(tar.getnames()) == recording.frame_count
    assert len(content(recording, Asset.Kind.FACE_PREVIEW, other)) < 200_000


def test_a_person_chosen_by_hand_is_the_participant_from_crops_to_cues(recording):
    by_rule, where = participant(recording), own_x(recording)
    (other,) = recording.face_tracks.filter(is_participant=False)
    check_pictures(recording, first=by_rule, other=other.number)
    people.choose_participant(recording=recording, track=other.number, actor="ada")
    recording.refresh_from_db()
    assert recording.participant_chosen["track"] == other.number
    runner.drain()

    recording.refresh_from_db()
    assert recording.state == Recording.State.READY, recording.error  # accepted once, and still
    assert participant(recording) == other.number
    check_pictures(recording, first=other.number, other=by_rule)
    assert abs(own_x(recording) - where) > 60
    made_by = recording.assets.get(kind=Asset.Kind.CROPS).made_by
    assert made_by["parameters"]["participant"] == other.number
    assert any("chosen by hand" in note for note in recording.notes)
    runs = {stage.name: stage.runs for stage in recording.stages.all()}
    assert (runs["normalise"], runs["faces"], runs["cues"], runs["quality"]) == (1, 2, 2, 2)
    entry = AuditEntry.objects.get(verb="recording.participant_chosen")
    assert (entry.actor, entry.detail) == ("ada", {"track": other.number})
    assert {blob.references for blob in Blob.objects.filter(erased_at=None)} == {1}

    # Choosing the same person again does nothing; going back to the rule undoes it.
    people.choose_participant(recording=recording, track=other.number, actor="ada")
    assert runner.drain() == []
    people.choose_by_rule(recording=recording, actor="ada")
    runner.drain()
    recording.refresh_from_db()
    assert recording.participant_chosen == {}
    assert participant(recording) == by_rule
    assert own_x(recording) == pytest.approx(where)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["looks", "version"])
def test_a_choice_among_other_tracks_is_not_applied_but_asks(recording, monkeypatch, change):
    by_rule = participant(recording)
    (other,) = recording.face_tracks.filter(is_participant=False)
    people.choose_participant(recording=recording, track=other.number, actor="ada")
    if change == "looks":
        monkeypatch.setattr(handlers, "LOOK_EVERY", handlers.LOOK_EVERY + 1)
    else:
        newer = {**recording.participant_chosen, "track": other.number, "stage_version": 1}
        recording.refresh_from_db()
        recording.participant_chosen = {**recording.participant_chosen, **newer}
        recording.save()
    runner.drain()

    recording.refresh_from_db()
    assert recording.state == Recording.State.ATTENTION
    assert f"Person {other.number} of two.mp4 was chosen by hand" in recording.error
    assert participant(recording) == by_rule
    people.choose_by_rule(recording=recording, actor="ada")
    runner.drain()
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY, recording.error


@pytest.fixture
def untouched(receive, face) -> Recording:
    """A recording that says it is ready, with two people in it, of which nothing was made."""
    made = receive(face)
    Recording.objects.filter(pk=made.pk).update(state=Recording.State.READY)
    for number in (1, 2):
        made.face_tracks.create(
            number=number,
            start_us=0,
            end_us=1,
            usable_share=1,
            mean_score=1,
            is_participant=number == 1,
        )
    return made


def test_nobody_is_chosen_who_is_not_there_or_while_it_is_prepared_or_without_consent(untouched):
    with pytest.raises(Missing, match=r"There is no person 99 in .*; there are: 1, 2"):
        people.choose_participant(recording=untouched, track=99, actor="ada")
    Recording.objects.filter(pk=untouched.pk).update(state=Recording.State.PROCESSING)
    with pytest.raises(Conflict, match="being prepared"):
        people.choose_participant(recording=untouched, track=2, actor="ada")
    Recording.objects.filter(pk=untouched.pk).update(state=Recording.State.READY)
    withdrawal.withdraw(participant=untouched.participant, actor="tests")
    with pytest.raises(ConsentRefused):
        people.choose_participant(recording=untouched, track=2, actor="ada")
    untouched.refresh_from_db()
    assert untouched.participant_chosen == {}
    assert not AuditEntry.objects.filter(verb="recording.participant_chosen").exists()
    assert AuditEntry.objects.filter(verb="consent.refused").exists()


def test_a_choice_is_applied_only_among_the_tracks_that_it_was_made_among(untouched):
    sha256, every = "a" * 64, 5
    proxy = AssetFactory(recording=untouched, kind=Asset.Kind.PROXY, data=b"its frames").blob.sha256
    chosen = {"track": 2, "detector_sha256": sha256, "look_every": every}

    def given(version: int, seen_in: str = proxy, **now) -> people.Choice:
        held = {**chosen, "stage_version": version, "seen_in": [seen_in]}
        Recording.objects.filter(pk=untouched.pk).update(participant_chosen=held)
        ways = {"detector_sha256": sha256, "look_every": every, **now}
        return people.choice_for(untouched.pk, **ways)

    assert people.Choice().parameters == {}
    version = pipeline.FACES.version
    assert given(version).parameters == {"participant": 2}
    assert given(version).applied == 2
    assert given(version).decision("a.mp4") == ""
    for other in (
        given(version - 1),
        given(version, look_every=1),
        given(version, detector_sha256="b"),
        given(version, "c" * 64),
    ):
        assert other.parameters == {"participant_outdated": 2}
        assert other.applied is None
        assert "Person 2 of a.mp4 was chosen by hand" in other.decision("a.mp4")

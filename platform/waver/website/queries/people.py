"""The people who were seen in a recording, as its page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from waver.recordings import pipeline
from waver.recordings.models import Asset, FaceTrack, Recording

_PICTURES = (Asset.Kind.CONTACT_SHEET, Asset.Kind.FACE_PREVIEW)


@dataclass(frozen=True)
class Person:
    """One track. `sheet` is the number of its contact sheet, None where there is none."""

    track: FaceTrack
    sheet: int | None
    has_film: bool

    @property
    def name(self) -> str:
        """What the page calls the person."""
        number = self.track.number
        return f"The participant (person {number})" if self.is_participant else f"Person {number}"

    @property
    def is_participant(self) -> bool:
        """Tell whether the crops are of this person."""
        return self.track.is_participant


@dataclass(frozen=True)
class People:
    """Everybody who was seen, the participant first, and whether a person said who that is."""

    seen: list[Person]
    chosen_by_hand: bool
    can_choose: bool


def people_in(recording: Recording) -> People:
    """Read who was seen in a recording, in two queries, none where they were read already."""
    there = {(row.kind, row.number) for row in recording.assets.all() if row.kind in _PICTURES}
    tracks = sorted(
        recording.face_tracks.all(), key=lambda row: (not row.is_participant, row.number)
    )
    return People(
        seen=[_person(track, there) for track in tracks],
        chosen_by_hand=bool(recording.participant_chosen),
        can_choose=recording.state in (Recording.State.READY, Recording.State.ATTENTION)
        and recording.view in pipeline.FACES.views,
    )


def _person(track: FaceTrack, there: set[tuple[str, int]]) -> Person:
    sheet = 0 if track.is_participant else track.number
    return Person(
        track=track,
        sheet=sheet if (Asset.Kind.CONTACT_SHEET, sheet) in there else None,
        has_film=(Asset.Kind.FACE_PREVIEW, track.number) in there,
    )

"""Whose face is the participant's: chosen by rule, corrected by hand.

A track's number means something only among the tracks that one detector found in one way. So a
choice remembers how they were found, and one that was made among others is never applied silently:
the recording then needs a decision.

Choosing prepares the faces anew, for the crops, the outline, cues and quality follow the
participant. What raters have marked stays as it is, for they judged the video, not the crops; so
does a release that is built, which is never changed. The next one has the new crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.errors import Conflict, Missing
from waver.recordings import pipeline
from waver.recordings.models import Asset, Recording
from waver.recordings.services import prepare
from waver.recordings.subjects import subject_of

_State = Recording.State
_SETTLED = (_State.READY, _State.ATTENTION)


@dataclass(frozen=True)
class Choice:
    """The track that a person chose as the participant's; None: the rule chooses.

    is_outdated: it was chosen among tracks that were found in another way than now.
    """

    track: int | None = None
    is_outdated: bool = False

    @property
    def applied(self) -> int | None:
        """The track that is to be the participant's, None where the rule is to choose."""
        return None if self.is_outdated else self.track

    @property
    def parameters(self) -> dict[str, int]:
        """What of it decides the stage's result; empty where nobody has chosen."""
        if self.track is None:
            return {}
        return {"participant_outdated" if self.is_outdated else "participant": self.track}

    def decision(self, name: str) -> str:
        """Say what a person must decide about it, or nothing."""
        if not self.is_outdated:
            return ""
        return (
            f"Person {self.track} of {name} was chosen by hand as the participant, but the faces "
            "have been found anew since, in another way. Choose the participant again under "
            "“People”, or go back to the rule."
        )


def choose_participant(*, recording: Recording, track: int, actor: str) -> None:
    """Make a track the participant's, and have the faces prepared anew.

    Raises ConsentRefused, Missing for a track that was not found, Conflict while the recording is
    being prepared.
    """
    policy.require(Purpose.PROCESS, subject_of(recording), actor=actor)
    with transaction.atomic():
        row = _settled(recording)
        if not row.face_tracks.filter(number=track).exists():
            known = row.face_tracks.order_by("number").values_list("number", flat=True)
            raise Missing(
                f"There is no person {track} in {row.original_name}; there are: "
                f"{', '.join(map(str, known)) or 'none'}. Reload the page and choose again."
            )
        _keep(row, {"track": track, **_found_by(row)}, actor=actor)


def choose_by_rule(*, recording: Recording, actor: str) -> None:
    """Let the rule choose the participant's track again, and have the faces prepared anew.

    Raises ConsentRefused, and Conflict while the recording is being prepared.
    """
    policy.require(Purpose.PROCESS, subject_of(recording), actor=actor)
    with transaction.atomic():
        _keep(_settled(recording), {}, actor=actor)


def choice_for(recording_id: UUID | str, *, detector_sha256: str, look_every: int) -> Choice:
    """Give what a person chose in a recording, for finding its faces with this detector now."""
    held = Recording.objects.filter(pk=recording_id).values_list("participant_chosen", flat=True)
    chosen = held.first() or {}
    if not chosen:
        return Choice()
    proxies = Asset.objects.filter(recording_id=recording_id, kind=Asset.Kind.PROXY)
    seen_in = list(proxies.values_list("blob__sha256", flat=True))
    now = _ways(seen_in, pipeline.FACES.version, detector_sha256, look_every)
    return Choice(chosen["track"], is_outdated={**chosen, **now} != chosen)


def _settled(recording: Recording) -> Recording:
    """Give the recording's row, locked, if faces can be chosen in it now."""
    row = Recording.objects.select_for_update(of=("self",)).get(pk=recording.pk)
    if row.state not in _SETTLED:
        raise Conflict(
            f"{row.original_name} is {row.get_state_display().lower()}, so no participant can be "
            "chosen in it now. Try again when it is ready or needs a decision."
        )
    return row


def _keep(row: Recording, chosen: Mapping[str, Any], *, actor: str) -> None:
    if row.participant_chosen == chosen:
        return
    row.participant_chosen = dict(chosen)
    row.save(update_fields=["participant_chosen"])
    audit.record(
        actor=actor,
        verb="recording.participant_chosen",
        object_kind="recording",
        object_id=row.pk,
        detail={"track": chosen.get("track")},
    )
    prepare(row)


def _found_by(row: Recording) -> dict[str, Any]:
    """How the tracks that a person sees were found."""
    table = row.assets.filter(kind=Asset.Kind.LANDMARKS).first()
    if table is None:
        raise Conflict(f"The faces of {row.original_name} have not been found yet.")
    given = table.made_by["parameters"]
    return _ways(
        table.made_by["inputs"],
        table.made_by["version"],
        given["detector_sha256"],
        given["look_every"],
    )


def _ways(
    seen_in: list[str], version: int, detector_sha256: str, look_every: int
) -> dict[str, Any]:
    return {
        "seen_in": seen_in,  # the proxy: another one may give other tracks
        "stage_version": version,
        "detector_sha256": detector_sha256,
        "look_every": look_every,
    }

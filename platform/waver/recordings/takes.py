"""Takes: what was recorded together. One webcam gives the clock, the other views lie on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from waver.consent.models import Participant
from waver.core.errors import Conflict, Missing
from waver.recordings.models import Asset, Recording, Take
from waver.recordings.placing import Placing
from waver.studies.models import Prompt

View = Recording.View
_CAMERAS = (View.WEBCAM, View.SECOND_CAMERA, View.DEPTH)


def join(
    *,
    participant: Participant,
    prompt: Prompt | None,
    recorded_at: datetime,
    language: str,
    placing: Placing,
    name: str,
) -> Take:
    """Give the take that a file belongs to, made if it is the first; call it in a transaction.

    The row is locked, so that of two webcams that come at once one is refused. `name` is the
    file's, for sentences. Raises Conflict where the take's records differ or it has a webcam
    already, Missing for another view of a take that has none.
    """
    wanted = {
        "prompt": prompt,
        "recorded_at": recorded_at,
        "language": language,
        "capture_condition": placing.condition,
    }
    if not placing.take:
        return Take.objects.create(participant=participant, **wanted)
    _refuse_first(participant, placing, name)
    take, is_new = Take.objects.get_or_create(
        participant=participant, name=placing.take, defaults=wanted
    )
    take = Take.objects.select_for_update(of=("self",)).get(pk=take.pk)
    if is_new:
        return take
    _refuse_other_records(take, wanted, name)
    webcam = take.recordings.filter(view=View.WEBCAM).first()
    if placing.view == View.WEBCAM and webcam is not None:
        raise Conflict(
            f"The take “{take.name}” of {participant.code} has a webcam already, "
            f"{webcam.original_name}, and a take has exactly one, because its clock is the take's. "
            f"Give {name} another take, or call it a second camera."
        )
    if placing.view != View.WEBCAM and webcam is None:
        raise _no_webcam(participant, placing, name)
    return take


def _refuse_first(participant: Participant, placing: Placing, name: str) -> None:
    """Refuse a view that would be the first of its take without being its webcam."""
    if placing.view == View.WEBCAM:
        return
    if not Take.objects.filter(participant=participant, name=placing.take).exists():
        raise _no_webcam(participant, placing, name)


def _no_webcam(participant: Participant, placing: Placing, name: str) -> Missing:
    return Missing(
        f"The take “{placing.take}” of {participant.code} has no webcam, on whose clock {name} "
        "could be placed. Import the webcam's recording first or in the same manifest, with the "
        "same participant and take."
    )


_SAID = {
    "prompt": "prompt",
    "recorded_at": "recording time",
    "language": "language",
    "capture_condition": "condition",
}


def _refuse_other_records(take: Take, wanted: Mapping[str, Any], name: str) -> None:
    for field, called in _SAID.items():
        is_there = getattr(take, field)
        if is_there != wanted[field]:
            raise Conflict(
                f"The {called} of {name}, {_said(wanted[field])}, is not that of its take "
                f"“{take.name}”, {_said(is_there)}. All views of a take share participant, prompt, "
                "recording time, language and condition: correct the one that is wrong."
            )


def _said(value: Any) -> str:
    if isinstance(value, Prompt):
        return str(value.order)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return f"“{value}”" if value else "none"


_NO_OFFSET = (
    "Nothing was said about when it began, so it is placed as if it began together with the "
    "webcam. If it did not, give its offset in the manifest and import that again."
)


def notes_of(recording: Recording) -> list[str]:
    """Say what a researcher must know about how a view was placed."""
    if recording.view == View.WEBCAM or recording.offset_us:
        return []
    original = recording.assets.filter(kind=Asset.Kind.ORIGINAL).first()
    if original is not None and "offset_us" in original.made_by.get("parameters", {}):
        return []
    return [_NO_OFFSET]


def received_with(placing: Placing) -> dict[str, Any]:
    """Give the parameters that an original's asset keeps: what was said about it on receipt."""
    said: dict[str, Any] = {}
    if placing.view != View.WEBCAM and placing.offset_us is not None:
        said["offset_us"] = placing.offset_us
    return said | ({"sensors": dict(placing.sensors)} if placing.sensors else {})


def views_of(recording: Recording) -> list[Recording]:
    """Give the other views of a recording's take: cameras first, in the order of the views."""
    rows = recording.take.recordings.exclude(pk=recording.pk).select_related(
        "take__participant", "study"
    )
    order = {view: place for place, view in enumerate(View.values)}
    return sorted(rows, key=lambda row: (order[row.view], row.created_at))


def is_camera(recording: Recording) -> bool:
    """Tell whether a view is something to watch."""
    return recording.view in _CAMERAS


def sensors_of(recording_id: str) -> dict[str, str]:
    """Give what was said about a sensor file on receipt: `rate`, `channels`, `unit`, or less."""
    originals = Asset.objects.filter(kind=Asset.Kind.ORIGINAL)
    original = originals.filter(recording_id=UUID(recording_id)).first()
    said = original.made_by.get("parameters", {}).get("sensors", {}) if original else {}
    return {str(name): str(text) for name, text in said.items()}

"""Placing a recording anew: what the study's records say about it may turn out to be wrong."""

from __future__ import annotations

from django.db import transaction

from waver.core import audit
from waver.core.clock import format_us
from waver.recordings import restricting
from waver.recordings.models import Asset, Recording, Take
from waver.recordings.placing import Placing
from waver.recordings.services import prepare
from waver.recordings.takes import notes_of, received_with


@transaction.atomic
def correct(*, recording: Recording, placing: Placing, actor: str) -> str:
    """Place a recording as its manifest says now; give a sentence, or "" where nothing changed.

    Only what is said about it changes (offset, occlusion, condition, how sensors were sampled),
    never what it is: its take, view and bytes. Sensors that are described anew are read again.
    """
    row = Recording.objects.select_for_update(of=("self",)).get(pk=recording.pk)
    take = Take.objects.select_for_update(of=("self",)).get(pk=row.take_id)
    original = row.assets.select_for_update().get(kind=Asset.Kind.ORIGINAL)
    before, after = original.made_by.get("parameters", {}), received_with(placing)
    offset_us = placing.offset_us or 0
    changed = []
    if (row.offset_us, before.get("offset_us")) != (offset_us, after.get("offset_us")):
        sign = "−" if offset_us < 0 else ""
        changed.append(f"it begins at {sign}{format_us(abs(offset_us))} on the webcam's clock")
    if row.occlusion != placing.occlusion:
        changed.append(f"occlusion “{placing.occlusion or 'none'}”")
    if take.capture_condition != placing.condition:
        changed.append(f"condition “{placing.condition or 'none'}”")
    described_anew = before.get("sensors", {}) != after.get("sensors", {})
    if described_anew:
        changed.append("its sensors are described anew")
    if not changed:
        return ""
    stale = notes_of(row)
    row.offset_us, row.occlusion = offset_us, placing.occlusion
    take.capture_condition = placing.condition
    original.made_by = {**original.made_by, "parameters": after}
    original.save(update_fields=["made_by"])
    row.notes = [*notes_of(row), *(note for note in row.notes if note not in stale)]
    row.save(update_fields=["offset_us", "occlusion", "notes"])
    take.save(update_fields=["capture_condition"])
    restricting.carry(row)
    audit.record(
        actor=actor,
        verb="recording.placed",
        object_kind="recording",
        object_id=row.pk,
        detail={"offset_us": offset_us, "occlusion": row.occlusion, "sensors": described_anew},
    )
    if described_anew:
        prepare(row)
    return f"{row.original_name} was there already; corrected: {', '.join(changed)}."

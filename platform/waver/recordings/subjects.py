"""A recording or one of its assets, as the consent policy is asked about it."""

from __future__ import annotations

from waver.core.subjects import Subject
from waver.recordings.models import Asset, Recording


def subject_of(recording: Recording, asset: Asset | None = None) -> Subject:
    """Give the Subject of a recording, or of one of its assets."""
    return Subject(
        participant_id=recording.take.participant_id,
        asset_id=asset.pk if asset is not None else None,
        kind=asset.kind if asset is not None else "recording",
        recorded_at=recording.take.recorded_at,
        recording_id=recording.pk,
    )

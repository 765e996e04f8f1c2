"""What consent is asked about: the little that `consent` may know of an asset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class Subject:
    """One participant's asset, as far as consent is concerned.

    `asset_id` is None before anything is stored (at ingest). `kind` is the asset's kind, such as
    `original` or `crops`. `recorded_at` is the time of recording in UTC, from the study's records,
    never from a file's time stamp; None means undated, which consent refuses. `recording_id` tells
    which recording's restricted stretches count; without it, those of all the participant's do.
    """

    participant_id: UUID
    asset_id: UUID | None
    kind: str
    recorded_at: datetime | None
    recording_id: UUID | None = None

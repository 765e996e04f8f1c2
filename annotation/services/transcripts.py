"""What is said in a recording, as raters read it beside the video where a pass asks for it.

A transcript asset is JSON: {"segments": [{"start_us", "end_us", "text"}, …]} on the recording's
clock. Its speaker has no name here: raters see the time, never who it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from waver.core import storage
from waver.core.errors import BadInput
from waver.recordings.models import Asset

UNKNOWN = "There is no transcript of this clip."


def texts_of(recordings: Collection[UUID]) -> dict[UUID, str]:
    """Give what is said in each of these recordings that has a transcript, a line for each part.

    Raises BadInput for a transcript that cannot be read.
    """
    assets = Asset.objects.filter(
        recording__in=recordings, kind=Asset.Kind.TRANSCRIPT, blob__erased_at__isnull=True
    ).select_related("blob")
    return {asset.recording_id: _text(asset) for asset in assets}


def _text(asset: Asset) -> str:
    try:
        data: Mapping[str, Any] = json.loads(b"".join(storage.open_range(asset.blob)))
        rows = [(int(row["start_us"]), str(row["text"]).strip()) for row in data["segments"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"The transcript of the recording {asset.recording_id} cannot be read "
            f"({type(error).__name__}). Make it again, or have the pass not show it."
        ) from error
    return "\n".join(f"{_clock(start)}  {text}" for start, text in sorted(rows) if text) or UNKNOWN


def _clock(us: int) -> str:
    minutes, rest = divmod(max(us, 0), 60_000_000)
    return f"{minutes}:{rest // 1_000_000:02d}"

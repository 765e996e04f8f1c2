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

Line = dict[str, str]


def lines_of(recordings: Collection[UUID]) -> dict[UUID, list[Line]]:
    """Give the lines of each of these recordings that has a transcript: [{"at", "text"}, …].

    Raises BadInput for a transcript that cannot be read.
    """
    assets = Asset.objects.filter(
        recording__in=recordings, kind=Asset.Kind.TRANSCRIPT, blob__erased_at__isnull=True
    ).select_related("blob")
    return {asset.recording_id: _lines(asset) for asset in assets}


def _lines(asset: Asset) -> list[Line]:
    try:
        data: Mapping[str, Any] = json.loads(b"".join(storage.open_range(asset.blob)))
        rows = [(int(row["start_us"]), str(row["text"]).strip()) for row in data["segments"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"The transcript of the recording {asset.recording_id} cannot be read "
            f"({type(error).__name__}). Make it again, or have the pass not show it."
        ) from error
    return [{"at": _clock(start), "text": text} for start, text in sorted(rows) if text]


def _clock(us: int) -> str:
    minutes, rest = divmod(max(us, 0), 60_000_000)
    return f"{minutes}:{rest // 1_000_000:02d}"

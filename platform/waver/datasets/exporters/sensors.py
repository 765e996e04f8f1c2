"""Sensor channels recorded beside the released clips: every sample, and what each channel is.

sensors/<participant>/<clip>-<n>.parquet   channel, time_us, value
sensors/<participant>/<clip>-<n>.json      the channels' names, units and rates, and the offset
"""

from __future__ import annotations

import json

from waver.datasets.content import Clip, Content
from waver.datasets.draft import Draft
from waver.recordings.models import Asset

NAME = "sensors"
BUILDER = "sensors/1"
TITLE = "Sensor channels"
ON_REQUEST = True  # nothing is said of them where there are none
FOLDER = "sensors"


def applies(content: Content) -> bool:
    """Tell whether sensors were recorded beside any of the clips, and may leave."""
    return any(clip.sensors for clip in content.clips)


def write_shares(content: Content, draft: Draft) -> None:
    """Write the samples of each sensor recording as they are kept, and what they are."""
    for clip in content.clips:
        for number, asset in enumerate(clip.sensors, start=1):
            place = f"{FOLDER}/{clip.participant}/{clip.code}-{number}"
            draft.share(
                clip,
                f"sensors_{number}",
                draft.copy(asset.blob, f"{place}.parquet"),
                draft.write(f"{place}.json", _described(clip, asset)),
            )


def _described(clip: Clip, asset: Asset) -> bytes:
    """Say what the channels are; the original's name stays inside."""
    found = {
        "offset_us": asset.recording.offset_us - clip.recording.offset_us,
        "channels": [
            {
                "channel": row.number,
                "name": row.name,
                "unit": row.unit,
                "rate": [row.rate_numerator, row.rate_denominator] if row.rate_numerator else None,
                "samples": row.samples,
                "missing": row.missing,
            }
            for row in asset.recording.sensor_channels.all()
        ],
    }
    return f"{json.dumps(found, indent=1, ensure_ascii=False)}\n".encode()


def write_containers(content: Content, draft: Draft) -> None:
    """Write nothing: each file belongs to one participant."""


def describe(content: Content) -> list[str]:
    """Say how a sample finds its place in the video, and what stays inside."""
    count = sum(bool(clip.sensors) for clip in content.clips)
    where = (
        f"`{FOLDER}/` has the sensors that were recorded beside {count} of {len(content.clips)} "
        "clips: every sample (`value` is empty where one is missing), `time_us` in integer "
        "microseconds on the sensor's own clock. Add `offset_us` from the file beside it for the "
        "clip's clock."
    )
    return [
        where,
        "Second cameras and depth recordings are not part of the release.",
    ]

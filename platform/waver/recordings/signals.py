"""Sensor channels on another view's clock: what a timeline draws, and a stretch's samples.

Every sample lies in the asset `signals` (Parquet: channel, time_us, value); each of its row groups
holds one channel's samples in the order of time, so a stretch is read without the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import storage
from waver.core.clock import Span
from waver.core.errors import BadInput
from waver.recordings import takes
from waver.recordings.models import Asset, Recording, SensorChannel
from waver.recordings.subjects import subject_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A stretch with more samples of a channel than this is drawn by its extremes.
MOST_EXACT = 50_000
MOST_BUCKETS = 4_000


@dataclass(frozen=True)
class Drawn:
    """One channel as another view's page shows it; add `shift_us` to a time for that clock."""

    recording: Recording
    channel: SensorChannel
    shift_us: int

    @property
    def key(self) -> str:
        """What tells it apart from all other channels of the take."""
        return f"{self.recording.pk}-{self.channel.number}"

    def as_json(self) -> dict[str, Any]:
        """Give what a page needs to know of it; times are on that page's clock."""
        row = self.channel
        rate = row.rate_numerator and [row.rate_numerator, row.rate_denominator]
        return {
            "key": self.key,
            "name": row.name,
            "unit": row.unit,
            "rate": rate or None,
            "samples": row.samples,
            "missing": row.missing,
            "minimum": row.minimum,
            "maximum": row.maximum,
            "start_us": row.start_us + self.shift_us,
            "end_us": row.end_us + self.shift_us,
        }


@dataclass(frozen=True)
class Stretch:
    """Some of a channel's samples, on the channel's own clock; NaN where one is missing.

    `before` is the last sample before the stretch, which still stands when it begins.
    """

    of: Drawn
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    before: tuple[int, float] | None


def channels_of(recording: Recording) -> list[Drawn]:
    """Give every channel of the sensors in a recording's take, placed on the recording's clock."""
    rows = (
        SensorChannel.objects.filter(
            recording__take=recording.take_id, recording__assets__kind=Asset.Kind.SIGNALS
        )
        .select_related("recording__take__participant", "recording__study")
        .order_by("recording__created_at", "recording", "number")
    )
    return [
        Drawn(row.recording, row, row.recording.offset_us - recording.offset_us) for row in rows
    ]


def for_timeline(recording: Recording, *, actor: str) -> list[dict[str, Any]]:
    """Give each channel with its outline. Raises ConsentRefused where one may not be used."""
    drawn = _allowed(channels_of(recording), actor)
    outlines: dict[Any, list[dict[str, Any]]] = {}
    for one in drawn:
        if one.recording.pk not in outlines:
            asset = one.recording.assets.select_related("blob").get(kind=Asset.Kind.SIGNAL_OUTLINE)
            data = b"".join(storage.open_range(asset.blob))
            outlines[one.recording.pk] = json.loads(data)["channels"]
    found = []
    for one in drawn:
        outline = outlines[one.recording.pk][one.channel.number]
        shifted = {**outline, "start_us": outline["start_us"] + one.shift_us}
        found.append({**one.as_json(), "outline": shifted})
    return found


def stretches(recording: Recording, start_us: int, end_us: int, *, actor: str) -> Iterator[Stretch]:
    """Give each channel's samples in `[start_us, end_us)` of a recording's clock.

    Raises BadInput for a stretch that is none, ConsentRefused where a channel may not be used.
    """
    if not -(2**62) < start_us < end_us < 2**62:
        raise BadInput("A stretch ends after it starts. Give start_us and end_us in microseconds.")
    drawn = _allowed(channels_of(recording), actor)
    for own in {one.recording.pk: one.recording for one in drawn}.values():
        asset = own.assets.select_related("blob").get(kind=Asset.Kind.SIGNALS)
        with storage.materialise(asset.blob, suffix=".parquet") as path:
            for one in drawn:
                if one.recording.pk == own.pk:
                    yield _read(path, one, start_us - one.shift_us, end_us - one.shift_us)


def _allowed(drawn: Sequence[Drawn], actor: str) -> Sequence[Drawn]:
    for own in {one.recording.pk: one.recording for one in drawn}.values():
        policy.require(Purpose.PROCESS, subject_of(own), actor=actor)
    return drawn


def _read(path: Path, one: Drawn, start_us: int, end_us: int) -> Stretch:
    import numpy as np
    import pyarrow.parquet as pq

    times, values = [np.empty(0, np.int64)], [np.empty(0)]
    before: tuple[int, float] | None = None
    with pq.ParquetFile(path) as file:
        for group in range(file.metadata.num_row_groups):
            of, first, last = _extent(file, group)
            if of != one.channel.number or first >= end_us:
                continue
            if last < start_us and _another_is_nearer(file, group, of, start_us):
                continue
            table = file.read_row_group(group, columns=["time_us", "value"])
            time = table["time_us"].to_numpy()
            value = table["value"].to_numpy()  # null becomes NaN
            low, high = np.searchsorted(time, [start_us, end_us])
            if low:
                before = (int(time[low - 1]), float(value[low - 1]))
            times.append(time[low:high])
            values.append(value[low:high])
    return Stretch(one, np.concatenate(times), np.concatenate(values), before)


def _extent(file: Any, group: int) -> tuple[int, int, int]:
    """Give a row group's channel, first and last time."""
    row = file.metadata.row_group(group)
    channel, time = (row.column(n).statistics for n in (0, 1))
    return channel.min, time.min, time.max


def _another_is_nearer(file: Any, group: int, channel: int, start_us: int) -> bool:
    """Tell whether a later group of the channel also ends before the stretch begins."""
    for later in range(group + 1, file.metadata.num_row_groups):
        of, first, _ = _extent(file, later)
        if of == channel:
            return first < start_us
    return False


def drawing(stretch: Stretch, start_us: int, end_us: int, *, buckets: int) -> dict[str, Any]:
    """Give what a page draws of a stretch: every sample, or the extremes of so many parts.

    Times are on the page's clock, as `start_us` and `end_us` are. `summary` counts and measures the
    samples of the stretch; its numbers are None where none is known.
    """
    import numpy as np

    shift = stretch.of.shift_us
    known = ~np.isnan(stretch.value)
    here = stretch.value[known]
    some = bool(len(here))
    found: dict[str, Any] = {
        "key": stretch.of.key,
        "before": stretch.before and [stretch.before[0] + shift, _plain(stretch.before[1])],
        "summary": {
            "samples": len(stretch.value),
            "missing": int(len(stretch.value) - len(here)),
            "low": float(here.min()) if some else None,
            "mean": float(here.mean()) if some else None,
            "high": float(here.max()) if some else None,
        },
    }
    if len(stretch.value) <= max(2 * buckets, 0) or len(stretch.value) <= 1_000:
        found["time_us"] = (stretch.time_us + shift).tolist()
        found["value"] = [_plain(value) for value in stretch.value.tolist()]
        return found
    width = -(-(end_us - start_us) // buckets)
    place = (stretch.time_us[known] + shift - start_us) // width
    low, high = np.full(buckets, np.nan), np.full(buckets, np.nan)
    if some:
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        low[place[starts]] = np.minimum.reduceat(here, starts)
        high[place[starts]] = np.maximum.reduceat(here, starts)
    found |= {"start_us": start_us, "bucket_us": width}
    found |= {"low": [_plain(v) for v in low.tolist()], "high": [_plain(v) for v in high.tolist()]}
    return found


def _plain(value: float) -> float | None:
    return value if value == value else None  # JSON has no NaN


def csv_lines(recording: Recording, start_us: int, end_us: int, *, actor: str) -> Iterator[str]:
    """Give a stretch as the lines of a CSV file: every sample, times on the recording's clock.

    Consent is asked before the first line, for the stretch in every view of the take: what must not
    be used of one is no more to be had of what was recorded together with it. A name that a
    spreadsheet would run as a formula gets a ' before it.
    """
    import csv
    import io

    for view in (recording, *takes.views_of(recording)):
        shift_us = recording.offset_us - view.offset_us
        start, end = max(0, start_us + shift_us), end_us + shift_us
        if end > start:
            policy.require(Purpose.PROCESS, subject_of(view), span=Span(start, end), actor=actor)
    for stretch in stretches(recording, start_us, end_us, actor=actor):
        channel, shift = stretch.of.channel, stretch.of.shift_us
        names = [_harmless(channel.name), _harmless(channel.unit)]
        for first in range(0, len(stretch.value), 10_000):
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\r\n")
            part = slice(first, first + 10_000)
            writer.writerows(
                [*names, us + shift, "" if value != value else repr(value)]
                for us, value in zip(
                    stretch.time_us[part].tolist(), stretch.value[part].tolist(), strict=True
                )
            )
            yield out.getvalue()


CSV_HEADER = "channel,unit,time_us,value\r\n"


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text

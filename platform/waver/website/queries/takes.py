"""A recording among the other views of its take: what its page shows beside it."""

from __future__ import annotations

from dataclasses import dataclass

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.clock import MICROSECONDS
from waver.recordings import signals, takes
from waver.recordings.models import Asset, Recording, Take
from waver.recordings.signals import Drawn
from waver.recordings.subjects import subject_of


@dataclass(frozen=True)
class View:
    """Another view of the take; `offset_us` says where its 0 lies on the page's own clock."""

    recording: Recording
    title: str
    offset_us: int
    is_playable: bool

    @property
    def begins(self) -> str:
        """Say in words when it begins."""
        return begins(self.offset_us)


@dataclass(frozen=True)
class TakePart:
    """The page's recording in its take."""

    recording: Recording
    take: Take
    views: list[View]
    channels: list[Drawn]

    @property
    def cameras(self) -> list[View]:
        """Give the other views that can be watched beside this one."""
        return [view for view in self.views if view.is_playable]

    @property
    def webcam(self) -> View | None:
        """Give the webcam's view where this is another one."""
        webcam = Recording.View.WEBCAM
        return next((view for view in self.views if view.recording.view == webcam), None)

    @property
    def begins(self) -> str:
        """Say in words when this view begins on the take's clock."""
        return begins(self.recording.offset_us)

    @property
    def span_us(self) -> tuple[int, int]:
        """Give the stretch that a page without a picture draws: all of its own channels."""
        own = [one.channel for one in self.channels if one.recording.pk == self.recording.pk]
        ends = [row.end_us for row in own]
        return min((row.start_us for row in own), default=0), max(ends, default=0)


def begins(offset_us: int) -> str:
    """Say when a view begins: “1.250 s after”, “together with”, “0.5 s before”."""
    if not offset_us:
        return "together with"
    seconds = f"{abs(offset_us) / MICROSECONDS:.6f}".rstrip("0").rstrip(".")
    return f"{seconds} s {'after' if offset_us > 0 else 'before'}"


def part_of(recording: Recording) -> TakePart:
    """Read the views and sensor channels of a recording's take, in a few queries."""
    others = takes.views_of(recording)
    watchable = {
        row.recording_id
        for row in Asset.objects.filter(
            recording__in=[row.pk for row in others], kind=Asset.Kind.PROXY
        ).only("recording_id")
    }
    allowed = policy.decide_each(Purpose.PROCESS, [subject_of(row) for row in others])
    views = [
        View(
            row,
            str(row.get_view_display()),
            row.offset_us - recording.offset_us,
            row.pk in watchable and row.rate is not None and bool(answer),
        )
        for row, answer in zip(others, allowed, strict=True)
    ]
    sensors = Recording.View.PHYSIOLOGY
    has_channels = any(row.view == sensors for row in (recording, *others))
    channels = signals.channels_of(recording) if has_channels else []
    return TakePart(recording, recording.take, views, channels)

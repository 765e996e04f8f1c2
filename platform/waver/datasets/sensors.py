"""The sensor recordings that belong to what is released: those of a clip's take, where covered."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from waver.consent import policy as consent
from waver.consent.models import Purpose
from waver.recordings.models import Asset, Recording
from waver.recordings.subjects import subject_of

if TYPE_CHECKING:
    from waver.datasets.content import Clip


def beside(clips: Iterable[Clip], purpose: Purpose, *, actor: str) -> tuple[Clip, ...]:
    """Give the clips with the samples that were recorded beside them and that consent covers."""
    return tuple(
        replace(
            clip,
            sensors=tuple(one for one in of_clip(clip) if may_leave(one, purpose, actor=actor)),
        )
        for clip in clips
    )


def released_beside(clips: Iterable[Clip], recordings: Collection[UUID]) -> tuple[Clip, ...]:
    """Give the clips with sensors only beside these recordings, for which a release has some."""
    return tuple(
        replace(clip, sensors=tuple(_of_take(clip))) if clip.recording.pk in recordings else clip
        for clip in clips
    )


def of_clip(clip: Clip) -> list[Asset]:
    """Give the samples of every sensor recording in a clip's take that is ready, oldest first."""
    return [one for one in _of_take(clip) if one.recording.state == Recording.State.READY]


def _of_take(clip: Clip) -> list[Asset]:
    rows = Asset.objects.filter(
        kind=Asset.Kind.SIGNALS,
        recording__take=clip.recording.take_id,
        blob__erased_at__isnull=True,
    )
    return list(
        rows.select_related("blob", "recording__take__participant", "recording__study").order_by(
            "recording__created_at", "recording"
        )
    )


def may_leave(asset: Asset, purpose: Purpose, *, actor: str, hold: bool = False) -> bool:
    """Ask consent for one of them; a refusal is recorded. `hold` keeps the answer to the commit."""
    subject = subject_of(asset.recording, asset)
    return consent.may(purpose, subject, actor=actor, hold=hold).allowed

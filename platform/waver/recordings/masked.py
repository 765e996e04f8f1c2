"""Masked previews: asking for one, and how one that was made stands.

A preview is the proxy with every face covered and without sound; restricted stretches are blank. It
is made when somebody asks, and counts only for the very proxy, face table and restrictions that it
was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from django.db import transaction

from waver.consent import policy
from waver.consent.models import Purpose, Restriction
from waver.core import audit
from waver.core.errors import Conflict
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.recordings import pipeline
from waver.recordings.models import Asset, Recording, Stage
from waver.recordings.subjects import subject_of

RECALL_NEEDED = 0.99
"""What part of the faces that the second detector finds must be covered, for people outside."""

_Kind = Asset.Kind
_KINDS = {*pipeline.MASK.inputs, _Kind.MASKED_PREVIEW}
State = Literal["none", "asked", "made", "outdated", "failed"]


@dataclass(frozen=True)
class Masked:
    """How a recording's masked preview stands.

    state: “none” (never asked for), “asked” (waits or is being made), “made”, “outdated” (made from
    what the recording no longer is), “failed” (why: `problem`). `asset` is the newest that was
    made. `figures` are those of the stage “mask”.
    """

    state: State
    asset: Asset | None = None
    problem: str = ""
    progress: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def recall(self) -> float | None:
        """Covered over found faces, 0 to 1; None where the second detector found no face."""
        found: float | None = self.figures.get("recall")
        return found

    @property
    def shortcoming(self) -> str:
        """Why this preview must not leave the study, as a sentence; empty when it may."""
        if self.state != "made":
            return "There is no masked preview of it as it is now."
        if self.recall is not None and self.recall < RECALL_NEEDED:
            return (
                f"Only {self.recall:.1%} of the faces that a second detector found are covered; "
                f"{RECALL_NEEDED:.0%} are needed."
            )
        seen, found = self.figures["faces_still_seen"], self.figures["faces_found"]
        if seen > (1 - RECALL_NEEDED) * found:
            return f"In the masked pictures, a second detector still sees {seen} faces."
        return ""


def ask_for_masked_preview(recording: Recording, *, actor: str) -> Job | None:
    """Have a masked preview made; None when there is one of the recording as it is now.

    One that is waiting or being made is not asked for a second time. Raises ConsentRefused, and
    Conflict where no faces were looked for yet, or the recording has no video.
    """
    policy.require(Purpose.PROCESS, subject_of(recording), actor=actor)
    if recording.view not in pipeline.MASK.views:
        raise Conflict(f"{recording.original_name} is no video of a person: nothing is masked.")
    there = set(recording.assets.values_list("kind", flat=True))
    if not there.issuperset(pipeline.MASK.inputs):
        raise Conflict(
            f"The faces of {recording.original_name} have not been found yet, so they cannot be "
            "masked. Ask again when the recording has been prepared."
        )
    if masked_preview(recording).state == "made":
        return None
    with transaction.atomic():
        audit.record(
            actor=actor,
            verb="recording.masked_preview_asked",
            object_kind="recording",
            object_id=recording.pk,
        )
        return enqueue(
            pipeline.MASK.job,
            subject_kind="recording",
            subject_id=recording.pk,
            key=f"{pipeline.MASK.job.name}:{recording.pk}",
        )


def masked_preview(recording: Recording) -> Masked:
    """Tell how a recording's masked preview stands.

    Its assets and stages are not read again where they have been prefetched.
    """
    rows = [row for row in recording.assets.all() if row.kind in _KINDS]
    stages = [row for row in recording.stages.all() if row.name == pipeline.MASK.name]
    return _standing(
        {row.kind: row for row in rows if row.blob.erased_at is None},
        next(iter(stages), None),
        _open_jobs([recording.pk]).get(str(recording.pk)),
        blank_stretches([recording.pk])[recording.pk],
    )


def masked_previews(recordings: Iterable[Recording]) -> dict[UUID, Masked]:
    """Tell how the masked previews of many recordings stand, in a few queries."""
    keys = [recording.pk for recording in recordings]
    assets: dict[UUID, dict[str, Asset]] = {key: {} for key in keys}
    rows = Asset.objects.filter(recording__in=keys, kind__in=_KINDS, blob__erased_at__isnull=True)
    for asset in rows.select_related("blob"):
        assets[asset.recording_id][asset.kind] = asset
    stages = {
        stage.recording_id: stage
        for stage in Stage.objects.filter(recording__in=keys, name=pipeline.MASK.name)
    }
    open_jobs = _open_jobs(keys)
    blanks = blank_stretches(keys)
    return {
        key: _standing(assets[key], stages.get(key), open_jobs.get(str(key)), blanks[key])
        for key in keys
    }


def _open_jobs(keys: Iterable[UUID]) -> dict[str, Job]:
    """Give the jobs that wait or run, by their recording's id as text."""
    rows = Job.objects.filter(
        name=pipeline.MASK.job.name,
        subject_id__in=[str(key) for key in keys],
        state__in=[Job.State.QUEUED, Job.State.RUNNING],
    )
    return {row.subject_id: row for row in rows}


def blank_stretches(keys: Iterable[UUID]) -> dict[UUID, list[list[int]]]:
    """Give the restricted stretches of recordings, [start_us, end_us], in order."""
    found: dict[UUID, list[list[int]]] = {key: [] for key in keys}
    rows = Restriction.objects.filter(recording_id__in=found).order_by("start_us", "end_us")
    for row in rows:
        if row.recording_id is not None:
            found[row.recording_id].append([row.start_us, row.end_us])
    return found


def _standing(
    assets: dict[str, Asset], stage: Stage | None, job: Job | None, blank: list[list[int]]
) -> Masked:
    asset = assets.get(_Kind.MASKED_PREVIEW)
    figures = dict(stage.figures) if stage is not None else {}
    if asset is not None and stage is not None and stage.state == Stage.State.DONE:
        inputs = sorted(assets[kind].blob.sha256 for kind in pipeline.MASK.inputs if kind in assets)
        made = asset.made_by
        same = (made["inputs"], made["version"], made["parameters"].get("blank")) == (
            inputs,
            pipeline.MASK.version,
            blank,
        )
        if same:
            return Masked("made", asset, figures=figures)
    if job is not None:
        return Masked("asked", asset, progress=job.progress)
    if stage is not None and stage.state in (Stage.State.FAILED, Stage.State.REFUSED):
        return Masked("failed", asset, problem=stage.error)
    return Masked("outdated" if asset is not None else "none", asset)

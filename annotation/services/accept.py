"""Raters' work becomes rows: checked against the codebook, stored once, never changed."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from annotation.codebooks import InvalidAnnotation, ParsedAnnotation, parse_result
from annotation.models import Annotation, Assignment, ClipLabel, Segment, SegmentCue
from annotation.services import codebooks
from waver.core.clock import seconds_us
from waver.core.errors import BadInput, Conflict

Verdict, Route, State = Annotation.Verdict, Annotation.Route, Assignment.State


@transaction.atomic
def accept(
    assignment: Assignment,
    raw: list[dict[str, Any]],
    remote_id: int,
    remote_updated_at: datetime,
    lead_time: float | None,
    received_by: str,
) -> Annotation:
    """Store what a rater submitted as the assignment's next version, and give the row.

    `raw` is Label Studio's result, stored as it came; `lead_time` is in seconds. What fits the
    codebook is stored as segments and clip labels in microseconds, and the assignment becomes
    submitted; what does not is stored as rejected, and goes back to the rater with the reason.
    The same content of the same remote annotation is stored once, whoever brings it and how often;
    what is older than the stored version is ignored. Both give the row that is there.
    Raises Conflict for a withdrawn assignment, BadInput when the recording has no length yet.
    """
    row = Assignment.objects.select_for_update(of=("self",)).get(pk=assignment.pk)
    if row.state == State.WITHDRAWN:
        raise Conflict(
            "This assignment was withdrawn, so work on it is not stored. Nothing needs to be done."
        )
    digest = digest_of(raw)
    known = row.annotations.filter(remote_id=remote_id).order_by("-version").first()
    if (
        known is not None
        and known.verdict != Verdict.DELETED
        and (known.raw_sha256 == digest or known.remote_updated_at > remote_updated_at)
    ):
        return known
    parsed, reason = _parse(row, raw)
    made = Annotation.objects.create(
        assignment=row,
        codebook=row.batch.codebook,
        remote_id=remote_id,
        remote_updated_at=remote_updated_at,
        version=_next_version(row),
        raw={"result": raw},
        raw_sha256=digest,
        lead_time_us=seconds_us(lead_time) if lead_time is not None else None,
        received_by=received_by,
        verdict=Verdict.ACCEPTED if parsed is not None else Verdict.REJECTED,
        reason=reason,
        is_synthetic=row.rater.is_synthetic,
    )
    if parsed is not None:
        _store(made, parsed)
    Assignment.objects.filter(pk=row.pk).update(
        state=State.SUBMITTED if parsed is not None else State.RETURNED, return_reason=reason
    )
    assignment.refresh_from_db()
    return made


@transaction.atomic
def record_deletion(assignment: Assignment, remote_id: int, received_by: str) -> Annotation | None:
    """Record that the rater's annotation is gone from Label Studio; what was stored stays.

    Gives the row that says so, or None when that is known already. The assignment waits for the
    rater again. Raises nothing for a withdrawn assignment, whose tasks Waver deletes itself.
    """
    row = Assignment.objects.select_for_update(of=("self",)).get(pk=assignment.pk)
    known = row.annotations.filter(remote_id=remote_id).order_by("-version").first()
    if known is None or known.verdict == Verdict.DELETED or row.state == State.WITHDRAWN:
        return None
    made = Annotation.objects.create(
        assignment=row,
        codebook=known.codebook,
        remote_id=remote_id,
        remote_updated_at=known.remote_updated_at,
        version=_next_version(row),
        raw={},
        raw_sha256=hashlib.sha256(f"deleted after {known.pk}".encode()).hexdigest(),
        received_by=received_by,
        verdict=Verdict.DELETED,
        reason="The rater deleted this annotation in Label Studio.",
        is_synthetic=row.rater.is_synthetic,
    )
    Assignment.objects.filter(pk=row.pk).update(state=State.SENT, return_reason="")
    assignment.refresh_from_db()
    return made


def digest_of(raw: list[dict[str, Any]]) -> str:
    """Give the SHA-256 of a result, whatever the order of the words in it."""
    body = json.dumps(raw, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def _parse(row: Assignment, raw: list[dict[str, Any]]) -> tuple[ParsedAnnotation | None, str]:
    duration_us = row.recording.duration_us
    if duration_us is None:
        raise BadInput(
            "This recording has no length yet, so no label on it can be checked. Wait until it is "
            "prepared."
        )
    codebook = codebooks.parsed(row.batch.codebook)
    try:
        return parse_result(codebook, row.batch.pass_id, raw, duration_us), ""
    except InvalidAnnotation as error:
        return None, str(error)


def _next_version(row: Assignment) -> int:
    newest: int | None = row.annotations.aggregate(newest=Max("version"))["newest"]
    return (newest or 0) + 1


def _store(annotation: Annotation, parsed: ParsedAnnotation) -> None:
    segments = [
        Segment(
            annotation=annotation,
            start_us=each.start_us,
            end_us=each.end_us,
            label=each.label,
            certainty=each.certainty,
            note=each.note,
        )
        for each in parsed.segments
    ]
    Segment.objects.bulk_create(segments)
    SegmentCue.objects.bulk_create(
        SegmentCue(segment=segment, modality=cue.modality, cue=cue.cue)
        for segment, each in zip(segments, parsed.segments, strict=True)
        for cue in each.cues
    )
    ClipLabel.objects.bulk_create(
        ClipLabel(
            annotation=annotation, scale=each.scale, value=each.value, confidence=each.confidence
        )
        for each in parsed.clip_labels
    )

"""Raters' work becomes rows: checked against the codebook, stored once, never changed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from annotation.codebooks import Codebook, InvalidAnnotation, ParsedAnnotation, parse_result
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    ClipLabel,
    Segment,
    SegmentCue,
    SegmentText,
)
from annotation.services import codebooks, qualification
from annotation.services.assignment import reassign
from waver.core.clock import seconds_us
from waver.core.errors import BadInput, Conflict

Verdict, Route, State = Annotation.Verdict, Annotation.Route, Assignment.State

log = logging.getLogger(__name__)

# No longer the rater's: its task is deleted by Waver itself. Work that comes in before that counts
# all the same where it was only given to somebody else; see `reassign.won`.
GONE = frozenset({State.WITHDRAWN, State.TAKEN_BACK})
_LONGEST_LEAD_TIME = 10 * 365 * 86_400  # seconds: a page left open for ten years
_NO_LENGTH = (
    "This recording has no length yet, so no label on it can be checked. Wait until it is prepared."
)


@dataclass(frozen=True, slots=True)
class Submission:
    """One annotation as Label Studio holds it: its result as it came, `lead_time` in seconds."""

    assignment_id: UUID
    raw: list[dict[str, Any]]
    remote_id: int
    remote_updated_at: datetime
    lead_time: float | None


@dataclass(frozen=True, slots=True)
class Stored:
    """The row that holds a submission, and whether it was made just now."""

    annotation: Annotation
    is_new: bool


@dataclass(slots=True)
class _Work:
    """One assignment and the rows stored for it so far, in the order of their versions."""

    assignment: Assignment
    rows: list[Annotation] = field(default_factory=list)

    def known(self, remote_id: int) -> Annotation | None:
        return next((row for row in reversed(self.rows) if row.remote_id == remote_id), None)

    @property
    def deletions(self) -> int:
        return sum(row.verdict == Verdict.DELETED for row in self.rows)


@dataclass(slots=True)
class _New:
    """What one call will store: rows and what was read from each that fits the codebook."""

    annotations: list[Annotation] = field(default_factory=list)
    parsed: list[ParsedAnnotation | None] = field(default_factory=list)


def accept(
    assignment: Assignment,
    raw: list[dict[str, Any]],
    remote_id: int,
    remote_updated_at: datetime,
    lead_time: float | None,
    received_by: str,
) -> Annotation:
    """Store what a rater submitted as the assignment's next version, and give the row.

    As `accept_all`, for one. Raises Conflict for a withdrawn assignment, BadInput when the
    recording has no length yet.
    """
    one = Submission(assignment.pk, raw, remote_id, remote_updated_at, lead_time)
    (stored,) = accept_all([one], received_by=received_by)
    assignment.refresh_from_db()
    if stored is not None:
        return stored.annotation
    if assignment.state in GONE:
        raise Conflict(
            "This assignment was withdrawn, or given to another rater and the work does not fit "
            "the codebook, so it is not stored. Nothing needs to be done."
        )
    raise BadInput(_NO_LENGTH)


@transaction.atomic
def accept_all(submissions: Sequence[Submission], *, received_by: str) -> list[Stored | None]:
    """Store what raters submitted, and give the row of each submission in the order given.

    A submission's result is stored as it came. What fits the codebook is stored as segments and
    clip labels in microseconds, and the assignment becomes submitted; what does not is stored as
    rejected, and goes back to the rater with the reason. The same content of the same remote
    annotation is stored once, whoever brings it and how often; what is older than the stored
    version is ignored. Both give the row that is there. Where the newest row says that the rater
    deleted an annotation while another one of the task stands, the other is stored anew, because
    it is what counts from then on. None stands for a submission that was not stored: its
    assignment is no longer the rater's or its recording has no length yet.

    A handful of queries, however many submissions there are.
    """
    works = _locked({each.assignment_id for each in submissions})
    books: dict[UUID, Codebook] = {}
    found: dict[int, Stored | None] = dict.fromkeys(range(len(submissions)))
    made = _New()
    order = sorted(range(len(submissions)), key=lambda at: _by_assignment_and_age(submissions[at]))
    for key, group in groupby(order, key=lambda at: submissions[at].assignment_id):
        work, places = works.get(key), list(group)
        if work is None or work.assignment.state == State.WITHDRAWN:
            continue
        if work.assignment.recording.duration_us is None:
            log.warning("%s (assignment %s)", _NO_LENGTH, key)
            continue
        if work.assignment.state == State.TAKEN_BACK:
            places = [at for at in places if _fits(work, submissions[at], books)]
        for at in places:
            found[at] = _store_if_new(work, submissions[at], received_by, books, made)
        if places and work.rows[-1].verdict == Verdict.DELETED:
            row = _make(work, submissions[places[-1]], received_by, books, made)
            found[places[-1]] = Stored(row, is_new=True)
    _write(made)
    _follow(made)
    return [found[at] for at in range(len(submissions))]


def _by_assignment_and_age(one: Submission) -> tuple[str, datetime, int]:
    return str(one.assignment_id), one.remote_updated_at, one.remote_id


def _locked(assignment_ids: set[UUID]) -> dict[UUID, _Work]:
    """Lock the assignments, always in the same order, and read what is stored for them."""
    rows = (
        Assignment.objects.select_for_update(of=("self",))
        .filter(pk__in=assignment_ids)
        .select_related("batch__codebook", "recording", "rater")
        .order_by("pk")
    )
    works = {row.pk: _Work(row) for row in rows}
    stored = Annotation.objects.filter(assignment_id__in=works).defer("raw").order_by("version")
    for annotation in stored:
        works[annotation.assignment_id].rows.append(annotation)
    return works


def _store_if_new(
    work: _Work, one: Submission, received_by: str, books: dict[UUID, Codebook], made: _New
) -> Stored:
    known = work.known(one.remote_id)
    if (
        known is not None
        and known.verdict != Verdict.DELETED
        and (
            known.raw_sha256 == digest_of(one.raw)
            or known.remote_updated_at > one.remote_updated_at
        )
    ):
        return Stored(known, is_new=False)
    return Stored(_make(work, one, received_by, books, made), is_new=True)


def _make(
    work: _Work, one: Submission, received_by: str, books: dict[UUID, Codebook], made: _New
) -> Annotation:
    """Give the assignment's next version, not yet written."""
    row = work.assignment
    if row.batch.codebook_id not in books:
        books[row.batch.codebook_id] = codebooks.parsed(row.batch.codebook)
    parsed, reason = _parse(row, books[row.batch.codebook_id], one.raw)
    annotation = Annotation(
        assignment=row,
        codebook=row.batch.codebook,
        remote_id=one.remote_id,
        remote_updated_at=one.remote_updated_at,
        version=work.rows[-1].version + 1 if work.rows else 1,
        after_deletions=work.deletions,
        raw={"result": one.raw},
        raw_sha256=digest_of(one.raw),
        lead_time_us=_lead_time_us(one.lead_time),
        received_by=received_by,
        verdict=Verdict.ACCEPTED if parsed is not None else Verdict.REJECTED,
        reason=reason,
        is_synthetic=row.rater.is_synthetic,
    )
    work.rows.append(annotation)
    made.annotations.append(annotation)
    made.parsed.append(parsed)
    return annotation


def _lead_time_us(seconds: float | None) -> int | None:
    """Microseconds of the time that Label Studio took; None for none, or for what is no duration.

    The browser counts it, so anything can stand there.
    """
    if seconds is None or not 0 <= seconds <= _LONGEST_LEAD_TIME:
        return None
    return seconds_us(seconds)


def _fits(work: _Work, one: Submission, books: dict[UUID, Codebook]) -> bool:
    """Tell whether a submission fits the codebook: only then does it win over a replacement."""
    batch = work.assignment.batch
    if batch.codebook_id not in books:
        books[batch.codebook_id] = codebooks.parsed(batch.codebook)
    return _parse(work.assignment, books[batch.codebook_id], one.raw)[0] is not None


def _follow(made: _New) -> None:
    """Tell the parts that wait for a submission: qualification, and who took over the work."""
    newest = {row.assignment_id: row for row in made.annotations}
    for row in newest.values():
        if row.verdict != Verdict.ACCEPTED:
            continue
        if row.assignment.state == State.TAKEN_BACK:
            reassign.won(row.assignment)
        if row.assignment.batch.kind == Batch.Kind.QUALIFICATION:
            qualification.after_submission(row.assignment)


def _write(made: _New) -> None:
    """Write the rows, and what becomes of their assignments: the newest version decides."""
    if not made.annotations:
        return
    Annotation.objects.bulk_create(made.annotations)
    pairs = zip(made.annotations, made.parsed, strict=True)
    write_labels([(row, parsed) for row, parsed in pairs if parsed is not None])
    newest = {row.assignment_id: row for row in made.annotations}
    submitted = [key for key, row in newest.items() if row.verdict == Verdict.ACCEPTED]
    if submitted:
        Assignment.objects.filter(pk__in=submitted).update(state=State.SUBMITTED, return_reason="")
    for key, row in newest.items():
        if row.verdict == Verdict.REJECTED:
            Assignment.objects.filter(pk=key).update(state=State.RETURNED, return_reason=row.reason)


@transaction.atomic
def record_deletion(assignment: Assignment, remote_id: int, received_by: str) -> Annotation | None:
    """Record that the rater's annotation is gone from Label Studio; what was stored stays.

    Gives the row that says so, or None when that is known already. The assignment waits for the
    rater again, unless another annotation of it stands, which `accept_all` then stores anew.
    """
    row = Assignment.objects.select_for_update(of=("self",)).get(pk=assignment.pk)
    known = row.annotations.filter(remote_id=remote_id).order_by("-version").first()
    if known is None or known.verdict == Verdict.DELETED or row.state in GONE:
        return None
    deletions = row.annotations.filter(verdict=Verdict.DELETED).count()
    made = Annotation.objects.create(
        assignment=row,
        codebook=known.codebook,
        remote_id=remote_id,
        remote_updated_at=known.remote_updated_at,
        version=_next_version(row),
        after_deletions=deletions,
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


def _parse(
    row: Assignment, codebook: Codebook, raw: list[dict[str, Any]]
) -> tuple[ParsedAnnotation | None, str]:
    try:
        return parse_result(codebook, row.batch.pass_id, raw, row.recording.duration_us or 0), ""
    except InvalidAnnotation as error:
        return None, str(error)


def _next_version(row: Assignment) -> int:
    newest: int | None = row.annotations.aggregate(newest=Max("version"))["newest"]
    return (newest or 0) + 1


def write_labels(answers: Iterable[tuple[Annotation, ParsedAnnotation]]) -> None:
    """Write the segments, cues and clip labels of many annotations with one query each."""
    segments: list[Segment] = []
    cues: list[SegmentCue] = []
    texts: list[SegmentText] = []
    clip_labels: list[ClipLabel] = []
    for annotation, parsed in answers:
        for each in parsed.segments:
            segment = Segment(
                annotation=annotation,
                start_us=each.start_us,
                end_us=each.end_us,
                label=each.label,
                certainty=each.certainty,
                note=each.note,
            )
            segments.append(segment)
            cues += [
                SegmentCue(
                    segment=segment,
                    modality=cue.modality,
                    cue=cue.cue,
                    confidence=cue.confidence,
                    grade=cue.grade,
                )
                for cue in each.cues
            ]
            texts += [
                SegmentText(segment=segment, question=text.question, text=text.text)
                for text in each.texts
            ]
        clip_labels += [
            ClipLabel(
                annotation=annotation,
                scale=each.scale,
                value=each.value,
                confidence=each.confidence,
                grade=each.grade,
            )
            for each in parsed.clip_labels
        ]
    Segment.objects.bulk_create(segments)
    SegmentCue.objects.bulk_create(cues)
    SegmentText.objects.bulk_create(texts)
    ClipLabel.objects.bulk_create(clip_labels)

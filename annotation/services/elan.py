"""Work from ELAN brought in, and work taken out to ELAN.

What is brought in becomes immutable rows like any rater's: checked against the codebook, all of a
file or nothing, the same file never twice. It lies in a closed batch of its own, so that nobody is
sent it. The raw result keeps the file's hash, not its name, which may name a participant.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from annotation import elan
from annotation.codebooks import (
    Codebook,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
    migrate_through,
)
from annotation.models import Annotation, Assignment, Batch, CodebookVersion
from annotation.services import codebooks
from annotation.services.accept import digest_of, write_labels
from annotation.services.numbering import rater_numbers
from waver.accounts.models import User
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.errors import BadInput, Conflict, Missing
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of
from waver.studies.models import Membership, Study, StudyDesign

BROUGHT_IN = "Work brought in from ELAN. Nobody is sent this batch."
_GONE = (Assignment.State.WITHDRAWN, Assignment.State.TAKEN_BACK)


@dataclass(frozen=True)
class Imported:
    """The row of one pass of a file, and whether it was made just now."""

    pass_id: str
    annotation: Annotation
    is_new: bool


@dataclass(frozen=True)
class Exported:
    """An ELAN file, the names of the raters in it, and sentences about what is not in it."""

    data: bytes
    raters: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def import_eaf(
    study: Study,
    data: bytes,
    recording: Recording,
    rater: User,
    *,
    actor: str,
    codebook: CodebookVersion | None = None,
    annotator: str = "",
    ignore: Collection[str] = (),
    shift_ms: int = 0,
    empty_means_none: bool = False,
    arm: str = StudyDesign.Arm.BLIND,
) -> list[Imported]:
    """Store one rater's work on one recording from an ELAN file, and give a row for each pass.

    Times are put on the proxy's clock: time in the file, plus the linked media's time origin, plus
    `shift_ms` for a file that was made on another cut of the video. `annotator`, `ignore` and
    `empty_means_none` are explained at `annotation.elan.fitted`. `arm` says whether the rater saw
    pre-labels: only work done without them, and alone, may count for agreement.
    All or nothing: raises BadInput listing everything that does not fit the codebook, Conflict
    where the rater has an assignment for this recording in Label Studio or the same work was
    brought in as another rater's, and ConsentRefused where the participant does not allow the
    recording to be labelled.
    """
    _check_people(study, recording, rater)
    subject = subject_of(recording)
    policy.require(Purpose.ANNOTATE, subject, actor=actor)
    version = codebook or codebooks.current(study)
    found = _fitted(
        data, codebooks.parsed(version), recording,
        annotator=annotator, ignore=ignore, shift_ms=shift_ms, empty_means_none=empty_means_none,
    )  # fmt: skip
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        # Held, so that a withdrawal either is seen here or sees these rows.
        policy.require(Purpose.ANNOTATE, subject, actor=actor, hold=True)
        file_sha256 = hashlib.sha256(data).hexdigest()
        tiers_sha256 = hashlib.sha256(data + f"\0{annotator}".encode()).hexdigest()
        _refuse_anothers(recording, rater, tiers_sha256)
        sources = {"eaf_sha256": file_sha256, "eaf_tiers_sha256": tiers_sha256}
        return [_store(version, recording, rater, each, arm, sources, actor) for each in found]


def _check_people(study: Study, recording: Recording, rater: User) -> None:
    if recording.study_id != study.pk:
        raise BadInput("This recording belongs to another study. Choose one of this study.")
    if recording.duration_us is None:
        raise BadInput(
            "This recording has no length yet, so no label on it can be checked. Wait until it is "
            "prepared."
        )
    role = Membership.Role.ANNOTATOR
    if not Membership.objects.filter(study=study, user=rater, role=role).exists():
        raise BadInput(
            f"{rater.get_username()} is no annotator of the study “{study.title}”. Add them as "
            "one, so that their work has an author."
        )


def _refuse_anothers(recording: Recording, rater: User, tiers_sha256: str) -> None:
    """One person's work under two names would agree with itself. The study is locked."""
    other = (
        Annotation.objects.filter(
            assignment__recording=recording, raw__eaf_tiers_sha256=tiers_sha256
        )
        .exclude(assignment__rater=rater)
        .select_related("assignment__rater")
        .first()
    )
    if other is not None:
        raise Conflict(
            "This work was brought in before, as that of "
            f"{other.assignment.rater.get_username()}. Two raters' work are two files, or two "
            "raters' tiers in one file: then say whose tiers are meant."
        )


def _fitted(
    data: bytes,
    codebook: Codebook,
    recording: Recording,
    *,
    annotator: str,
    ignore: Iterable[str],
    shift_ms: int,
    empty_means_none: bool,
) -> tuple[elan.FoundPass, ...]:
    try:
        return elan.fitted(
            elan.read(data),
            codebook,
            recording.duration_us or 0,
            annotator=annotator,
            ignore=ignore,
            shift_ms=shift_ms,
            empty_means_none=empty_means_none,
        )
    except elan.ElanProblem as problem:
        raise BadInput(
            "Nothing was brought in from this ELAN file until it is corrected:\n"
            + "\n".join(problem.problems)
        ) from problem


def _store(
    version: CodebookVersion,
    recording: Recording,
    rater: User,
    found: elan.FoundPass,
    arm: str,
    sources: dict[str, str],
    actor: str,
) -> Imported:
    assignment = _assignment(version, recording, rater, found.pass_id, arm)
    digest = digest_of(found.result)
    known = assignment.annotations.filter(raw_sha256=digest).order_by("-version").first()
    if known is not None:
        return Imported(found.pass_id, known, is_new=False)
    newest: int = assignment.annotations.aggregate(newest=Max("version"))["newest"] or 0
    row = Annotation.objects.create(
        assignment=assignment,
        codebook=version,
        remote_updated_at=timezone.now(),
        version=newest + 1,
        raw={"result": found.result, **sources},
        raw_sha256=digest,
        received_by=Annotation.Route.IMPORT,
        verdict=Annotation.Verdict.ACCEPTED,
        is_synthetic=rater.is_synthetic,
    )
    write_labels([(row, found.annotation)])
    audit.record(
        actor=actor,
        verb="elan.imported",
        object_kind="annotation",
        object_id=row.pk,
        detail={
            "pass": found.pass_id,
            "version": row.version,
            "eaf_sha256": sources["eaf_sha256"],
        },
    )
    return Imported(found.pass_id, row, is_new=True)


def _assignment(
    version: CodebookVersion, recording: Recording, rater: User, pass_id: str, arm: str
) -> Assignment:
    """Give the assignment of brought-in work; the rater may have no other one for it here."""
    batch = _batch(version, pass_id)
    here = Assignment.objects.filter(
        recording=recording, rater=rater, repeat=0, is_gold=False,
        batch__study=version.study, batch__pass_id=pass_id, batch__kind=Batch.Kind.WORK,
    ).exclude(state__in=_GONE)  # fmt: skip
    if here.exclude(batch=batch).exists():
        raise Conflict(
            f"{rater.get_username()} labels this recording here already, in the pass {pass_id!r}. "
            "Take the assignment back first, or keep the work that is here."
        )
    found, _ = Assignment.objects.get_or_create(
        batch=batch,
        recording=recording,
        rater=rater,
        repeat=0,
        defaults={
            "arm": arm,
            "order": batch.assignments.filter(rater=rater).count() + 1,
            "state": Assignment.State.SUBMITTED,
            "media_token": secrets.token_hex(32),
        },
    )
    if found.arm != arm:
        raise Conflict(
            "Earlier work of this rater on this recording was brought in as made "
            f"{found.get_arm_display().lower()}; it cannot be both."
        )
    return found


def _batch(version: CodebookVersion, pass_id: str) -> Batch:
    """Give the closed batch in which this version's brought-in work lies; the study is locked."""
    brought = Batch.objects.filter(codebook=version, pass_id=pass_id, notes=[BROUGHT_IN])
    found = brought.first()
    if found is not None:
        return found
    same = Batch.objects.filter(study=version.study, pass_id=pass_id)
    newest: int = same.aggregate(newest=Max("number"))["newest"] or 0
    return Batch.objects.create(
        study=version.study,
        codebook=version,
        pass_id=pass_id,
        number=newest + 1,
        state=Batch.State.CLOSED,
        notes=[BROUGHT_IN],
    )


def export_eaf(
    recording: Recording,
    *,
    actor: str,
    codebook: CodebookVersion | None = None,
    raters: Collection[UUID] | None = None,
) -> Exported:
    """Give raters' newest accepted work on a recording as an ELAN file, raters by their numbers.

    All raters, or those named. Work done with an earlier version of the codebook is carried over
    where its migrations decide everything, and left out with a sentence where they do not. Repeats
    and controls are not in it. Times are rounded to milliseconds, which is all that ELAN has.
    Raises ConsentRefused where the participant does not allow the recording to be labelled, Missing
    where there is no work.
    """
    policy.require(Purpose.ANNOTATE, subject_of(recording), actor=actor)
    version = codebook or codebooks.current(recording.study)
    left_out: list[str] = []
    works = _works(_newest(recording, version, raters), version, left_out)
    if not works or recording.duration_us is None:
        said = " ".join(left_out)
        raise Missing(f"No rater's work on this recording can be written for ELAN. {said}".strip())
    name = f"{recording.pk}.mp4"
    document = elan.document_of(
        codebooks.parsed(version),
        works,
        duration_us=recording.duration_us,
        media=[elan.Media(f"file:///{name}", "video/mp4", f"./{name}")],
        date=timezone.now().isoformat(timespec="seconds"),
    )
    audit.record(actor=actor, verb="elan.exported", object_kind="recording", object_id=recording.pk)
    shown = tuple(sorted({work.rater for work in works}))
    return Exported(elan.write(document), shown, tuple(left_out))


def _newest(
    recording: Recording, version: CodebookVersion, raters: Collection[UUID] | None
) -> list[Annotation]:
    """The newest answer to each assignment of real work, if it is accepted."""
    rows = Annotation.objects.filter(
        assignment__recording=recording,
        assignment__batch__kind=Batch.Kind.WORK,
        assignment__repeat=0,
        assignment__is_gold=False,
        codebook__code=version.code,
    ).exclude(assignment__state__in=_GONE)
    if raters is not None:
        rows = rows.filter(assignment__rater__in=raters)
    rows = rows.order_by("assignment_id", "-version").distinct("assignment_id")
    found = rows.select_related("assignment__batch", "codebook").prefetch_related(
        "segments__cues", "segments__texts", "clip_labels"
    )
    return [row for row in found if row.verdict == Annotation.Verdict.ACCEPTED]


def _works(
    rows: Sequence[Annotation], version: CodebookVersion, left_out: list[str]
) -> list[elan.RaterWork]:
    numbers = rater_numbers(version.study)
    order = [part.id for part in codebooks.parsed(version).passes]
    works: list[elan.RaterWork] = []
    for row in sorted(rows, key=lambda each: each.codebook.version):
        name = f"R{numbers[row.assignment.rater_id]}"
        try:
            way = codebooks.way_between(row.codebook, version)
        except BadInput:
            left_out.append(f"{name} worked with {row.codebook}, which is later than {version}.")
            continue
        carried = migrate_through(answers_of(row), way, row.assignment.batch.pass_id)
        if carried.complete and carried.pass_id:
            works.append(elan.RaterWork(name, carried.pass_id, carried.annotation))
        else:
            left_out.append(
                f"{name}'s work in the pass {row.assignment.batch.pass_id!r} was done with "
                f"{row.codebook} and cannot be carried over whole to {version}."
            )
    # A rater has one tier of a name: of work with two versions, the newer stands.
    last = {(work.rater, work.pass_id): work for work in works}
    return sorted(last.values(), key=lambda work: (work.rater, order.index(work.pass_id)))


def answers_of(row: Annotation) -> ParsedAnnotation:
    """Give an annotation's stored rows as the values that they were read from."""
    segments = sorted(row.segments.all(), key=lambda s: (s.start_us, s.end_us, s.label))
    return ParsedAnnotation(
        segments=tuple(
            ParsedSegment(
                each.start_us,
                each.end_us,
                each.label,
                each.certainty,
                tuple(
                    ParsedCue(cue.modality, cue.cue, cue.confidence, cue.grade)
                    for cue in each.cues.all()
                ),
                each.note,
                tuple(ParsedText(text.question, text.text) for text in each.texts.all()),
            )
            for each in segments
        ),
        clip_labels=tuple(
            ParsedClipLabel(each.scale, each.value, each.confidence, each.grade)
            for each in row.clip_labels.all()
        ),
    )

"""Freezing: the set of annotations that the gate looks at, fixed before anybody looks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from annotation.models import Annotation, Assignment, Batch, CodebookVersion
from waver.consent.models import ConsentState, Participant, Purpose
from waver.core import audit
from waver.core.errors import Conflict, IntegrityProblem
from waver.datasets.models import Snapshot
from waver.studies.models import Study

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One annotation in a snapshot: whose work, on what, in which arm. The hash covers it all.

    `sampled` tells whether the recording was drawn to be coded by several raters, `probability`
    how probable that was; agreement is weighted with its inverse.
    """

    annotation: UUID
    raw_sha256: str
    recording: UUID
    participant: UUID
    rater: UUID
    pass_id: str
    arm: str
    repeat: int
    sampled: bool = True
    probability: float = 1.0

    def hashed(self) -> list[str]:
        """What the snapshot's hash covers; a draw is named only where there was one."""
        columns = [
            self.annotation, self.raw_sha256, self.recording, self.participant, self.rater,
            self.pass_id, self.arm, self.repeat,
        ]  # fmt: skip
        if not self.sampled or self.probability != 1:
            columns += [self.sampled, repr(self.probability)]
        return [str(column) for column in columns]


def freeze(*, study: Study, actor: str) -> Snapshot:
    """Fix the newest accepted annotation of every assignment, of participants still taking part.

    Only real work is frozen: nothing from training or qualification, no control whose answer is
    known, no repeat of a rater's own work. Both arms are; each item's arm is part of the hash. The
    newest codebook version with accepted work counts; work under older versions stays where it is.
    If nothing changed since the last snapshot, that one is returned.
    Raises Conflict when there is no accepted annotation.
    """
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        codebook = _codebook(study)
        items = list(_current_items(study, codebook)) if codebook else []
        if codebook is None or not items:
            raise Conflict(
                f"There is nothing to freeze in “{study.title}”: no accepted annotation of a "
                "participant who still takes part. Wait for the raters' first submissions."
            )
        sha256 = _digest(codebook, items)
        last = study.snapshots.order_by("-number").first()
        if last is not None and last.sha256 == sha256:
            return last
        snapshot = Snapshot.objects.create(
            study=study,
            codebook=codebook,
            number=last.number + 1 if last else 1,
            sha256=sha256,
            frozen_by=actor,
        )
        through = Snapshot.annotations.through
        through.objects.bulk_create(
            (through(snapshot_id=snapshot.pk, annotation_id=item.annotation) for item in items),
            batch_size=_BATCH,
        )
        audit.record(
            actor=actor,
            verb="snapshot.frozen",
            object_kind="snapshot",
            object_id=snapshot.pk,
            detail={"number": snapshot.number, "sha256": sha256, "annotations": len(items)},
        )
    return snapshot


def items_of(snapshot: Snapshot, *, pass_id: str | None = None) -> Iterator[Item]:
    """Give the snapshot's items, oldest annotation first; of one pass only, if named."""
    rows = snapshot.annotations.all()
    if pass_id is not None:
        rows = rows.filter(assignment__batch__pass_id=pass_id)
    return _items(rows)


def require_whole(snapshot: Snapshot) -> None:
    """Make sure that the snapshot is still what was frozen.

    Raises Conflict when participants have withdrawn since, IntegrityProblem when its hash no
    longer fits.
    """
    gone = (
        Participant.objects.filter(takes__recordings__assignments__annotations__snapshots=snapshot)
        .filter(pk__in=_left(snapshot.study))
        .distinct()
        .count()
    )
    items = list(items_of(snapshot))
    if gone or not items:
        raise Conflict(
            f"Participants have withdrawn since snapshot {snapshot.number} was frozen. Freeze a "
            "new snapshot: it leaves them out, and so does everything computed from it."
        )
    if _digest(snapshot.codebook, items) != snapshot.sha256:
        raise IntegrityProblem(
            f"Snapshot {snapshot.number} of “{snapshot.study.title}” is not what was frozen: its "
            "hash does not fit. If annotations were erased, freeze a new snapshot; if not, an "
            "administrator must find out who changed the database."
        )


def _codebook(study: Study) -> CodebookVersion | None:
    return (
        CodebookVersion.objects.filter(
            study=study,
            annotation__verdict=Annotation.Verdict.ACCEPTED,
            annotation__assignment__in=_real_work(study),
        )
        .order_by("-version", "-created_at")
        .first()
    )


def _current_items(study: Study, codebook: CodebookVersion) -> Iterator[Item]:
    standing = (
        Annotation.objects.filter(assignment__in=_real_work(study))
        .exclude(verdict=Annotation.Verdict.REJECTED)
        .exclude(assignment__state=Assignment.State.WITHDRAWN)
        .order_by("assignment_id", "-version")
        .distinct("assignment_id")
    )
    rows = Annotation.objects.filter(
        pk__in=standing.values("pk"), verdict=Annotation.Verdict.ACCEPTED, codebook=codebook
    ).exclude(assignment__recording__take__participant__in=_left(study))
    return _items(rows)


def _real_work(study: Study) -> QuerySet[Assignment]:
    """First-time work that counts: agreement and released labels know nothing else."""
    return Assignment.objects.filter(
        batch__study=study, batch__kind=Batch.Kind.WORK, is_gold=False, repeat=0
    )


def _left(study: Study) -> set[UUID]:
    """Participants who withdrew, altogether or from being labelled."""
    people = Participant.objects.filter(study=study)
    withdrawn = people.exclude(state=Participant.State.ACTIVE).values_list("pk", flat=True)
    ended = ConsentState.objects.filter(
        participant__study=study,
        purpose__in=[Purpose.PROCESS, Purpose.ANNOTATE],
        ended_at__isnull=False,
    ).values_list("participant", flat=True)
    return set(withdrawn) | set(ended)


def _items(rows: QuerySet[Annotation]) -> Iterator[Item]:
    columns = (
        "pk",
        "raw_sha256",
        "assignment__recording",
        "assignment__recording__take__participant",
        "assignment__rater",
        "assignment__batch__pass_id",
        "assignment__arm",
        "assignment__repeat",
        "assignment__in_reliability_sample",
        "assignment__inclusion_probability",
    )
    # Frozen work that is turned into a control afterwards is missed here, so the hash breaks.
    rows = rows.filter(assignment__batch__kind=Batch.Kind.WORK, assignment__is_gold=False)
    found = rows.order_by("pk").values_list(*columns)
    for row in found.iterator(chunk_size=_BATCH):
        yield Item(*row)


def _digest(codebook: CodebookVersion, items: Iterable[Item]) -> str:
    total = hashlib.sha256()
    total.update(f"waver.snapshot/1 {codebook.sha256}\n".encode())
    for item in items:
        total.update(json.dumps(item.hashed()).encode() + b"\n")
    return total.hexdigest()

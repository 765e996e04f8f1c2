"""Freezing: the set of annotations that the gate looks at, fixed before anybody looks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from annotation.models import Annotation, Assignment, Batch, CodebookVersion
from waver.consent.models import ConsentState, Participant, Purpose
from waver.core import audit
from waver.core.errors import Conflict, IntegrityProblem
from waver.datasets import answers
from waver.datasets.models import Snapshot
from waver.studies.models import Study

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One annotation in a snapshot: whose work, on what, in which arm. The hash covers it all.

    `pass_id` is what the snapshot's codebook version calls the pass, `stored_pass` what the
    version called it that the work was done with. `sampled` tells whether the recording was drawn
    to be coded by several raters, `probability` how probable that was; agreement is weighted with
    its inverse.
    """

    annotation: UUID
    raw_sha256: str
    recording: UUID
    participant: UUID
    rater: UUID
    pass_id: str
    arm: str
    repeat: int
    codebook: UUID
    stored_pass: str
    sampled: bool
    probability: float

    def hashed(self, codebook: UUID) -> list[str]:
        """What the snapshot's hash covers; a draw and an earlier version only where there is one.

        `codebook` is the snapshot's version.
        """
        columns: list[object] = [
            self.annotation, self.raw_sha256, self.recording, self.participant, self.rater,
            self.stored_pass, self.arm, self.repeat,
        ]  # fmt: skip
        if self.codebook != codebook:
            columns.append(f"codebook {self.codebook}")
        if not self.sampled or self.probability != 1:
            columns += [self.sampled, repr(self.probability)]
        return [str(column) for column in columns]


def freeze(*, study: Study, actor: str) -> Snapshot:
    """Fix the newest accepted annotation of every assignment, of participants still taking part.

    Only real work is frozen: nothing from training or qualification, no control whose answer is
    known, no repeat of a rater's own work. Both arms are; each item's arm is part of the hash. The
    codebook's newest version counts. Work done with earlier ones comes along through the
    migrations in between: what a migration leaves open stays out whole, because its rater has to
    be asked again, and where a rater did the same recording with two versions, the later counts.
    If nothing changed since the last snapshot, that one is returned.
    Raises Conflict when there is no accepted annotation.
    """
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        codebook = _codebook(study)
        items = _current_items(study, codebook) if codebook else []
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


def items_of(
    snapshot: Snapshot, *, pass_id: str | None = None, codebook: CodebookVersion | None = None
) -> Iterator[Item]:
    """Give the snapshot's items, oldest annotation first; of one pass only, if named.

    Passes are named as the snapshot's codebook version names them, or as `codebook` does, a
    later one.
    """
    terms = snapshot.codebook_id if codebook is None else codebook.pk
    rows = snapshot.annotations.all()
    if pass_id is not None:  # work done with another version may have called the pass otherwise
        rows = rows.filter(Q(assignment__batch__pass_id=pass_id) | ~Q(codebook=terms))
    for item in answers.in_terms_of(_items(rows), terms):
        if pass_id in (None, item.pass_id):
            yield item


def require_whole(snapshot: Snapshot) -> None:
    """Make sure that the snapshot is still what was frozen.

    Raises Conflict when participants have withdrawn since, IntegrityProblem when its hash no
    longer fits.
    """
    gone = (
        Participant.objects.filter(takes__recordings__assignments__annotations__snapshots=snapshot)
        .filter(pk__in=left(snapshot.study))
        .distinct()
        .count()
    )
    items = list(_items(snapshot.annotations.all()))
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
    """The newest version of the codebook that was worked with last."""
    found = (
        CodebookVersion.objects.filter(
            study=study,
            annotation__verdict=Annotation.Verdict.ACCEPTED,
            annotation__assignment__in=_real_work(study),
        )
        .order_by("-version", "-created_at")
        .first()
    )
    return None if found is None else newest_of(found)


def newest_of(codebook: CodebookVersion) -> CodebookVersion:
    """Give the version that supersedes all others after this one; itself where none does."""
    while (later := CodebookVersion.objects.filter(supersedes=codebook).first()) is not None:
        codebook = later
    return codebook


def _current_items(study: Study, codebook: CodebookVersion) -> list[Item]:
    versions, version = [codebook.pk], codebook
    while version.supersedes is not None:
        version = version.supersedes
        versions.append(version.pk)
    standing = (
        Annotation.objects.filter(assignment__in=_real_work(study))
        .exclude(verdict=Annotation.Verdict.REJECTED)
        .exclude(assignment__state=Assignment.State.WITHDRAWN)
        .order_by("assignment_id", "-version")
        .distinct("assignment_id")
    )
    rows = Annotation.objects.filter(
        pk__in=standing.values("pk"), verdict=Annotation.Verdict.ACCEPTED, codebook__in=versions
    ).exclude(assignment__recording__take__participant__in=left(study))
    return _carried(list(_items(rows)), versions)


def _carried(items: list[Item], versions: list[UUID]) -> list[Item]:
    """Leave out what a migration leaves open, and what was done again with a later version.

    `versions` begins with the version that counts, the one before it next.
    """
    named = list(answers.in_terms_of(items, versions[0]))
    earlier = [item for item in named if item.codebook != versions[0]]
    if not earlier:
        return named
    carried = answers.carry(
        ((item.annotation, item.codebook, item.stored_pass) for item in earlier), versions[0]
    )
    kept: dict[tuple[UUID, UUID, str, str], Item] = {}
    for item in sorted(named, key=lambda item: versions.index(item.codebook)):
        if item.annotation not in carried or carried[item.annotation].complete:
            kept.setdefault((item.recording, item.rater, item.pass_id, item.arm), item)
    chosen = {item.annotation for item in kept.values()}
    return [item for item in named if item.annotation in chosen or item.codebook == versions[0]]


def _real_work(study: Study) -> QuerySet[Assignment]:
    """First-time work that counts: agreement and released labels know nothing else."""
    return Assignment.objects.filter(
        batch__study=study, batch__kind=Batch.Kind.WORK, is_gold=False, repeat=0
    )


def left(study: Study) -> set[UUID]:
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
        "codebook",
        "assignment__batch__pass_id",
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
        total.update(json.dumps(item.hashed(codebook.pk)).encode() + b"\n")
    return total.hexdigest()

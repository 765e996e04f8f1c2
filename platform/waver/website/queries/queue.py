"""What an annotator sees: their own clips, counted, and nobody else's. No names, no codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import QuerySet

from annotation.codebooks.loader import load
from annotation.codebooks.model import Codebook, Pass
from annotation.models import Assignment, Batch, Qualification
from annotation.services import opening
from annotation.services.assignment.people import GONE
from waver.accounts.models import User
from waver.core.errors import Missing
from waver.studies.models import Membership

DONE = (Assignment.State.SUBMITTED,)
_ORDER = (Batch.Kind.TRAINING, Batch.Kind.QUALIFICATION, Batch.Kind.WORK)
WAITING = (Assignment.State.SENT, Assignment.State.RETURNED)


@dataclass(frozen=True)
class Returned:
    """A clip that came back to its rater: its place in their order, from 1, and why."""

    position: int
    assignment_id: UUID
    reason: str


@dataclass
class QueueLine:
    """One batch in a rater's queue."""

    batch: Batch
    total: int = 0
    done: int = 0
    waiting: int = 0
    returned: list[Returned] = field(default_factory=list)
    refusal: str = ""  # why it may not be started now, in a sentence
    result: str = ""  # how the qualification went, in a sentence

    @property
    def share(self) -> float:
        """Give the share that is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0

    @property
    def can_start(self) -> bool:
        """Tell whether there is a clip to label now."""
        return self.has_work and not self.refusal

    @property
    def has_work(self) -> bool:
        """Tell whether a clip waits, though it may not be its turn yet."""
        return self.batch.state == Batch.State.OPEN and self.waiting > 0

    @property
    def next_position(self) -> int:
        """Give the number of the next clip, counted from 1."""
        return self.done + 1


def queue(user: User) -> list[QueueLine]:
    """Give a rater's batches: those that can be started first, then training before real work."""
    rows = (
        Assignment.objects.filter(rater=user, batch__study__in=_studies(user))
        .exclude(state__in=(*GONE, Assignment.State.PLANNED))
        .select_related("batch__study", "batch__codebook")
        .order_by("batch__created_at", "order")
    )
    lines: dict[UUID, QueueLine] = {}
    for position, row in _positions(rows):
        line = lines.setdefault(row.batch_id, QueueLine(batch=row.batch))
        line.total += 1
        line.done += row.state in DONE
        line.waiting += row.state in WAITING
        if row.state == Assignment.State.RETURNED:
            line.returned.append(Returned(position, row.pk, row.return_reason))
    for line in lines.values():
        line.refusal = opening.refusal(user, line.batch) if line.has_work else ""
        line.result = _result(user, line)
    return sorted(
        lines.values(),
        key=lambda line: (
            not line.can_start,
            not line.has_work,
            _ORDER.index(Batch.Kind(line.batch.kind)),
        ),
    )


def _result(user: User, line: QueueLine) -> str:
    if line.batch.kind != Batch.Kind.QUALIFICATION:
        return ""
    row = Qualification.objects.filter(profile__user=user, batch=line.batch).first()
    if row is None:
        return ""
    return (
        f"{row.agreed:.0%} of your {row.n} labels equal the known answers; {row.minimum:.0%} are "
        f"needed. {'You have passed.' if row.passed else 'That is not enough yet.'}"
    )


def _studies(user: User) -> QuerySet[Membership, UUID]:
    """Give the studies in which the person is an annotator now."""
    memberships = Membership.objects.filter(user=user, role=Membership.Role.ANNOTATOR)
    return memberships.values_list("study_id", flat=True)


def _positions(rows: QuerySet[Assignment]) -> list[tuple[int, Assignment]]:
    """Number a rater's clips within each batch from 1, in their own order."""
    seen: dict[UUID, int] = {}
    found = []
    for row in rows:
        seen[row.batch_id] = seen.get(row.batch_id, 0) + 1
        found.append((seen[row.batch_id], row))
    return found


@dataclass(frozen=True)
class Instructions:
    """What a rater reads before and while they label."""

    line: QueueLine
    codebook: Codebook
    part: Pass


def instructions(user: User, batch_id: UUID) -> Instructions:
    """Give the instructions of a batch to one of its raters.

    Raises Missing for a batch in which the person has no clip.
    """
    for line in queue(user):
        if line.batch.pk == batch_id:
            codebook = load(line.batch.codebook.text)
            return Instructions(line, codebook, codebook.pass_(line.batch.pass_id))
    raise Missing(
        "You have no clips in this batch, so there are no instructions to show. Your queue lists "
        "the batches that you take part in."
    )

"""What a rater learns from their training: known answers beside their own. No names, no codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annotation.codebooks.model import Pass
from annotation.models import Annotation, Assignment, Batch
from annotation.services import codebooks, gold, qualification
from annotation.services.assignment.people import GONE
from waver.accounts.models import User
from waver.core.errors import Missing
from waver.studies.models import Membership
from waver.website.templatetags.waver import clock


@dataclass(frozen=True)
class Lesson:
    """One clip of a training: what the rater said, what is known, and why.

    `known` and `said` are lines of text; empty means that nothing was marked.
    """

    position: int
    is_submitted: bool
    said: list[str]
    known: list[str]
    rationale: str
    is_right: bool


@dataclass(frozen=True)
class Training:
    """The lessons of one training batch, and the pass that they are for."""

    batch: Batch
    part: Pass
    lessons: list[Lesson]


def training(user: User, batch_id: UUID) -> Training:
    """Read a rater's training. Raises Missing for any other batch, and for another's."""
    rows = list(
        Assignment.objects.filter(
            rater=user,
            batch=batch_id,
            batch__kind=Batch.Kind.TRAINING,
            batch__study__memberships__user=user,
            batch__study__memberships__role=Membership.Role.ANNOTATOR,
        )
        .exclude(state__in=(*GONE, Assignment.State.PLANNED))
        .select_related("batch__study", "batch__codebook", "recording")
        .order_by("order")
    )
    if not rows:
        raise Missing(
            "You have no such training. Your queue lists what you have; the answers of other "
            "batches are shown to nobody."
        )
    batch = rows[0].batch
    part = codebooks.parsed(batch.codebook).pass_(batch.pass_id)
    return Training(batch, part, [_lesson(n, row, part) for n, row in enumerate(rows, start=1)])


def _lesson(position: int, row: Assignment, part: Pass) -> Lesson:
    """Show the known answer only once the rater has given theirs."""
    accepted = row.annotations.filter(verdict=Annotation.Verdict.ACCEPTED).order_by("version")
    said = accepted.last() if row.state == Assignment.State.SUBMITTED else None
    known = qualification.known_answer(row) if said else None
    if said is None or known is None:
        return Lesson(position, False, [], [], "", False)
    right, n = gold.right_and_all([gold.score(said, known)])
    return Lesson(
        position,
        True,
        _lines(gold.answer_of(said), part),
        _lines(known.answer, part),
        known.rationale,
        right == n,
    )


def _lines(answer: dict[str, Any], part: Pass) -> list[str]:
    """Write an answer as a rater would say it."""
    titles = {label.id: label.title for label in part.labels}
    found = [
        f"{clock(each['start_us'])} to {clock(each['end_us'])}: "
        f"{titles.get(each['label'], each['label'])}"
        for each in answer.get("segments", ())
    ]
    questions = {question.id: question for question in part.questions}
    for each in answer.get("clip_labels", ()):
        question = questions.get(each["scale"])
        if question is None or question.role == "note":
            continue
        values = {value.id: value.title for value in question.values}
        found.append(f"{question.title}: {values.get(each['value'], each['value'])}")
    return found

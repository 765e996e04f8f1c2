"""What is needed to send recordings to raters."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q

from annotation.codebooks.model import Pass
from annotation.models import Assignment, Batch, GoldItem
from annotation.services import codebooks
from annotation.services.assignment.people import away
from annotation.services.assignment.reassign import UNFINISHED
from annotation.services.shared_accounts import Doubt, doubts
from waver.accounts.models import User
from waver.core.errors import BadInput, Missing
from waver.recordings.models import Recording
from waver.studies.designs import choices_of, sentences
from waver.studies.models import Membership, Study, StudyDesign
from waver.website.queries.studies import BatchLine, batch_lines


@dataclass(frozen=True)
class PassLine:
    """A pass of the codebook, and how many ready recordings nobody was asked to label in it."""

    part: Pass
    waiting: int


@dataclass(frozen=True)
class Unfinished:
    """A rater with real work that is not submitted, how much, and why they are away, if so."""

    rater: User
    recordings: int
    away: str


@dataclass(frozen=True)
class BatchPage:
    """Everything on the page of a study's batches. `codebook` is empty when there is none."""

    codebook: str
    passes: list[PassLine]
    raters: list[User]
    design: list[str]  # in sentences
    known: int  # known answers in use
    lines: list[BatchLine]
    unfinished: list[Unfinished]
    doubts: list[Doubt]


def page(study: Study, *, is_lead: bool) -> BatchPage:
    """Read what can be sent to whom. Doubts about accounts are for the lead only."""
    try:
        version = codebooks.current(study)
    except Missing:
        version = None
    parts = codebooks.parsed(version).passes if version else ()
    design = StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study)
    return BatchPage(
        codebook=str(version or ""),
        passes=[PassLine(part, _waiting(study, part.id)) for part in parts],
        raters=raters_of(study),
        design=sentences(choices_of(design)),
        known=GoldItem.objects.filter(codebook=version, retired_at__isnull=True).count(),
        lines=batch_lines(study),
        unfinished=_unfinished(study),
        doubts=doubts(study) if is_lead else [],
    )


def _unfinished(study: Study) -> list[Unfinished]:
    rows = (
        Assignment.objects.filter(
            batch__study=study,
            batch__kind=Batch.Kind.WORK,
            state__in=UNFINISHED,
            is_gold=False,
            repeat=0,
        )
        .exclude(batch__state=Batch.State.CLOSED)
        .order_by()
        .values_list("rater")
        .annotate(Count("pk"))
    )
    counts = dict(rows)
    users = list(User.objects.filter(pk__in=counts).order_by("username"))
    absent = away(study, users)
    return [Unfinished(user, counts[user.pk], absent.get(user.pk, "")) for user in users]


def rater_of(study: Study, rater_id: str) -> User:
    """Give somebody with work in the study. Raises BadInput for anybody else."""
    found = next((u.rater for u in _unfinished(study) if str(u.rater.pk) == rater_id), None)
    if found is None:
        raise BadInput("This rater has no unfinished work here. The page lists who has some.")
    return found


def raters_of(study: Study) -> list[User]:
    """List the annotators of a study who can sign in, by name."""
    annotates = Q(memberships__study=study, memberships__role=Membership.Role.ANNOTATOR)
    return list(User.objects.filter(annotates, is_active=True).distinct().order_by("username"))


def draft(study: Study, batch_id: UUID) -> Batch:
    """Give a batch of the study. Raises Missing for any other."""
    found = study.batches.filter(pk=batch_id).first()
    if found is None:
        raise Missing("This study has no such batch. Its page lists them all.")
    return found


def _waiting(study: Study, pass_id: str) -> int:
    taken = Assignment.objects.filter(
        batch__study=study, batch__pass_id=pass_id, batch__kind=Batch.Kind.WORK, is_gold=False
    )
    known = GoldItem.objects.filter(codebook__study=study, pass_id=pass_id, retired_at__isnull=True)
    return (
        study.recordings.filter(state=Recording.State.READY, view=Recording.View.WEBCAM)
        .exclude(pk__in=known.values("recording_id"))
        .exclude(pk__in=taken.values("recording_id"))
        .count()
    )

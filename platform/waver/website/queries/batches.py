"""What is needed to send recordings to raters."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from annotation.codebooks.model import Pass
from annotation.models import Assignment, Batch
from annotation.services import codebooks
from waver.accounts.models import User
from waver.core.errors import Missing
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study, StudyDesign
from waver.website.queries.studies import BatchLine, batch_lines


@dataclass(frozen=True)
class PassLine:
    """A pass of the codebook, and how many ready recordings nobody was asked to label in it."""

    part: Pass
    waiting: int


@dataclass(frozen=True)
class BatchPage:
    """Everything on the page of a study's batches. `codebook` is empty when there is none."""

    codebook: str
    passes: list[PassLine]
    raters: list[User]
    wanted: int  # raters for each recording, by the study's design
    prelabel_share: float
    lines: list[BatchLine]


def page(study: Study) -> BatchPage:
    """Read what can be sent to whom."""
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
        wanted=design.raters_per_recording,
        prelabel_share=design.prelabel_share,
        lines=batch_lines(study),
    )


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
    taken = Assignment.objects.filter(batch__study=study, batch__pass_id=pass_id)
    return (
        study.recordings.filter(state=Recording.State.READY)
        .exclude(pk__in=taken.values("recording_id"))
        .count()
    )

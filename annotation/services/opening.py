"""When a batch opens to one rater: trained, qualified, the pass before done, the day not full."""

from __future__ import annotations

from annotation.models import Assignment, Batch
from annotation.services import qualification, workload
from annotation.services.assignment.people import GONE, pass_before
from waver.accounts.models import User
from waver.studies.models import StudyDesign


def refusal(user: User, batch: Batch) -> str:
    """Say why a rater may not start labelling a batch now, and what to do first; "" if they may."""
    return (
        qualification.refusal(user, batch)
        or _pass_before_waits(user, batch)
        or workload.refusal(user, batch)
    )


def _pass_before_waits(user: User, batch: Batch) -> str:
    """The whole recording is judged before its parts: each rater's own pass before comes first."""
    design = StudyDesign.objects.filter(study=batch.study).first()
    before = pass_before(design, batch.pass_id) if design else ""
    if not before or batch.kind != Batch.Kind.WORK:
        return ""
    here = batch.assignments.filter(rater=user).exclude(state__in=GONE)
    waiting = (
        Assignment.objects.filter(
            rater=user,
            batch__study=batch.study,
            batch__pass_id=before,
            batch__kind=Batch.Kind.WORK,
            recording__in=here.values("recording"),
        )
        .exclude(state__in=(*GONE, Assignment.State.SUBMITTED))
        .exclude(batch__state=Batch.State.CLOSED)
        .count()
    )
    if not waiting:
        return ""
    return (
        f"First comes the pass “{before.replace('_', ' ')}”: {waiting} of these recordings still "
        f"wait{'s' if waiting == 1 else ''} for you there. What you have just submitted takes a "
        "few seconds to arrive."
    )

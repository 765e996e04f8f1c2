"""How much a rater labels in one day: affect in recordings tires, and tired labels are worse.

What counts is a recording's first submission on a day, in every batch of the study; corrections do
not count again. The limit holds at the door and at the next recording. What a rater has open is
always taken in, so a day can end one or two recordings above its limit.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Min
from django.utils import timezone

from annotation.models import Annotation, Batch
from waver.accounts.models import User
from waver.studies.models import Study, StudyDesign


def submitted_today(user: User, study: Study) -> int:
    """Count the recordings that the rater submitted for the first time today."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    first = (
        Annotation.objects.filter(assignment__rater=user, assignment__batch__study=study)
        .exclude(received_by=Annotation.Route.IMPORT)
        .values("assignment")
        .annotate(at=Min("created_at"))
    )
    return first.filter(at__gte=midnight).count()


def refusal(user: User, batch: Batch) -> str:
    """Say that the rater has reached the day's limit, and when to come back; "" below it."""
    limit = StudyDesign.objects.filter(study=batch.study).values_list("daily_limit", flat=True)
    most = limit.first()
    if most is None or submitted_today(user, batch.study) < most:
        return ""
    tomorrow = timezone.localdate() + timedelta(days=1)
    return (
        f"You have labelled {most} recording{'s' if most != 1 else ''} today, which is as many as "
        f"this study wants of anybody in one day. Everything is saved. Come back on "
        f"{tomorrow:%A}, {tomorrow:%d} {tomorrow:%B}."
    )

"""What is kept about single raters goes when its time is over.

Figures are computed when a page shows them, so there are none to delete; the comparison of every
two raters that the agreement page keeps is cleared by `waver.datasets.figures`. What they rest on,
and what is kept about a rater for care alone, goes: how long each recording was open, qualification
results, languages, absence, conflicts, and stays in Label Studio. Labels stay: they are research
data, and in releases their rater is a code. That a notice was read, which and when, stays too, as
evidence. Figures are shown only of work that was done after a removal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Max, Q

from annotation.models import Annotation, Qualification, RaterConflict, RaterProfile, RemoteProject
from annotation.services.care.profiles import profile_of, raters_of
from waver.accounts.models import LabelStudioSession, User
from waver.core import audit
from waver.studies.models import Study, StudyDesign


@dataclass(frozen=True, slots=True)
class Due:
    """A rater of a study whose time is over, and when they worked last."""

    study: Study
    rater: User
    last: datetime


def ends_at(study: Study, last: datetime) -> datetime:
    """Give when what is kept about a rater goes who worked last at that moment."""
    design = StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study)
    return last + timedelta(days=design.rater_figures_days)


def last_work(study: Study) -> dict[User, datetime]:
    """Give when each rater of a study worked last: submitted, or else became known to it."""
    submitted = dict(
        Annotation.objects.filter(assignment__batch__study=study)
        .order_by()
        .values_list("assignment__rater")
        .annotate(last=Max("remote_updated_at"))
    )
    known = dict(RaterProfile.objects.filter(study=study).values_list("user_id", "created_at"))
    found = {}
    for rater in raters_of(study):
        last = submitted.get(rater.pk) or known.get(rater.pk)
        if last is not None:
            found[rater] = last
    return found


def due(*, now: datetime) -> list[Due]:
    """List the raters of all studies whose time is over and of whom something is kept still."""
    removed = {
        (study, user): at
        for study, user, at in RaterProfile.objects.filter(
            figures_removed_at__isnull=False
        ).values_list("study_id", "user_id", "figures_removed_at")
    }
    found = []
    for study in Study.objects.filter(
        Q(rater_profiles__isnull=False) | Q(batches__isnull=False)
    ).distinct():
        for rater, last in last_work(study).items():
            gone = removed.get((study.pk, rater.pk))
            if ends_at(study, last) <= now and (gone is None or gone < last):
                found.append(Due(study, rater, last))
    return found


@transaction.atomic
def remove(each: Due, *, now: datetime, actor: str) -> dict[str, int]:
    """Remove what is kept about one rater in one study; give how many rows of each kind went.

    The labels and the evidence of the notice stay. Calling it again finds nothing.
    """
    profile = profile_of(user=each.rater, study=each.study)
    with connection.cursor() as cursor:
        # The documented way past the tables' triggers, for this transaction only.
        cursor.execute("SET LOCAL waver.erasure TO 'on'")
    projects = RemoteProject.objects.filter(batch__study=each.study, rater=each.rater)
    gone = {
        "times": Annotation.objects.filter(
            assignment__batch__study=each.study,
            assignment__rater=each.rater,
            lead_time_us__isnull=False,
        ).update(lead_time_us=None),
        "qualifications": Qualification.objects.filter(profile=profile).delete()[0],
        "conflicts": RaterConflict.objects.filter(profile=profile).delete()[0],
        "stays": LabelStudioSession.objects.filter(
            Q(ended_at__isnull=False) | Q(expires_at__lte=now),
            user=each.rater,
            remote_project_id__in=list(projects.values_list("remote_id", flat=True)),
        ).delete()[0],
    }
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL waver.erasure TO 'off'")
    RaterProfile.objects.filter(pk=profile.pk).update(
        languages=[], absent_from=None, absent_until=None, figures_removed_at=now
    )
    audit.record(
        actor=actor,
        verb="rater.figures_removed",
        object_kind="rater_profile",
        object_id=profile.pk,
        detail=gone,
    )
    return gone


def remove_due(*, now: datetime, actor: str = "annotation.retention") -> int:
    """Remove what is kept about every rater whose time is over; give how many these were."""
    found = due(now=now)
    for each in found:
        remove(each, now=now, actor=actor)
    return len(found)

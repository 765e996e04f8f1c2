"""What the pages about raters show. Figures load numpy, so they are imported when asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from annotation.models import Assignment, Qualification, RaterConflict, RaterProfile
from annotation.services import care
from annotation.services.care import retention
from waver.accounts.models import User
from waver.core.errors import Missing, NotAllowed
from waver.datasets.models import ReleaseCode
from waver.studies.access import roles_in
from waver.studies.models import Membership, Study

if TYPE_CHECKING:
    from annotation.services.care.figure import Figure
    from annotation.services.care.figures import RaterFigures

COLUMNS = ("figure", "title", "value", "low", "high", "n", "of", "means", "attention")


@dataclass(frozen=True)
class RaterAccess:
    """Somebody who may read the page of a rater: the study's lead, or the rater."""

    study: Study
    user: User
    rater: User
    is_lead: bool


def rater_access(*, user: User, code: str, rater_id: UUID) -> RaterAccess:
    """Find a rater of a study for somebody.

    The study's leads may read every rater's page, a rater (also a former one) their own. Raises
    NotAllowed for other members, Missing for everybody else.
    """
    study = Study.objects.filter(code=code).first()
    roles = roles_in(user, study) if study else frozenset()
    is_lead = Membership.Role.LEAD in roles
    own = study is not None and user.pk == rater_id and care.is_rater_of(user, study)
    if study is None or not (roles or own):
        raise Missing(
            f"There is no study “{code}” that you belong to. Ask the study's lead to add you, "
            "or go back to your own pages."
        )
    if not is_lead and not own:
        raise NotAllowed(
            "This page is open to the study's lead and to the rater whom it is about. Your own "
            "figures stand under “My figures” if you are a rater."
        )
    rater = User.objects.filter(pk=rater_id).first()
    if rater is None or not care.is_rater_of(rater, study):
        raise Missing(f"“{study.title}” has no such rater. Its page of raters lists them all.")
    return RaterAccess(study, user, rater, is_lead)


@dataclass(frozen=True)
class RaterLine:
    """One rater in the lead's table. Figures are None where the study has no accepted work."""

    rater: User
    asked: int
    submitted: int
    has_read: bool
    is_member: bool
    away: str
    qualification: str
    gold: Figure | None = None
    repeats: Figure | None = None
    others: Figure | None = None
    time: Figure | None = None
    attention: list[Figure] = field(default_factory=list)

    @property
    def shown(self) -> tuple[Figure | None, ...]:
        """Give the figures of the table's columns, in their order."""
        return (self.gold, self.repeats, self.others, self.time)


def lines(study: Study) -> list[RaterLine]:
    """Give a line for each rater of a study, those who need attention first."""
    from annotation.services.care.figures import for_lead
    from annotation.services.care.material import gather

    counted = {
        rater: (asked, submitted)
        for rater, asked, submitted in Assignment.objects.filter(batch__study=study)
        .exclude(state__in=(Assignment.State.WITHDRAWN, Assignment.State.TAKEN_BACK))
        .order_by()
        .values_list("rater")
        .annotate(
            asked=Count("pk"), submitted=Count("pk", filter=Q(state=Assignment.State.SUBMITTED))
        )
    }
    members = set(
        study.memberships.filter(role=Membership.Role.ANNOTATOR).values_list("user_id", flat=True)
    )
    profiles = {row.user_id: row for row in RaterProfile.objects.filter(study=study)}
    sha256, material = care.notice(study).sha256, gather(study)
    found = []
    for rater in care.raters_of(study):
        profile = profiles.get(rater.pk)
        figures = for_lead(study, rater, material=material) if material else None
        found.append(
            RaterLine(
                rater=rater,
                asked=counted.get(rater.pk, (0, 0))[0],
                submitted=counted.get(rater.pk, (0, 0))[1],
                has_read=profile is not None and profile.notice_sha256 == sha256,
                is_member=rater.pk in members,
                away=_away(profile),
                qualification=_qualified(profile),
                gold=figures.figure("gold") if figures else None,
                repeats=_lowest(figures, "repeats:", ":percent"),
                others=_lowest(figures, "pairwise:"),
                time=_lowest(figures, "pace:", ":shorter", ":fast", ":recent"),
                attention=figures.attention if figures else [],
            )
        )
    return sorted(found, key=lambda line: (-len(line.attention), line.rater.username))


@dataclass(frozen=True)
class RaterPage:
    """Everything on the page of one rater."""

    figures: RaterFigures | None
    profile: RaterProfile
    conflicts: list[RaterConflict]
    qualifications: list[Qualification]
    kept_until: datetime | None
    has_read: bool


def page(found: RaterAccess) -> RaterPage:
    """Read the page of a rater, as the lead or as the rater may see it."""
    profile = care.profile_of(user=found.rater, study=found.study)
    last = retention.last_work(found.study).get(found.rater)
    return RaterPage(
        figures=figures_of(found),
        profile=profile,
        conflicts=list(profile.conflicts.select_related("participant").order_by("created_at"))
        if found.is_lead
        else [],
        qualifications=list(profile.qualifications.order_by("-created_at")),
        kept_until=retention.ends_at(found.study, last) if last else None,
        has_read=care.has_read(found.rater, found.study),
    )


def figures_of(found: RaterAccess) -> RaterFigures | None:
    """Compute the figures: all of them for the lead, aggregates for the rater."""
    from annotation.services.care.figures import for_lead, for_rater

    if found.is_lead:
        return for_lead(found.study, found.rater)
    return for_rater(found.study, found.rater, now=timezone.now())


def table(figures: RaterFigures) -> str:
    """Write the figures as CSV; an undefined value is an empty cell, and `means` says why."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in figures.sections:
        for each in part.figures:
            ends = [
                "" if end is None or not isinstance(end, float) else end
                for end in (each.low, each.high)
            ]
            value = "" if each.is_undefined else each.value
            writer.writerow(
                [each.key, each.title, value, *ends, each.n, each.of, each.means, each.attention]
            )
    return out.getvalue()


def code_in_releases(found: RaterAccess) -> str | None:
    """Give the code by which releases name the rater; None while no release has their work."""
    rows = ReleaseCode.objects.filter(study=found.study, rater_id=found.rater.pk)
    return rows.values_list("code", flat=True).first()


def studies_of(user: User) -> list[tuple[Study, bool]]:
    """List the studies that somebody rates or rated in, and whether they have read the notice."""
    rows = Study.objects.filter(
        Q(memberships__user=user, memberships__role=Membership.Role.ANNOTATOR)
        | Q(batches__assignments__rater=user)
    ).distinct()
    return [(study, care.has_read(user, study)) for study in rows.order_by("title")]


def _lowest(figures: RaterFigures | None, start: str, *without: str) -> Figure | None:
    """Give the lowest defined figure of a kind, or one that says why there is none."""
    if figures is None:
        return None
    found = [
        each
        for part in figures.sections
        for each in part.figures
        if each.key.startswith(start) and not each.key.endswith(without or ("\0",))
    ]
    return min(_defined(found), key=_number, default=found[0] if found else None)


def _defined(found: Sequence[Figure]) -> list[Figure]:
    return [each for each in found if not each.is_undefined]


def _number(each: Figure) -> float:
    return each.value if isinstance(each.value, float) else float("inf")


def _away(profile: RaterProfile | None) -> str:
    if profile is None or profile.absent_from is None:
        return ""
    today = timezone.now().date()
    if profile.absent_until is not None and profile.absent_until < today:
        return ""
    until = f" to {profile.absent_until:%-d %b}" if profile.absent_until else ""
    return f"away from {profile.absent_from:%-d %b}{until}"


def _qualified(profile: RaterProfile | None) -> str:
    newest = profile.qualifications.order_by("-created_at").first() if profile else None
    if newest is None:
        return ""
    return f"{'passed' if newest.passed else 'not passed'} ({newest.agreed:.0%} of {newest.n})"

"""Pages about raters: their notice, the figures of each, and what the lead knows of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.services import care
from annotation.services.care import profiles
from annotation.services.care.holdings import held_about
from waver.core.errors import BadInput, Conflict, Missing, NotAllowed
from waver.studies.access import roles_in
from waver.studies.models import Membership, Study
from waver.website.access import StudyAccess, person, study_access, study_page
from waver.website.queries import raters as queries
from waver.website.rater_plots import course_plot, course_rows, time_bars, times_plot

if TYPE_CHECKING:
    from annotation.services.care.course import Course
    from annotation.services.care.figures import RaterFigures, Times

LEAD: frozenset[str] = frozenset({Membership.Role.LEAD})
RATERS: frozenset[str] = frozenset({Membership.Role.ANNOTATOR, Membership.Role.LEAD})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def notice(request: HttpRequest, code: str) -> HttpResponse:
    """Show what is recorded about raters; by POST, record that this rater has read this text.

    Former raters may read it as long as they like: it is about data that is still held.
    """
    user = person(request)
    study = Study.objects.filter(code=code).first()
    if study is not None and care.is_rater_of(user, study):
        member = StudyAccess(study, user, roles_in(user, study))
    else:
        member = study_access(user=user, code=code, allowed=RATERS)
    problem, status = "", 200
    if request.method == "POST":
        profile = care.profile_of(user=member.user, study=member.study)
        try:
            care.read_notice(profile, sha256=request.POST.get("sha256", ""))
        except Conflict as error:
            problem, status = error.sentence, error.http_status  # above the new text
        else:
            messages.success(request, "Thank you. It is recorded that you have read the notice.")
            return redirect("website:queue")
    return render(
        request,
        "website/rater_notice.html",
        {
            "study": member.study,
            "notice": care.notice(member.study),
            "is_rater": Membership.Role.ANNOTATOR in member.roles,
            "has_read": care.has_read(member.user, member.study),
            "problem": problem,
        },
        status=status,
    )


def notice_first(request: HttpRequest, study: Study, unread: care.NoticeUnread) -> HttpResponse:
    """Say that the notice comes before labelling, with the way to it."""
    return render(
        request,
        "website/rater_notice_first.html",
        {"study": study, "sentence": unread.sentence},
        status=unread.http_status,
    )


@require_safe
@study_page(LEAD)
def raters(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """List the raters of a study, for its leads: who needs a word, and why."""
    return render(
        request,
        "website/raters.html",
        {"member": member, "study": member.study, "lines": queries.lines(member.study)},
    )


@require_safe
@login_required
def rater(request: HttpRequest, code: str, rater_id: UUID) -> HttpResponse:
    """Show one rater's figures: to the study's lead, and to that rater."""
    return _show(request, _access(request, code, rater_id))


@require_safe
@login_required
def table(request: HttpRequest, code: str, rater_id: UUID) -> HttpResponse:
    """Give the figures of the page as CSV."""
    found = _access(request, code, rater_id)
    return HttpResponse(
        queries.table(_figures(found)),
        content_type="text/csv; charset=utf-8",
        headers=_attachment(found, "figures.csv"),
    )


@require_safe
@login_required
def plot(
    request: HttpRequest, code: str, rater_id: UUID, place: int, kind: str, suffix: str
) -> HttpResponse:
    """Give a plot of the page as an SVG file, or the table behind it as CSV."""
    found = _access(request, code, rater_id)
    figures = _figures(found)
    drawn: list[tuple[str, str]] = []
    if kind == "course":
        drawn = [(course_plot(each, alone=True), _course_table(each)) for each in figures.courses]
    else:
        drawn = [(times_plot(each, alone=True), _times_table(each)) for each in figures.times]
    if place >= len(drawn) or not drawn[place][0]:
        raise Missing("There is no such plot. The rater's page shows those that there are.")
    types = {"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}
    return HttpResponse(
        drawn[place][0 if suffix == "svg" else 1],
        content_type=types[suffix],
        headers=_attachment(found, f"{kind}-{place + 1}.{suffix}"),
    )


@require_safe
@login_required
def held_by_study(request: HttpRequest, code: str, rater_id: UUID) -> HttpResponse:
    """Give raters everything that the study holds about them, as JSON; to nobody else."""
    found = _access(request, code, rater_id)
    if found.user.pk != found.rater.pk:
        raise NotAllowed(
            "What is held about a rater is given to that rater only. The figures on the page are "
            "what a lead needs."
        )
    held = {
        **held_about(found.rater, found.study),
        "code_in_releases": queries.code_in_releases(found),
    }
    body = json.dumps(held, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
    return HttpResponse(
        body, content_type="application/json", headers=_attachment(found, "held-about-me.json")
    )


@require_POST
@study_page(LEAD)
def profile(request: HttpRequest, member: StudyAccess, rater_id: UUID) -> HttpResponse:
    """Set a rater's languages and absence."""
    found = _access(request, member.study.code, rater_id)
    try:
        profiles.set_availability(
            profile=care.profile_of(user=found.rater, study=found.study),
            languages=request.POST.getlist("language"),
            absent_from=_day(request, "absent_from"),
            absent_until=_day(request, "absent_until"),
            actor=member.user.get_username(),
        )
    except BadInput as error:
        return _show(request, found, availability_problem=error.sentence)
    messages.success(request, "Languages and absence are set. New batches heed them.")
    return redirect("website:rater", member.study.code, rater_id)


@require_POST
@study_page(LEAD)
def conflicts(request: HttpRequest, member: StudyAccess, rater_id: UUID) -> HttpResponse:
    """Add a participant whom the rater must not judge, or with `remove`, take one off the list."""
    found = _access(request, member.study.code, rater_id)
    row = care.profile_of(user=found.rater, study=found.study)
    actor = member.user.get_username()
    try:
        if request.POST.get("remove"):
            profiles.remove_conflict(
                profile=row, conflict_id=_uuid(request.POST["remove"]), actor=actor
            )
        else:
            profiles.add_conflict(
                profile=row,
                participant_code=request.POST.get("participant", ""),
                reason=request.POST.get("reason", ""),
                actor=actor,
            )
    except BadInput as error:
        return _show(request, found, conflict_problem=error.sentence)
    messages.success(request, "The list of conflicts is set. New batches heed it.")
    return redirect("website:rater", member.study.code, rater_id)


@require_safe
@login_required
def mine(request: HttpRequest) -> HttpResponse:
    """Show raters the way to their figures, study by study."""
    found = queries.studies_of(person(request))
    if not found:
        raise NotAllowed(
            "You are no rater of any study, so there are no figures about you. Ask the study's "
            "lead to add you as an annotator."
        )
    return render(request, "website/my_figures.html", {"studies": found})


def _access(request: HttpRequest, code: str, rater_id: UUID) -> queries.RaterAccess:
    return queries.rater_access(user=person(request), code=code, rater_id=rater_id)


def _figures(found: queries.RaterAccess) -> RaterFigures:
    figures = queries.figures_of(found)
    if figures is None:
        raise Missing("No work was accepted in this study yet, so there are no figures.")
    return figures


def _show(request: HttpRequest, found: queries.RaterAccess, **problems: str) -> HttpResponse:
    page = queries.page(found)
    figures = page.figures
    context = {
        "found": found,
        "study": found.study,
        "page": page,
        "member": StudyAccess(found.study, found.user, roles_in(found.user, found.study)),
        "courses": [(each, course_rows(each), course_plot(each)) for each in figures.courses]
        if figures
        else [],
        "times": [(each, time_bars(each.seconds), times_plot(each)) for each in figures.times]
        if figures
        else [],
        "posted": request.POST,
        **problems,
    }
    return render(request, "website/rater.html", context, status=400 if problems else 200)


def _course_table(course: Course) -> str:
    return _csv(
        ("item", "at", "agreement", "rolling", "cusum"),
        ((r.number, r.at.isoformat(), r.share, r.rolling, r.cusum) for r in course_rows(course)),
    )


def _times_table(times: Times) -> str:
    return _csv(
        ("from_seconds", "to_seconds", "recordings"),
        ((bar.low, bar.high, bar.count) for bar in time_bars(times.seconds)),
    )


def _csv(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _attachment(found: queries.RaterAccess, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{found.study.code}-rater-{name}"'}


def _day(request: HttpRequest, name: str) -> date | None:
    given = request.POST.get(name, "").strip()
    if not given:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise BadInput(f"“{given}” is no day. Write it as 2026-03-31.") from error


def _uuid(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError as error:
        raise Missing("This conflict is not there any more.") from error

"""The agreement page: may this be released, and why; with its plot and its table to take away."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST, require_safe

from waver.core.errors import Missing
from waver.core.jobs import enqueue
from waver.datasets.jobs import JUDGE
from waver.datasets.models import GateRun
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.plots import forest
from waver.website.queries import agreement as queries

COEFFICIENT = "Krippendorff's α"


@require_safe
@study_page(RESEARCH)
def newest(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show the newest look of the gate, or what to do before there is one."""
    return _show(request, member, queries.find_run(member.study, None))


@require_safe
@study_page(RESEARCH)
def run(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Show one look of the gate."""
    return _show(request, member, queries.find_run(member.study, run_id))


@require_POST
@study_page(RESEARCH)
def look(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Freeze the labels as they are and let the gate look at them; a worker does it."""
    enqueue(
        JUDGE,
        subject_kind="study",
        subject_id=member.study.pk,
        payload={"actor": member.user.get_username()},
        key=f"{JUDGE.name}:{member.study.pk}",
    )
    messages.success(request, "Agreement is being measured. The overview shows how far it is.")
    return redirect("website:study", member.study.code)


@require_safe
@study_page(RESEARCH)
def table(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Give the table as CSV."""
    found = _required(queries.find_run(member.study, run_id))
    return HttpResponse(
        queries.table(queries.label_lines(found)),
        content_type="text/csv; charset=utf-8",
        headers=_attachment(found, "csv"),
    )


@require_safe
@study_page(RESEARCH)
def plot(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Give the plot as an SVG file that stands by itself."""
    found = _required(queries.find_run(member.study, run_id))
    estimates = [line.estimate() for line in queries.label_lines(found)]
    return HttpResponse(
        forest(estimates, coefficient=COEFFICIENT, alone=True),
        content_type="image/svg+xml",
        headers=_attachment(found, "svg"),
    )


def _show(request: HttpRequest, member: StudyAccess, found: GateRun | None) -> HttpResponse:
    context = {"member": member, "study": member.study}
    if found is not None:
        page = queries.page(found)
        drawn = forest([line.estimate() for line in page.lines], coefficient=COEFFICIENT)
        # The plot comes from our own template, which escapes what it is given.
        context |= {
            "page": page,
            "run": found,
            "plot": mark_safe(drawn),  # noqa: S308
            "releasable": found.verdict in (GateRun.Verdict.PASS, GateRun.Verdict.WAIVED),
        }
    return render(request, "website/agreement.html", context)


def _required(found: GateRun | None) -> GateRun:
    if found is None:
        raise Missing("The gate has not looked at this study yet.")
    return found


def _attachment(found: GateRun, suffix: str) -> dict[str, str]:
    study = found.snapshot.study.code
    name = f"{study}-agreement-snapshot-{found.snapshot.number}-look-{found.look}.{suffix}"
    return {"Content-Disposition": f'attachment; filename="{name}"'}

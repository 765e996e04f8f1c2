"""The agreement page: may this be released, and why; with its plot and its table to take away."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST, require_safe

from annotation.services.own_work import still_to_label
from waver.core.errors import BadInput, Conflict, Missing
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.datasets.jobs import JUDGE
from waver.datasets.models import GateRun, RecordingDisagreement
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import agreement as queries
from waver.website.views.raters import LEAD

if TYPE_CHECKING:
    from waver.website.queries.strips import Strip


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
    job = enqueue(
        JUDGE,
        subject_kind="study",
        subject_id=member.study.pk,
        payload={"actor": member.user.get_username()},
        key=f"{JUDGE.name}:{member.study.pk}",
    )
    if job.state == Job.State.RUNNING:
        # It may have frozen the labels already. Another look by itself would be one nobody asked.
        messages.warning(
            request,
            "Agreement is being measured already, of the labels that were there when that began. "
            "If labels came in since, look again when it is done.",
        )
    else:
        messages.success(request, "Agreement is being measured. The overview shows how far it is.")
    return redirect("website:study", member.study.code)


@require_POST
@study_page(LEAD)
def waive(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Let a blocked label out for a time, on the lead's own responsibility and for a reason."""
    from waver.datasets import gate

    found = _required(queries.find_run(member.study, run_id))
    label = request.POST.get("label", "")
    try:
        waiver = gate.waive(
            gate_run=found,
            label=label,
            who=member.user,
            why=request.POST.get("why", "").strip(),
            until=_end_of(request.POST.get("until", "")),
        )
    except (BadInput, Conflict) as error:
        return _show(request, member, found, problem=error)
    messages.success(
        request,
        f"“{label}” is waived until {waiver.until:%Y-%m-%d}. Releases that hold it are stamped "
        "WAIVED, with your name and reason.",
    )
    return redirect("website:agreement-run", member.study.code, run_id)


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
    return HttpResponse(
        queries.page(found).draw(alone=True),
        content_type="image/svg+xml",
        headers=_attachment(found, "svg"),
    )


def _show(
    request: HttpRequest,
    member: StudyAccess,
    found: GateRun | None,
    *,
    problem: BadInput | Conflict | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {"member": member, "study": member.study}
    if found is not None:
        page = queries.page(found)
        standing = queries.standing(page)
        context |= {
            "page": page,
            "run": found,
            # Drawn by our own code, which escapes what it is given; so are the others.
            "plot": mark_safe(page.draw(alone=False)),  # noqa: S308
            "standing": standing,
            "releasable": standing in queries.RELEASABLE,
            "waiver_days": queries.waiver_days(found),
            "waiver_problem": problem.sentence if problem else "",
            "posted": request.POST,
            **_pictures(request, member, found),
        }
    status = problem.http_status if problem else 200
    return render(request, "website/agreement.html", context, status=status)


def _end_of(day: str) -> datetime:
    """Give the last second of a day as a form names it. Raises BadInput for what is no day."""
    try:
        return datetime.combine(date.fromisoformat(day.strip()), time(23, 59, 59), UTC)
    except ValueError as error:
        raise BadInput(f"“{day}” is no day. Write it as 2026-03-31.") from error


def _pictures(request: HttpRequest, member: StudyAccess, run: GateRun) -> dict[str, Any]:
    """Draw who disagrees, where and about what, for the label that the address asks about."""
    # Here, because they load numpy, and most web processes never show this page.
    from waver.datasets import figures as rows
    from waver.website.queries import figures, strips

    if not rows.are_there(run):
        return {"are_pictures_asked": queries.are_pictures_asked(run)}
    key, one = figures.choose(run, request.GET.get("label", ""))
    raters = figures.raters(run, key, one, for_lead=member.is_lead)
    confusion = figures.confusion(run, one)
    disputed = figures.disputed(run, one, request.GET.get("page", "1"))
    hidden = still_to_label(member.user, [row.recording_id for row in disputed])
    made = strips.strips(
        [row.recording for row in disputed if row.recording_id not in hidden],
        one.label.pass_id,
        snapshot=run.snapshot,
        run=run,
        for_lead=member.is_lead,
        label=one.label,
    )
    where = f"?label={quote(key)}#where"
    return {
        "chosen": key,
        "chosen_title": figures.title_of(run, one),
        "raters": raters,
        "raters_plot": mark_safe(  # noqa: S308
            raters.draw(
                figures.raters_caption(run, raters),
                alone=False,
                url=where,
                urls=_rater_pages(member, raters.raters) if member.is_lead else (),
            )
        ),
        "confusion": confusion,
        "confusion_plot": confusion
        and mark_safe(  # noqa: S308
            confusion.draw(figures.confusion_caption(run, confusion), alone=False, url=where)
        ),
        "disputed": disputed,
        "disputed_lines": [
            _line(row, made.get(row.recording_id), row.recording_id in hidden) for row in disputed
        ],
        "label_query": urlencode({"label": key}),
    }


def _rater_pages(member: StudyAccess, raters: list[UUID]) -> list[str]:
    """Give each rater's own page, which is open to the lead."""
    return [reverse("website:rater", args=[member.study.code, pk]) for pk in raters]


def _line(row: RecordingDisagreement, strip: Strip | None, is_own: bool) -> dict[str, Any]:
    drawn = strip.draw(slim=True) if strip is not None and strip.is_timed else ""
    return {
        "row": row,
        "is_own": is_own,
        "strip": mark_safe(drawn),  # noqa: S308
        "answers": strip.lanes if strip is not None and not strip.is_timed else (),
    }


def _required(found: GateRun | None) -> GateRun:
    if found is None:
        raise Missing("The gate has not looked at this study yet.")
    return found


def _attachment(found: GateRun, suffix: str) -> dict[str, str]:
    study = found.snapshot.study.code
    name = f"{study}-agreement-snapshot-{found.snapshot.number}-look-{found.look}.{suffix}"
    return {"Content-Disposition": f'attachment; filename="{name}"'}

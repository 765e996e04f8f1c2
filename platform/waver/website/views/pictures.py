"""Pictures to take away, each as SVG and as the table behind it. Raters stay anonymous in files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotation.services.own_work import require_submitted
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.errors import Missing
from waver.datasets.models import GateRun
from waver.recordings.subjects import subject_of
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import agreement as looks
from waver.website.queries import recording as recordings

# What loads numpy is imported in the functions: most web processes never draw.


@require_safe
@study_page(RESEARCH)
def raters(request: HttpRequest, member: StudyAccess, run_id: UUID, suffix: str) -> HttpResponse:
    """Give every two raters of a label."""
    from waver.website.queries import figures

    run, key, one = _asked(request, member, run_id)
    picture = figures.raters(run, key, one, for_lead=False)
    if suffix == "csv":
        return _table(run, "raters", key, figures.RATER_COLUMNS, picture.rows(key))
    drawn = picture.draw(figures.raters_caption(run, picture), alone=True)
    return _picture(run, "raters", key, drawn)


@require_safe
@study_page(RESEARCH)
def confusion(request: HttpRequest, member: StudyAccess, run_id: UUID, suffix: str) -> HttpResponse:
    """Give the labels that are mistaken for each other."""
    from waver.website.queries import figures

    run, key, one = _asked(request, member, run_id)
    picture = figures.confusion(run, one)
    if picture is None:
        raise Missing(
            "No two raters of this look labelled the same recording, so nothing was compared."
        )
    if suffix == "csv":
        return _table(run, "confusion", key, figures.CONFUSION_COLUMNS, picture.rows(key))
    drawn = picture.draw(figures.confusion_caption(run, picture), alone=True)
    return _picture(run, "confusion", key, drawn)


@require_safe
@study_page(RESEARCH)
def disputed(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Give all recordings of a label by how much of them is disputed, as CSV."""
    from waver.website.queries import figures

    run, key, one = _asked(request, member, run_id)
    rows = figures.disputed_rows(run, key, one)
    return _table(run, "recordings", key, figures.RECORDING_COLUMNS, rows)


@require_POST
@study_page(RESEARCH)
def compute(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Let a worker compute the pictures of a look that has none yet."""
    from waver.datasets import figures

    figures.ask(_run(member, run_id))
    messages.success(request, "The pictures are being computed. Reload this page in a moment.")
    return redirect("website:agreement-run", member.study.code, run_id)


@require_safe
@study_page(RESEARCH)
def recording(
    request: HttpRequest, member: StudyAccess, recording_id: UUID, suffix: str
) -> HttpResponse:
    """Give the disagreement timeline of a recording in one pass."""
    from waver.website.queries import figures, strips

    row = recordings.find(member.study, recording_id)
    require_submitted(member.user, row)
    policy.require(Purpose.PROCESS, subject_of(row), actor=member.user.get_username())
    strip = strips.one_of_recording(row, request.GET.get("pass", ""))
    name = f"{member.study.code}-disagreement-{strip.part.id}-{row.pk}"
    if suffix == "csv":
        return _file(figures.write(strips.COLUMNS, strip.rows()), f"{name}.csv")
    return _file(strip.draw(alone=True), f"{name}.svg")


@require_safe
@study_page(RESEARCH)
def anchoring(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show what pre-labels do to agreement and to how much is labelled, in the newest look."""
    from django.utils.safestring import mark_safe

    from waver.datasets import figures
    from waver.website.queries import anchoring as queries

    run = looks.find_run(member.study, None)
    context: dict[str, Any] = {
        "member": member, "study": member.study, "run": run,
        "design": getattr(member.study, "design", None),
    }  # fmt: skip
    if run is not None and figures.are_there(run):
        page = queries.page(run)
        # Drawn by our own code, which escapes what it is given.
        context |= {"page": page, "plot": mark_safe(page.draw(alone=False))}  # noqa: S308
    return render(request, "website/anchoring.html", context)


@require_safe
@study_page(RESEARCH)
def anchoring_file(request: HttpRequest, member: StudyAccess, suffix: str) -> HttpResponse:
    """Give the comparison of the arms."""
    from waver.datasets import figures
    from waver.website.queries import anchoring as queries
    from waver.website.queries.figures import write

    run = looks.find_run(member.study, None)
    if run is None or not figures.are_there(run):
        raise Missing("There is nothing to compare yet: no look of the gate, or no pictures of it.")
    page = queries.page(run)
    name = f"{member.study.code}-anchoring-snapshot-{run.snapshot.number}-look-{run.look}.{suffix}"
    if suffix == "csv":
        rows = (row for one in page.comparisons for row in one.rows())
        return _file(write(queries.COLUMNS, rows), name)
    return _file(page.draw(alone=True), name)


def _run(member: StudyAccess, run_id: UUID) -> GateRun:
    run = looks.find_run(member.study, run_id)
    if run is None:
        raise Missing("The gate has not looked at this study yet.")
    return run


def _asked(request: HttpRequest, member: StudyAccess, run_id: UUID) -> tuple[GateRun, str, Any]:
    """Give the look, and the label that the address asks about.

    Raises Missing when the look's pictures were not computed yet.
    """
    from waver.datasets import figures as rows
    from waver.website.queries import figures

    run = _run(member, run_id)
    key, one = figures.choose(run, request.GET.get("label", ""))
    if not rows.are_there(run):
        raise Missing("The pictures of this look are not computed yet. Its page offers to do it.")
    return run, key, one


def _table(
    run: GateRun, what: str, key: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> HttpResponse:
    from waver.website.queries import figures

    return _file(figures.write(columns, rows), f"{_name(run, what, key)}.csv")


def _picture(run: GateRun, what: str, key: str, drawn: str) -> HttpResponse:
    return _file(drawn, f"{_name(run, what, key)}.svg")


def _name(run: GateRun, what: str, key: str) -> str:
    label = key.replace("/", "-")
    number = f"snapshot-{run.snapshot.number}-look-{run.look}"
    return f"{run.snapshot.study.code}-{what}-{label}-{number}"


def _file(text: str, name: str) -> HttpResponse:
    kind = "text/csv; charset=utf-8" if name.endswith(".csv") else "image/svg+xml"
    return HttpResponse(
        text, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )

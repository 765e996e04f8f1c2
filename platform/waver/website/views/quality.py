"""A study's clip quality: how its recordings are, and the thresholds that its lead sets."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from waver.core.errors import BadInput, Conflict, NotAllowed
from waver.recordings.quality.rules import measure_soon, set_rules
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.middleware import is_fragment
from waver.website.queries import quality as queries

# The rest is asked for by pressing again: a page must not queue a hundred thousand jobs.
MEASURED_AT_ONCE = 1000


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RESEARCH)
def quality(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show figures and thresholds; by POST the lead counts what would fall short, or sets them."""
    problem, status, written, wanted = "", 200, None, {}
    if request.method == "POST":
        if not member.is_lead:
            raise NotAllowed("Only the study's lead sets its thresholds. Ask them to change them.")
        written = request.POST
        try:
            wanted = queries.read_form(written)
            if request.POST.get("do") == "set":
                seen = request.POST.get("seen", "")
                set_rules(
                    study=member.study,
                    limits=wanted,
                    actor=member.user.get_username(),
                    seen=int(seen) if seen.isdecimal() else None,
                )
                messages.success(
                    request, "The thresholds are set. All recordings are being judged by them."
                )
                return redirect("website:quality", member.study.code)
        except (BadInput, Conflict) as error:
            problem, status = error.sentence, error.http_status
    context = {"member": member, "study": member.study, "problem": problem}
    if is_fragment(request) and written is not None:
        # What is typed halfway may be no number yet: its sentence stands where the count does.
        count = None if problem else queries.count(member.study, wanted, is_typed=True)
        return render(request, "website/_quality_count.html", {**context, "count": count})
    context["page"] = queries.page(member.study, written)
    return render(request, "website/quality.html", context, status=status)


@require_POST
@study_page(RESEARCH)
def measure(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Ask for the recordings that were prepared before quality was measured."""
    if not member.is_lead:
        raise NotAllowed("Only the study's lead has recordings measured again. Ask them.")
    asked = measure_soon(queries.unmeasured(member.study).order_by("pk")[:MEASURED_AT_ONCE])
    messages.success(request, f"{asked} recordings are being measured. Reload in a moment.")
    return redirect("website:quality", member.study.code)


@require_safe
@study_page(RESEARCH)
def distribution(
    request: HttpRequest, member: StudyAccess, figure: str, suffix: str
) -> HttpResponse:
    """Give how one figure is spread over the recordings, as a picture or its table."""
    from waver.website.queries.figures import write

    spread = queries.spread_of(member.study, figure)
    name = f"{member.study.code}-quality-{figure}.{suffix}"
    if suffix == "csv":
        body, kind = write(queries.BIN_COLUMNS, queries.bin_rows(spread)), "text/csv; charset=utf-8"
    else:
        limit = queries.drawn_limit(member.study, figure)
        body, kind = spread.draw(limit, study=member.study, alone=True), "image/svg+xml"
    return HttpResponse(body, content_type=kind, headers=_download(name))


@require_safe
@study_page(RESEARCH)
def table(request: HttpRequest, member: StudyAccess) -> HttpResponseBase:
    """Give all recordings with their figures and verdicts as CSV, line by line."""
    return StreamingHttpResponse(
        queries.table_lines(member.study),
        content_type="text/csv; charset=utf-8",
        headers=_download(f"{member.study.code}-quality.csv"),
    )


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}

"""My studies, a study's overview and its list of recordings."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from waver.core.errors import Missing
from waver.recordings.models import Quality, Recording
from waver.website import access
from waver.website.access import StudyAccess, person, study_page
from waver.website.middleware import is_fragment
from waver.website.queries import recordings as recording_queries
from waver.website.queries import studies as queries


@login_required
def studies(request: HttpRequest) -> HttpResponse:
    """List the studies that somebody leads, researches in or keeps consent for."""
    rows = list(queries.my_studies(person(request)))
    if not rows:
        raise Missing(
            "You are no researcher, lead or consent manager of any study. Ask the lead of the "
            "study to add you."
        )
    return render(request, "website/studies.html", {"studies": rows})


@study_page(access.CARE)
def study(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show a study: what needs somebody today, what is running, what came of it."""
    template = "website/_overview.html" if is_fragment(request) else "website/study.html"
    return render(
        request,
        template,
        {"member": member, "study": member.study, "page": queries.overview(member.study)},
    )


@study_page(access.CARE)
def recordings(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """List a study's recordings, 50 to a page, narrowed by state and participant."""
    filters = recording_queries.Filters(
        state=request.GET.get("state", ""),
        participant=request.GET.get("participant", "").strip(),
        view=request.GET.get("view", ""),
        quality=request.GET.get("quality", ""),
        sort=request.GET.get("sort", ""),
    )
    page = recording_queries.recordings_page(
        member.study, filters=filters, number=request.GET.get("page", "1")
    )
    template = "website/_recordings.html" if is_fragment(request) else "website/recordings.html"
    return render(
        request,
        template,
        {
            "member": member,
            "study": member.study,
            "page": page,
            "filters": filters,
            "states": Recording.State.choices,
            "views": Recording.View.choices,
            "verdicts": [*Quality.Verdict.choices, (recording_queries.UNMEASURED, "Not measured")],
            "sorts": recording_queries.sorts(),
        },
    )

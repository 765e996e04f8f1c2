"""Releases: the list, one release, and its download."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import releases as queries


@require_safe
@study_page(RESEARCH)
def releases(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """List the releases of a study."""
    return render(
        request,
        "website/releases.html",
        {"member": member, "study": member.study, "releases": queries.releases(member.study)},
    )


@require_safe
@study_page(RESEARCH)
def release(request: HttpRequest, member: StudyAccess, release_id: UUID) -> HttpResponse:
    """Show one release: its verdict, what is in it, what was left out, how to verify it."""
    row = queries.find(member.study, release_id)
    return render(
        request,
        "website/release.html",
        {"member": member, "study": member.study, "release": row, "page": queries.page(row)},
    )

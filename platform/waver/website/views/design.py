"""A study's design: read by those who work by it, set by its lead."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from annotation.services.design import change
from waver.core.errors import BadInput, Conflict, NotAllowed
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import design as queries


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RESEARCH)
def design(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show the design in words and figures; by POST, the lead sets it."""
    problem, status = "", 200
    if request.method == "POST":
        if not member.is_lead:
            raise NotAllowed("Only the study's lead sets its design. Ask them to change it.")
        try:
            wanted = queries.read_form(request.POST)
            change(study=member.study, wanted=wanted, actor=member.user.get_username())
        except (BadInput, Conflict) as error:
            problem, status = error.sentence, error.http_status
        else:
            messages.success(request, "The design is set. Batches planned from now on follow it.")
            return redirect("website:design", member.study.code)
    return render(
        request,
        "website/design.html",
        {
            "member": member,
            "study": member.study,
            "page": queries.page(member.study, request.POST if problem else None),
            "problem": problem,
        },
        status=status,
    )

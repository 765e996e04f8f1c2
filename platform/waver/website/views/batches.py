"""Sending recordings to raters."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotation.services import publish
from annotation.services.assign import plan_batch
from waver.core.errors import BadInput
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import batches as queries


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RESEARCH)
def batches(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show the batches; by POST, plan a new one and queue its sending."""
    problem = ""
    if request.method == "POST":
        try:
            return _send(request, member)
        except BadInput as error:
            problem = error.sentence  # beside the form, which keeps what was chosen
    return render(
        request,
        "website/batches.html",
        {
            "member": member,
            "study": member.study,
            "page": queries.page(member.study),
            "problem": problem,
            "chosen_pass": request.POST.get("pass", ""),
            "chosen_raters": request.POST.getlist("rater"),
        },
        status=400 if problem else 200,
    )


@require_POST
@study_page(RESEARCH)
def send_again(request: HttpRequest, member: StudyAccess, batch_id: UUID) -> HttpResponse:
    """Queue the sending of a batch that could not be sent."""
    publish.start(queries.draft(member.study, batch_id), member.user.get_username())
    return redirect("website:batches", member.study.code)


def _send(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    wanted = set(request.POST.getlist("rater"))
    raters = [rater for rater in queries.raters_of(member.study) if str(rater.pk) in wanted]
    actor = member.user.get_username()
    batch = plan_batch(member.study, request.POST.get("pass", ""), raters, actor)
    publish.start(batch, actor)
    messages.success(request, "The recordings are being sent. Raters see them in a moment.")
    return redirect("website:batches", member.study.code)

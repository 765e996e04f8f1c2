"""Sending recordings to raters: planned, looked at, sent; and given to others when one is away."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotation.models import Batch
from annotation.services import publish
from annotation.services.assign import Plan, plan_batch, preview
from annotation.services.assignment.reassign import give_away
from waver.core.errors import BadInput
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import batches as queries


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RESEARCH)
def batches(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show the batches; by POST, show the plan of a new one, or plan it and queue its sending."""
    problem, plan = "", None
    if request.method == "POST":
        try:
            if request.POST.get("do") != "preview":
                return _send(request, member)
            plan = _preview(request, member)
        except BadInput as error:
            problem = error.sentence  # beside the form, which keeps what was chosen
    return render(
        request,
        "website/batches.html",
        {
            "member": member,
            "study": member.study,
            "page": queries.page(member.study, is_lead=member.is_lead),
            "kinds": Batch.Kind.choices,
            "problem": problem,
            "plan": plan,
            "chosen_pass": request.POST.get("pass", ""),
            "chosen_raters": request.POST.getlist("rater"),
            "chosen_kind": request.POST.get("kind", Batch.Kind.WORK),
            "at_most": request.POST.get("at_most", ""),
        },
        status=400 if problem else 200,
    )


@require_POST
@study_page(RESEARCH)
def send_again(request: HttpRequest, member: StudyAccess, batch_id: UUID) -> HttpResponse:
    """Queue the sending of a batch that could not be sent."""
    publish.start(queries.draft(member.study, batch_id), member.user.get_username())
    return redirect("website:batches", member.study.code)


@require_POST
@study_page(RESEARCH)
def give_to_others(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Give a rater's unfinished work to other annotators."""
    rater = queries.rater_of(member.study, request.POST.get("rater", ""))
    done = give_away(study=member.study, rater=rater, actor=member.user.get_username())
    count = sum(done.given.values())
    if count:
        messages.success(
            request,
            f"{count} recording{'s' if count > 1 else ''} of {rater.username} went to "
            f"{len(done.given)} other{'s' if len(done.given) > 1 else ''}.",
        )
    for note in done.notes:
        messages.warning(request, note)
    return redirect("website:batches", member.study.code)


def _send(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    actor = member.user.get_username()
    pass_id, raters, kind, at_most = _choice(request, member)
    batch = plan_batch(member.study, pass_id, raters, actor, kind=kind, at_most=at_most)
    publish.start(batch, actor)
    messages.success(request, "The recordings are being sent. Raters see them in a moment.")
    return redirect("website:batches", member.study.code)


def _preview(request: HttpRequest, member: StudyAccess) -> Plan:
    pass_id, raters, kind, at_most = _choice(request, member)
    return preview(member.study, pass_id, raters, kind=kind, at_most=at_most)


def _choice(
    request: HttpRequest, member: StudyAccess
) -> tuple[str, list[queries.User], str, int | None]:
    """Read what was chosen in the form. Raises BadInput for a number that is none."""
    wanted = set(request.POST.getlist("rater"))
    raters = [rater for rater in queries.raters_of(member.study) if str(rater.pk) in wanted]
    text = request.POST.get("at_most", "").strip()
    if text and not (text.isascii() and text.isdigit()):
        raise BadInput(f"“{text}” is no number of recordings. Write a whole number, or nothing.")
    kind = request.POST.get("kind", "") or Batch.Kind.WORK.value
    return request.POST.get("pass", ""), raters, kind, int(text) if text else None

"""Known answers: set by a lead, for training, qualification and blind control."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from annotation.services import codebooks, gold
from annotation.services.gold_sources import own_answer, sources
from waver.core.errors import BadInput
from waver.website.access import StudyAccess, study_page
from waver.website.queries import gold as queries
from waver.website.views.raters import LEAD

OWN = "own"


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(LEAD)
def known_answers(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show the known answers; by POST, make an answer known."""
    problem = ""
    if request.method == "POST":
        try:
            return _set(request, member)
        except BadInput as error:
            problem = error.sentence  # beside the form, which keeps what was written
    asked = request.POST if request.method == "POST" else request.GET
    page = queries.page(
        member.study,
        pass_id=asked.get("pass", ""),
        participant=request.GET.get("participant", "").strip(),
        recording_id=asked.get("recording", ""),
    )
    return render(
        request,
        "website/gold.html",
        {
            "member": member,
            "study": member.study,
            "page": page,
            "participant": request.GET.get("participant", "").strip(),
            "problem": problem,
            "posted": request.POST,
        },
        status=400 if problem else 200,
    )


@require_POST
@study_page(LEAD)
def retire(request: HttpRequest, member: StudyAccess, item_id: UUID) -> HttpResponse:
    """Take a known answer out of use."""
    gold.retire(gold=queries.find_item(member.study, item_id), actor=member.user.get_username())
    messages.success(request, "This answer is out of use. Scores that were made with it stay.")
    return redirect("website:gold", member.study.code)


def _set(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    version = codebooks.current(member.study)
    recording = queries.find_recording(member.study, request.POST.get("recording", ""))
    pass_id, key = request.POST.get("pass", ""), request.POST.get("source", "")
    try:
        part = codebooks.parsed(version).pass_(pass_id)
    except KeyError as error:
        raise BadInput(str(error.args[0])) from error
    if key == OWN:
        answer = own_answer(part, dict(request.POST.lists()))
    else:
        offered, _ = sources(recording=recording, version=version, pass_id=pass_id)
        found = next((each for each in offered if each.key == key), None)
        if found is None:
            raise BadInput("Choose which answer is to be the known one, or write your own.")
        answer = found.answer
    gold.set_answer(
        codebook=version,
        recording=recording,
        pass_id=pass_id,
        answer=answer,
        rationale=request.POST.get("rationale", ""),
        set_by=member.user.get_username(),
    )
    messages.success(request, "The answer is known now. New batches can mix it in as a control.")
    return redirect(f"{reverse('website:gold', args=[member.study.code])}?pass={pass_id}")

"""Who is seen in a recording: their small pictures, and saying who the participant is."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from waver.core.errors import BadInput, Missing
from waver.recordings import people
from waver.recordings.models import Asset
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import recording as queries
from waver.website.views.recordings import send

_SHOWN = {Asset.Kind.CONTACT_SHEET, Asset.Kind.FACE_PREVIEW}


@require_safe
@study_page(RESEARCH)
def picture(
    request: HttpRequest, member: StudyAccess, recording_id: UUID, kind: str, number: int
) -> HttpResponseBase:
    """Send the contact sheet or the short film of one person; consent is asked each time."""
    if kind not in _SHOWN:
        raise Missing("There is no such picture of a person.")
    asset = queries.asset(queries.find(member.study, recording_id), kind, number=number)
    return send(request, member, asset)


@require_POST
@study_page(RESEARCH)
def choose(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Say who the participant is (`track`, a person's number), or let the rule choose (“rule”)."""
    row, actor = queries.find(member.study, recording_id), member.user.get_username()
    track = request.POST.get("track", "")
    if track == "rule":
        people.choose_by_rule(recording=row, actor=actor)
        said = "The participant is chosen by rule again, and the face is cut out anew."
        messages.success(request, said)
    elif track.isascii() and track.isdigit() and len(track) < 10:
        people.choose_participant(recording=row, track=int(track), actor=actor)
        said = f"Person {track} is the participant, and their face is cut out anew."
        messages.success(request, said)
    else:
        raise BadInput("Choose one of the people on the recording's page.")
    address = reverse("website:recording", args=[member.study.code, row.pk])
    return redirect(f"{address}#people")

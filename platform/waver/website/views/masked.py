"""Asking for a recording's masked preview."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from waver.recordings.masked import ask_for_masked_preview
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import recording as queries


@require_POST
@study_page(RESEARCH)
def ask(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Have a masked preview made; a worker makes it."""
    row = queries.find(member.study, recording_id)
    if ask_for_masked_preview(row, actor=member.user.get_username()) is None:
        messages.info(request, "There is a masked preview of the recording as it is now.")
    else:
        messages.success(request, "The masked preview is being made. It appears here when it is.")
    address = reverse("website:recording", args=[member.study.code, row.pk])
    return redirect(f"{address}#masked")

"""“Start labelling”: a signed-in rater goes over to their own stream in Label Studio."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from annotation.models import Batch, RemoteTask
from annotation.services import care, stays
from annotation.services.assignment.people import GONE
from waver.core.errors import Missing
from waver.website.access import annotator_page, person
from waver.website.views.raters import notice_first


@never_cache
@require_POST
@annotator_page
def start(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Send the rater to Label Studio with a one-time ticket.

    With `assignment` in the form, to that task instead of the stream: work that was sent back.
    Answers with the page that does so, or 409 with the way to the study's notice while the rater
    has not read it, or raises Missing and Conflict with a sentence.
    """
    user = person(request)
    batch = Batch.objects.filter(pk=batch_id).select_related("study").first()
    if batch is None:
        raise Missing("There is no such batch. Your queue lists what you can label.")
    if batch.assignments.filter(rater=user).exists():  # if not, `begin` says what is wrong
        try:
            care.require_read(user, batch.study)
        except care.NoticeUnread as unread:
            return notice_first(request, batch.study, unread)
    fields = {"ticket": stays.begin(user, batch, request.session.session_key or "")}
    wanted = request.POST.get("assignment")
    if wanted:
        fields["task"] = str(_task_of(wanted, batch, user.pk))
    return _way_in(request, fields)


def _way_in(request: HttpRequest, fields: dict[str, str]) -> HttpResponse:
    """Give the page that sends the ticket on by POST: so it stands in no address or log."""
    address = f"{settings.LABEL_STUDIO_URL}/waver/enter"
    context = {"address": address, "fields": fields}
    # The one page of Waver whose form goes to the labelling interface.
    answer = csp_update({"form-action": [settings.LABEL_STUDIO_URL]})(
        lambda asked: render(asked, "website/way_in.html", context)
    )(request)
    # The labelling interface accepts a ticket only from Waver's own page, by its origin.
    answer["Referrer-Policy"] = "strict-origin"
    return cast("HttpResponse", answer)


def _task_of(assignment_id: str, batch: Batch, user_id: UUID) -> int:
    try:
        key = UUID(assignment_id)
    except ValueError as error:
        raise Missing("There is no such recording in your queue.") from error
    task = RemoteTask.objects.filter(
        assignment_id=key, assignment__batch=batch, assignment__rater_id=user_id
    ).exclude(assignment__state__in=GONE)
    found = task.values_list("remote_id", flat=True).first()
    if found is None:
        raise Missing("This recording is not in your queue any more. Go on with another one.")
    return found

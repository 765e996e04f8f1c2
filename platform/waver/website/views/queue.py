"""The annotator's pages: my queue, and what to look for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from annotation.services import care
from waver.website.access import annotator_page, person
from waver.website.middleware import is_fragment
from waver.website.queries import queue as queries
from waver.website.queries import training

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def leads_to_label_studio(view: View[P]) -> View[P]:
    """Let a page's forms be answered by a redirect to Label Studio; the policy covers these too."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        # Read at each request: tests start Label Studio at an address of their own.
        allow = csp_update({"form-action": settings.LABEL_STUDIO_URL})
        answer: HttpResponseBase = allow(cast(Any, view))(request, *args, **kwargs)
        return answer

    return cast("View[P]", wrapped)


@leads_to_label_studio
@annotator_page
def queue(request: HttpRequest) -> HttpResponse:
    """Show a rater's batches and how far they are."""
    template = "website/_queue.html" if is_fragment(request) else "website/queue.html"
    user = person(request)
    lines = queries.queue(user)
    studies = {line.batch.study for line in lines if line.can_start}
    unread = {study.pk for study in studies if not care.has_read(user, study)}
    return render(request, template, {"lines": lines, "unread": unread})


@leads_to_label_studio
@annotator_page
def instructions(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Show the codebook's instructions, labels and examples for one batch."""
    page = queries.instructions(person(request), batch_id)
    unread = not care.has_read(person(request), page.line.batch.study)
    return render(request, "website/instructions.html", {"page": page, "unread": unread})


@annotator_page
def training_answers(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Show a rater the known answers of their training, each after they have given theirs."""
    page = training.training(person(request), batch_id)
    return render(request, "website/training.html", {"page": page})

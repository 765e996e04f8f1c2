"""Errors become answers here, once: a page, a fragment or JSON, always with a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control

from waver.core.errors import WaverError

log = logging.getLogger(__name__)

HEADINGS = {
    400: "This cannot be done as it was asked",
    403: "This page is not open to you",
    404: "There is nothing here",
    409: "Somebody was faster",
    416: "That part of the file does not exist",
    500: "Something is wrong on our side",
    503: "Something is not answering at the moment",
}


class NeverStored:
    """Keep pages about people off the disk: after signing out, Back on a shared computer is empty.

    Static files do not pass here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on and say that no browser or proxy may store the answer."""
        response = self.get_response(request)
        patch_cache_control(response, private=True, no_store=True)
        return response


class ErrorSentences:
    """Turn a WaverError that no view caught into the answer that its class names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on; errors come to `process_exception`."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a WaverError; let every other error go on to Django."""
        if not isinstance(error, WaverError):
            return None
        if error.http_status >= 500:
            log.error("%s at %s", error.sentence, request.path, exc_info=error)
        return problem(request, status=error.http_status, sentence=error.sentence)


def problem(request: HttpRequest, *, status: int, sentence: str) -> HttpResponse:
    """Say what is wrong in the form that the asker understands."""
    if wants_json(request):
        return JsonResponse({"problem": sentence}, status=status)
    context = {
        "heading": HEADINGS.get(status, HEADINGS[500]),
        "sentence": sentence,
        "status": status,
    }
    template = "website/_problem.html" if is_fragment(request) else "website/problem.html"
    return render(request, template, context, status=status)


def is_fragment(request: HttpRequest) -> bool:
    """Tell whether htmx asked, and so wants a part of a page."""
    return bool(getattr(request, "htmx", False))


def wants_json(request: HttpRequest) -> bool:
    """Tell whether the asker prefers JSON to a page."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"

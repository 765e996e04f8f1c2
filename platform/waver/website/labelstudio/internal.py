"""What Label Studio's guard and webhook ask Waver: JSON, with a secret header, no cookies.

Every answer that is not 200 carries `detail`, a sentence for the rater.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.conf import settings
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from annotation.services import collect, shown, stays
from waver.core.errors import WaverError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

GUARD_HEADER, SESSION_HEADER, WEBHOOK_HEADER = "X-Waver-Guard", "X-Waver-Session", "X-Waver-Webhook"
_LARGEST_QUESTION = 4096


def _for_holder_of(header: str, secret_name: str) -> Callable[[View[P]], View[P]]:
    """Open a view only to whoever sends the secret in `header`, and turn errors into JSON."""

    def decorate(view: View[P]) -> View[P]:
        @csrf_exempt
        @never_cache
        @wraps(view)
        def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            secret = getattr(settings, secret_name)
            given = request.headers.get(header, "")
            if not secret or not hmac.compare_digest(given.encode(), secret.encode()):
                return JsonResponse({"detail": "This address is not for browsers."}, status=403)
            try:
                return view(request, *args, **kwargs)
            except WaverError as error:
                return JsonResponse({"detail": error.sentence}, status=error.http_status)

        return cast("View[P]", wrapped)

    return decorate


@_for_holder_of(GUARD_HEADER, "LABEL_STUDIO_GUARD_SECRET")
@require_POST
def redeem(request: HttpRequest) -> HttpResponse:
    """Turn a ticket into a stay: `{"ticket"}` gives `{"key", "rater", "project"}`."""
    stay = stays.redeem(_word(request, "ticket"))
    return JsonResponse({"key": stay.key, "rater": str(stay.user.pk), "project": stay.project})


@_for_holder_of(GUARD_HEADER, "LABEL_STUDIO_GUARD_SECRET")
@require_POST
def session(request: HttpRequest) -> HttpResponse:
    """Say whose stay a key is: `{"key"}` gives `{"rater", "project", "pause"}`, or 403 after it.

    `pause` is a sentence where the rater gets no further recording today, else "".
    """
    stay = stays.check(_word(request, "key"))
    return JsonResponse(
        {"rater": str(stay.user.pk), "project": stay.project, "pause": stays.pause(stay)}
    )


@_for_holder_of(GUARD_HEADER, "LABEL_STUDIO_GUARD_SECRET")
@require_POST
def end(request: HttpRequest) -> HttpResponse:
    """End the stay of `{"key"}`."""
    stays.end(_word(request, "key"))
    return JsonResponse({})


@_for_holder_of(GUARD_HEADER, "LABEL_STUDIO_GUARD_SECRET")
@require_GET
def media(request: HttpRequest, token: str) -> HttpResponseBase:
    """Give a byte range of a recording to the rater whose stay the session header names."""
    stay = stays.check(request.headers.get(SESSION_HEADER, ""))
    served = shown.show(stay, token, request.headers.get("Range"))
    return StreamingHttpResponse(served.body, status=served.status, headers=served.headers)


@_for_holder_of(WEBHOOK_HEADER, "LABEL_STUDIO_WEBHOOK_SECRET")
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Note that something changed in a project, and answer at once; a job reads what.

    Label Studio waits for this answer while the rater waits for Label Studio.
    """
    try:
        project = json.loads(request.body)["project"]
        number = int(project["id"] if isinstance(project, dict) else project)
    except (ValueError, KeyError, TypeError):
        return JsonResponse({"detail": "The call names no project."}, status=400)
    collect.wake(number)
    return HttpResponse(status=204)


def _word(request: HttpRequest, name: str) -> str:
    """Read one word of a small JSON body; "" when it is not there."""
    if len(request.body) > _LARGEST_QUESTION:
        return ""
    try:
        body: Any = json.loads(request.body)
    except ValueError:
        return ""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, str) else ""

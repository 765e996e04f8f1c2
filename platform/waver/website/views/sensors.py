"""The sensor channels of a take: a stretch to draw, and the same as a table to keep."""

from __future__ import annotations

import itertools
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotation.services.own_work import require_submitted
from waver.core.errors import BadInput, Missing
from waver.recordings import signals
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import recording as queries

_MOST_DIGITS = 18


@require_safe
@never_cache
@study_page(RESEARCH)
def stretch(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Give the channels of a stretch of the recording's clock, as JSON; consent is asked."""
    row = queries.find(member.study, recording_id)
    require_submitted(member.user, row)
    start_us, end_us = _whole(request, "start_us"), _whole(request, "end_us")
    buckets = max(1, min(_whole(request, "buckets", 1_000), signals.MOST_BUCKETS))
    exactly = request.GET.get("exact") == "1"
    channels = [
        signals.drawing(
            one,
            start_us,
            end_us,
            buckets=signals.MOST_EXACT // 2 if exactly else buckets,
        )
        for one in signals.stretches(row, start_us, end_us, actor=member.user.get_username())
    ]
    return JsonResponse({"start_us": start_us, "end_us": end_us, "channels": channels})


@require_safe
@never_cache
@study_page(RESEARCH)
def table(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponseBase:
    """Send every sample of a stretch as CSV, times on the recording's clock; consent is asked."""
    row = queries.find(member.study, recording_id)
    require_submitted(member.user, row)
    start_us, end_us = _whole(request, "start_us"), _whole(request, "end_us")
    if not signals.channels_of(row):
        raise Missing("This recording's take has no sensor channels.")
    lines = signals.csv_lines(row, start_us, end_us, actor=member.user.get_username())
    first = next(lines, "")  # before anything is sent, so that a refusal is one
    return StreamingHttpResponse(
        itertools.chain([signals.CSV_HEADER, first], lines),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="sensors-{row.pk}.csv"',
            "Cache-Control": "private, no-store",
        },
    )


def _whole(request: HttpRequest, name: str, default: int | None = None) -> int:
    text = request.GET.get(name, "")
    if not text and default is not None:
        return default
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise BadInput(f"“{name}” must be a whole number of microseconds; “{text[:40]}” is none.")
    return int(text)

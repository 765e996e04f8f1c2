"""A recording's page, its timeline, its media by byte range, its face crops."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.services import elan
from annotation.services.own_work import require_submitted
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.errors import Missing
from waver.recordings import media, services
from waver.recordings.masked import masked_preview
from waver.recordings.models import Asset, Recording
from waver.recordings.subjects import subject_of
from waver.recordings.timeline import timeline as timeline_of
from waver.website import crops
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import recording as queries
from waver.website.queries import recording_quality, transcript
from waver.website.queries.people import people_in
from waver.website.queries.takes import part_of

# What a researcher's browser may fetch: never the original with its own file's contents.
SERVED = {Asset.Kind.PROXY, Asset.Kind.CONTACT_SHEET, Asset.Kind.MASKED_PREVIEW}


@require_safe
@study_page(RESEARCH)
def recording(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Show a recording: the video, the facts, the timeline."""
    row = queries.find(member.study, recording_id)
    require_submitted(member.user, row)
    return show(request, member, row)


def show(
    request: HttpRequest,
    member: StudyAccess,
    row: Recording,
    *,
    said: transcript.Panel | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render a recording's page; `said` is its transcript as somebody is just changing it."""
    queries.read_once(row)
    allowed, infer = policy.decide_purposes([Purpose.PROCESS, Purpose.INFER], subject_of(row))
    if not allowed:
        said = None  # also where consent went while somebody was typing
    elif said is None:
        said = transcript.panel_of(row, correcting=request.GET.get("transcript") == "edit")
    page = queries.page(row, for_lead=member.is_lead)
    part = part_of(row)
    playable = page.has_proxy and bool(allowed) and row.rate is not None
    strips = _strips(row, for_lead=member.is_lead) if allowed and page.raters else []
    return render(
        request,
        "website/recording.html",
        {
            "member": member,
            "study": member.study,
            "page": page,
            "recording": row,
            "consent": allowed,
            "infer": infer,
            "strips": strips,
            "quality": recording_quality.part(row),
            "masked": masked_preview(row),
            "playable": playable,
            "part": part,
            "people": people_in(row),
            "sensors_span": (0, row.duration_us) if playable else part.span_us,
            "drawn_alone": not playable and bool(allowed) and part.span_us[1] > 0,
            "said": said,
        },
        status=status,
    )


def _strips(row: Recording, *, for_lead: bool) -> list[dict[str, Any]]:
    """Draw where the raters part, one picture for each pass over time."""
    # Here, because it loads numpy, and most web processes never show a recording's page.
    from waver.website.queries import strips

    return [
        # Drawn by our own code, which escapes what it is given.
        {"part": one.part, "raters": one.raters, "plot": mark_safe(one.draw())}  # noqa: S308
        for one in strips.of_recording(row, for_lead=for_lead)
    ]


def _shares(row: Recording) -> list[dict[str, Any]]:
    """Give the share of raters who marked each label, by time: consensus and its uncertainty."""
    from waver.website.queries import strips

    return [
        asdict(curve) for one in strips.of_recording(row, for_lead=False) for curve in one.curves
    ]


@require_safe
@never_cache
@study_page(RESEARCH)
def timeline(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Give everything that the timeline draws, as JSON; times are microseconds."""
    row = queries.find(member.study, recording_id)
    require_submitted(member.user, row)
    drawn = timeline_of(row, actor=member.user.get_username())
    raters = queries.rater_rows(row, for_lead=member.is_lead)
    return JsonResponse(
        {
            **drawn,
            "raters": [asdict(rater) for rater in raters],
            "consensus": _shares(row) if raters else [],
        }
    )


@require_safe
@study_page(RESEARCH)
def recording_media(
    request: HttpRequest, member: StudyAccess, recording_id: UUID, kind: str
) -> HttpResponseBase:
    """Send the proxy or the contact sheet, whole or a byte range; consent is asked each time."""
    if kind not in SERVED:
        raise Missing("This part of a recording is not sent to browsers.")
    asset = queries.asset(queries.find(member.study, recording_id), kind)
    return send(request, member, asset)


def send(request: HttpRequest, member: StudyAccess, asset: Asset) -> HttpResponseBase:
    """Send an asset's bytes, whole or a range of them, if consent covers it now."""
    served = media.serve(
        asset,
        request.headers.get("Range"),
        actor=member.user.get_username(),
        purpose=Purpose.PROCESS,
    )
    return StreamingHttpResponse(served.body, status=served.status, headers=served.headers)


@require_safe
@study_page(RESEARCH)
def face(request: HttpRequest, member: StudyAccess, recording_id: UUID, frame: int) -> HttpResponse:
    """Send the face crop of one frame; consent is asked each time."""
    row = queries.find(member.study, recording_id)
    jpeg = crops.read(row, frame=frame, actor=member.user.get_username())
    return HttpResponse(
        jpeg, content_type="image/jpeg", headers={"Cache-Control": "private, no-store"}
    )


@require_safe
@never_cache
@study_page(RESEARCH)
def elan_file(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Send raters' work on a recording as an ELAN file, raters by number; consent is asked."""
    row = queries.find(member.study, recording_id)
    require_submitted(member.user, row)
    made = elan.export_eaf(row, actor=member.user.get_username())
    return HttpResponse(
        made.data,
        content_type="text/x-eaf+xml",
        headers={
            "Content-Disposition": f'attachment; filename="{row.pk}.eaf"',
            "Cache-Control": "private, no-store",
        },
    )


@require_POST
@study_page(RESEARCH)
def accept(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Let a recording that needs a decision be annotated as it is."""
    row = queries.find(member.study, recording_id)
    services.accept(recording=row, actor=member.user.get_username())
    return redirect("website:recording", member.study.code, row.pk)

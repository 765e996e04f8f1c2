"""Adjudication: the queue of what raters disagree about, and one item with its decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from annotation.services import adjudication as service
from annotation.services.adjudication import Place
from waver.core.errors import BadInput, Conflict, Missing
from waver.recordings.models import Recording
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import adjudication as queries
from waver.website.queries.adjudication import ItemPage


@dataclass(frozen=True)
class Typed:
    """What the form holds: kept as it was typed when something is wrong with it."""

    value: str = ""
    rationale: str = ""
    start: str = ""
    end: str = ""

    @classmethod
    def of(cls, given: QueryDict) -> Typed:
        """Read what was typed."""
        return cls(
            value=given.get("value", ""),
            rationale=given.get("rationale", ""),
            start=given.get("start", "").strip(),
            end=given.get("end", "").strip(),
        )

    def stretch(self) -> tuple[int, int] | None:
        """Give the stretch in microseconds, None where none was typed. Raises BadInput."""
        if not self.start and not self.end:
            return None
        return _microseconds(self.start), _microseconds(self.end)


@require_safe
@study_page(RESEARCH)
def queue(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show what raters disagree about, most valuable to decide first."""
    page = queries.queue_page(
        member.study,
        member.user,
        topic_key=request.GET.get("label", ""),
        standing=request.GET.get("standing", queries.TO_DO),
        number=request.GET.get("page", 1),
    )
    return render(
        request,
        "website/adjudication.html",
        {
            "member": member,
            "study": member.study,
            "page": page,
            "standings": queries.STANDINGS,
            "takes_prelabelled": queries.takes_prelabelled(member.study),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RESEARCH)
def item(request: HttpRequest, member: StudyAccess, item: str) -> HttpResponse:
    """Show one item with its raters as letters; by POST, store a decision and go on."""
    place = service.read_place(item)
    recording = service.find_recording(member.study, place)
    service.require_adjudicator(study=member.study, who=member.user, recording=recording)
    service.require_consent(recording, place, who=member.user)
    if request.method != "POST":
        page = queries.item_page(member.study, place, recording)
        return _show(request, member, page, _as_decided(page), "", 200)
    typed = Typed.of(request.POST)
    try:
        service.decide(
            study=member.study,
            place=place,
            value=typed.value,
            rationale=typed.rationale,
            who=member.user,
            seen=_id(request.POST.get("seen", "")),
            looked_at=request.POST.get("looked_at", ""),
            stretch=typed.stretch() if typed.value == service.PRESENT else None,
        )
    except (BadInput, Conflict, Missing) as error:
        return _again(request, member, place, recording, typed, error)
    return _go_on(request, member, place)


def _go_on(request: HttpRequest, member: StudyAccess, place: Place) -> HttpResponse:
    """Lead to the next item, or back to the queue when none is left."""
    found = queries.next_of(member.study, member.user, place.topic_key, after=place)
    if found is None:
        messages.success(request, "Saved. Nothing is left to decide for this label.")
        address = reverse("website:adjudication", args=[member.study.code])
        return redirect(f"{address}?label={place.topic_key}")
    messages.success(request, "Saved. This is the next item.")
    return redirect("website:adjudication-item", member.study.code, found)


def _again(
    request: HttpRequest,
    member: StudyAccess,
    place: Place,
    recording: Recording,
    typed: Typed,
    error: BadInput | Conflict | Missing,
) -> HttpResponse:
    """Show the item as it is now with what was typed; where it is gone, only what was typed."""
    try:
        page = queries.item_page(member.study, place, recording)
    except Missing as gone:
        context = {
            "member": member,
            "study": member.study,
            "typed": typed,
            "problem": gone.sentence,
        }
        return render(request, "website/adjudication_gone.html", context, status=gone.http_status)
    return _show(request, member, page, typed, error.sentence, error.http_status)


def _show(
    request: HttpRequest,
    member: StudyAccess,
    page: ItemPage,
    typed: Typed,
    problem: str,
    status: int,
) -> HttpResponse:
    context: Mapping[str, object] = {
        "member": member,
        "study": member.study,
        "page": page,
        "recording": page.recording,
        "typed": typed,
        "problem": problem,
        "next": queries.next_of(member.study, member.user, page.topic.key, after=page.place),
        "earliest": queries.seconds(page.item.start_us),
        "latest": queries.seconds(page.item.end_us),
    }
    return render(request, "website/adjudication_item.html", context, status=status)


def _as_decided(page: ItemPage) -> Typed:
    """An empty form with the whole disputed stretch; never the earlier decision's answer."""
    return Typed(start=queries.seconds(page.item.start_us), end=queries.seconds(page.item.end_us))


def _microseconds(text: str) -> int:
    try:
        seconds = Decimal(text.replace(",", "."))
    except InvalidOperation as error:
        raise BadInput(
            f"“{text}” is no time. Write seconds, such as 2.5, for where it begins and ends."
        ) from error
    if not seconds.is_finite() or not 0 <= seconds < 10**9:
        raise BadInput(f"“{text}” is no time in a recording. Write seconds, such as 2.5.")
    return int((seconds * 1_000_000).to_integral_value())


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise BadInput(
            "This form was changed on its way. Reload the page and try again."
        ) from error

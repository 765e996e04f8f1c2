"""The list of recordings: one page of it, with what each line needs, in a constant number of
queries.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from waver.recordings.models import CueCandidate, FaceTrack, Recording
from waver.studies.models import Study

PAGE_SIZE = 50


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to; empty strings for all."""

    state: str = ""
    participant: str = ""


def recordings_page(study: Study, *, filters: Filters, number: str | int = 1) -> Page[Recording]:
    """Give one page of a study's recordings, newest first, 50 on each.

    A page number that does not exist gives the nearest that does.
    """
    rows = study.recordings.select_related("take__participant", "take__prompt")
    if filters.state in Recording.State.values:
        rows = rows.filter(state=filters.state)
    if filters.participant:
        rows = rows.filter(take__participant__code__icontains=filters.participant)
    paginator = Paginator(_with_counts(rows).order_by("-created_at", "-pk"), PAGE_SIZE)
    return paginator.get_page(number)


def _with_counts(rows: QuerySet[Recording]) -> QuerySet[Recording]:
    def count(model: type[FaceTrack] | type[CueCandidate]) -> Coalesce:
        numbers = (
            model._default_manager.filter(recording=OuterRef("pk"))
            .order_by()
            .values("recording")
            .annotate(n=Count("pk"))
            .values("n")
        )
        return Coalesce(Subquery(numbers), 0)

    # The track's share counts only the time that the track lasts; this one the whole recording.
    usable = FaceTrack.objects.filter(
        Q(recording=OuterRef("pk")) & Q(is_participant=True), recording__duration_us__gt=0
    ).annotate(
        of_all=F("usable_share") * (F("end_us") - F("start_us")) / F("recording__duration_us")
    )
    return rows.annotate(
        people=count(FaceTrack),
        candidates=count(CueCandidate),
        usable_share=Subquery(usable.values("of_all")[:1]),
    )

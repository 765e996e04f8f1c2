"""The list of recordings: one page of it, with what each line needs, in a constant number of
queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, OrderBy, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from waver.recordings.models import CueCandidate, FaceTrack, Quality, Recording
from waver.recordings.quality.catalogue import AT_MOST, FIGURES, Figure
from waver.recordings.quality.counting import figure_value
from waver.studies.models import Study

PAGE_SIZE = 50
UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to; empty strings for all."""

    state: str = ""
    participant: str = ""
    view: str = ""
    quality: str = ""  # a verdict, or “unmeasured”
    sort: str = ""  # a figure of quality: the worst first

    @property
    def any(self) -> bool:
        """Tell whether the list is narrowed at all."""
        return bool(self.state or self.participant or self.view or self.quality)

    @property
    def figure(self) -> Figure | None:
        """The figure that the list is sorted by."""
        return FIGURES.get(self.sort)


def recordings_page(study: Study, *, filters: Filters, number: str | int = 1) -> Page[Recording]:
    """Give one page of a study's recordings, 50 on each: newest take first, its views together.

    A page number that does not exist gives the nearest that does.
    """
    rows = study.recordings.select_related("take__participant", "take__prompt")
    if filters.state in Recording.State.values:
        rows = rows.filter(state=filters.state)
    if filters.participant:
        rows = rows.filter(take__participant__code__icontains=filters.participant)
    if filters.view in Recording.View.values:
        rows = rows.filter(view=filters.view)
    if filters.quality in Quality.Verdict.values:
        rows = rows.filter(quality__verdict=filters.quality)
    elif filters.quality == UNMEASURED:
        rows = rows.filter(quality=None)
    # Only keys are put in order: the rows of a hundred thousand would not fit into memory.
    keys = rows.order_by(*_order(filters.figure)).values_list("pk", flat=True)
    page: Page[Any] = Paginator(keys, PAGE_SIZE).get_page(number)
    shown = _with_counts(rows).select_related("quality").in_bulk(list(page.object_list))
    page.object_list = [shown[pk] for pk in page.object_list if pk in shown]
    return page


def sorts() -> list[tuple[str, str]]:
    """Give the figures that the list can be sorted by, with words."""
    return [
        (key, f"{figure.title}, {'highest' if _is_high_bad(figure) else 'lowest'} first")
        for key, figure in FIGURES.items()
    ]


def _order(figure: Figure | None) -> list[OrderBy | str]:
    """Newest take first, or the worst by a figure first and what is not known last."""
    newest: list[OrderBy | str] = ["-take__created_at", "-take", "created_at", "pk"]
    if figure is None:
        return newest
    value = figure_value(figure.key, of="quality__figures")
    worst = value.desc(nulls_last=True) if _is_high_bad(figure) else value.asc(nulls_last=True)
    return [worst, *newest]


def _is_high_bad(figure: Figure) -> bool:
    return figure.bound == AT_MOST


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

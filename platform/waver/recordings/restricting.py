"""Restricting a stretch of a take: what must not be used is so in each of its views.

A restriction names one recording and lies on that recording's clock. A second camera and the
sensors saw the same moment, so each view of the take gets a restriction of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from waver.consent import withdrawal
from waver.consent.models import Restriction
from waver.core.clock import Span
from waver.recordings.models import Recording, Take


@transaction.atomic
def restrict(*, recording: Recording, span: Span, reason: str, actor: str) -> list[Restriction]:
    """Forbid every use of a stretch of a recording, and of the same moments in its take's views.

    `span` lies on the recording's clock. Gives the restrictions made, the recording's own first.
    Raises BadInput without a reason, Conflict when part of the stretch is restricted already.
    """
    take = Take.objects.select_for_update(of=("self",)).get(pk=recording.take_id)
    first = withdrawal.restrict(
        participant=take.participant,
        recording_id=recording.pk,
        span=span,
        reason=reason,
        actor=actor,
    )
    made = [first]
    for view in take.recordings.exclude(pk=recording.pk).order_by("created_at"):
        made += _lay(first, _shift(recording, view), view, take=take)
    return made


def carry(recording: Recording) -> list[Restriction]:
    """Lay what is restricted in the other views of the take on this one; call it in a transaction.

    For a view that comes in, or is placed anew, after its take was restricted. What is restricted
    already stays so, also where a former place turns out to have been wrong.
    """
    made = []
    for view in recording.take.recordings.exclude(pk=recording.pk):
        for row in Restriction.objects.filter(recording_id=view.pk).order_by("start_us"):
            made += _lay(row, _shift(view, recording), recording, take=recording.take)
    return made


def _shift(here: Recording, there: Recording) -> int:
    """What to add to a time of one view to have it on another's clock, in microseconds."""
    return here.offset_us - there.offset_us


def _lay(row: Restriction, shift: int, view: Recording, *, take: Take) -> list[Restriction]:
    start, end = max(0, row.start_us + shift), row.end_us + shift
    there = Restriction.objects.filter(recording_id=view.pk, start_us__lt=end, end_us__gt=start)
    return [
        withdrawal.restrict(
            participant=take.participant,
            recording_id=view.pk,
            span=Span(first, last),
            reason=row.reason,
            actor=row.made_by,
        )
        for first, last in _free(start, end, there.order_by("start_us"))
    ]


def _free(start: int, end: int, taken: Iterable[Restriction]) -> list[tuple[int, int]]:
    """The parts of [start, end) that none of the restrictions, in their order, covers."""
    parts = []
    for row in taken:
        if start < row.start_us:
            parts.append((start, row.start_us))
        start = max(start, row.end_us)
    if start < end:
        parts.append((start, end))
    return parts

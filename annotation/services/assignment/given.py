"""Which recordings raters were given: what is below this app asks, and may not know assignments."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from annotation.models import Assignment
from annotation.services.assignment.people import GONE


def given_to_raters(recording_ids: Collection[UUID]) -> set[UUID]:
    """Give those of the recordings that a rater has or had to label, in one query."""
    rows = Assignment.objects.filter(recording__in=recording_ids).exclude(state__in=GONE)
    return set(rows.values_list("recording_id", flat=True))

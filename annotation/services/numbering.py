"""Raters' numbers: what raters are called wherever they are not named."""

from __future__ import annotations

from uuid import UUID

from annotation.models import Assignment
from waver.studies.models import Study


def rater_numbers(study: Study) -> dict[UUID, int]:
    """Number a study's raters from 1: the same number on every page and in every file."""
    ids = (
        Assignment.objects.filter(batch__study=study)
        .order_by("rater_id")
        .values_list("rater_id", flat=True)
        .distinct()
    )
    return {pk: number for number, pk in enumerate(ids, start=1)}

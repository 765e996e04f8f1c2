"""The names that people have in releases: drawn by lot, the same in every release of a study."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from waver.consent.models import Participant
from waver.datasets.models import ReleaseCode
from waver.studies.models import Study

_DIGITS = 5


def of_participants(*, study: Study, participants: Iterable[UUID]) -> dict[UUID, str]:
    """Give each participant's code in releases: five digits, never a code in use inside."""
    return _codes(study, "participant_id", set(participants), prefix="")


def of_raters(*, study: Study, raters: Iterable[UUID]) -> dict[UUID, str]:
    """Give each rater's code in releases: R and five digits."""
    return _codes(study, "rater_id", set(raters), prefix="R")


def _codes(study: Study, field: str, people: set[UUID], *, prefix: str) -> dict[UUID, str]:
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        rows = ReleaseCode.objects.filter(study=study)
        have = dict(rows.filter(**{f"{field}__in": people}).values_list(field, "code"))
        taken = set(rows.values_list("code", flat=True)) | set(
            Participant.objects.filter(study=study).values_list("code", flat=True)
        )
        for person in sorted(people - set(have)):
            have[person] = _draw(prefix, taken)
            taken.add(have[person])
            ReleaseCode.objects.create(study=study, code=have[person], **{field: person})
    return have


def _draw(prefix: str, taken: set[str]) -> str:
    """Draw a code that nobody has; longer ones when half of the short ones are taken."""
    digits = _DIGITS
    while sum(len(code) == len(prefix) + digits for code in taken) > 10**digits // 2:
        digits += 1
    while True:
        code = f"{prefix}{10 ** (digits - 1) + secrets.randbelow(9 * 10 ** (digits - 1))}"
        if code not in taken:
            return code

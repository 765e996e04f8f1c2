"""Which studies a person sees, and in which roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from waver.core.errors import Missing

if TYPE_CHECKING:
    from waver.accounts.models import User
    from waver.studies.models import Study


class StudyQuerySet(models.QuerySet["Study"]):
    """Studies, narrowed to what a person may see."""

    def visible_to(self, user: User) -> StudyQuerySet:
        """Keep the studies that the person belongs to in any role; an administrator sees all."""
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user).distinct()


def study_called(code: str) -> Study:
    """Give the study with this code. Raises Missing, naming the studies that there are."""
    from waver.studies.models import Study

    study = Study.objects.filter(code=code).first()
    if study is None:
        known = ", ".join(Study.objects.values_list("code", flat=True)) or "none yet"
        raise Missing(f"There is no study “{code}”. Studies here: {known}.")
    return study


def roles_in(user: User, study: Study) -> frozenset[str]:
    """Give the person's roles in the study: none for somebody who does not belong to it."""
    if not user.is_active:
        return frozenset()
    return frozenset(study.memberships.filter(user=user).values_list("role", flat=True))

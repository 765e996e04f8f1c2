"""What this app holds about a participant, and how it lets go of it.

Loaded when Django starts, so what needs numpy is imported where it is used.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection, models, transaction
from django.db.models import QuerySet

from waver.consent.models import Participant
from waver.core.holders import Held
from waver.datasets.models import (
    Figure,
    Leaf,
    RecordingDisagreement,
    Release,
    ReleaseCode,
    Snapshot,
    SplitAssignment,
    Statistic,
)

_Found = list[Held]
_ROWS = (Statistic, Figure, RecordingDisagreement, SplitAssignment, ReleaseCode)


class DatasetsHolder:
    """Holds statistics, figures, folds, release codes, places in snapshots, shares of releases."""

    name = "datasets"
    models: tuple[str, ...] = (
        "datasets.Statistic",
        "datasets.Figure",
        "datasets.RecordingDisagreement",
        "datasets.SplitAssignment",
        "datasets.ReleaseCode",
        "datasets.Snapshot",
        "datasets.Leaf",
    )

    def list(self, participant_id: UUID) -> _Found:
        """List every row and every share of a release."""
        found = [
            Held(str(model._meta.verbose_name), str(pk), "PostgreSQL")
            for model in _ROWS
            for pk in model._default_manager.filter(participant_id=participant_id).values_list(
                "pk", flat=True
            )
        ]
        found += [
            Held("place in a snapshot", str(pk), "PostgreSQL")
            for pk in _places(participant_id).values_list("pk", flat=True)
        ]
        shares = Leaf.objects.filter(participant_id=participant_id).select_related("release")
        found += [Held("share of a release", str(row.pk), row.release.folder) for row in shares]
        return found

    def quarantine(self, participant_id: UUID) -> None:
        """Hold back every release that consent does not cover any longer, and have it rebuilt."""
        from waver.datasets import redaction

        for release in _releases(participant_id).filter(state=Release.State.PUBLISHED):
            if redaction.refused_participants(release, among=[participant_id]):
                Release.objects.filter(pk=release.pk, state=Release.State.PUBLISHED).update(
                    state=Release.State.HELD
                )
                redaction.redact_soon(release)

    def erase(self, participant_id: UUID) -> None:
        """Take the participant out of every release, then remove every row."""
        from waver.datasets import redaction

        participant = Participant.objects.filter(pk=participant_id).first()
        if participant is None:
            return
        for release in Release.objects.filter(study=participant.study):
            redaction.mend(release)  # also after a redaction that was killed just behind its commit
        for release in _releases(participant_id):
            redaction.redact(release=release, participant=participant, actor="erasure")
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL waver.erasure = 'on'")
            _places(participant_id).delete()
            for model in _ROWS:
                model._default_manager.filter(participant_id=participant_id).delete()
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL waver.erasure = 'off'")

    def verify_absent(self, participant_id: UUID) -> _Found:
        """Look again."""
        return self.list(participant_id)


def _releases(participant_id: UUID) -> QuerySet[Release]:
    return Release.objects.filter(
        leaves__participant_id=participant_id, leaves__tombstone_at__isnull=True
    ).distinct()


def _places(participant_id: UUID) -> QuerySet[models.Model]:
    return Snapshot.annotations.through._default_manager.filter(
        annotation__assignment__recording__take__participant_id=participant_id
    )

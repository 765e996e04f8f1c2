"""What annotation holds about a participant: assignments and raters' labels of their recordings."""

from __future__ import annotations

from uuid import UUID

from django.db import connection, transaction

from annotation.models import (
    Adjudication,
    Annotation,
    Assignment,
    ClipLabel,
    GoldItem,
    RaterConflict,
    RemoteTask,
    Segment,
    SegmentCue,
    SegmentText,
)
from annotation.services import withdrawn
from waver.core.holders import Held

HeldList = list[Held]  # inside the class, `list` is its own method


class AnnotationHolder:
    """Holds assignments, tasks in Label Studio, and labels. Free notes are personal data."""

    name = "annotation"
    models = (
        "annotation.Assignment",
        "annotation.RemoteTask",
        "annotation.Annotation",
        "annotation.Segment",
        "annotation.SegmentCue",
        "annotation.SegmentText",
        "annotation.ClipLabel",
        "annotation.GoldItem",
        "annotation.Adjudication",
        "annotation.RaterConflict",
    )

    def list(self, participant_id: UUID) -> HeldList:
        """List the participant's annotations, their assignments and their tasks."""
        theirs = {"recording__take__participant_id": participant_id}
        labels = Annotation.objects.filter(**{f"assignment__{k}": v for k, v in theirs.items()})
        tasks = RemoteTask.objects.filter(**{f"assignment__{k}": v for k, v in theirs.items()})
        assignments = Assignment.objects.filter(**theirs)
        return [
            *(Held("annotation", str(row.pk), "PostgreSQL") for row in labels),
            *(Held("assignment", str(row.pk), "PostgreSQL") for row in assignments),
            *(Held("task", str(row.remote_id), "Label Studio") for row in tasks),
            *(
                Held(kind, str(row.pk), "PostgreSQL")
                for kind, model in (("gold item", GoldItem), ("adjudication", Adjudication))
                for row in model.objects.filter(**theirs)
            ),
            *(
                Held("rater conflict", str(row.pk), "PostgreSQL")
                for row in RaterConflict.objects.filter(participant_id=participant_id)
            ),
        ]

    def quarantine(self, participant_id: UUID) -> None:
        """Withdraw what consent no longer covers, and have its tasks deleted."""
        withdrawn.stop(participant_id)

    def erase(self, participant_id: UUID) -> None:
        """Delete the tasks in Label Studio, search it for what is left, then delete the rows.

        May be called again after a crash. Raises TemporaryProblem when Label Studio does not answer
        or still holds something.
        """
        Assignment.objects.filter(recording__take__participant_id=participant_id).update(
            state=Assignment.State.WITHDRAWN, return_reason=""
        )
        withdrawn.remove_tasks(participant_id)
        withdrawn.prove_removed(participant_id)
        theirs = {"annotation__assignment__recording__take__participant_id": participant_id}
        with transaction.atomic():
            with connection.cursor() as cursor:
                # The one documented way past the tables' triggers, for this transaction only.
                cursor.execute("SET LOCAL waver.erasure TO 'on'")
            in_segments = {f"segment__{name}": value for name, value in theirs.items()}
            SegmentText.objects.filter(**in_segments).delete()
            SegmentCue.objects.filter(**in_segments).delete()
            Segment.objects.filter(**theirs).delete()
            ClipLabel.objects.filter(**theirs).delete()
            Annotation.objects.filter(
                assignment__recording__take__participant_id=participant_id
            ).delete()
            Assignment.objects.filter(recording__take__participant_id=participant_id).delete()
            Adjudication.objects.filter(recording__take__participant_id=participant_id).delete()
            GoldItem.objects.filter(recording__take__participant_id=participant_id).delete()
            RaterConflict.objects.filter(participant_id=participant_id).delete()

    def verify_absent(self, participant_id: UUID) -> HeldList:
        """Look again: whatever `list` still finds, and what Label Studio holds of nobody known.

        Raises TemporaryProblem when Label Studio does not answer: nothing is proven then.
        """
        strange = withdrawn.unknown_to_waver()
        return [
            *self.list(participant_id),
            *(Held(kind, object_id, "Label Studio") for kind, object_id in strange),
        ]

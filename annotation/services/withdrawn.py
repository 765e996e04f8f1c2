"""What a withdrawal does to labelling: stop at once here, then delete in Label Studio."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from annotation.labelstudio.client import Client
from annotation.models import Assignment, RemoteTask
from annotation.services.publish import WITHDRAWN, remove_soon
from waver.consent import policy
from waver.consent.models import Purpose
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of


@transaction.atomic
def stop(participant_id: UUID) -> int:
    """Withdraw the assignments that consent no longer covers; give their number.

    The media is refused from this moment. The tasks in Label Studio are deleted by a job.
    """
    recordings = Recording.objects.filter(take__participant_id=participant_id).select_related(
        "take__participant__study"
    )
    refused = [
        recording.pk
        for recording in recordings
        if not policy.decide(Purpose.ANNOTATE, subject_of(recording)).allowed
    ]
    stopped = (
        Assignment.objects.filter(recording_id__in=refused)
        .exclude(state=Assignment.State.WITHDRAWN)
        .update(state=Assignment.State.WITHDRAWN, return_reason=WITHDRAWN)
    )
    if stopped:
        remove_soon(participant_id)
    return stopped


def remove_tasks(participant_id: UUID, *, client: Client | None = None) -> int:
    """Delete the withdrawn tasks, with drafts and predictions, in Label Studio; give their number.

    Raises TemporaryProblem when Label Studio does not answer; calling again goes on.
    """
    client = client or Client()
    removed = 0
    for task in withdrawn_tasks(participant_id):
        client.delete_task(task.remote_id)
        task.delete()
        removed += 1
    return removed


def withdrawn_tasks(participant_id: UUID) -> QuerySet[RemoteTask]:
    """Give the participant's tasks that are still to be deleted in Label Studio."""
    return RemoteTask.objects.filter(
        assignment__recording__take__participant_id=participant_id,
        assignment__state=Assignment.State.WITHDRAWN,
    )

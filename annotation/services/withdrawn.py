"""What a withdrawal does to labelling: stop at once here, then delete in Label Studio."""

from __future__ import annotations

from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from annotation.labelstudio.client import Client
from annotation.models import Assignment, RemoteProject, RemoteTask
from annotation.services.publish import WITHDRAWN, remove_soon
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.errors import TemporaryProblem
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
    """Delete the withdrawn tasks in Label Studio, with drafts and predictions; give their number.

    The exports of their projects, which are copies of all tasks, go too. Raises TemporaryProblem
    when Label Studio does not answer; calling again goes on.
    """
    client = client or Client()
    tasks = withdrawn_tasks(participant_id).select_related("project")
    removed = 0
    for project, rows in groupby(tasks.order_by("project"), key=lambda task: task.project):
        theirs = list(rows)
        client.forget_tasks(project.remote_id, [task.remote_id for task in theirs])
        RemoteTask.objects.filter(pk__in=[task.pk for task in theirs]).delete()
        removed += len(theirs)
    return removed


def prove_removed(participant_id: UUID, *, client: Client | None = None) -> None:
    """Search all of Label Studio for the participant's assignments and media before they go.

    Only Label Studio itself can say what it holds, and only as long as Waver still knows what to
    ask for. Raises TemporaryProblem where something is left: the erasure is then not complete.
    """
    rows = Assignment.objects.filter(recording__take__participant_id=participant_id)
    projects = RemoteProject.objects.filter(batch__assignments__in=rows).distinct()
    if not projects.exists():
        return
    client = client or Client()
    names = dict(rows.values_list("pk", "media_token"))
    theirs = {str(pk) for pk in names}
    # Tasks that were on their way while the participant withdrew, and are not noted yet.
    unnoted = [task for task in client.inventory().tasks if task.assignment_id in theirs]
    for remote_id in projects.values_list("remote_id", flat=True):
        # The project's exports go too, also where its tasks went long ago.
        client.forget_tasks(
            remote_id, [task.remote_id for task in unnoted if task.project_id == remote_id]
        )
    left = client.traces([*theirs, *names.values()])
    if left:
        raise TemporaryProblem(
            f"Label Studio still holds something of this participant in {', '.join(left)}, so the "
            "erasure is not finished. It is tried again by itself; if this stays, an administrator "
            "must look there."
        )


def unknown_to_waver(*, client: Client | None = None) -> list[tuple[str, str]]:
    """Say what Label Studio holds and Waver does not know: (kind, id), also whole exports.

    After an erasure Waver knows none of the participant's assignments any more, so a task of
    theirs would be among these. Raises TemporaryProblem when Label Studio does not answer.
    """
    if not RemoteProject.objects.exists():
        return []
    held = (client or Client()).inventory()
    known = {"", *map(str, Assignment.objects.values_list("pk", flat=True).iterator())}
    strange = [
        ("task", str(task.remote_id)) for task in held.tasks if task.assignment_id not in known
    ]
    return strange + [("exports", str(held.exports))] * bool(held.exports)


def withdrawn_tasks(participant_id: UUID) -> QuerySet[RemoteTask]:
    """Give the participant's tasks that are still to be deleted in Label Studio."""
    return RemoteTask.objects.filter(
        assignment__recording__take__participant_id=participant_id,
        assignment__state=Assignment.State.WITHDRAWN,
    )

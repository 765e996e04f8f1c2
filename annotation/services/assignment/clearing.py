"""Tasks that were taken back from a rater leave Label Studio, after a last look for their work."""

from __future__ import annotations

from django.db.models import QuerySet

from annotation.labelstudio.client import Client
from annotation.models import Assignment, RemoteProject, RemoteTask
from annotation.services import collect


def clear_taken_back(project: RemoteProject, *, client: Client | None = None) -> int:
    """Delete a project's taken-back tasks in Label Studio; give their number.

    First what was submitted is collected: that work stands, and its task stays. So does a task to
    which something comes after the look: the next call collects that.
    Raises TemporaryProblem when Label Studio does not answer; calling again goes on.
    """
    client = client or Client()
    seen = {task.remote_id: task for task in client.tasks(project.remote_id)}
    collect.collect_project(project, client=client, compare=False)
    theirs = set(taken_back_tasks(project).values_list("remote_id", flat=True))
    if not theirs:
        return 0
    gone = theirs - set(seen)
    gone |= client.forget_unchanged(project.remote_id, [seen[pk] for pk in sorted(theirs - gone)])
    removed, _ = RemoteTask.objects.filter(project=project, remote_id__in=gone).delete()
    return removed


def taken_back_tasks(project: RemoteProject) -> QuerySet[RemoteTask]:
    """Give the project's tasks that are still to be deleted in Label Studio."""
    return project.tasks.filter(assignment__state=Assignment.State.TAKEN_BACK)

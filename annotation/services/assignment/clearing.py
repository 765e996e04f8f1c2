"""Tasks that were taken back from a rater leave Label Studio, after a last look for their work."""

from __future__ import annotations

from django.db.models import QuerySet

from annotation.labelstudio.client import Client
from annotation.models import Assignment, RemoteProject, RemoteTask
from annotation.services import collect


def clear_taken_back(project: RemoteProject, *, client: Client | None = None) -> int:
    """Delete a project's taken-back tasks in Label Studio; give their number.

    First what was submitted is collected: that work stands, and its task stays.
    Raises TemporaryProblem when Label Studio does not answer; calling again goes on.
    """
    client = client or Client()
    collect.collect_project(project, client=client, compare=False)
    tasks = list(taken_back_tasks(project))
    if tasks:
        client.forget_tasks(project.remote_id, [task.remote_id for task in tasks])
        RemoteTask.objects.filter(pk__in=[task.pk for task in tasks]).delete()
    return len(tasks)


def taken_back_tasks(project: RemoteProject) -> QuerySet[RemoteTask]:
    """Give the project's tasks that are still to be deleted in Label Studio."""
    return project.tasks.filter(assignment__state=Assignment.State.TAKEN_BACK)

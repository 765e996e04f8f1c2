"""Raters' work comes back by two ways: a webhook that may get lost, and a poller that finds it all.

The webhook only wakes: what changed is read from Label Studio itself. The poller asks for tasks
changed since the newest change it has seen, with an overlap; and every few minutes it compares all
ids, because a deleted task can no longer show up as changed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from annotation.jobs import COLLECT
from annotation.labelstudio.client import Client, RemoteTaskState
from annotation.models import Annotation, Assignment, Batch, RemoteProject, RemoteTask
from annotation.services.accept import accept, record_deletion
from waver.core.errors import Conflict, TemporaryProblem
from waver.core.jobs import enqueue
from waver.core.models import Job

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=10)
COMPARE_EVERY = timedelta(minutes=5)


@dataclass
class Collected:
    """What one look at one project brought."""

    stored: int = 0
    rejected: int = 0
    deleted: int = 0
    lost_tasks: int = 0


def wake(remote_project_id: int) -> Job | None:
    """Queue the collection of one project, as its webhook asks; None for one that is not ours.

    The call is noted on the project's row first: a collection that is running and may have read
    past the change already sees the note when it ends, and has itself followed by another.
    """
    called = RemoteProject.objects.filter(remote_id=remote_project_id).update(woken_at=Now())
    if not called:
        return None
    return collect_soon(RemoteProject.objects.get(remote_id=remote_project_id))


def collect_soon(project: RemoteProject) -> Job:
    """Queue the collection of one project, unless it is queued or running."""
    return enqueue(
        COLLECT,
        subject_kind="remote_project",
        subject_id=project.pk,
        key=f"{COLLECT.name}:{project.pk}",
    )


def collect_all(*, client: Client | None = None) -> Collected:
    """Look at every project of an open batch, as the clock asks every few seconds.

    Label Studio not answering is no failure here: the next look finds what this one missed.
    """
    total = Collected()
    client = client or Client()
    for project in RemoteProject.objects.filter(batch__state=Batch.State.OPEN).order_by("pk"):
        try:
            found = collect_project(project, client=client, received_by=Annotation.Route.POLL)
        except TemporaryProblem as problem:
            log.warning("%s", problem)
            break
        total.stored += found.stored
        total.rejected += found.rejected
        total.deleted += found.deleted
        total.lost_tasks += found.lost_tasks
    return total


def collect_project(
    project: RemoteProject,
    *,
    client: Client | None = None,
    received_by: str = Annotation.Route.POLL,
    compare: bool | None = None,
) -> Collected:
    """Bring Waver's rows of one project up to what Label Studio holds; may be called at any time.

    `compare` reads all tasks instead of the changed ones; by default every few minutes.
    Raises TemporaryProblem when Label Studio does not answer: what was read so far is stored.
    """
    client = client or Client()
    now = timezone.now()
    if compare is None:
        compare = project.compared_at is None or now - project.compared_at > COMPARE_EVERY
    since = project.reconciled_to - OVERLAP if project.reconciled_to and not compare else None
    assignments = {
        task.remote_id: task.assignment
        for task in project.tasks.select_related("assignment__recording", "assignment__rater")
    }
    found, newest, seen = Collected(), project.reconciled_to, set()
    for task in client.tasks(project.remote_id, updated_since=since):
        seen.add(task.remote_id)
        newest = max(newest, task.updated_at) if newest else task.updated_at
        assignment = assignments.get(task.remote_id)
        if assignment is not None and assignment.state != Assignment.State.WITHDRAWN:
            _take(assignment, task, received_by, found)
    if compare:
        _note_lost_tasks(set(assignments) - seen, received_by, found)
    RemoteProject.objects.filter(pk=project.pk).filter(
        Q(reconciled_to__isnull=True) | Q(reconciled_to__lte=newest or now)
    ).update(reconciled_to=newest, **({"compared_at": now} if compare else {}))
    return found


def _take(
    assignment: Assignment, task: RemoteTaskState, received_by: str, found: Collected
) -> None:
    """Store a task's annotations that are new, and record those that are gone."""
    present = set()
    for remote in sorted(task.annotations, key=lambda each: each.updated_at):
        present.add(remote.remote_id)
        if remote.was_cancelled:
            continue
        before = _newest_version(assignment.pk)
        try:
            row = accept(
                assignment,
                remote.result,
                remote.remote_id,
                remote.updated_at,
                remote.lead_time,
                received_by,
            )
        except Conflict:
            return  # withdrawn while this was being read; the others' work goes on
        if row.version > before:
            found.stored += 1
            found.rejected += row.verdict == Annotation.Verdict.REJECTED
    for remote_id in _known_remote_ids(assignment) - present:
        found.deleted += record_deletion(assignment, remote_id, received_by) is not None


def _newest_version(assignment_id: UUID) -> int:
    newest = (
        Annotation.objects.filter(assignment_id=assignment_id)
        .order_by("-version")
        .values_list("version", flat=True)
        .first()
    )
    return newest or 0


def _known_remote_ids(assignment: Assignment) -> set[int]:
    """Give the ids in Label Studio of an assignment's annotations; imported ones have none."""
    ids = assignment.annotations.values_list("remote_id", flat=True)
    return {remote_id for remote_id in ids if remote_id is not None}


def _note_lost_tasks(remote_ids: set[int], received_by: str, found: Collected) -> None:
    """Make assignments whose task was deleted in Label Studio ready to be sent again."""
    rows = RemoteTask.objects.filter(remote_id__in=remote_ids).select_related("assignment")
    for task in rows:
        assignment = task.assignment
        if assignment.state == Assignment.State.WITHDRAWN:
            continue
        for remote_id in _known_remote_ids(assignment):
            found.deleted += record_deletion(assignment, remote_id, received_by) is not None
        task.delete()
        # A withdrawal may have come since the rows were read, and must stand.
        standing = Assignment.objects.exclude(state=Assignment.State.WITHDRAWN)
        standing.filter(pk=assignment.pk).update(
            state=Assignment.State.PLANNED,
            return_reason="The task was deleted in Label Studio. Publish the batch again.",
        )
        found.lost_tasks += 1

"""Raters' work comes back by two ways: a webhook that may get lost, and a poller that finds it all.

The webhook only wakes: what changed is read from Label Studio itself. The poller asks for tasks
changed since the newest change it has seen, with an overlap; and every few minutes it compares all
ids, because a deleted task can no longer show up as changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db import OperationalError, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from annotation.jobs import COLLECT
from annotation.labelstudio.client import Client, RemoteTaskState
from annotation.models import Annotation, Assignment, Batch, RemoteProject
from annotation.services.accept import GONE, Submission, accept_all, record_deletion
from waver.core.errors import Missing, TemporaryProblem
from waver.core.jobs import enqueue
from waver.core.models import Job

log = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=10)
COMPARE_EVERY = timedelta(minutes=5)
PAGE = 500
State = Assignment.State
# One question where the query builder would take two and most of the time that a call may take.
_PROJECT_AND_JOB = """
SELECT project.id, project.woken_at IS NOT NULL, (
    SELECT job.state FROM core_job AS job
    WHERE job.key = %s || project.id::text AND job.state IN ('queued', 'running')
    AND job.key <> ''  -- lets the index of open keys answer, however many jobs there were
)
FROM annotation_remoteproject AS project WHERE project.remote_id = %s
"""


@dataclass
class Collected:
    """What one look at one project brought."""

    stored: int = 0
    rejected: int = 0
    deleted: int = 0
    lost_tasks: int = 0


def wake(remote_project_id: int) -> bool:
    """Have one project collected, as its webhook asks; False for one that is not ours.

    The rater waits for this answer, so mostly it only asks one question:
    - a collection that is queued has read nothing yet and will see the change;
    - one that is running may have read past the change: the first call since it began is noted on
      the project's row, by which it has itself followed by another (`called_since`);
    - else one is queued.
    """
    found = _project_and_job(remote_project_id)
    if found is None:
        return False
    project_id, is_noted, state = found
    if state == Job.State.QUEUED or (state == Job.State.RUNNING and is_noted):
        return True
    RemoteProject.objects.filter(pk=project_id).update(woken_at=Now())
    if state is None:
        collect_soon(RemoteProject.objects.get(pk=project_id))
    return True


def _project_and_job(remote_project_id: int) -> tuple[UUID, bool, str | None] | None:
    """Ask for a project's id, whether a call is noted on it, and the state of its collection.

    Django would ask an old connection whether it still lives before using it. Here the question
    tells that itself, and is asked once more over a new one where it does not.
    """
    connection.health_check_done = True  # type: ignore[attr-defined]  # the stubs lack it
    try:
        return _asked(remote_project_id)
    except OperationalError:
        if connection.in_atomic_block:
            raise
        connection.close()
        return _asked(remote_project_id)


def _asked(remote_project_id: int) -> tuple[UUID, bool, str | None] | None:
    with connection.cursor() as cursor:
        cursor.execute(_PROJECT_AND_JOB, [f"{COLLECT.name}:", remote_project_id])
        found: tuple[UUID, bool, str | None] | None = cursor.fetchone()
    return found


def begin_look(project: RemoteProject) -> None:
    """Forget earlier calls: what they were about is there to be read from now on."""
    RemoteProject.objects.filter(pk=project.pk).update(woken_at=None)


def called_since(project: RemoteProject) -> bool:
    """Tell whether the webhook called since `begin_look`."""
    return RemoteProject.objects.filter(pk=project.pk, woken_at__isnull=False).exists()


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

    Label Studio not answering is no failure here: the next look finds what this one missed. What
    goes wrong with one project keeps no other rater's work waiting; it is raised at the end.
    """
    total = Collected()
    client = client or Client()
    wrong: Exception | None = None
    for project in RemoteProject.objects.filter(batch__state=Batch.State.OPEN).order_by("pk"):
        try:
            found = collect_project(project, client=client, received_by=Annotation.Route.POLL)
        except TemporaryProblem as problem:
            log.warning("%s", problem)
            break
        except Missing as problem:
            # Nobody deleted these annotations one by one, so none of them is taken for deleted.
            log.warning("%s", problem)
            Batch.objects.filter(pk=project.batch_id).update(error=problem.sentence)
            continue
        except OperationalError:
            raise  # the database, which no other project gets either
        except Exception as error:
            log.exception("Raters' work of the project %s could not be collected.", project.pk)
            wrong = wrong or error
            continue
        total.stored += found.stored
        total.rejected += found.rejected
        total.deleted += found.deleted
        total.lost_tasks += found.lost_tasks
    if wrong is not None:
        raise wrong
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
    Raises Missing where it has no such project: nothing is changed then.
    """
    client = client or Client()
    began = timezone.now()
    if compare is None:
        compare = project.compared_at is None or began - project.compared_at > COMPARE_EVERY
    since = project.reconciled_to - OVERLAP if project.reconciled_to and not compare else None
    found, newest = Collected(), project.reconciled_to
    seen: set[int] = set()
    for page in _pages(client.tasks(project.remote_id, updated_since=since)):
        seen.update(task.remote_id for task in page)
        changed = max(task.updated_at for task in page)
        newest = max(newest, changed) if newest else changed
        _take(project, page, began, received_by, found)
    if compare:
        _note_lost_tasks(project, seen, began, received_by, found)
    RemoteProject.objects.filter(pk=project.pk).filter(
        Q(reconciled_to__isnull=True) | Q(reconciled_to__lte=newest or began)
    ).update(reconciled_to=newest, **({"compared_at": began} if compare else {}))
    return found


def _pages(tasks: Iterator[RemoteTaskState]) -> Iterator[list[RemoteTaskState]]:
    while page := list(islice(tasks, PAGE)):
        yield page


def _take(
    project: RemoteProject,
    page: list[RemoteTaskState],
    began: datetime,
    received_by: str,
    found: Collected,
) -> None:
    """Record the annotations of a page of tasks that are gone, and store those that are new."""
    theirs = project.tasks.filter(remote_id__in=[task.remote_id for task in page])
    assigned = dict(theirs.values_list("remote_id", "assignment_id"))
    submissions = [
        Submission(
            assignment_id=assigned[task.remote_id],
            raw=remote.result,
            remote_id=remote.remote_id,
            remote_updated_at=remote.updated_at,
            lead_time=remote.lead_time,
        )
        for task in page
        if task.remote_id in assigned
        for remote in task.annotations
        if not remote.was_cancelled
    ]
    present = {(each.assignment_id, each.remote_id) for each in submissions}
    for assignment_id, remote_id in sorted(_standing(assigned.values(), began) - present):
        found.deleted += _delete(assignment_id, remote_id, received_by)
    for stored in accept_all(submissions, received_by=received_by):
        if stored is not None and stored.is_new:
            found.stored += 1
            found.rejected += stored.annotation.verdict == Annotation.Verdict.REJECTED


def _standing(assignment_ids: Iterable[UUID], began: datetime) -> set[tuple[UUID, int]]:
    """Give (assignment, id in Label Studio) of the annotations that Waver believes to be there.

    Only those that were stored before this look at Label Studio began: another look, running at
    the same time, may have stored what this one read too early to see. Imported ones have no id.
    """
    rows = (
        Annotation.objects.filter(
            assignment_id__in=list(assignment_ids), remote_id__isnull=False, created_at__lt=began
        )
        .order_by("version")
        .values_list("assignment_id", "remote_id", "verdict")
    )
    newest = {(key, remote_id): verdict for key, remote_id, verdict in rows if remote_id}
    return {key for key, verdict in newest.items() if verdict != Annotation.Verdict.DELETED}


def _delete(assignment_id: UUID, remote_id: int, received_by: str) -> bool:
    assignment = Assignment.objects.get(pk=assignment_id)
    return record_deletion(assignment, remote_id, received_by) is not None


def _note_lost_tasks(
    project: RemoteProject, seen: set[int], began: datetime, received_by: str, found: Collected
) -> None:
    """Make assignments whose task was deleted in Label Studio ready to be sent again."""
    lost = project.tasks.filter(created_at__lt=began).exclude(remote_id__in=seen)
    for task in lost.exclude(assignment__state__in=GONE).select_related("assignment"):
        for assignment_id, remote_id in _standing([task.assignment_id], began):
            found.deleted += _delete(assignment_id, remote_id, received_by)
        task.delete()
        # A withdrawal may have come since the rows were read, and must stand.
        standing = Assignment.objects.exclude(state__in=GONE)
        standing.filter(pk=task.assignment_id).update(
            state=State.PLANNED,
            return_reason="The task was deleted in Label Studio. Publish the batch again.",
        )
        found.lost_tasks += 1

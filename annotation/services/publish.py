"""Sending a batch to Label Studio: one project per rater, in bulk, and safely again after a crash.

What was sent is looked for before anything is sent: by the project's title and by the assignment
ids that the tasks carry. So half a batch that was published is finished, never doubled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from annotation.codebooks import Codebook, instructions, label_config
from annotation.jobs import PUBLISH, REMOVE
from annotation.labelstudio.client import Client, NewTask
from annotation.models import Assignment, Batch, RemoteProject, RemoteTask
from annotation.services import codebooks, prelabels, transcripts
from waver.accounts.models import User
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit, states
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.recordings.subjects import subject_of

MEDIA_PATH = "/waver/media/"
WITHDRAWN = "The participant does not allow this recording to be labelled any more."

Progress = Callable[[float, str], None]


@transaction.atomic
def start(batch: Batch, actor: str) -> Job:
    """Queue the sending of a planned batch and give the job.

    Of an open one, what was added to it or got lost in Label Studio. Raises Conflict when the batch
    is closed, or open and nothing in it waits to be sent.
    """
    planned = batch.assignments.filter(state=Assignment.State.PLANNED)
    if batch.state == Batch.State.OPEN and planned.exists():
        return send_more(batch, actor)
    states.move(
        batch,
        to=Batch.State.PUBLISHING,
        allowed_from=[Batch.State.DRAFT, Batch.State.PUBLISHING],
        error="",
    )
    audit.record(actor=actor, verb="batch.publish", object_kind="batch", object_id=batch.pk)
    return enqueue(
        PUBLISH, subject_kind="batch", subject_id=batch.pk, key=f"{PUBLISH.name}:{batch.pk}"
    )


@transaction.atomic
def send_more(batch: Batch, actor: str) -> Job:
    """Queue the sending of what is planned in an open batch, which stays open meanwhile."""
    Batch.objects.filter(pk=batch.pk).update(error="")
    audit.record(actor=actor, verb="batch.publish", object_kind="batch", object_id=batch.pk)
    return enqueue(
        PUBLISH, subject_kind="batch", subject_id=batch.pk, key=f"{PUBLISH.name}:{batch.pk}"
    )


def waiting(batch: Batch) -> set[UUID]:
    """Give the batch's assignments that are still to be sent."""
    planned = batch.assignments.filter(state=Assignment.State.PLANNED)
    return set(planned.values_list("pk", flat=True))


def publish_batch(
    batch: Batch, *, client: Client | None = None, on_progress: Progress | None = None
) -> None:
    """Send a batch to Label Studio; what is there already is left as it is.

    Steps, for each rater: the project, its webhook and the rater's account; then the tasks that
    are not there yet, consent asked for each; then the rows that say which task is which.
    Raises TemporaryProblem when Label Studio does not answer; calling again goes on.
    """
    client = client or Client()
    codebook = codebooks.parsed(batch.codebook)
    _withdraw_refused(batch)
    raters = list(User.objects.filter(assignments__batch=batch).distinct().order_by("pk"))
    for number, rater in enumerate(raters):
        if on_progress is not None:
            on_progress(number / len(raters), f"Sending to rater {number + 1} of {len(raters)}")
        project = _project(batch, rater, codebook, client)
        _send_tasks(batch, rater, project, codebook, client)


def finish(batch: Batch) -> None:
    """Open a published batch for its raters; call it in the job's committing transaction."""
    states.move(
        batch,
        to=Batch.State.OPEN,
        allowed_from=[Batch.State.PUBLISHING, Batch.State.OPEN],
        error="",
    )


def give_up(batch_id: str, sentence: str) -> None:
    """Make a batch a draft again after its sending failed for good, with the reason on it.

    One that was open already stays open: its raters work on.
    """
    Batch.objects.filter(pk=batch_id, state=Batch.State.OPEN).update(error=sentence)
    Batch.objects.filter(pk=batch_id, state=Batch.State.PUBLISHING).update(
        state=Batch.State.DRAFT, error=sentence
    )


def _withdraw_refused(batch: Batch) -> None:
    """Take out what consent no longer covers; asked once per recording, just before sending."""
    rows = batch.assignments.filter(state=Assignment.State.PLANNED).select_related(
        "recording__take"
    )
    recordings = {row.recording_id: row.recording for row in rows}
    decisions = policy.may_each(
        Purpose.ANNOTATE,
        [subject_of(each) for each in recordings.values()],
        actor="annotation.publish",
    )
    refused = [key for key, may in zip(recordings, decisions, strict=True) if not may.allowed]
    if refused:
        batch.assignments.filter(recording_id__in=refused, state=Assignment.State.PLANNED).update(
            state=Assignment.State.WITHDRAWN, return_reason=WITHDRAWN
        )


def _project(batch: Batch, rater: User, codebook: Codebook, client: Client) -> RemoteProject:
    found = RemoteProject.objects.filter(batch=batch, rater=rater).first()
    if found is None:
        title = _title(batch, rater)
        remote_id = client.find_project(title) or client.create_project(
            title=title,
            label_config=label_config(
                codebook, batch.pass_id, transcript=_has_transcript(batch, codebook)
            ),
            instructions=instructions(codebook, batch.pass_id),
            prediction_version=prelabels.VERSION,
        )
        found, _ = RemoteProject.objects.get_or_create(
            batch=batch, rater=rater, defaults={"remote_id": remote_id}
        )
    client.ensure_webhook(found.remote_id)
    client.admit_rater(rater_id=str(rater.pk), project_id=found.remote_id)
    return found


def _title(batch: Batch, rater: User) -> str:
    """Give a title that only this batch and rater have, and that says nothing about either."""
    digest = hashlib.sha256(f"{batch.pk}:{rater.pk}".encode()).hexdigest()[:10]
    return f"Batch {batch.number} · {digest}"


def _send_tasks(
    batch: Batch, rater: User, project: RemoteProject, codebook: Codebook, client: Client
) -> None:
    wanted = list(
        batch.assignments.filter(rater=rater, state=Assignment.State.PLANNED)
        .select_related("recording__take")
        .order_by("order")
    )
    if not wanted:
        return
    there = _tasks_there(project, client)
    missing = [row for row in wanted if str(row.pk) not in there]
    if missing:
        _note_prelabels(missing, batch.pass_id, codebook)
        spoken = _transcripts(missing, batch.pass_id, codebook)
        client.import_tasks(
            project.remote_id, [_task(row, spoken.get(row.recording_id)) for row in missing]
        )
        there = _tasks_there(project, client)
    sent = {row.pk: there[str(row.pk)] for row in wanted if str(row.pk) in there}
    erased = _note_sent(project, sent)
    if erased:
        client.forget_tasks(project.remote_id, [sent[key] for key in erased])


def _tasks_there(project: RemoteProject, client: Client) -> dict[str, int]:
    """Give the task of each assignment in Label Studio, and delete second ones.

    A second one comes to be where an import went through although its answer got lost. Kept is the
    one that Waver knows, else one that was worked on, else the first.
    """
    known = set(project.tasks.values_list("remote_id", flat=True))
    tasks = sorted(
        client.tasks(project.remote_id),
        key=lambda task: (task.remote_id not in known, not task.annotations, task.remote_id),
    )
    there: dict[str, int] = {}
    for task in tasks:
        there.setdefault(task.assignment_id, task.remote_id)
    doubled = [task.remote_id for task in tasks if there[task.assignment_id] != task.remote_id]
    if doubled:
        client.forget_tasks(project.remote_id, doubled)
    return there


def _note_prelabels(rows: list[Assignment], pass_id: str, codebook: Codebook) -> None:
    """Write down what each rater will be shown as a start, before it is sent.

    So whatever was sent is known, also when this process dies before hearing that it was.
    """
    shown = prelabels.predictions_for(rows, codebook, pass_id)
    for row in rows:
        row.prelabels = shown[row.pk]
    Assignment.objects.bulk_update(rows, ["prelabels"], batch_size=500)


def _note_sent(project: RemoteProject, sent: dict[UUID, int]) -> set[UUID]:
    """Write down which task is which; give the assignments that were erased in the meantime."""
    with transaction.atomic():
        # Locked, so that a withdrawal either is seen here or sees the tasks.
        rows = list(
            Assignment.objects.select_for_update(of=("self",))
            .filter(pk__in=sent)
            .select_related("recording__take")
            .order_by("pk")
        )
        RemoteTask.objects.bulk_create(
            [RemoteTask(assignment=row, project=project, remote_id=sent[row.pk]) for row in rows],
            update_conflicts=True,
            unique_fields=["assignment"],
            update_fields=["project", "remote_id"],
        )
        Assignment.objects.filter(pk__in=sent, state=Assignment.State.PLANNED).update(
            state=Assignment.State.SENT
        )
        withdrawn = [row for row in rows if row.state == Assignment.State.WITHDRAWN]
        for participant_id in sorted({row.recording.take.participant_id for row in withdrawn}):
            remove_soon(participant_id)
        if any(row.state == Assignment.State.TAKEN_BACK for row in rows):
            clear_soon(project)
    return set(sent) - {row.pk for row in rows}


def clear_soon(project: RemoteProject) -> Job:
    """Queue the deletion of tasks that were taken back from a project's rater."""
    return enqueue(
        REMOVE,
        subject_kind="remote_project",
        subject_id=project.pk,
        key=f"{REMOVE.name}:{project.pk}",
    )


def remove_soon(participant_id: UUID) -> Job:
    """Queue the deletion of a participant's withdrawn tasks in Label Studio."""
    return enqueue(
        REMOVE,
        subject_kind="participant",
        subject_id=participant_id,
        key=f"{REMOVE.name}:{participant_id}",
    )


def _has_transcript(batch: Batch, codebook: Codebook) -> bool:
    """Tell whether the batch's interface shows what is said: the pass asks, a recording has it."""
    if not codebook.pass_(batch.pass_id).transcript:
        return False
    recordings = set(batch.assignments.values_list("recording_id", flat=True))
    return bool(transcripts.texts_of(recordings))


def _transcripts(rows: list[Assignment], pass_id: str, codebook: Codebook) -> dict[UUID, str]:
    """Give what is said in each recording; empty unless the pass asks for it."""
    if not codebook.pass_(pass_id).transcript:
        return {}
    recordings = {row.recording_id for row in rows}
    found = transcripts.texts_of(recordings)
    return {recording: found.get(recording, transcripts.UNKNOWN) for recording in recordings}


def _task(row: Assignment, transcript: str | None) -> NewTask:
    """Give what a rater may know of a recording: an opaque id, where to see it, what is said."""
    return NewTask(
        assignment_id=str(row.pk),
        media_url=f"{MEDIA_PATH}{row.media_token}",
        prediction=row.prelabels,
        prediction_version=prelabels.VERSION,
        transcript=transcript,
    )

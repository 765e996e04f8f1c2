"""Handlers of annotation's jobs."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from annotation import jobs
from annotation.models import Annotation, Batch, RemoteProject
from annotation.services import collect, publish, qualification, withdrawn
from annotation.services.assignment import clearing
from annotation.services.care import retention
from waver.core.jobs import JobRun
from waver.core.models import Job
from waver.datasets import figures
from workers.runner import handles


def _back_to_draft(job: Job) -> None:
    publish.give_up(job.subject_id, job.error)


@handles(jobs.PUBLISH, on_failure=_back_to_draft)
def publish_batch(run: JobRun) -> None:
    """Send one batch to Label Studio and open it for its raters."""
    batch = Batch.objects.select_related("study", "codebook").get(pk=run.job.subject_id)
    tried = publish.waiting(batch)
    publish.publish_batch(batch, on_progress=run.progress)
    with run.commit():
        publish.finish(batch)
        # Given to a rater while this was running, when asking for a second job gave this one.
        if publish.waiting(batch) - tried:
            publish.send_more(batch, "annotation.publish")


@handles(jobs.COLLECT)
def collect_work(run: JobRun) -> None:
    """Fetch raters' work of one project (its webhook called) or of all (the clock ticked)."""
    if run.job.subject_kind != "remote_project":
        collect.collect_all()
        return
    project = RemoteProject.objects.get(pk=run.job.subject_id)
    collect.begin_look(project)
    collect.collect_project(project, received_by=Annotation.Route.WEBHOOK)
    with run.commit():
        if collect.called_since(project):
            collect.collect_soon(project)


@handles(jobs.REMOVE)
def remove_withdrawn(run: JobRun) -> None:
    """Delete a participant's withdrawn tasks in Label Studio, or a project's taken-back ones."""
    if run.job.subject_kind == "remote_project":
        project = RemoteProject.objects.get(pk=run.job.subject_id)
        clearing.clear_taken_back(project)
        with run.commit():
            if clearing.taken_back_tasks(project).exists():
                publish.clear_soon(project)
        return
    participant_id = UUID(run.job.subject_id)
    withdrawn.remove_tasks(participant_id)
    qualification.after_withdrawal(participant_id)
    with run.commit():
        # Withdrawn while this was running, when asking for a second job gave this one.
        if withdrawn.withdrawn_tasks(participant_id).exists():
            publish.remove_soon(participant_id)


@handles(jobs.FORGET_RATERS)
def forget_raters(run: JobRun) -> None:
    """Remove what is kept about raters whose time is over, all of them or none."""
    with run.commit():
        retention.remove_due(now=timezone.now())
        figures.forget_raters()

"""Jobs as people see them: what is being done, how far it is, how long it may still take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import CharField, Exists, OuterRef, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from waver.core.models import Job
from waver.datasets.models import GateRun
from waver.recordings.models import Recording
from waver.studies.models import Study

TITLES = {
    "recordings.normalise": "Preparing the video",
    "recordings.faces": "Finding and following faces",
    "recordings.speech": "Finding speech and pauses",
    "recordings.signals": "Reading the sensors",
    "recordings.cues": "Marking cue candidates",
    "recordings.quality": "Measuring quality",
    "recordings.judge_quality": "Judging recordings by the thresholds",
    "annotation.publish": "Sending clips to raters",
    "annotation.collect": "Fetching raters' work",
    "annotation.forget_raters": "Removing what is kept about raters whose time is over",
    "datasets.judge": "Measuring agreement",
    "datasets.figures": "Comparing raters for the pictures",
    "datasets.release": "Building a release",
}
OPEN = (Job.State.QUEUED, Job.State.RUNNING)


@dataclass(frozen=True)
class JobLine:
    """One job on a page. `progress` goes from 0 to 1; `left` is None before it can be told."""

    title: str
    about: str
    recording_id: UUID | None
    state: str
    progress: float
    note: str
    error: str
    attempts: int
    left: timedelta | None


def title_of(name: str) -> str:
    """Give the plain words for a job's name."""
    return TITLES.get(name, name.replace(".", ": ").replace("_", " "))


def jobs_of(study: Study) -> QuerySet[Job]:
    """Give the jobs about a study, its recordings, its batches and its releases."""
    # Releases are built from gate runs, so their jobs are about these.
    gate_runs = GateRun.objects.filter(snapshot__study=study)
    about = _ids(study.recordings.all()).union(_ids(study.batches.all()), _ids(gate_runs), all=True)
    own = Job.objects.filter(subject_id=str(study.pk))
    return Job.objects.filter(subject_id__in=about) | own


def _ids(rows: QuerySet) -> QuerySet:  # type: ignore[type-arg]  # of any table
    return rows.values_list(Cast("pk", CharField()), flat=True).order_by()


def failed_jobs(study: Study) -> QuerySet[Job]:
    """Give the jobs of a study that failed and were not done again since, newest first.

    Recordings say themselves what became of their jobs, so those are left out.
    """
    newer = Job.objects.filter(
        name=OuterRef("name"),
        subject_id=OuterRef("subject_id"),
        created_at__gt=OuterRef("created_at"),
    )
    return (
        jobs_of(study)
        .filter(~Exists(newer), state=Job.State.FAILED)
        .exclude(name__startswith="recordings.")
        .order_by("-created_at")
    )


def open_jobs(study: Study, *, limit: int = 12) -> tuple[list[JobLine], int]:
    """Give the running jobs of a study and the next that wait (at most `limit`), and the number
    of all that are open.
    """
    rows = jobs_of(study).filter(state__in=OPEN)
    shown = list(rows.order_by("-state", "created_at")[:limit])
    return lines(shown), rows.count() if len(shown) == limit else len(shown)


def lines(jobs: list[Job]) -> list[JobLine]:
    """Turn rows into lines, with one query for the recordings that they are about."""
    names = {
        str(row.pk): (row.pk, recording_title(row))
        for row in Recording.objects.filter(
            pk__in=[job.subject_id for job in jobs if job.name.startswith("recordings.")]
        ).select_related("take__participant", "take__prompt")
    }
    now = timezone.now()
    found = []
    for job in jobs:
        recording_id, about = names.get(job.subject_id, (None, ""))
        found.append(
            JobLine(
                title=title_of(job.name),
                about=about,
                recording_id=recording_id,
                state=job.state,
                progress=job.progress,
                note=job.note,
                error=job.error,
                attempts=job.attempts,
                left=time_left(started_at=job.started_at, progress=job.progress, now=now),
            )
        )
    return found


def time_left(*, started_at: datetime | None, progress: float, now: datetime) -> timedelta | None:
    """Estimate what a job still needs, from what it needed so far; None below 5 % progress."""
    if started_at is None or not 0.05 <= progress < 1:
        return None
    return (now - started_at) * ((1 - progress) / progress)


def recording_title(recording: Recording) -> str:
    """Name a recording for researchers: participant, prompt, which view. Never shown to raters."""
    take = recording.take
    prompt = f" · prompt {take.prompt.order}" if take.prompt else ""
    is_webcam = recording.view == Recording.View.WEBCAM
    view = "" if is_webcam else f" · {recording.get_view_display().lower()}"
    return f"{take.participant.code}{prompt}{view}"

"""What the list of studies and a study's overview show. The number of queries is constant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Batch
from waver.accounts.models import User
from waver.datasets.models import GateRun, Release
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study
from waver.website.queries import jobs

State = Recording.State
TROUBLED = (State.ATTENTION, State.FAILED, State.REFUSED)
SHOWN_PROBLEMS = 8
ETHICS_WARNING_DAYS = 60


@dataclass(frozen=True)
class Need:
    """Something that waits for the person: a sentence and where to act."""

    sentence: str
    url: str
    kind: str = "attention"


@dataclass(frozen=True)
class Problem:
    """What is wrong, with which thing, in whole sentences."""

    title: str
    url: str
    state: str
    sentence: str
    word: str = ""


@dataclass(frozen=True)
class StateCount:
    """How many recordings are in a state, and the page that lists them."""

    state: str
    word: str
    count: int
    url: str


@dataclass(frozen=True)
class BatchLine:
    """A batch and how far its raters are. Counts are of assignments."""

    batch: Batch
    raters: int
    recordings: int
    total: int
    submitted: int
    returned: int
    withdrawn: int

    @property
    def asked(self) -> int:
        """Give the number of assignments that still count."""
        return self.total - self.withdrawn

    @property
    def share(self) -> float:
        """Give the share of the work that has come back, 0 to 1."""
        return self.submitted / self.asked if self.asked else 0.0


@dataclass(frozen=True)
class Overview:
    """Everything on a study's overview."""

    states: list[StateCount]
    recordings: int
    participants: int
    duration_us: int  # of the webcams, so that no moment is counted twice
    other_views: list[tuple[str, int]]  # a view's word and how many of the recordings are one
    open_jobs: list[jobs.JobLine]
    open_job_count: int
    problems: list[Problem]
    problem_count: int
    batches: list[BatchLine]
    gate_run: GateRun | None
    releases: list[Release]
    needs: list[Need] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        """Tell whether something is moving, so that the page looks again soon."""
        return bool(self.open_job_count) or any(
            line.batch.state in (Batch.State.OPEN, Batch.State.PUBLISHING) and line.share < 1
            for line in self.batches
        )


def my_studies(user: User) -> QuerySet[Study]:
    """List the studies in which somebody is more than an annotator, with what they hold.

    Annotated: `recording_count`, `ready_count`, `troubled_count`, `my_roles` are not queries per
    row.
    """
    mine = Membership.objects.filter(user=user).exclude(role=Membership.Role.ANNOTATOR)
    return (
        Study.objects.filter(pk__in=mine.values("study"))
        .annotate(
            recording_count=Count("recordings"),
            ready_count=Count("recordings", filter=Q(recordings__state=State.READY)),
            troubled_count=Count("recordings", filter=Q(recordings__state__in=TROUBLED)),
        )
        .order_by("title")
    )


def recordings_url(study: Study, **filters: str) -> str:
    """Give the address of the list of recordings with filters set."""
    address = reverse("website:recordings", args=[study.code])
    return f"{address}?{urlencode(filters)}" if filters else address


def overview(study: Study) -> Overview:
    """Read a study's overview."""
    totals = study.recordings.aggregate(
        count=Count("pk"),
        duration=Sum("duration_us", filter=Q(view=Recording.View.WEBCAM)),
        participants=Count("take__participant", distinct=True),
    )
    by_state = Counter(dict(study.recordings.order_by().values_list("state").annotate(Count("pk"))))
    by_view = Counter(dict(study.recordings.order_by().values_list("view").annotate(Count("pk"))))
    open_lines, open_count = jobs.open_jobs(study)
    problems, problem_count = _problems(study, by_state)
    batches = batch_lines(study)
    gate_run = newest_gate_run(study)
    releases = list(study.releases.order_by("-created_at")[:5])
    found = Overview(
        states=[
            StateCount(
                state.value, str(state.label), by_state[state], recordings_url(study, state=state)
            )
            for state in State
        ],
        recordings=totals["count"],
        participants=totals["participants"],
        duration_us=totals["duration"] or 0,
        other_views=[
            (str(view.label), by_view[view])
            for view in Recording.View
            if view != Recording.View.WEBCAM and by_view[view]
        ],
        open_jobs=open_lines,
        open_job_count=open_count,
        problems=problems,
        problem_count=problem_count,
        batches=batches,
        gate_run=gate_run,
        releases=releases,
    )
    found.needs.extend(_needs(study, found, by_state))
    return found


def newest_gate_run(study: Study) -> GateRun | None:
    """Give the latest look of the gate at a snapshot of the study."""
    return (
        GateRun.objects.filter(snapshot__study=study)
        .select_related("snapshot", "policy")
        .order_by("-created_at")
        .first()
    )


def batch_lines(study: Study) -> list[BatchLine]:
    """Count each batch's assignments, in one query."""
    state = Assignment.State

    def only(*states: str) -> Count:
        return Count("assignments", filter=Q(assignments__state__in=states))

    rows = (
        study.batches.select_related("codebook")
        .annotate(
            raters=Count("assignments__rater", distinct=True),
            recordings=Count("assignments__recording", distinct=True),
            total=Count("assignments", filter=~Q(assignments__state=state.TAKEN_BACK)),
            submitted=only(state.SUBMITTED),
            returned=only(state.RETURNED),
            withdrawn=only(state.WITHDRAWN),
        )
        .order_by("created_at")
    )
    return [
        BatchLine(
            batch=row,
            raters=row.raters,
            recordings=row.recordings,
            total=row.total,
            submitted=row.submitted,
            returned=row.returned,
            withdrawn=row.withdrawn,
        )
        for row in rows
    ]


def _problems(study: Study, by_state: Counter[str]) -> tuple[list[Problem], int]:
    found = [
        Problem(
            title=jobs.recording_title(row),
            url=reverse("website:recording", args=[study.code, row.pk]),
            state=row.state,
            sentence=row.error or " ".join(row.notes),
            word=str(row.get_state_display()),
        )
        for row in study.recordings.filter(state__in=TROUBLED)
        .select_related("take__participant", "take__prompt")
        .order_by("-created_at")[:SHOWN_PROBLEMS]
    ]
    count = sum(by_state[state] for state in TROUBLED)
    here = reverse("website:study", args=[study.code])
    refused = study.refused_files.order_by("-created_at")
    count += refused.count()
    found += [
        Problem(row.file, here, Recording.State.REFUSED, row.sentence, word="Not imported")
        for row in refused[:SHOWN_PROBLEMS]
    ]
    for batch in study.batches.exclude(error=""):
        count += 1
        found.append(
            Problem(f"Batch {batch.number}, {batch.pass_id}", here, batch.state, batch.error)
        )
    for job in jobs.failed_jobs(study)[:SHOWN_PROBLEMS]:
        count += 1
        found.append(Problem(jobs.title_of(job.name), here, job.state, job.error))
    return found[:SHOWN_PROBLEMS], count


def _needs(study: Study, page: Overview, by_state: Counter[str]) -> list[Need]:
    found = []
    if study.ethics_expires_on:
        days = (study.ethics_expires_on - _today()).days
        if days < ETHICS_WARNING_DAYS:
            when = "has expired" if days < 0 else f"expires in {days} days"
            found.append(
                Need(
                    f"The ethics approval {study.ethics_approval} {when}. Renew it and tell an "
                    "administrator the new date.",
                    "",
                    "bad" if days < 0 else "attention",
                )
            )
    if by_state[State.ATTENTION]:
        n = by_state[State.ATTENTION]
        found.append(
            Need(
                f"{n} recording{'s need' if n > 1 else ' needs'} a decision from you.",
                recordings_url(study, state=State.ATTENTION),
            )
        )
    if by_state[State.FAILED]:
        n = by_state[State.FAILED]
        found.append(
            Need(
                f"{n} recording{'s' if n > 1 else ''} could not be prepared: look at why, and "
                "import a better file.",
                recordings_url(study, state=State.FAILED),
                "bad",
            )
        )
    found += _next_step(study, page, by_state)
    return found


def _next_step(study: Study, page: Overview, by_state: Counter[str]) -> list[Need]:
    """Say what comes next on the way to a release, when it waits for a person."""
    if not page.recordings or page.open_job_count:
        return []
    batches = reverse("website:batches", args=[study.code])
    where = reverse("website:agreement", args=[study.code])
    if by_state[State.READY] and not page.batches:
        return [Need("The recordings are ready: send them to your raters.", batches)]
    behind = [line for line in page.batches if line.share < 1]
    if page.batches and not behind and page.gate_run is None:
        return [Need("All raters are done: look at their agreement.", where)]
    if page.gate_run is not None and not page.releases:
        if page.gate_run.verdict in (GateRun.Verdict.PASS, GateRun.Verdict.WAIVED):
            return [Need("The gate is open: a release can be built.", where, "good")]
        return [Need("The gate is closed: look at which label holds it, and why.", where)]
    return []


def _today() -> date:
    return timezone.now().date()

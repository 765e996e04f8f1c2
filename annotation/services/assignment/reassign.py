"""An absent rater's unfinished work goes to others by the same rules; a late submission wins."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from annotation.models import Assignment, Batch, RemoteProject, RemoteTask
from annotation.services import publish
from annotation.services.assignment.draw import Wanted, allocate, lot
from annotation.services.assignment.people import Rules, away, pass_before, title
from waver.accounts.models import LabelStudioSession, User
from waver.core import audit
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study, StudyDesign

State = Assignment.State
UNFINISHED = (State.PLANNED, State.SENT, State.RETURNED)
TAKEN_BACK = "The study's lead gave this recording to another rater. Nothing needs to be done."
_NAMED = 5


@dataclass(frozen=True)
class Reassigned:
    """What became of a rater's unfinished work.

    given     recordings that others label now, by rater.
    controls  known answers and repeats that are not asked for any more.
    kept      recordings that nobody else may label: they stay, and `notes` says why.
    """

    given: dict[UUID, int]
    controls: int
    kept: int
    notes: tuple[str, ...]


@transaction.atomic
def give_away(*, study: Study, rater: User, actor: str) -> Reassigned:
    """Give a rater's unfinished real work to other annotators of the study.

    Languages, conflicts, absence, earlier work and the order of passes count as in planning, and
    the others' open work is kept even. Arm, sample and probability stay the recording's. The
    rater's stays in Label Studio end; their tasks there are deleted by a job, after it has looked
    once more for submissions. Called again, it does what is left to do: nothing.
    """
    Study.objects.select_for_update().get(pk=study.pk)
    others = _others(study, rater)
    given: Counter[UUID] = Counter()
    controls = kept = 0
    notes: list[str] = []
    for batch in _batches(study, rater):
        done = _Handover(batch, rater, others)
        done.run(actor)
        given.update(done.given)
        controls += done.controls
        kept += len(done.kept)
        notes += done.notes
    if given or controls:
        audit.record(
            actor=actor,
            verb="rater.work_given_away",
            object_kind="study",
            object_id=study.pk,
            detail={
                "rater": str(rater.pk),
                "recordings": given.total(),
                "controls": controls,
                "kept": kept,
            },
        )
    return Reassigned(dict(given), controls, kept, tuple(notes))


def won(assignment: Assignment) -> None:
    """Let work stand that came in after it was given away: it needs nobody else any more.

    Who took it over loses it, unless they have submitted it too: then both count. Call it in the
    transaction that stored the submission.
    """
    taken = list(
        Assignment.objects.select_for_update(of=("self",))
        .filter(replaces=assignment, state__in=UNFINISHED)
        .order_by("pk")
    )
    _take_back([row.pk for row in taken])
    audit.record(
        actor="annotation.accept",
        verb="assignment.submitted_after_all",
        object_kind="assignment",
        object_id=assignment.pk,
        detail={"given_up": [str(row.pk) for row in taken]},
    )


def _batches(study: Study, rater: User) -> list[Batch]:
    """List the batches with unfinished work of the rater, in the order of the design's passes."""
    design = StudyDesign.objects.filter(study=study).first()
    order = {name: at for at, name in enumerate(design.passes if design else ())}
    rows = Batch.objects.filter(
        study=study,
        kind=Batch.Kind.WORK,
        assignments__rater=rater,
        assignments__state__in=UNFINISHED,
    ).exclude(state=Batch.State.CLOSED)
    return sorted(
        rows.distinct().select_related("study"),
        key=lambda batch: (order.get(batch.pass_id, 0), batch.created_at),
    )


def _others(study: Study, rater: User) -> list[User]:
    members = Membership.objects.filter(study=study, role=Membership.Role.ANNOTATOR)
    rows = User.objects.filter(pk__in=members.values("user_id"), is_active=True)
    # Scripted raters never take over a person's work.
    found = list(rows.exclude(pk=rater.pk).filter(is_synthetic=rater.is_synthetic).order_by("pk"))
    absent = away(study, found)
    return [user for user in found if user.pk not in absent]


class _Handover:
    """One batch's part of it."""

    def __init__(self, batch: Batch, rater: User, others: list[User]) -> None:
        self.batch, self.rater, self.others = batch, rater, others
        self.design = StudyDesign.objects.filter(study=batch.study).first() or StudyDesign(
            study=batch.study
        )
        self.given: Counter[UUID] = Counter()
        self.kept: list[Assignment] = []
        self.controls = 0
        self.notes: list[str] = []

    def run(self, actor: str) -> None:
        """Take back what others can do, make their assignments, and see to both in Label Studio."""
        rows = list(
            self.batch.assignments.select_for_update(of=("self",))
            .filter(rater=self.rater, state__in=UNFINISHED)
            .select_related("recording__take__participant", "recording__take__prompt")
            .order_by("pk")
        )
        work = [row for row in rows if not row.is_gold and not row.repeat]
        controls = [row for row in rows if row.is_gold or row.repeat]
        takers = self._takers(work)
        self.kept = [row for row in work if row.pk not in takers]
        if self.kept:
            self.notes.append(self._why_kept())
        else:
            self.controls = len(controls)
        moved = [row for row in work if row.pk in takers]
        if not moved and not self.controls:
            return
        _take_back([row.pk for row in moved] + [row.pk for row in controls if not self.kept])
        self._hand_on(moved, takers)
        _end_stays(self.batch, self.rater)
        if moved and self.batch.state != Batch.State.DRAFT:
            publish.send_more(self.batch, actor)

    def _takers(self, work: list[Assignment]) -> dict[UUID, UUID]:
        """Choose who takes over each assignment; what nobody may label is left out."""
        recordings = {row.recording_id: row.recording for row in work}
        rules = Rules.read(
            self.batch.study,
            self.batch.pass_id,
            self.others,
            list(recordings.values()),
            earlier_pass=pass_before(self.design, self.batch.pass_id),
        )
        wanted = {
            row.pk: Wanted(1, may) for row in work if (may := rules.may(row.recording, self.others))
        }
        open_now = Assignment.objects.filter(
            batch__study=self.batch.study, rater__in=self.others, state__in=UNFINISHED
        )
        chosen = allocate(
            wanted,
            seed=int(self.design.seed),
            already=Counter(open_now.values_list("rater_id", flat=True)),
        )
        return {key: next(iter(raters)) for key, raters in chosen.items()}

    def _hand_on(self, moved: list[Assignment], takers: dict[UUID, UUID]) -> None:
        last = dict(
            self.batch.assignments.filter(rater__in=set(takers.values()))
            .order_by()
            .values_list("rater_id")
            .annotate(last=Max("order"))
        )
        rows = defaultdict(list)
        for row in sorted(moved, key=lambda each: lot("order", self.design.seed, each.pk)):
            rows[takers[row.pk]].append(row)
        Assignment.objects.bulk_create(
            Assignment(
                batch=self.batch,
                recording=row.recording,
                rater_id=taker,
                arm=row.arm,
                order=last.get(taker, 0) + position,
                in_reliability_sample=row.in_reliability_sample,
                inclusion_probability=row.inclusion_probability,
                replaces=row,
                media_token=secrets.token_urlsafe(32),
            )
            for taker, theirs in rows.items()
            for position, row in enumerate(theirs, start=1)
        )
        self.given.update({taker: len(theirs) for taker, theirs in rows.items()})

    def _why_kept(self) -> str:
        few: list[Recording] = [row.recording for row in self.kept[:_NAMED]]
        more = len(self.kept) - len(few)
        return (
            f"{len(self.kept)} recording{'s' if len(self.kept) > 1 else ''} of batch "
            f"{self.batch.number} in the pass “{self.batch.pass_id}” "
            f"({', '.join(map(title, few))}{f' and {more} more' if more else ''}) stay with "
            f"{self.rater.username}: nobody else who is here may label them and has not yet. Add "
            "an annotator, change languages and conflicts, or send them in the pass before first."
        )


def _take_back(ids: list[UUID]) -> None:
    """Take assignments back and have their tasks deleted; a submission that came first stands."""
    Assignment.objects.filter(pk__in=ids, state__in=UNFINISHED).update(
        state=State.TAKEN_BACK, return_reason=TAKEN_BACK
    )
    tasks = RemoteTask.objects.filter(assignment__in=ids, assignment__state=State.TAKEN_BACK)
    for project in RemoteProject.objects.filter(pk__in=tasks.values("project")):
        publish.clear_soon(project)


def _end_stays(batch: Batch, rater: User) -> None:
    """End the rater's stays in the batch, so that no open page submits what is given away."""
    projects = RemoteProject.objects.filter(batch=batch, rater=rater)
    LabelStudioSession.objects.filter(
        user=rater,
        remote_project_id__in=projects.values("remote_id"),
        ended_at__isnull=True,
    ).update(ended_at=timezone.now())

"""Who labels what: a batch planned by the study's design, drawn by its seed.

Real work goes to raters by full overlap, or by single coding with a random sample coded by several;
loads are as even as languages and conflicts allow, the arm belongs to the recording, the order to
the rater, and controls lie among the work. Training and qualification give known recordings.
Who is away gets nothing. A later pass of the design takes only recordings sent in the pass before,
and to the same raters; Label Studio opens it to a rater when they have submitted those.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from annotation.models import Assignment, Batch, GoldItem
from annotation.services import codebooks
from annotation.services.assignment.draw import lot
from annotation.services.assignment.known import draw_known
from annotation.services.assignment.people import away, check_members
from annotation.services.assignment.plan import Arm, Frame, Load, Plan, Task, draw_arms
from annotation.services.assignment.work import draw_work
from waver.accounts.models import User
from waver.consent import policy
from waver.consent.models import Purpose
from waver.consent.policy import Decision
from waver.core import audit
from waver.core.errors import BadInput
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of
from waver.studies.models import Study, StudyDesign

__all__ = ["Arm", "Load", "Plan", "Task", "draw_arms", "plan_batch", "preview"]

Kind = Batch.Kind
# What consent says of each recording that was there when it was asked; newer ones come later.
_Answers = Mapping[UUID, Decision]


def plan_batch(
    study: Study,
    pass_id: str,
    raters: Sequence[User],
    actor: str,
    recordings: Iterable[Recording] | None = None,
    *,
    kind: str = Kind.WORK,
    at_most: int | None = None,
) -> Batch:
    """Assign recordings to raters by the study's design, and give the batch (a draft).

    Without `recordings`, all that are ready and in no batch of this pass yet, or `at_most` so many
    of them, drawn by lot. A recording that is named and has all its raters already goes to every
    rater named besides. `kind` says what the batch is for; a training or qualification takes
    recordings with a known answer. Consent to be shown to raters is asked for each; what it does
    not cover is left out, with a sentence in the batch's notes. Nothing is sent before
    `publish.start`.
    Raises BadInput for an unknown pass, too few or unknown raters, a demand that cannot be met, or
    nothing to assign.
    """
    named = None if recordings is None else list(recordings)
    # Asked before anything is locked, so that a refusal is recorded whatever comes of the plan.
    asked = _asked_about(study, pass_id, kind, named)
    decided = policy.may_each(Purpose.ANNOTATE, [subject_of(r) for r in asked], actor=actor)
    answers = {each.pk: answer for each, answer in zip(asked, decided, strict=True)}
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        frame = _frame(study, pass_id, raters)
        plan = _draw(frame, kind, named, at_most, answers)
        batch = Batch.objects.create(
            study=study,
            codebook=frame.version,
            pass_id=pass_id,
            kind=kind,
            number=frame.number,
            notes=list(plan.notes),
        )
        _store(batch, plan)
        audit.record(
            actor=actor,
            verb="batch.planned",
            object_kind="batch",
            object_id=batch.pk,
            detail={
                "kind": kind,
                "recordings": len(plan.recordings),
                "raters": len(plan.queues),
                "sample": plan.sample,
                "prelabel": plan.shown,
                "gold": sum(load.gold for load in plan.loads),
                "repeats": sum(load.repeats for load in plan.loads),
            },
        )
    return batch


def preview(
    study: Study,
    pass_id: str,
    raters: Sequence[User],
    *,
    kind: str = Kind.WORK,
    at_most: int | None = None,
) -> Plan:
    """Draw the plan that `plan_batch` would store now, and store nothing. Raises as it does."""
    asked = _asked_about(study, pass_id, kind, None)
    decided = policy.decide_each(Purpose.ANNOTATE, [subject_of(each) for each in asked])
    answers = {each.pk: answer for each, answer in zip(asked, decided, strict=True)}
    return _draw(_frame(study, pass_id, raters), kind, None, at_most, answers)


def _may_infer(recordings: Sequence[Recording]) -> set[UUID]:
    """Give the recordings whose participants let computer models mark cues."""
    decided = policy.decide_each(Purpose.INFER, [subject_of(each) for each in recordings])
    return {each.pk for each, answer in zip(recordings, decided, strict=True) if answer.allowed}


def _frame(study: Study, pass_id: str, raters: Sequence[User]) -> Frame:
    version = codebooks.current(study)
    try:
        part = codebooks.parsed(version).pass_(pass_id)
    except KeyError as error:
        raise BadInput(str(error.args[0])) from error
    check_members(study, raters)
    absent = away(study, raters)
    last = study.batches.filter(pass_id=pass_id).aggregate(last=Max("number"))["last"] or 0
    return Frame(
        study=study,
        version=version,
        part=part,
        design=StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study),
        number=last + 1,
        raters=[rater for rater in dict.fromkeys(raters) if rater.pk not in absent],
        known=list(_known(study, pass_id)),
        notes=list(absent.values()),
    )


def _draw(
    frame: Frame, kind: str, named: list[Recording] | None, at_most: int | None, answers: _Answers
) -> Plan:
    if kind not in Kind.values:
        raise BadInput(f"“{kind}” is no kind of batch. Use one of: {', '.join(Kind.values)}.")
    if at_most is not None and at_most < 1:
        raise BadInput("A batch needs at least one recording. Give a number above 0.")
    if frame.design.gold_share or kind != Kind.WORK:
        frame.known = [
            item
            for item in frame.known
            if item.recording_id in answers and answers[item.recording_id].allowed
        ]
    else:
        frame.known = []
    if kind != Kind.WORK:
        if named is not None:
            wanted = {each.pk for each in named}
            frame.known = [item for item in frame.known if item.recording_id in wanted]
        return draw_known(frame, kind, at_most)
    chosen = _covered(frame, _candidates(frame.study, frame.part.id, named), answers)
    if at_most is not None and at_most < len(chosen):
        chosen.sort(key=lambda each: lot("batch", frame.seed, each.original_sha256))
        chosen = sorted(chosen[:at_most], key=lambda each: each.pk)
    plan = draw_work(frame, chosen, named=named is not None, infer=_may_infer)
    if not plan.queues:
        raise BadInput(
            f"No recording of “{frame.study.title}” can be assigned in the pass "
            f"“{frame.part.title}”: each is assigned already, not ready, or not covered by "
            "consent. " + " ".join(plan.notes)
        )
    return plan


def _asked_about(
    study: Study, pass_id: str, kind: str, named: list[Recording] | None
) -> list[Recording]:
    """List the recordings that a plan may show to somebody."""
    design = StudyDesign.objects.filter(study=study).first()
    known = [
        item.recording
        for item in (
            _known(study, pass_id) if kind != Kind.WORK or (design and design.gold_share) else ()
        )
    ]
    return known if kind != Kind.WORK else [*_candidates(study, pass_id, named), *known]


def _known(study: Study, pass_id: str) -> Iterable[GoldItem]:
    """List the known answers of the study's codebook version whose recordings are ready."""
    return GoldItem.objects.filter(
        codebook=codebooks.current(study),
        pass_id=pass_id,
        retired_at__isnull=True,
        recording__state=Recording.State.READY,
    ).select_related(
        "recording__take__participant__study", "recording__take__prompt", "recording__study"
    )


def _candidates(study: Study, pass_id: str, named: list[Recording] | None) -> list[Recording]:
    """List what can be real work: ready, without a known answer, not sent before if not named.

    Of a take, the webcam's view is what raters are sent; another camera only if it is named.
    """
    known = GoldItem.objects.filter(codebook__study=study, pass_id=pass_id, retired_at__isnull=True)
    rows = (
        Recording.objects.filter(study=study, state=Recording.State.READY)
        .exclude(pk__in=known.values("recording_id"))
        .select_related("take__participant__study", "take__prompt")
        .order_by("pk")
    )
    if named is not None:
        seen = rows.filter(view__in=[Recording.View.WEBCAM, Recording.View.SECOND_CAMERA])
        return list(seen.filter(pk__in=[recording.pk for recording in named]))
    rows = rows.filter(view=Recording.View.WEBCAM)
    taken = Assignment.objects.filter(
        batch__study=study, batch__pass_id=pass_id, batch__kind=Kind.WORK, is_gold=False
    )
    return list(rows.exclude(pk__in=taken.values("recording_id")))


def _covered(frame: Frame, recordings: list[Recording], answers: _Answers) -> list[Recording]:
    covered = []
    for recording in recordings:
        decision = answers.get(recording.pk)
        if decision is None:
            continue
        if decision.allowed:
            covered.append(recording)
        else:
            frame.notes.append(decision.reason)
    return covered


def _store(batch: Batch, plan: Plan) -> None:
    """Make the rows, each rater's in their order, so that ids tell nothing but that order."""
    Assignment.objects.bulk_create(
        (
            Assignment(
                batch=batch,
                recording=task.recording,
                rater=rater,
                arm=task.arm,
                order=position,
                repeat=task.repeat,
                is_gold=task.is_gold,
                in_reliability_sample=task.in_sample,
                inclusion_probability=task.probability,
                media_token=secrets.token_urlsafe(32),
            )
            for rater in plan.raters
            for position, task in enumerate(plan.queues.get(rater.pk, []), start=1)
        ),
        batch_size=500,
    )

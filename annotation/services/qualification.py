"""Training and qualification: a rater shows that they can before their work counts.

A qualification is a batch of recordings whose answers are known. It is judged once, when its last
recording is submitted: the share of labels that equal the known answers. What is changed afterwards
does not count. Who does not pass goes through a training, whose answers are shown, and tries once
more with other recordings; after that a lead decides. A study asks for it by its design's
`qualification_minimum`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from annotation.models import Annotation, Assignment, Batch, GoldItem, Qualification, RaterProfile
from annotation.services import gold
from waver.accounts.models import User
from waver.core import audit
from waver.studies.models import Study, StudyDesign

TRIES = 2
_GONE = (Assignment.State.WITHDRAWN, Assignment.State.TAKEN_BACK)


@dataclass(frozen=True)
class Standing:
    """Where a rater stands in a pass: what is needed (None: nothing), and what they reached."""

    minimum: float | None
    newest: Qualification | None
    tries: int

    @property
    def passed(self) -> bool:
        """Tell whether real work is open to the rater."""
        return self.minimum is None or (self.newest is not None and self.newest.passed)


def standing(user: User, study: Study, codebook_code: str, pass_id: str) -> Standing:
    """Read where a rater stands, in whichever version of the codebook they qualified."""
    design = StudyDesign.objects.filter(study=study).first()
    rows = list(
        Qualification.objects.filter(
            profile__study=study,
            profile__user=user,
            codebook__code=codebook_code,
            pass_id=pass_id,
        ).order_by("created_at")
    )
    minimum = design.qualification_minimum if design else None
    return Standing(minimum, rows[-1] if rows else None, len(rows))


def refusal(user: User, batch: Batch) -> str:
    """Say why a rater may not start a batch yet, and what to do first; "" when they may."""
    if batch.kind == Batch.Kind.TRAINING:
        return ""
    waiting = _unfinished(user, batch, Batch.Kind.TRAINING)
    if batch.kind == Batch.Kind.QUALIFICATION:
        return (
            "Finish the training first: it waits in your queue, with its answers."
            if waiting.exists()
            else ""
        )
    now = standing(user, batch.study, batch.codebook.code, batch.pass_id)
    if now.passed or now.minimum is None:
        return ""
    needed = (
        f"Real work in this pass opens when at least {now.minimum:.0%} of your labels in its "
        "qualification equal the known answers"
    )
    reached = f"; you reached {now.newest.agreed:.0%} of {now.newest.n}" if now.newest else ""
    return f"{needed}{reached}. {_next_step(user, batch, now, trains=waiting.exists())}"


def _next_step(user: User, batch: Batch, now: Standing, *, trains: bool) -> str:
    if trains:
        return "Go on with the training in your queue."
    if _unfinished(user, batch, Batch.Kind.QUALIFICATION).exists():
        return "The qualification is in your queue: start it there."
    if now.tries >= TRIES:
        return "You have used both tries. Talk to the study's lead."
    if now.tries and not has_trained_since(user, batch, now):
        return "Before your second try comes a training: the study's lead sends it to you."
    return "The study's lead sends you the qualification; it will appear in your queue."


def has_trained_since(user: User, batch: Batch, now: Standing) -> bool:
    """Tell whether the rater has finished a training after their newest qualification."""
    if now.newest is None:
        return True
    mine = _of(user, batch, Batch.Kind.TRAINING).filter(batch__created_at__gt=now.newest.created_at)
    return mine.exists() and not _unfinished(user, batch, Batch.Kind.TRAINING).exists()


def after_submission(assignment: Assignment) -> Qualification | None:
    """Judge a qualification when its last recording has come in; None for anything else.

    Call it in the transaction that made the assignment submitted.
    """
    batch = assignment.batch
    if batch.kind != Batch.Kind.QUALIFICATION:
        return None
    with transaction.atomic():
        profile, _ = RaterProfile.objects.get_or_create(study=batch.study, user=assignment.rater)
        # One at a time: of two last recordings that come in at once, the later one sees both.
        RaterProfile.objects.select_for_update().get(pk=profile.pk)
        rows = batch.assignments.filter(rater=assignment.rater).exclude(state__in=_GONE)
        if rows.exclude(state=Assignment.State.SUBMITTED).exists():
            return None
        if Qualification.objects.filter(profile=profile, batch=batch).exists():
            return None
        return _judge(profile, batch, list(rows))


def after_withdrawal(participant_id: UUID) -> None:
    """Judge the qualifications that only waited for recordings of somebody who has withdrawn."""
    waited = Assignment.objects.filter(
        recording__take__participant_id=participant_id,
        batch__kind=Batch.Kind.QUALIFICATION,
        state=Assignment.State.WITHDRAWN,
    )
    for batch, rater in waited.order_by().values_list("batch", "rater").distinct():
        done = Assignment.objects.filter(
            batch=batch, rater=rater, state=Assignment.State.SUBMITTED
        ).select_related("batch__study", "rater")
        last = done.first()
        if last is not None:
            after_submission(last)


def known_answer(assignment: Assignment) -> GoldItem | None:
    """Give the known answer that an assignment is compared with: the one set last before it."""
    batch = assignment.batch
    found = GoldItem.objects.filter(
        codebook=batch.codebook, recording=assignment.recording, pass_id=batch.pass_id
    ).order_by("retired_at", "-created_at")
    # The standing answer; where it was retired meanwhile, the one retired last.
    standing_now = found.filter(retired_at__isnull=True).first()
    return standing_now or found.order_by("-retired_at").first()


def _judge(profile: RaterProfile, batch: Batch, rows: list[Assignment]) -> Qualification | None:
    scores = []
    for row in rows:
        said = row.annotations.filter(verdict=Annotation.Verdict.ACCEPTED).latest("version")
        known = known_answer(row)
        if known is not None:
            scores.append(gold.score(said, known))
    right, n = gold.right_and_all(scores)
    design = StudyDesign.objects.filter(study=batch.study).first()
    minimum = design.qualification_minimum if design else None
    if not n or minimum is None:
        return None
    made = Qualification.objects.create(
        profile=profile,
        codebook=batch.codebook,
        pass_id=batch.pass_id,
        batch=batch,
        n=n,
        agreed=right / n,
        minimum=minimum,
        passed=right >= minimum * n - 1e-9,
    )
    audit.record(
        actor="annotation.qualification",
        verb="qualification.judged",
        object_kind="qualification",
        object_id=made.pk,
        detail={"batch": str(batch.pk), "n": n, "right": right, "passed": made.passed},
    )
    return made


def _of(user: User, batch: Batch, kind: str) -> QuerySet[Assignment]:
    return Assignment.objects.filter(
        rater=user,
        batch__study=batch.study,
        batch__pass_id=batch.pass_id,
        batch__kind=kind,
    ).exclude(state__in=_GONE)


def _unfinished(user: User, batch: Batch, kind: str) -> QuerySet[Assignment]:
    return (
        _of(user, batch, kind)
        .exclude(state=Assignment.State.SUBMITTED)
        .exclude(batch__state=Batch.State.CLOSED)
    )

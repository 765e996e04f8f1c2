"""Drawing a training or a qualification: recordings whose answers are known, new to each rater."""

from __future__ import annotations

from annotation.models import Assignment, Batch
from annotation.services import qualification
from annotation.services.assignment.draw import lot
from annotation.services.assignment.people import GONE, Rules
from annotation.services.assignment.plan import Frame, Plan, Task
from waver.accounts.models import User
from waver.core.errors import BadInput


def draw_known(frame: Frame, kind: str, at_most: int | None) -> Plan:
    """Draw recordings with a known answer for each rater, none that they have met in this pass.

    All raters get the same ones, as far as they have not met them and may label them.
    Raises BadInput when there is none for somebody, when the study asks for no qualification, and
    when nobody named may take one now.
    """
    if kind == Batch.Kind.QUALIFICATION:
        _leave_out_who_may_not_try(frame)
    if not frame.raters:
        raise BadInput(" ".join(frame.notes) or "Nobody was named. Choose raters.")
    recordings = [item.recording for item in frame.known]
    rules = Rules.read(frame.study, frame.part.id, frame.raters, recordings)
    by_lot = sorted(recordings, key=lambda r: lot("known", frame.seed, r.original_sha256))
    queues, none = {}, []
    for rater in frame.raters:
        mine = [r for r in by_lot if rules.bar(r, rater) is None][:at_most]
        if not mine:
            none.append(rater.username)
            continue
        mine.sort(key=lambda r: lot("order", frame.seed, frame.number, rater.pk, r.pk))
        queues[rater.pk] = [Task(each, is_gold=True) for each in mine]
    if none:
        raise BadInput(
            f"There is no known answer in “{frame.part.title}” left for {', '.join(none)} that "
            "they have not met and may label. Set more known answers, or leave them out."
        )
    return Plan(kind, queues, tuple(frame.raters), tuple(frame.notes))


def _leave_out_who_may_not_try(frame: Frame) -> None:
    if frame.design.qualification_minimum is None:
        raise BadInput(
            f"The design of “{frame.study.title}” asks for no qualification. Set its minimum in "
            "the design first."
        )
    trying = set(
        Assignment.objects.filter(
            batch__study=frame.study,
            batch__pass_id=frame.part.id,
            batch__kind=Batch.Kind.QUALIFICATION,
        )
        .exclude(state__in=(*GONE, Assignment.State.SUBMITTED))
        .exclude(batch__state=Batch.State.CLOSED)
        .values_list("rater_id", flat=True)
    )
    may = []
    for rater in frame.raters:
        why = "is taking it now" if rater.pk in trying else _why_not(frame, rater)
        if why:
            frame.notes.append(f"{rater.username} gets no qualification: {why}.")
        else:
            may.append(rater)
    frame.raters[:] = may


def _why_not(frame: Frame, rater: User) -> str:
    now = qualification.standing(rater, frame.study, frame.version.code, frame.part.id)
    if now.newest is None:
        return ""
    if now.newest.passed:
        return f"passed already, with {now.newest.agreed:.0%}"
    if now.tries >= qualification.TRIES:
        return f"failed {now.tries} times, the last time with {now.newest.agreed:.0%}"
    batch = Batch(study=frame.study, codebook=frame.version, pass_id=frame.part.id)
    if not qualification.has_trained_since(rater, batch, now):
        return f"reached {now.newest.agreed:.0%} and tries again after a training"
    return ""

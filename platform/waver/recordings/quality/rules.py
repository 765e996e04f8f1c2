"""A study's thresholds, version by version, and a recording's verdict by the newest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from waver.core import audit
from waver.core.errors import BadInput, Conflict
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.recordings import jobs, uses
from waver.recordings.models import Quality, QualityRules, Recording
from waver.recordings.quality.catalogue import FACE, FIGURES
from waver.recordings.quality.limits import Limits, judge, problems, shortfalls
from waver.studies.models import Study

FALLS_SHORT = "It falls short of the study's thresholds"
# What the stage that finds faces says itself when it asks for a decision.
_SAID_WITH_FACES = ("usable_face_share", "people")


def newest(study_id: UUID) -> QualityRules | None:
    """Give the study's thresholds as they stand, None where none were ever set."""
    return QualityRules.objects.filter(study_id=study_id).order_by("version").last()


@transaction.atomic
def set_rules(*, study: Study, limits: Limits, actor: str, seen: int | None = None) -> QualityRules:
    """Set what a recording must reach, and ask for all recordings to be judged again.

    A new version is made; earlier ones stay. No limits at all end judging. Limits that stand
    already make no version. `seen` is the version that the person looked at (0 for none); None for
    whoever did not look.
    Raises BadInput for what cannot be asked, Conflict when somebody set a version after `seen`.
    """
    wrong = [sentence for _, sentence in problems(limits)]
    if wrong:
        raise BadInput(" ".join(wrong))
    wanted = {
        key: {bound: float(number) for bound, number in limits[key].items()}
        for key in FIGURES
        if key in limits
    }
    hold_rules(study.pk, shared=False)
    before = newest(study.pk)
    version = before.version if before else 0
    if seen is not None and seen != version:
        raise Conflict(
            "Somebody else set the thresholds while you looked at them. Look at theirs, then set "
            "yours again if you still want to."
        )
    if before is not None and before.limits == wanted:
        return before
    made = QualityRules.objects.create(
        study=study, version=version + 1, limits=wanted, made_by=actor
    )
    audit.record(
        actor=actor,
        verb="study.quality_rules_set",
        object_kind="study",
        object_id=study.pk,
        detail={"version": made.version, "limits": wanted},
    )
    judge_soon(study.pk)
    return made


def judge_soon(study_id: UUID) -> Job:
    """Ask for all recordings of a study to be judged by its newest thresholds."""
    name = jobs.JUDGE_QUALITY
    return enqueue(name, subject_kind="study", subject_id=study_id, key=f"{name.name}:{study_id}")


def measure_soon(recordings: Collection[Recording]) -> int:
    """Ask for recordings that were prepared before quality was measured; give how many."""
    name = jobs.QUALITY
    for recording in recordings:
        enqueue(
            name,
            subject_kind="recording",
            subject_id=recording.pk,
            key=f"{name.name}:{recording.pk}",
        )
    return len(recordings)


def hold_rules(study_id: UUID, *, shared: bool) -> None:
    """Keep a study's thresholds as they are until the transaction ends.

    Whoever judges by them holds them `shared`; whoever sets them waits for these. So nothing is
    judged by thresholds that were replaced meanwhile without being judged again.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {function}(hashtextextended(%s, 0))",
            [f"quality rules of {study_id}"],
        )


def record(recording: Recording, figures: Mapping[str, Any]) -> Quality:
    """Keep a recording's figures, judged by its study's thresholds, in the caller's transaction."""
    hold_rules(recording.study_id, shared=True)
    rules = newest(recording.study_id)
    verdict, reasons = judge(figures, rules.limits if rules else {})
    row, _ = Quality.objects.update_or_create(
        recording=recording,
        defaults={
            "figures": dict(figures),
            "verdict": verdict,
            "reasons": reasons,
            "rules": rules,
        },
    )
    return row


def decision_about(quality: Quality, *, in_use: bool, faces_decide: bool) -> str:
    """Give the sentence for which a person must decide about a recording, "" where nobody must.

    Nobody is asked about a recording that is `in_use`. What the stage that finds faces asks about
    already (`faces_decide`) is not said again.
    """
    if quality.verdict != Quality.Verdict.FALLS_SHORT or in_use or quality.rules is None:
        return ""
    short = [
        one.brief
        for one in shortfalls(quality.figures, quality.rules.limits)
        if not (
            faces_decide
            and one.figure.group == FACE
            and (one.value is None or one.figure.key in _SAID_WITH_FACES)
        )
    ]
    if not short:
        return ""
    return f"{FALLS_SHORT}: {', '.join(short)}. Watch it, then use it as it is or leave it out."


def without_decision(error: str) -> str:
    """Give what else is said about a recording, where its thresholds are shown by themselves."""
    return error.partition(FALLS_SHORT)[0].strip()


def decision_of(recording: Recording, *, faces_decide: bool) -> str:
    """Give `decision_about` the recording as it stands now."""
    row = Quality.objects.filter(recording=recording).select_related("rules").first()
    if row is None or row.verdict != Quality.Verdict.FALLS_SHORT:
        return ""
    in_use = bool(uses.in_use([recording.pk]))
    return decision_about(row, in_use=in_use, faces_decide=faces_decide)

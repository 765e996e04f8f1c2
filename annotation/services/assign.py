"""Who labels what: full overlap, arms drawn by seed over recordings, a random order per rater."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from annotation.models import Assignment, Batch
from annotation.services import codebooks
from waver.accounts.models import User
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.errors import BadInput
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of
from waver.studies.models import Membership, Study, StudyDesign

Arm = StudyDesign.Arm


def plan_batch(
    study: Study,
    pass_id: str,
    raters: Sequence[User],
    actor: str,
    recordings: Iterable[Recording] | None = None,
) -> Batch:
    """Assign recordings to raters, each recording to every rater, and give the batch (a draft).

    Without `recordings`, all that are ready and in no batch of this pass yet. Consent to be shown
    to raters is asked for each; what it does not cover is left out, with a sentence in the batch's
    notes. Nothing is sent before `publish.start`.
    Raises BadInput for an unknown pass, too few or unknown raters, or nothing to assign.
    """
    version = codebooks.current(study)
    try:
        part = codebooks.parsed(version).pass_(pass_id)
    except KeyError as error:
        raise BadInput(str(error.args[0])) from error
    design = StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study)
    candidates = _candidates(study, pass_id, recordings)
    _check_raters(study, raters, design, fewest=_fewest_raters(pass_id, candidates, raters))
    chosen, notes = _covered(candidates, actor)
    if not chosen:
        raise BadInput(
            f"No recording of “{study.title}” can be assigned in the pass “{part.title}”: each is "
            "assigned already, not ready, or not covered by consent. " + " ".join(notes)
        )
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        last = study.batches.filter(pass_id=pass_id).aggregate(last=Max("number"))["last"] or 0
        batch = Batch.objects.create(
            study=study, codebook=version, pass_id=pass_id, number=last + 1, notes=notes
        )
        arms = draw_arms(chosen, design, may_show={r.pk for r in chosen if _may_infer(r)})
        _make_assignments(batch, chosen, arms, raters, seed=design.seed)
        audit.record(
            actor=actor,
            verb="batch.planned",
            object_kind="batch",
            object_id=batch.pk,
            detail={
                "recordings": len(chosen),
                "raters": len(raters),
                "prelabel": sum(arm == Arm.PRELABEL for arm in arms.values()),
            },
        )
    return batch


def draw_arms(
    recordings: Sequence[Recording], design: StudyDesign, *, may_show: set[UUID]
) -> dict[UUID, Arm]:
    """Draw the arm of each recording: the same for all its raters, exactly the design's share.

    Each recording gets a number by hashing the design's seed and its original's hash, so that the
    same recordings and seed always give the same arms; the lowest numbers form the pre-label
    arm, `round(share · n)` of them, half up. Only recordings in `may_show`, whose participants
    let computer models mark cues, can be in it.
    """
    wanted = int(design.prelabel_share * len(recordings) + 0.5)
    drawn = sorted(
        (recording for recording in recordings if recording.pk in may_show),
        key=lambda recording: hashlib.sha256(
            f"arm:{design.seed}:{recording.original_sha256}".encode()
        ).digest(),
    )
    shown = {recording.pk for recording in drawn[:wanted]}
    return {r.pk: Arm.PRELABEL if r.pk in shown else Arm.BLIND for r in recordings}


def _fewest_raters(pass_id: str, recordings: Sequence[Recording], raters: Sequence[User]) -> int:
    """Give how many raters the recording with the fewest would have, with these added."""
    new = {rater.pk for rater in raters}
    having: dict[UUID, set[UUID]] = {recording.pk: set(new) for recording in recordings}
    earlier = Assignment.objects.filter(batch__pass_id=pass_id, recording__in=list(having))
    for recording_id, rater_id in earlier.values_list("recording_id", "rater_id"):
        having[recording_id].add(rater_id)
    return min((len(found) for found in having.values()), default=len(new)) if new else 0


def _check_raters(
    study: Study, raters: Sequence[User], design: StudyDesign, *, fewest: int
) -> None:
    if fewest < max(1, design.raters_per_recording):
        raise BadInput(
            f"The design of “{study.title}” wants {design.raters_per_recording} raters for each "
            f"recording, and {len(raters)} were named. Add annotators, or change the design."
        )
    known = set(
        Membership.objects.filter(study=study, role=Membership.Role.ANNOTATOR).values_list(
            "user_id", flat=True
        )
    )
    strangers = [rater.username for rater in raters if rater.pk not in known]
    if strangers:
        raise BadInput(
            f"{', '.join(strangers)} cannot label in “{study.title}”, not being annotators of it. "
            "Add them as annotators first."
        )


def _candidates(
    study: Study, pass_id: str, recordings: Iterable[Recording] | None
) -> list[Recording]:
    rows = Recording.objects.filter(study=study, state=Recording.State.READY).select_related(
        "take__participant__study"
    )
    if recordings is not None:
        return list(rows.filter(pk__in=[recording.pk for recording in recordings]).order_by("pk"))
    taken = Assignment.objects.filter(batch__study=study, batch__pass_id=pass_id)
    return list(rows.exclude(pk__in=taken.values("recording_id")).order_by("pk"))


def _covered(recordings: list[Recording], actor: str) -> tuple[list[Recording], list[str]]:
    covered, notes = [], []
    for recording in recordings:
        decision = policy.may(Purpose.ANNOTATE, subject_of(recording), actor=actor)
        if decision.allowed:
            covered.append(recording)
        else:
            notes.append(decision.reason)
    return covered, notes


def _may_infer(recording: Recording) -> bool:
    return policy.decide(Purpose.INFER, subject_of(recording)).allowed


def _make_assignments(
    batch: Batch,
    recordings: Sequence[Recording],
    arms: dict[UUID, Arm],
    raters: Sequence[User],
    *,
    seed: int,
) -> None:
    rows = []
    for rater in raters:
        order = list(recordings)
        random.Random(f"order:{seed}:{batch.number}:{rater.pk}").shuffle(order)  # noqa: S311
        rows += [
            Assignment(
                batch=batch,
                recording=recording,
                rater=rater,
                arm=cast(str, arms[recording.pk]),
                order=position,
                media_token=secrets.token_urlsafe(32),
            )
            for position, recording in enumerate(order, start=1)
        ]
    Assignment.objects.bulk_create(rows, batch_size=500)

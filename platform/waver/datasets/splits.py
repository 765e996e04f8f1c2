"""Training, validation and test: by participant, seeded, and fixed for good.

A participant is in one fold only, so that no model is tested on a face that it was trained on.
Once in a fold, a participant stays there in every later release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db import transaction

from waver.datasets.models import SplitAssignment
from waver.studies.models import Study

Fold = SplitAssignment.Fold
SHARES: Mapping[str, float] = {Fold.TRAIN: 0.65, Fold.VALIDATION: 0.10, Fold.TEST: 0.25}
"""The proportions of BAH: 195, 30 and 75 of 300 participants."""


def assign(*, study: Study, participants: Iterable[UUID]) -> dict[UUID, str]:
    """Give every participant's fold, after putting those without one into a fold.

    The study's seed decides who goes where; folds that are behind their share are filled first.
    """
    wanted = set(participants)
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)
        have = dict(SplitAssignment.objects.filter(study=study).values_list("participant", "fold"))
        new = shuffled(wanted - set(have), seed=study.design.seed)
        counts = {fold: list(have.values()).count(fold) for fold in SHARES}
        chosen = dict(zip(new, deal(len(new), counts), strict=True))
        SplitAssignment.objects.bulk_create(
            SplitAssignment(study=study, participant_id=participant, fold=fold)
            for participant, fold in chosen.items()
        )
    return {participant: (have | chosen)[participant] for participant in wanted}


def shuffled(participants: Iterable[UUID], *, seed: int) -> list[UUID]:
    """Order participants by a hash of seed and key: no matter who is asked about together."""

    def place(participant: UUID) -> bytes:
        return hashlib.sha256(f"waver.split/1 {seed} {participant}".encode()).digest()

    return sorted(participants, key=place)


def deal(new: int, counts: Mapping[str, int]) -> list[str]:
    """Give the folds of `new` participants, given how many each fold has.

    Each goes to the fold that is furthest behind its share of the final number. From three
    participants on no fold stays empty.
    """
    have = {fold: counts.get(fold, 0) for fold in SHARES}
    total = sum(have.values()) + new
    dealt: list[str] = []
    for left in range(new, 0, -1):
        empty = [fold for fold in SHARES if have[fold] == 0]
        behind = {fold: SHARES[fold] * total - have[fold] for fold in SHARES}
        if total >= len(SHARES) and len(empty) >= left:
            fold = max(empty, key=lambda name: behind[name])
        else:
            fold = max(SHARES, key=lambda name: behind[name])
        have[fold] += 1
        dealt.append(fold)
    return dealt

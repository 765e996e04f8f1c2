"""The plan of a batch: who is asked to label what, in which arm and order, before it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.functional import cached_property

from annotation.codebooks import Pass
from annotation.models import Batch, CodebookVersion, GoldItem
from annotation.services.assignment.draw import share_of
from waver.accounts.models import User
from waver.recordings.models import Recording
from waver.studies.models import Study, StudyDesign

Arm = StudyDesign.Arm
MayShow = Callable[[Sequence[Recording]], set[UUID]]


@dataclass(frozen=True)
class Task:
    """One recording in one rater's order."""

    recording: Recording
    arm: str = Arm.BLIND
    repeat: int = 0
    is_gold: bool = False
    in_sample: bool = False
    probability: float = 1.0

    @property
    def is_work(self) -> bool:
        """Tell whether it is no control."""
        return not self.is_gold and not self.repeat


@dataclass(frozen=True)
class Load:
    """What one rater gets: recordings of real work, and controls among them."""

    rater: User
    work: int
    gold: int
    repeats: int

    @property
    def all(self) -> int:
        """Give the number of all tasks."""
        return self.work + self.gold + self.repeats


@dataclass(frozen=True)
class Plan:
    """A batch as it would be. `queues` has each rater's tasks in their order."""

    kind: str
    queues: dict[UUID, list[Task]]
    raters: tuple[User, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def loads(self) -> list[Load]:
        """Count what each rater gets, by name."""
        found = []
        for rater in sorted(self.raters, key=lambda each: each.username):
            tasks = self.queues.get(rater.pk, [])
            gold, repeats = (
                sum(t.is_gold for t in tasks),
                sum(t.repeat > 0 for t in tasks),
            )
            found.append(Load(rater, len(tasks) - gold - repeats, gold, repeats))
        return found

    @cached_property
    def recordings(self) -> dict[UUID, Task]:
        """Give one task of each recording: the real work, or what is known in training."""
        work = self.kind == Batch.Kind.WORK
        return {
            task.recording.pk: task
            for tasks in self.queues.values()
            for task in tasks
            if task.is_work or not work
        }

    @property
    def sample(self) -> int:
        """Count the recordings that are coded by several raters to measure reliability."""
        return sum(task.in_sample for task in self.recordings.values())

    @property
    def shown(self) -> int:
        """Count the recordings whose raters see pre-labels."""
        return sum(task.arm == Arm.PRELABEL for task in self.recordings.values())


@dataclass
class Frame:
    """What a plan is drawn from. `ask` says whether consent covers showing a recording."""

    study: Study
    version: CodebookVersion
    part: Pass
    design: StudyDesign
    number: int
    raters: list[User]
    known: list[GoldItem]
    notes: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Give the design's seed."""
        return int(self.design.seed)


def draw_arms(
    recordings: Collection[Recording], design: StudyDesign, *, may_show: set[UUID]
) -> dict[UUID, Arm]:
    """Draw the arm of each recording: the same for all its raters, exactly the design's share.

    Each recording gets a number by hashing the design's seed and its original's hash, so that the
    same recordings and seed always give the same arms; the lowest numbers form the pre-label
    arm, `round(share · n)` of them, half up. Only recordings in `may_show`, whose participants
    let computer models mark cues, can be in it.
    """
    wanted = share_of(design.prelabel_share, len(recordings))
    drawn = sorted(
        (recording for recording in recordings if recording.pk in may_show),
        key=lambda recording: hashlib.sha256(
            f"arm:{design.seed}:{recording.original_sha256}".encode()
        ).digest(),
    )
    shown = {recording.pk for recording in drawn[:wanted]}
    return {r.pk: Arm.PRELABEL if r.pk in shown else Arm.BLIND for r in recordings}

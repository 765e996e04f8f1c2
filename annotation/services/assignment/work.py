"""Drawing real work: which recordings, how many raters each, in which arm, with which controls."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from annotation.models import Assignment, Batch
from annotation.services import qualification
from annotation.services.assignment.draw import (
    Wanted,
    allocate,
    draw_sample,
    lot,
    put_in_order,
    share_of,
)
from annotation.services.assignment.people import GONE, Rules, pass_before
from annotation.services.assignment.plan import Arm, Frame, MayShow, Plan, Task, draw_arms
from waver.core.errors import BadInput
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign

_SAMPLE = StudyDesign.Overlap.SAMPLE


def draw_work(frame: Frame, recordings: list[Recording], *, named: bool, infer: MayShow) -> Plan:
    """Draw who labels what of these recordings, by the study's design.

    `named` says that the recordings were named by a person: those that have all their raters
    already are then given to every rater named as well, whatever the pass before.
    `infer` gives those whose participants let computer models mark cues.
    Raises BadInput when the demand cannot be met, naming the recordings and what to change.
    """
    design = frame.design
    before = pass_before(design, frame.part.id)
    rules = Rules.read(
        frame.study,
        frame.part.id,
        frame.raters,
        [*recordings, *(item.recording for item in frame.known)],
        earlier_pass=before,
    )
    recordings = _after_the_pass_before(frame, recordings, rules, before)
    drawn = _Draw(frame, rules, recordings, named=named, infer=infer)
    drawn.check()
    given = allocate(
        {each.pk: drawn.wanted(each) for each in recordings if drawn.needs[each.pk]},
        seed=frame.seed,
        earlier=_earlier_loads(frame),
    )
    work: dict[UUID, list[Recording]] = {rater.pk: [] for rater in frame.raters}
    for recording in recordings:
        for rater in given.get(recording.pk, ()):
            work[rater].append(recording)
    queues = {pk: drawn.queue(pk, mine) for pk, mine in work.items() if mine}
    drawn.note_controls()
    _note_unqualified(frame)
    idle = sorted(rater.username for rater in frame.raters if rater.pk not in queues)
    if idle and queues:
        frame.notes.append(f"Nothing is left for {', '.join(idle)}.")
    return Plan(Batch.Kind.WORK, queues, tuple(frame.raters), tuple(frame.notes))


def _after_the_pass_before(
    frame: Frame, recordings: list[Recording], rules: Rules, before: str
) -> list[Recording]:
    """Leave out what nobody was asked to label in the pass before: it waits for that."""
    if rules.before is None:
        return recordings
    ready = [r for r in recordings if rules.before[r.pk] or rules.having[r.pk]]
    waiting = len(recordings) - len(ready)
    if waiting:
        frame.notes.append(
            f"{waiting} recording{'s wait' if waiting > 1 else ' waits'} for the pass “{before}”, "
            "which comes first in the study's design. Send them to raters in it."
        )
    return ready


def _note_unqualified(frame: Frame) -> None:
    """Say who must pass the qualification first: their real work waits until then."""
    waiting = sorted(
        rater.username
        for rater in frame.raters
        if not qualification.standing(rater, frame.study, frame.version.code, frame.part.id).passed
    )
    if waiting:
        frame.notes.append(
            f"{', '.join(waiting)} must pass the qualification in this pass before starting. Send "
            "it to them, if you have not."
        )


def _earlier_loads(frame: Frame) -> dict[UUID, int]:
    rows = Assignment.objects.filter(
        batch__study=frame.study, batch__kind=Batch.Kind.WORK, rater__in=frame.raters
    ).exclude(state__in=GONE)
    return dict(Counter(rows.values_list("rater_id", flat=True)))


class _Draw:
    """One draw: the arm, the sample and the demand of each recording, then each rater's order."""

    def __init__(
        self,
        frame: Frame,
        rules: Rules,
        recordings: list[Recording],
        *,
        named: bool,
        infer: MayShow,
    ) -> None:
        self.frame, self.rules, self.recordings = frame, rules, recordings
        self.named = named
        self.fewer: dict[str, list[str]] = {"gold": [], "repeats": []}
        # An arm and a place in the sample belong to the recording, for all its raters and passes.
        first = rules.drawn
        new = [each for each in recordings if each.pk not in first]
        arms: dict[UUID, str] = {pk: row.arm for pk, row in first.items()}
        arms |= draw_arms(new, frame.design, may_show=self._may_show(new, infer))
        self.arms = arms
        self.sample = {pk for pk, row in first.items() if row.in_reliability_sample}
        self.probability = {pk: row.inclusion_probability for pk, row in first.items()}
        self._draw_sample(new)
        self.free: set[UUID] = set()
        self.needs = {each.pk: self._need(each) for each in recordings}
        self.gold_arms = self._gold_arms(infer)

    def _draw_sample(self, new: list[Recording]) -> None:
        """Draw who is coded by several: all under full overlap, or a share spread over prompts."""
        design = self.frame.design
        if design.overlap != _SAMPLE:
            self.sample |= {each.pk for each in new}
            return
        by_lot = {each.original_sha256: each for each in new}
        drawn = draw_sample(
            {key: (self.arms[r.pk], _prompt(r)) for key, r in by_lot.items()},
            design.reliability_share,
            seed=self.frame.seed,
        )
        self.sample |= {by_lot[key].pk for key in drawn}
        if drawn:
            self.probability |= dict.fromkeys((r.pk for r in new), len(drawn) / len(new))

    def _need(self, recording: Recording) -> int:
        design = self.frame.design
        several = recording.pk in self.sample
        target = design.raters_per_recording if several else 1
        lacking = target - len(self.rules.having[recording.pk])
        if lacking > 0:
            return lacking
        if not self.named:
            return 0
        self.free.add(recording.pk)
        return len(self.rules.may(recording, self.frame.raters, free=True))

    def wanted(self, recording: Recording) -> Wanted[UUID]:
        """Give how many raters a recording needs, of whom."""
        may = self.rules.may(recording, self.frame.raters, free=recording.pk in self.free)
        return Wanted(self.needs[recording.pk], may)

    def check(self) -> None:
        """Raise BadInput where there are too few raters."""
        most = max(self.needs.values(), default=0)
        count, design, study = len(self.frame.raters), self.frame.design, self.frame.study
        if most > count or (self.recordings and not count):
            raise BadInput(
                f"The design of “{study.title}” wants {design.raters_per_recording} raters for "
                f"each recording{'' if design.overlap != _SAMPLE else ' of the sample'}, and "
                f"{count} were named. Add annotators, or change the design."
            )
        short = {
            each: self.needs[each.pk]
            for each in self.recordings
            if self.needs[each.pk] > len(self.wanted(each).may)
        }
        if short:
            raise BadInput(self.rules.shortage(short, self.frame.raters))

    def queue(self, rater: UUID, mine: list[Recording]) -> list[Task]:
        """Give a rater's tasks in their random order, controls among them."""
        frame, design = self.frame, self.frame.design
        user = next(each for each in frame.raters if each.pk == rater)
        gold_wanted = share_of(design.gold_share, len(mine))
        gold = self._gold_for(rater)[:gold_wanted]
        repeats_wanted = share_of(design.repeat_share, len(mine))
        by_id = {each.pk: each for each in [*mine, *gold]}
        places = put_in_order(
            [each.pk for each in mine],
            [each.pk for each in gold],
            repeats=repeats_wanted,
            gap=design.repeat_gap,
            seed=lot("order", frame.seed, frame.number, rater),
        )
        repeats = sum(place.repeat for place in places)
        if len(gold) < gold_wanted:
            self.fewer["gold"].append(f"{user.username} {len(gold)} of {gold_wanted}")
        if repeats < repeats_wanted:
            self.fewer["repeats"].append(f"{user.username} {repeats} of {repeats_wanted}")
        known = {each.pk for each in gold}
        return [
            Task(
                recording=by_id[place.thing],
                arm=self.gold_arms[place.thing] if place.thing in known else self.arms[place.thing],
                repeat=place.repeat,
                is_gold=place.thing in known,
                in_sample=place.thing in self.sample,
                probability=self.probability.get(place.thing, 1.0),
            )
            for place in places
        ]

    def _gold_for(self, rater: UUID) -> list[Recording]:
        """List the known recordings that a rater has not met: the same order for all raters."""
        user = next(each for each in self.frame.raters if each.pk == rater)
        return [
            item.recording
            for item in sorted(
                self.frame.known,
                key=lambda each: lot("gold", self.frame.seed, each.recording.original_sha256),
            )
            if self.rules.bar(item.recording, user, free=True) is None
        ]

    def _gold_arms(self, infer: MayShow) -> dict[UUID, Arm]:
        """Draw controls into arms as work is, so that no arm gives them away."""
        known = [item.recording for item in self.frame.known]
        return draw_arms(known, self.frame.design, may_show=self._may_show(known, infer))

    def _may_show(self, recordings: list[Recording], infer: MayShow) -> set[UUID]:
        """Give what may be in the pre-label arm; nothing is asked where there is none."""
        return infer(recordings) if self.frame.design.prelabel_share else set()

    def note_controls(self) -> None:
        """Say who gets fewer controls than the design wants, and why."""
        gold, repeats = self.fewer["gold"], self.fewer["repeats"]
        if gold:
            self.frame.notes.append(
                f"Fewer controls with a known answer than the design wants ({', '.join(gold)}): "
                "there are no more that these raters have not met. Set more known answers."
            )
        if repeats:
            self.frame.notes.append(
                f"Fewer repeats than the design wants ({', '.join(repeats)}): the batch is too "
                f"short for {self.frame.design.repeat_gap} other recordings in between."
            )


def _prompt(recording: Recording) -> int:
    prompt = recording.take.prompt
    return prompt.order if prompt else 0

"""From a snapshot to the inputs of `annotation.agreement`, and the statistics kept from it.

Who submitted without marking anything said "nothing here"; who did not submit is missing. Only
the blind arm counts unless a caller asks for another. A snapshot holds real work only, so that
controls, repeats, training and qualification cannot be counted here; nor can decisions of an
adjudication, which are no rater's work and stand in no snapshot.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from uuid import UUID

import numpy as np

from annotation.agreement import Ratings, Runs, Segments, SufficientStatistics, sufficient
from annotation.models import CodebookVersion
from waver.core.errors import Missing
from waver.datasets import answers
from waver.datasets.labels import NO, YES, Label
from waver.datasets.models import Snapshot, Statistic
from waver.datasets.snapshots import Item, items_of, left
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign

BLIND = (StudyDesign.Arm.BLIND,)
_BATCH = 2000


@dataclass(frozen=True)
class Sample:
    """Which recordings were drawn to be coded by several raters.

    `stratum`      every recording that was labelled -> its prompt, as text.
    `probability`  drawn recording -> how probable that was.
    """

    stratum: Mapping[str, str]
    probability: Mapping[str, float]

    @property
    def share(self) -> float:
        """The share of recordings that were drawn; 0 where there is none."""
        return len(self.probability) / max(1, len(self.stratum))

    def share_by_stratum(self) -> dict[str, float]:
        """The share in each stratum."""
        found = {
            name: [who in self.probability for who, own in self.stratum.items() if own == name]
            for name in sorted(set(self.stratum.values()))
        }
        return {name: sum(drawn) / len(drawn) for name, drawn in found.items()}

    @property
    def looks_random(self) -> bool:
        """Whether the probabilities fit how many were drawn out of how many.

        The sum of 1 / p over a random draw estimates the number that it was drawn from, with
        variance sum (1 - p) / p^2 (Horvitz and Thompson 1952). More than four of its standard
        deviations away, the recordings were not drawn with these probabilities but chosen. Where
        p is 1 for all, that is: all recordings, or it was no draw.
        """
        inverse = [1 / p for p in self.probability.values()]
        deviation = math.sqrt(sum(one * (one - 1) for one in inverse))
        return abs(sum(inverse) - len(self.stratum)) <= 4 * deviation + 1e-6 * len(self.stratum)


@dataclass(frozen=True, eq=False)
class Measured:
    """One label's data of a snapshot, ready for statistics.

    `data`       names recordings, raters and participants by their keys, as text.
    `segments`   the marked spans as they are, for segments only; `data` has them on the tick grid.
    `roster`     recording -> raters who submitted it.
    `positives`  participants in whom somebody marked or chose the positive value, on a recording
                 with two ratings or more.
    `sample`     what was drawn for the measurement of agreement, and from what.
    """

    label: Label
    tick_us: int | None
    data: Ratings | Runs
    segments: Segments | None
    roster: dict[str, tuple[str, ...]]
    participant_of: dict[str, str]
    positives: frozenset[str]
    prevalence: float | None  # of the positive value; None without data or positive value
    sample: Sample

    @property
    def statistics(self) -> SufficientStatistics:
        """The sums per participant from which every coefficient follows."""
        return sufficient(self.data)

    @cached_property
    def ratings(self) -> dict[str, int]:
        """Recording -> how many raters said something about this label.

        Who submitted a recording and left the question open said nothing. Recordings of which
        nobody said anything are left out.
        """
        if isinstance(self.data, Runs):
            return {recording: len(raters) for recording, raters in self.roster.items()}
        given = np.bincount(self.data.unit, minlength=len(self.data.units)).tolist()
        return {str(name): n for name, n in zip(self.data.units, given, strict=True) if n}

    @property
    def compared(self) -> tuple[str, ...]:
        """The recordings with two ratings or more: agreement knows no others."""
        return tuple(recording for recording, given in self.ratings.items() if given > 1)

    @property
    def participants(self) -> frozenset[str]:
        """The participants of the recordings that are compared: what is resampled."""
        return frozenset(self.participant_of[recording] for recording in self.compared)

    @property
    def raters(self) -> tuple[str, ...]:
        """Everybody who submitted at least one of the recordings."""
        return tuple(sorted({rater for raters in self.roster.values() for rater in raters}))


def measure(
    snapshot: Snapshot,
    label: Label,
    *,
    tick_us: int | None = None,
    positive: str | None = None,
    arms: Iterable[str] = BLIND,
    sample_only: bool = False,
    codebook: CodebookVersion | None = None,
    only: Collection[UUID] | None = None,
) -> Measured:
    """Gather one label of a snapshot.

    `tick_us` is the unit of time and must be given for segments; `positive` is the value whose
    prevalence is wanted (for segments always the label itself). `arms` asks about labels of other
    arms, for comparing them; the gate judges the blind arm. With `sample_only`, as the gate asks,
    only recordings count that were drawn to be coded by several raters, each weighted with the
    inverse of its probability; without, all do, unweighted. `codebook` is the version that `label`
    is from, if it is a later one than the snapshot's; `only` names the annotations to look at.
    """
    terms = snapshot.codebook if codebook is None else codebook
    everything = _submissions(snapshot, label, frozenset(arms), terms)
    if only is not None:
        everything = {key: item for key, item in everything.items() if key in only}
    sample = _sample(everything)
    submissions, weight = everything, None
    if sample_only:
        submissions = {key: item for key, item in everything.items() if item.sampled}
        weight = {who: 1 / p for who, p in sample.probability.items()}
    roster: dict[str, list[str]] = defaultdict(list)
    participant_of: dict[str, str] = {}
    for item in submissions.values():
        roster[str(item.recording)].append(str(item.rater))
        participant_of[str(item.recording)] = str(item.participant)
    fixed = {recording: tuple(sorted(raters)) for recording, raters in sorted(roster.items())}
    data: Ratings | Runs
    segments: Segments | None = None
    if label.data == "segments":
        if tick_us is None:
            raise ValueError("Segments need a tick, the unit of time that counts as one unit.")
        segments = _segments(label, submissions, fixed, participant_of, tick_us, terms.pk)
        data = segments.on_grid().runs(label.source)
        if weight is not None:
            data = data.weighted(dict(weight.items()))
        wanted: str | None = label.source
    else:
        data = _ratings(label, submissions, weight, terms.pk)
        wanted = YES if label.answer else positive
    return Measured(
        label=label,
        tick_us=tick_us if label.data == "segments" else None,
        data=data,
        segments=segments,
        roster=fixed,
        participant_of=participant_of,
        positives=_positives(data, wanted),
        prevalence=_prevalence(data, wanted),
        sample=sample,
    )


def store(snapshot: Snapshot, measured: Measured) -> int:
    """Keep the statistics of each participant, so that a withdrawal is a subtraction.

    Gives how many rows are now there. Rows that are there already stay as they are.
    """
    whole = measured.statistics
    name = statistic_name(measured.label, measured.tick_us)
    rows = [
        Statistic(
            snapshot=snapshot,
            label=name,
            participant_id=UUID(str(cluster)),
            values=replace(whole, clusters=(cluster,), table=whole.table[n : n + 1]).to_dict(),
        )
        for n, cluster in enumerate(whole.clusters)
    ]
    Statistic.objects.bulk_create(rows, batch_size=_BATCH, ignore_conflicts=True)
    return len(rows)


def stored(snapshot: Snapshot, label: Label, tick_us: int | None = None) -> SufficientStatistics:
    """Put together the kept statistics of the participants who still take part.

    Raises Missing when nothing was kept, or nobody is left.
    """
    rows = (
        Statistic.objects.filter(snapshot=snapshot, label=statistic_name(label, tick_us))
        .exclude(participant__in=left(snapshot.study))
        .order_by("participant")
        .values_list("values", flat=True)
    )
    parts = [SufficientStatistics.from_dict(values) for values in rows.iterator(chunk_size=_BATCH)]
    if not parts:
        raise Missing(
            f"No statistics are kept for “{label.key}” in snapshot {snapshot.number}. "
            "Run the gate on it first."
        )
    return replace(
        parts[0],
        clusters=tuple(cluster for part in parts for cluster in part.clusters),
        table=np.vstack([part.table for part in parts]),
    )


def statistic_name(label: Label, tick_us: int | None) -> str:
    """Name what was counted: a label of segments together with its unit of time."""
    return label.key if tick_us is None else f"{label.key}@{tick_us}"


def _submissions(
    snapshot: Snapshot, label: Label, arms: frozenset[str], terms: CodebookVersion
) -> dict[UUID, Item]:
    """The annotation that counts, per recording and rater; keyed by the annotation.

    Who saw a recording's pre-labels, in whatever pass, is not blind on it any more.
    """
    first: dict[tuple[UUID, UUID], Item] = {}
    shown: set[tuple[UUID, UUID]] = set()
    if StudyDesign.Arm.PRELABEL not in arms:
        with_prelabels = snapshot.annotations.filter(assignment__arm=StudyDesign.Arm.PRELABEL)
        shown = set(with_prelabels.values_list("assignment__recording", "assignment__rater"))
    for item in items_of(snapshot, pass_id=label.pass_id, codebook=terms):
        if (item.recording, item.rater) in shown:
            continue
        if item.arm in arms and item.repeat == 0:
            first.setdefault((item.recording, item.rater), item)
    return {item.annotation: item for item in first.values()}


def _sample(submissions: Mapping[UUID, Item]) -> Sample:
    """The draw, as the assignments record it. Drawn twice, a recording was the more probable."""
    probability: dict[str, float] = {}
    for item in submissions.values():
        if item.sampled:
            key = str(item.recording)
            probability[key] = max(item.probability, probability.get(key, 0.0))
    everything = {item.recording for item in submissions.values()}
    prompts = Recording.objects.filter(pk__in=everything).values_list("pk", "take__prompt__order")
    stratum = {str(pk): "no prompt" if order is None else str(order) for pk, order in prompts}
    return Sample(stratum, probability)


def _segments(
    label: Label,
    submissions: dict[UUID, Item],
    roster: dict[str, tuple[str, ...]],
    participant_of: dict[str, str],
    tick_us: int,
    terms: UUID,
) -> Segments:
    durations: dict[Hashable, int] = {
        str(pk): duration or 0  # `from_rows` says which recording has no length
        for pk, duration in Recording.objects.filter(pk__in=roster).values_list("pk", "duration_us")
    }
    submitted: dict[Hashable, Iterable[Hashable]] = dict(roster.items())
    found = [
        (submissions[one.annotation], one.start_us, one.end_us)
        for one in answers.marked(list(submissions.values()), terms, [label.source])
    ]
    return Segments.from_rows(
        [str(item.recording) for item, _, _ in found],
        [str(item.rater) for item, _, _ in found],
        [start for _, start, _ in found],
        [end for _, _, end in found],
        [label.source] * len(found),
        roster=submitted,
        durations=durations,
        tick_us=tick_us,
        labels=[label.source],
        clusters=dict(participant_of.items()),
    )


def _ratings(
    label: Label, submissions: dict[UUID, Item], weight: Mapping[str, float] | None, terms: UUID
) -> Ratings:
    given: dict[UUID, list[str]] = defaultdict(list)
    for one in answers.answered(list(submissions.values()), terms, [label.source]):
        if not label.is_certainty:
            given[one.annotation].append(one.value)
        elif one.confidence is not None:
            given[one.annotation].append(_number(one.confidence))
    rows = [(item, _value(label, given[item.annotation])) for item in submissions.values()]
    return Ratings.from_long(
        [str(item.recording) for item, _ in rows],
        [str(item.rater) for item, _ in rows],
        [value for _, value in rows],
        scale=label.scale,
        values=label.values,
        cluster=[str(item.participant) for item, _ in rows],
        weight=None if weight is None else [weight[str(item.recording)] for item, _ in rows],
    )


def _value(label: Label, given: list[str]) -> str | None:
    """The rater's value. A question of several answers that was left empty says no to each."""
    if label.answer:
        return YES if label.answer in given else NO
    return given[0] if given else None


def _number(confidence: float) -> str:
    """Write a certainty as the codebook does: 2, not 2.0."""
    return str(int(confidence)) if float(confidence).is_integer() else str(confidence)


def _positives(data: Ratings | Runs, positive: str | None) -> frozenset[str]:
    if positive is None or positive not in data.values:
        return frozenset()
    code = data.values.index(positive)
    if isinstance(data, Runs):
        several = (data.codes >= 0).sum(axis=1) > 1
        there = (data.codes == code).any(axis=1) & several
        return frozenset(str(data.recording_cluster[n]) for n in data.recording[there])
    several = np.bincount(data.unit, minlength=len(data.units)) > 1
    units = data.unit[(data.code == code) & several[data.unit]]
    return frozenset(str(data.clusters[n]) for n in set(data.unit_cluster[units]))


def _prevalence(data: Ratings | Runs, positive: str | None) -> float | None:
    """Mean over units (time, clips) of the share of raters who gave the positive value."""
    if positive is None or positive not in data.values:
        return None
    counts = data.counts()
    weight = data.weight if isinstance(data, Runs) else data.unit_weight
    raters = counts.sum(axis=1)
    rated = raters > 0
    if not rated.any():
        return None
    share = counts[rated, data.values.index(positive)] / raters[rated]
    return float((share * weight[rated]).sum() / weight[rated].sum())

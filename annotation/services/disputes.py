"""What raters disagree about, worked out of their stored work and never stored itself.

Clips: each recording and question on which the raters' answers differ. Segments: each maximal
interval that some of the raters who submitted the recording marked and others did not, by one
sweep over the boundaries. The order is that of `annotation.agreement.adjudication_queue`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Max, Q
from django.utils import timezone

from annotation.agreement import (
    DawidSkene,
    Dispute,
    Ratings,
    Segments,
    Undefined,
    adjudication_queue,
    dawid_skene,
    disputed_segments,
    majority,
    vote_distribution,
)
from annotation.models import Annotation, Assignment, CodebookVersion
from annotation.services.standing import Gathered, Work, arms_of, gather, scope, standing_work
from annotation.services.topics import NO, YES, Topic
from waver.studies.models import Study

SMOOTHING = 0.01  # of the model of the raters' errors, as the literature and our facts have it
MODEL_NEEDS_RATERS = 3
CONTEXT_US = 3_000_000  # what is shown before and after a disputed interval
HANDLING_US = 10_000_000  # what a decision costs beside watching
_BATCH = 5000

BY_MODEL = (
    "the doubt that remains when each rater's errors are estimated (Dawid and Skene, in bits), "
    "divided by the time that watching and deciding takes"
)
BY_VOTES = (
    "the spread of the votes (entropy, in bits), divided by the time that watching and deciding "
    "takes"
)
BY_TIME = (
    "the spread of the votes (entropy, in bits) times the length of the interval, divided by the "
    "time that watching and deciding takes"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One item on which raters differ.

    `start_us`, `end_us`  the disputed interval; None for a label of the whole recording.
    `votes`               (value, raters who gave it); for segments their mean over the interval.
    `raters`              how many raters gave an answer.
    `looked_at`           the annotations on the recording in this pass, in order of their ids.
    `uncertainty`         in bits; `score` is the expected value that sets the order.
    `cost_us`             the time that watching and deciding takes.
    `model_value`         what the model of the raters' errors says where it is not the majority.
    """

    recording: UUID
    participant: UUID
    start_us: int | None
    end_us: int | None
    length_us: int
    votes: tuple[tuple[str, float], ...]
    raters: int
    looked_at: tuple[UUID, ...]
    uncertainty: float
    score: float
    cost_us: int
    model_value: str = ""


@dataclass(frozen=True, slots=True)
class Disputes:
    """A topic's disputes in the queue's order, and how they were ordered.

    `short` counts intervals that are shorter than any segment may be; they are left to the vote.
    `shared` of the `recordings` have two raters or more. `at` is when it was worked out.
    """

    method: str
    items: tuple[Item, ...]
    short: int
    recordings: int
    shared: int
    at: datetime = field(default_factory=timezone.now)


def disputes(*, study: Study, codebook: CodebookVersion, topic: Topic) -> Disputes:
    """Give what raters disagree about, most valuable to decide first.

    Worked out once for each state of the stored work and kept in this process. Where that takes
    long, in a large study whose raters are still at work, the order may be a few minutes old:
    `Disputes.at` says so, and `items_at` gives a recording's own items as they are now. Nothing
    per frame is made. Those who left are the caller's to leave out: they may leave at any moment.
    """
    arms = arms_of(study)
    key = (study.pk, codebook.pk, topic.key, arms)
    state, now = _state(study, codebook, topic.pass_id), time.monotonic()
    kept = _kept.get(key)
    if kept is not None:
        patience = PATIENCE * kept.took if kept.took > SLOW_SECONDS else 0.0
        if kept.state == state or now - kept.since < patience:
            return kept.found
    found = _found(study, codebook, topic, arms)
    with _keeping:
        _kept[key] = _Kept(state, time.monotonic(), time.monotonic() - now, found)
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return found


def items_at(
    *, study: Study, codebook: CodebookVersion, topic: Topic, recording: UUID
) -> tuple[Item, ...]:
    """Give what raters disagree about in one recording at this moment, by their votes."""
    return _found(study, codebook, topic, arms_of(study), recording).items


def looked_at(
    *, study: Study, codebook: CodebookVersion, topic: Topic, recording: UUID
) -> tuple[UUID, ...]:
    """Give the annotations of one recording on which a decision made now would rest."""
    chosen = standing_work(
        study=study,
        codebook=codebook,
        pass_id=topic.pass_id,
        arms=arms_of(study),
        recording=recording,
    )
    return tuple(sorted(gather(chosen, codebook).works))


State = tuple[int, datetime | None, int]


def _state(study: Study, codebook: CodebookVersion, pass_id: str) -> State:
    """What changes whenever anything that disputes are made of does."""
    rows = Annotation.objects.filter(scope(study, codebook, pass_id)).exclude(
        assignment__state=Assignment.State.WITHDRAWN
    )
    accepted = Count("pk", filter=Q(verdict=Annotation.Verdict.ACCEPTED))
    found = rows.aggregate(n=Count("pk"), newest=Max("created_at"), accepted=accepted)
    return found["n"], found["newest"], found["accepted"]


SLOW_SECONDS, PATIENCE, KEPT = 1.0, 30.0, 24


@dataclass(frozen=True, slots=True)
class _Kept:
    state: State
    since: float
    took: float
    found: Disputes


_kept: dict[tuple[UUID, UUID, str, tuple[str, ...]], _Kept] = {}
_keeping = threading.Lock()


def _found(
    study: Study,
    codebook: CodebookVersion,
    topic: Topic,
    arms: tuple[str, ...],
    recording: UUID | None = None,
) -> Disputes:
    chosen = standing_work(
        study=study, codebook=codebook, pass_id=topic.pass_id, arms=arms, recording=recording
    )
    within: dict[str, Any] = {
        "annotation__assignment__batch__study": study,
        "annotation__assignment__batch__pass_id": topic.pass_id,
        "annotation__codebook": codebook,
    }
    if recording is not None:
        within["annotation__assignment__recording"] = recording
    gathered = replace(gather(chosen, codebook), within=within)
    return _of_segments(topic, gathered) if topic.unit == "segment" else _of_clips(topic, gathered)


# Clips


def _of_clips(topic: Topic, gathered: Gathered) -> Disputes:
    works = gathered.works
    ratings = _ratings(topic, gathered)
    counts = ratings.counts()
    model = _model(ratings)
    shares, said = _shares(ratings, model)
    differs = dict(zip(ratings.units, ((counts > 0).sum(axis=1) > 1).tolist(), strict=True))
    found = [
        Dispute(unit, topic.label, shares[unit])
        for unit in ratings.units
        if differs[unit] or unit in said
    ]
    rows = dict(zip(ratings.units, counts.tolist(), strict=True))
    of_recording, rosters = _by_recording(works), _rosters(works)
    costs = {one.unit: of_recording[one.unit].duration_us + HANDLING_US for one in found}
    items = [
        Item(
            recording=of_recording[dispute.unit].recording,
            participant=of_recording[dispute.unit].participant,
            start_us=None,
            end_us=None,
            length_us=of_recording[dispute.unit].duration_us,
            votes=tuple(
                (value, float(n))
                for value, n in zip(topic.values, rows[dispute.unit], strict=True)
                if n
            ),
            raters=sum(rows[dispute.unit]),
            looked_at=rosters[dispute.unit],
            uncertainty=dispute.entropy,
            score=score,
            cost_us=costs[dispute.unit],
            model_value=said.get(dispute.unit, ""),
        )
        for dispute, score in _queued(found, costs)
    ]
    method = BY_VOTES if model is None else BY_MODEL
    return Disputes(method, tuple(items), 0, len(rosters), _shared(rosters))


def _ratings(topic: Topic, gathered: Gathered) -> Ratings:
    """Who answered what; a question of several answers that was left empty says no to each."""
    works = gathered.works
    given: dict[UUID, set[str]] = defaultdict(set)
    for annotation, value in gathered.answers(topic):
        given[annotation].add(value)

    def answer(work: Work) -> str | None:
        values = given.get(work.annotation, set())
        if topic.answer:
            return YES if topic.answer in values else NO
        return next(iter(values), None)

    return Ratings.from_long(
        [str(work.recording) for work in works.values()],
        [str(work.rater) for work in works.values()],
        [answer(work) for work in works.values()],
        scale=topic.scale,
        values=topic.values,
    )


def _model(ratings: Ratings) -> DawidSkene | None:
    """The model of the raters' errors, where there are enough raters to tell them apart."""
    if len(set(ratings.rater.tolist())) < MODEL_NEEDS_RATERS:
        return None
    fitted = dawid_skene(ratings, smoothing=SMOOTHING)
    return None if isinstance(fitted, Undefined) else fitted


def _shares(
    ratings: Ratings, model: DawidSkene | None
) -> tuple[dict[Any, dict[Any, float]], dict[Any, str]]:
    """Probability of each value per recording, and the model's value where the majority differs."""
    if model is None:
        votes = vote_distribution(ratings)
        return _by_unit(votes.units, votes.shares, ratings.values), {}
    shares, voted = _by_unit(model.units, model.posterior, ratings.values), majority(ratings)
    said = {
        unit: str(value)
        for unit, value in model.labels().items()
        if not isinstance(value, Undefined) and value != voted[unit]
    }
    return shares, said


def _by_unit(
    units: Iterable[Hashable], table: npt.NDArray[np.float64], values: tuple[Any, ...]
) -> dict[Hashable, dict[Any, float]]:
    return {
        unit: dict(zip(values, row, strict=True))
        for unit, row in zip(units, table.tolist(), strict=True)
    }


# Segments


def _of_segments(topic: Topic, gathered: Gathered) -> Disputes:
    of_recording, rosters = _by_recording(gathered.works), _rosters(gathered.works)
    everything = disputed_segments(_marked(topic, gathered), topic.source)
    long = [one for one in everything if one.seconds * 1e6 >= topic.shortest_us]
    # Each interval is a unit of its own, because each has a cost of its own.
    found = [replace(one, unit=(one.unit, one.start_us or 0)) for one in long]
    length = {one.unit: (one.end_us or 0) - (one.start_us or 0) for one in found}
    costs = {unit: us + 2 * CONTEXT_US + HANDLING_US for unit, us in length.items()}
    items = []
    for dispute, score in _queued(found, costs):
        recording: Any = dispute.unit
        work, looked_at = of_recording[recording[0]], rosters[recording[0]]
        votes = tuple((v, dispute.probability[v] * len(looked_at)) for v in reversed(topic.values))
        items.append(
            Item(
                recording=work.recording,
                participant=work.participant,
                start_us=dispute.start_us,
                end_us=dispute.end_us,
                length_us=length[dispute.unit],
                votes=votes,
                raters=len(looked_at),
                looked_at=looked_at,
                uncertainty=dispute.entropy,
                score=score,
                cost_us=costs[dispute.unit],
            )
        )
    short = len(everything) - len(long)
    return Disputes(BY_TIME, tuple(items), short, len(rosters), _shared(rosters))


def _marked(topic: Topic, gathered: Gathered) -> Segments:
    marks, works = list(gathered.marks(topic)), gathered.works
    roster: dict[Any, list[str]] = defaultdict(list)
    for work in works.values():
        roster[str(work.recording)].append(str(work.rater))
    return Segments.from_rows(
        [str(work.recording) for work, _, _ in marks],
        [str(work.rater) for work, _, _ in marks],
        [start for _, start, _ in marks],
        [end for _, _, end in marks],
        [topic.source] * len(marks),
        roster=roster,
        durations={str(work.recording): work.duration_us for work in works.values()},
        tick_us=1,
        labels=[topic.source],
    )


# Both


def _queued(found: list[Dispute], costs: Mapping[Hashable, int]) -> Iterator[tuple[Dispute, float]]:
    """The disputes in the queue's order; what the model has no doubt about comes last."""
    queue = adjudication_queue(found, cost={unit: us / 1e6 for unit, us in costs.items()})
    placed = {entry.dispute.unit for entry in queue}
    yield from ((entry.dispute, entry.score) for entry in queue)
    yield from ((one, 0.0) for one in found if one.unit not in placed)


def _by_recording(works: Mapping[UUID, Work]) -> dict[Hashable, Work]:
    return {str(work.recording): work for work in works.values()}


def _shared(rosters: Mapping[Hashable, tuple[UUID, ...]]) -> int:
    return sum(len(who) > 1 for who in rosters.values())


def _rosters(works: Mapping[UUID, Work]) -> dict[Hashable, tuple[UUID, ...]]:
    found: dict[Hashable, list[UUID]] = defaultdict(list)
    for work in works.values():
        found[str(work.recording)].append(work.annotation)
    return {recording: tuple(sorted(ids)) for recording, ids in found.items()}

"""One answer from several raters: derived from a snapshot each time, versioned, never stored.

1. Clips: the majority's value. A tie is undecided, never the first label. Where the policy asks
   for `dawid_skene` and there are three raters or more, a model of each rater's errors stands
   beside it: where it contradicts the vote, the item is flagged for adjudication and the vote
   stays. Ratings on a scale of numbers are averaged.
2. Segments: the stretches that more than half of the raters marked, gaps closed and short ones
   left out as the policy says; exactly half is undecided.
3. Decisions of an adjudication take the place of the vote, on exactly the annotations that they
   rest on; the vote is kept beside them.
4. Labels given with pre-labels in sight stay out, unless the study's design lets them in: then
   each of their recordings is flagged.

The same snapshot, terms, decisions and code give the same consensus: `Consensus.identity` names
all four. It never enters agreement.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils import timezone

import annotation.agreement
from annotation.agreement import (
    DawidSkene,
    Ratings,
    Segments,
    Undefined,
    consensus_segments,
    dawid_skene,
    majority,
    vote_distribution,
)
from annotation.models import Adjudication
from annotation.services import carried
from annotation.services.disputes import MODEL_NEEDS_RATERS, SMOOTHING
from annotation.services.standing import arms_of
from annotation.services.topics import ABSENT, PRESENT
from waver.datasets import measures
from waver.datasets.labels import Label
from waver.datasets.models import Snapshot
from waver.datasets.snapshots import items_of
from waver.datasets.stretches import MarkedShare, Span, Vote, overridden, without
from waver.studies.models import StudyDesign

SCHEMA = "waver.consensus/1"
MAJORITY, DAWID_SKENE, MEAN = "majority", "dawid_skene", "mean"
_CODE = ("consensus.py", "dawid_skene.py", "ratings.py", "segments.py")
_PRELABEL = StudyDesign.Arm.PRELABEL.value


@dataclass(frozen=True)
class Rules:
    """What a policy says about consensus, or its defaults: the plain majority."""

    clips: str = MAJORITY
    close_gap_us: int = 0
    minimum_us: int = 0

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> Rules:
        """Read a policy's `consensus` block."""
        given = policy.get("consensus", {})
        segments = given.get("segments", {})
        return cls(
            clips=given.get("clips", MAJORITY),
            close_gap_us=segments.get("close_gap_us", 0),
            minimum_us=segments.get("minimum_us", 0),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the rules as a policy writes them."""
        segments = {"close_gap_us": self.close_gap_us, "minimum_us": self.minimum_us}
        return {"clips": self.clips, "segments": segments}


@dataclass(frozen=True)
class Terms:
    """As of when decisions count, and whose labels: what a rebuilt release must repeat."""

    as_of: datetime
    arms: tuple[str, ...]

    @classmethod
    def now(cls, snapshot: Snapshot) -> Terms:
        """Take the decisions made until now, and the arms that the study's design lets in."""
        return cls(timezone.now(), arms_of(snapshot.study))

    @classmethod
    def of(cls, figures: Mapping[str, Any], *, published_at: datetime | None) -> Terms | None:
        """Read the terms of a published release from its figures; None for what is none yet."""
        kept = figures.get("consensus", {})
        if "as_of" in kept:
            return cls(datetime.fromisoformat(kept["as_of"]), tuple(kept["arms"]))
        return cls(published_at, tuple(measures.BLIND)) if published_at else None

    def blind(self) -> Terms:
        """Give the same terms for labels that were given without seeing pre-labels."""
        return replace(self, arms=tuple(measures.BLIND))

    def to_dict(self) -> dict[str, Any]:
        """Give the terms for a release's figures."""
        return {"as_of": self.as_of.isoformat(), "arms": list(self.arms)}


@dataclass(frozen=True)
class Decided:
    """The raters' common answer about a stretch or a clip.

    `value` is None where they are undecided; `share` is the share of raters behind the value (for
    a stretch who marked it, by time; None for a mean). `adjudicated`: a person decided at least a
    part of it; `initial` is then what the vote of a clip was (None: undecided). `prelabelled`: at
    least one rater saw pre-labels. `model_value` and `model_share` are those of the model of the
    raters' errors, where the policy asks for it.
    """

    value: str | None
    share: float | None
    start_us: int | None = None
    end_us: int | None = None
    raters: int = 0
    adjudicated: bool = False
    initial: str | None = None
    prelabelled: bool = False
    model_value: str | None = None
    model_share: float | None = None

    @property
    def flagged(self) -> bool:
        """Whether the model contradicts the vote and nobody has decided yet."""
        differs = self.model_value is not None and self.model_value != self.value
        return differs and not self.adjudicated


@dataclass(frozen=True)
class Decision:
    """A decision that took the place of the vote, with what the vote was.

    `value` as the codebook has it (for a segment label present or absent); `initial` the vote's
    value for a clip, None for a tie; `share` the raters who said `value`, by time for a stretch.
    """

    adjudication: UUID
    recording: str
    value: str
    start_us: int | None
    end_us: int | None
    decided_start_us: int | None
    decided_end_us: int | None
    initial: str | None
    share: float
    is_synthetic: bool


@dataclass(frozen=True, eq=False)
class Consensus:
    """A label's consensus: recording's key -> answers.

    A recording that the raters submitted and marked nothing in has an empty tuple of stretches.
    `method` says how clips were decided; `identity` what all of it follows from.
    """

    label: Label
    method: str
    answers: Mapping[str, tuple[Decided, ...]]
    decisions: tuple[Decision, ...]
    votes: tuple[Vote, ...]
    prelabelled: frozenset[str]
    identity: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Name this consensus: another snapshot, method, decision or code gives another name."""
        return _sha256(self.identity)

    def only(self, recordings: frozenset[UUID]) -> Consensus:
        """The same consensus with these recordings only."""
        kept = {str(recording) for recording in recordings}
        return replace(
            self,
            answers={who: found for who, found in self.answers.items() if who in kept},
            decisions=tuple(one for one in self.decisions if one.recording in kept),
            votes=tuple(one for one in self.votes if one.recording in kept),
            prelabelled=self.prelabelled & kept,
        )


def build(
    snapshot: Snapshot, label: Label, *, rules: Rules, terms: Terms, tick_us: int | None = None
) -> Consensus:
    """Derive a label's consensus from a snapshot.

    `tick_us` must be given for segments, as the gate's policy has it; boundaries stay exact.
    """
    measured = measures.measure(snapshot, label, tick_us=tick_us, arms=terms.arms)
    rests_on, prelabelled = _population(snapshot, label, terms.arms)
    found = _decisions(snapshot, label, rests_on, terms.as_of)
    if measured.segments is not None:
        answers, decisions, votes = _of_segments(measured, rules, found)
        method = MAJORITY
    elif isinstance(measured.data, Ratings):
        answers, decisions, votes, method = _of_clips(measured, measured.data, rules, found)
    else:
        raise TypeError("A consensus is made from segments or from ratings.")
    flagged = {
        who: tuple(replace(one, prelabelled=who in prelabelled) for one in said)
        for who, said in answers.items()
    }
    return Consensus(
        label=label,
        method=method,
        answers=flagged,
        decisions=decisions,
        votes=votes,
        prelabelled=frozenset(prelabelled),
        identity={
            "schema": SCHEMA,
            "label": label.key,
            "method": method,
            "params": {**rules.to_dict(), "arms": list(terms.arms), "tick_us": tick_us},
            "code": code_sha256(),
            "snapshot": snapshot.sha256,
            "adjudications": _sha256(sorted(str(row.pk) for row in found)),
        },
    )


@cache
def code_sha256() -> str:
    """The hash of the code that a consensus is computed with."""
    agreement = Path(annotation.agreement.__file__).parent
    total = hashlib.sha256(Path(__file__).read_bytes())
    for name in _CODE:
        total.update((agreement / name).read_bytes())
    return total.hexdigest()


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _population(
    snapshot: Snapshot, label: Label, arms: Iterable[str]
) -> tuple[dict[str, frozenset[str]], set[str]]:
    """The annotations that each recording's consensus rests on, and who saw pre-labels."""
    chosen, seen = frozenset(arms), set()
    rests_on: dict[str, set[str]] = defaultdict(set)
    prelabelled = set()
    for item in items_of(snapshot, pass_id=label.pass_id):
        if item.arm in chosen and item.repeat == 0 and (item.recording, item.rater) not in seen:
            seen.add((item.recording, item.rater))
            rests_on[str(item.recording)].add(str(item.annotation))
            if item.arm == _PRELABEL:
                prelabelled.add(str(item.recording))
    return {who: frozenset(ids) for who, ids in rests_on.items()}, prelabelled


def _decisions(
    snapshot: Snapshot, label: Label, rests_on: Mapping[str, frozenset[str]], as_of: datetime
) -> list[Adjudication]:
    """The decisions in force at a moment that rest on exactly the snapshot's annotations.

    Also those made under an earlier version of the codebook, where it is the same thing.
    """
    if label.is_certainty:
        return []
    rows = Adjudication.objects.filter(
        codebook__in=[version.pk for version in carried.versions_of(snapshot.codebook)],
        recording__study=snapshot.study,
        created_at__lte=as_of,
    ).order_by("created_at", "pk")
    made = list(rows)
    superseded = {row.supersedes_id for row in made}
    allowed = (PRESENT, ABSENT) if label.data == "segments" else label.values
    found = {}
    for row in made:
        rests = frozenset(row.looked_at) == rests_on.get(str(row.recording_id))
        named = carried.decision_in(row, snapshot.codebook) if rests else None
        if row.pk in superseded or named is None or f"{named[0]}/{named[1]}" != label.key:
            continue
        if named[2] in allowed:
            row.value = named[2]  # in this version's words; the row itself is never saved
            found[row.recording_id, row.start_us, row.end_us] = row
    return list(found.values())


# Clips


_OfClips = tuple[dict[str, tuple[Decided, ...]], tuple[Decision, ...], tuple[Vote, ...], str]


def _of_clips(
    measured: measures.Measured, data: Ratings, rules: Rules, found: Sequence[Adjudication]
) -> _OfClips:
    spread = vote_distribution(data)
    shares = {
        str(unit): dict(zip(data.values, row, strict=True))
        for unit, row in zip(spread.units, spread.shares.tolist(), strict=True)
    }
    count = dict(zip(map(str, spread.units), spread.votes.tolist(), strict=True))
    votes = tuple(
        Vote(who, None, None, str(value), round(share * count[who]), count[who])
        for who, of_value in shares.items()
        for value, share in of_value.items()
        if share > 0
    )
    answers: dict[str, tuple[Decided, ...]] = dict.fromkeys(measured.roster, ())
    if data.scale == "interval":
        return answers | _means(shares, count), (), votes, MEAN
    voted = {
        str(unit): None if isinstance(value, Undefined) else str(value)
        for unit, value in majority(data).items()
    }
    model = _model(data, measured.label, rules)
    modelled = _modelled(model)
    rows = {str(row.recording_id): row for row in found}
    decisions = []
    for who, of_value in shares.items():
        row = rows.get(who)
        value = row.value if row else voted[who]
        model_value, model_share = modelled.get(who, (None, None))
        share = max(of_value.values()) if value is None else of_value.get(value, 0.0)
        answers[who] = (
            Decided(
                value,
                share,
                raters=count[who],
                adjudicated=row is not None,
                initial=voted[who] if row else None,
                model_value=model_value,
                model_share=model_share,
            ),
        )
        if row:
            decisions.append(_decision(row, initial=voted[who], share=share))
    return answers, tuple(decisions), votes, DAWID_SKENE if model else MAJORITY


def _means(
    shares: Mapping[str, Mapping[Any, float]], count: Mapping[str, int]
) -> dict[str, tuple[Decided, ...]]:
    """Ratings on a scale of numbers: their mean."""
    return {
        who: (
            Decided(
                f"{sum(float(value) * share for value, share in of_value.items()):.6g}",
                None,
                raters=count[who],
            ),
        )
        for who, of_value in shares.items()
    }


def _model(data: Ratings, label: Label, rules: Rules) -> DawidSkene | None:
    """The model of the raters' errors, where it is asked for and there are raters enough."""
    enough = len(set(data.rater.tolist())) >= MODEL_NEEDS_RATERS
    if rules.clips != DAWID_SKENE or label.is_certainty or not enough:
        return None
    fitted = dawid_skene(data, smoothing=SMOOTHING)
    return None if isinstance(fitted, Undefined) else fitted


def _modelled(model: DawidSkene | None) -> dict[str, tuple[str | None, float]]:
    if model is None:
        return {}
    highest = model.posterior.max(axis=1).tolist()
    return {
        str(unit): (None if isinstance(value, Undefined) else str(value), share)
        for (unit, value), share in zip(model.labels().items(), highest, strict=True)
    }


# Segments


def _of_segments(
    measured: measures.Measured, rules: Rules, found: Sequence[Adjudication]
) -> tuple[dict[str, tuple[Decided, ...]], tuple[Decision, ...], tuple[Vote, ...]]:
    segments, label = measured.segments, measured.label.source
    if segments is None:
        raise TypeError("A segment's consensus is made from segments.")
    made = consensus_segments(
        segments, label, close_gap_us=rules.close_gap_us, minimum_us=rules.minimum_us
    )
    votes = _votes(segments, label)
    by_recording: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_recording[vote.recording].append(vote)
    rows: dict[str, list[Adjudication]] = defaultdict(list)
    for row in found:
        rows[str(row.recording_id)].append(row)
    won: dict[str, list[Span]] = defaultdict(list)
    tied: dict[str, list[Span]] = defaultdict(list)
    for spans, into in ((made.segments, won), (made.undecided, tied)):
        for span in spans:
            into[str(span.recording)].append((span.start_us, span.end_us))
    answers: dict[str, tuple[Decided, ...]] = {}
    decisions: list[Decision] = []
    for who, raters in measured.roster.items():
        decided = [(_span(row), _decided(row)) for row in rows.get(who, ())]
        stretches = overridden(won[who], decided, minimum_us=rules.minimum_us)
        share = MarkedShare(by_recording[who], len(raters))
        said = [
            Decided(label, share(start, end), start, end, len(raters), adjudicated)
            for start, end, adjudicated in stretches
        ]
        inside = [span for span, _ in decided]
        for piece in tied[who]:
            for start, end in without([piece], inside):
                said.append(Decided(None, share(start, end), start, end, len(raters)))
        answers[who] = tuple(sorted(said, key=lambda one: one.start_us or 0))
        for row in rows.get(who, ()):
            marked = share(*_span(row))
            decisions.append(
                _decision(row, initial=None, share=marked if row.value == PRESENT else 1 - marked)
            )
    return answers, tuple(decisions), votes


def _votes(segments: Segments, label: str) -> tuple[Vote, ...]:
    """How many marked each stretch between two boundaries; unmarked time has no row."""
    runs = segments.runs(label)
    marked = (runs.codes == 1).sum(axis=1).tolist()
    raters = (runs.codes >= 0).sum(axis=1).tolist()
    found, begin, before = [], 0, -1
    for index, (recording, length) in enumerate(
        zip(runs.recording.tolist(), runs.duration_us.tolist(), strict=True)
    ):
        if recording != before:
            begin, before = 0, recording
        if marked[index]:
            name = str(runs.recordings[recording])
            end = begin + length
            found.append(Vote(name, begin, end, label, marked[index], raters[index]))
        begin += length
    return tuple(found)


def _span(row: Adjudication) -> Span:
    return row.start_us or 0, row.end_us or 0


def _decided(row: Adjudication) -> Span | None:
    if row.value != PRESENT or row.decided_start_us is None or row.decided_end_us is None:
        return None
    return row.decided_start_us, row.decided_end_us


def _decision(row: Adjudication, *, initial: str | None, share: float) -> Decision:
    return Decision(
        adjudication=row.pk,
        recording=str(row.recording_id),
        value=row.value,
        start_us=row.start_us,
        end_us=row.end_us,
        decided_start_us=row.decided_start_us,
        decided_end_us=row.decided_end_us,
        initial=initial,
        share=share,
        is_synthetic=row.is_synthetic,
    )


def counts_of(consensus: Consensus) -> dict[str, int]:
    """Give how many answers a consensus has, and how many of which kind."""
    said = [one for answers in consensus.answers.values() for one in answers]
    return {
        "answers": len(said),
        "undecided": sum(one.value is None for one in said),
        "adjudicated": len(consensus.decisions),
        "flagged": sum(one.flagged for one in said),
        "prelabelled": len(consensus.prelabelled),
    }


def rows_of(consensus: Consensus) -> Iterator[tuple[str, Decided]]:
    """Give every answer with its recording's key."""
    for recording, answers in consensus.answers.items():
        for one in answers:
            yield recording, one

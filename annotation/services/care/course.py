"""A rater's course over time: do they agree less with known answers, or with the others?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from uuid import UUID

from annotation.agreement import ConsensusSpan, Undefined, drift
from annotation.agreement.drift import Drift
from annotation.codebooks import Measurable
from annotation.services.care.compared import compared
from annotation.services.care.controls import Scored
from annotation.services.care.figure import Figure, because
from annotation.services.care.material import Material
from annotation.services.gold import RIGHT_FROM

WINDOW_GOLD, WINDOW_OTHERS = 10, 20
Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Course:
    """Agreement item by item, oldest first, and what came of it.

    `items`  (when submitted, share of the labels that agree).
    `found`  rolling shares and the CUSUM, or `Undefined` with too few items.
    `window` how many items one rolling share takes in.
    """

    key: str
    title: str
    items: tuple[tuple[datetime, float], ...]
    found: Drift | Undefined
    window: int

    @property
    def figure(self) -> Figure:
        """Give the newest rolling share, with a sentence where the agreement fell."""
        if isinstance(self.found, Undefined):
            value: float | Undefined = self.found
            means, attention = "", ""
        else:
            value = self.found.points[-1].share
            means = (
                f"Share of the last {self.window} items; the first {self.window} had "
                f"{100 * self.found.points[0].share:.0f} %. A CUSUM (Page 1954) watches for a fall."
            )
            attention = (
                f"Lower since {self.found.changed_at:%-d %B %Y}, noticed on "
                f"{self.found.noticed_at:%-d %B %Y}: a break, or a talk about examples, may help."
                if self.found.noticed_at is not None and self.found.changed_at is not None
                else ""
            )
        return Figure(
            key=self.key,
            title=self.title,
            value=value,
            n=len(self.items),
            of="items",
            means=because(
                value,
                means=means,
                why=f"{len(self.items)} items so far; more than {self.window} are needed.",
            ),
            attention=attention,
        )


def with_gold(items: Sequence[Scored]) -> Course:
    """Follow the agreement with known answers: the share of labels that are right, per item."""
    return _course(
        "drift:gold",
        "Known answers over time",
        [
            (item.submission.at, sum(item.right.values()) / len(item.right))
            for item in items
            if item.right
        ],
        WINDOW_GOLD,
    )


def with_others(material: Material, rater: UUID, pass_id: str) -> Course:
    """Follow the agreement with the majority of the others, label by label, per recording.

    A label of the clip agrees when it is what most of the others said, a marked label when its
    time overlaps by half with what more than half of the others marked. Ties are left out. A number
    agrees by how near it is to the others' mean: 1 when equal, 0 when a whole scale apart.
    """
    agreed: dict[UUID, list[float]] = defaultdict(list)
    at: dict[UUID, datetime] = {}
    for each in material.measurables():
        if each.pass_id != pass_id:
            continue
        work = compared(material, each)
        shared = work.shared_by(rater)
        at |= {
            s.recording: s.at for _, s, _ in work.rows if s.rater == rater and s.recording in shared
        }
        judge = _segments_agree if each.unit == "segment" else _answers_agree
        if each.scale == "interval":
            judge = _numbers_agree
        for recording, agrees in judge(material, each, rater, shared).items():
            agreed[recording].append(agrees)
    return _course(
        f"drift:{pass_id}",
        f"The others' majority over time ({material.codebook.pass_(pass_id).title.lower()})",
        sorted((at[recording], sum(each) / len(each)) for recording, each in agreed.items()),
        WINDOW_OTHERS,
    )


def _course(key: str, title: str, items: list[tuple[datetime, float]], window: int) -> Course:
    found = drift(
        ["rater"] * len(items),
        [at for at, _ in items],
        [share for _, share in items],
        window=window,
    )
    return Course(key, title, tuple(items), found.get("rater", Undefined("too_few_units")), window)


def _answers_agree(
    material: Material, measurable: Measurable, rater: UUID, shared: set[UUID]
) -> dict[UUID, float]:
    own: dict[UUID, str] = {}
    votes: dict[UUID, Counter[str]] = defaultdict(Counter)
    for _, each, annotation in compared(material, measurable).rows:
        value = material.value(annotation, measurable)
        if each.recording not in shared or value is None:
            continue
        if each.rater == rater:
            own[each.recording] = value
        else:
            votes[each.recording][value] += 1
    found: dict[UUID, float] = {}
    for recording, value in own.items():
        most = votes[recording].most_common(2)
        if most and (len(most) == 1 or most[0][1] > most[1][1]):
            found[recording] = value == most[0][0]
    return found


def _numbers_agree(
    material: Material, measurable: Measurable, rater: UUID, shared: set[UUID]
) -> dict[UUID, float]:
    own: dict[UUID, float] = {}
    others: dict[UUID, list[float]] = defaultdict(list)
    for _, each, annotation in compared(material, measurable).rows:
        value = material.value(annotation, measurable)
        if each.recording in shared and value is not None:
            if each.rater == rater:
                own[each.recording] = float(value)
            else:
                others[each.recording].append(float(value))
    whole = float(measurable.values[-1]) - float(measurable.values[0])
    return {
        recording: 1 - min(abs(number - fmean(others[recording])) / whole, 1)
        for recording, number in own.items()
        if others[recording]
    }


def _segments_agree(
    material: Material, measurable: Measurable, rater: UUID, shared: set[UUID]
) -> dict[UUID, float]:
    if not shared:
        return {}
    work = compared(material, measurable)
    found = work.others_marked(rater)
    agreed, tied = _by_recording(found.segments), _by_recording(found.undecided)
    answers: dict[UUID, float] = {}
    for _, each, annotation in work.rows:
        if each.rater != rater or each.recording not in shared:
            continue
        name = str(each.recording)
        # Where the others are tied on most of what they mark, there is no majority to agree with.
        if _length(tied[name]) > _length(agreed[name]):
            continue
        own = [
            (start, end)
            for start, end, label in material.spans.get(annotation, ())
            if label == measurable.source
        ]
        answers[each.recording] = _alike(own, agreed[name])
    return answers


def _by_recording(spans: Sequence[ConsensusSpan]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for span in spans:
        found[str(span.recording)].append((span.start_us, span.end_us))
    return found


def _alike(one: Spans, other: Spans) -> bool:
    """Tell whether marked time overlaps by half of what either marks, or neither marks any."""
    either = _length([*one, *other])
    if not either:
        return True
    both = _length(one) + _length(other) - either
    return both >= RIGHT_FROM * either


def _length(spans: Spans) -> int:
    """Give the time that at least one of the spans covers, in microseconds."""
    total, reached = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total

"""Blind controls: items whose answer is known, and items that the rater labelled before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from uuid import UUID

from annotation.agreement import Ratings, coefficients, gold_accuracy, intra_rater, sufficient
from annotation.agreement.coefficients import Coefficients
from annotation.agreement.raters import GoldAccuracy
from annotation.agreement.results import Undefined, Value
from annotation.codebooks import Measurable
from annotation.models import Batch, GoldItem
from annotation.services import gold
from annotation.services.care.figure import Figure, because
from annotation.services.care.material import Material, Submission, segments

FEWEST_REPEATS = 5
RIGHT, WRONG = "right", "wrong"
LOW_ACCURACY = 0.7
LOW_REPEATS = 0.667
_NOTHING = GoldAccuracy(
    0, 0, Undefined("no_ratings"), Undefined("no_ratings"), Undefined("no_ratings")
)


@dataclass(frozen=True, slots=True)
class Scored:
    """One blind control item: when it was submitted, and which labels equal the known answer."""

    submission: Submission
    right: dict[str, bool]

    @property
    def all_right(self) -> bool:
        """Tell whether every label equals the known answer."""
        return all(self.right.values())


@dataclass(frozen=True, slots=True)
class Pair:
    """A recording that a rater labelled, and labelled again without being told."""

    first: Submission
    again: Submission
    between: int  # other submissions of the rater in between


def scored(material: Material, rater: UUID) -> list[Scored]:
    """Compare the rater's blind control items with their known answers, oldest first.

    The answer that was accepted first counts. Items whose known answer was taken out of use are
    compared with the newest that there was.
    """
    own = [
        each
        for each in material.of(rater)
        if each.is_gold and each.repeat == 0 and each.kind == Batch.Kind.WORK
    ]
    known: dict[tuple[UUID, str], GoldItem] = {}
    rows = GoldItem.objects.filter(
        codebook=material.version, recording__in={each.recording for each in own}
    ).select_related("recording")
    # An answer in use stands before retired ones, the newest of these before older ones.
    for row in sorted(
        rows, key=lambda row: (row.retired_at is not None, -row.created_at.timestamp())
    ):
        known.setdefault((row.recording_id, row.pass_id), row)
    found = []
    for each in own:
        answer = known.get((each.recording, each.pass_id))
        if answer is not None:
            scores = gold.compare(material.said(each.first), answer, codebook=material.codebook)
            found.append(Scored(each, {name: score.right for name, score in scores.items()}))
    return found


def accuracy(items: Sequence[Scored], label: str | None = None) -> GoldAccuracy:
    """Give the share of control items with the right answer: of one label, or of all at once."""
    judged = [
        (str(item.submission.assignment), item.all_right if label is None else item.right[label])
        for item in items
        if label is None or label in item.right
    ]
    table = Ratings.from_long(
        [unit for unit, _ in judged],
        ["rater"] * len(judged),
        [RIGHT if is_right else WRONG for _, is_right in judged],
        scale="nominal",
        values=[RIGHT, WRONG],
    )
    return gold_accuracy(table, {unit: RIGHT for unit, _ in judged}).get("rater", _NOTHING)


def gold_figures(material: Material, items: Sequence[Scored]) -> list[Figure]:
    """Give the share of right answers in control items: of all labels at once, and of each."""
    rules = (
        "A marked label is right when marked time and known answer overlap by at least half of "
        "what either marks."
    )
    found = [
        _of_gold(
            "gold",
            "Control items answered right",
            accuracy(items),
            "Control items in which every label that the study is after is as in the known "
            f"answer. {rules}",
        )
    ]
    found += [
        _of_gold(
            f"gold:{each.name}",
            material.title_of(each),
            accuracy(items, each.name),
            "Control items in which this label is as in the known answer.",
        )
        for each in material.measurables()
        if any(each.name in item.right for item in items)
    ]
    return found


def _of_gold(key: str, title: str, found: GoldAccuracy, means: str) -> Figure:
    attention = ""
    if not isinstance(found.high, Undefined) and found.high < LOW_ACCURACY:
        attention = (
            f"Even the upper end of the interval lies below {LOW_ACCURACY:.0%}: look at the "
            "answers together, the instructions may be read differently."
        )
    return Figure(
        key=key,
        title=title,
        value=found.accuracy,
        low=found.low,
        high=found.high,
        n=found.n,
        of="control items",
        means=because(
            found.accuracy,
            means=means,
            why="No control item with a known answer has been submitted yet.",
        ),
        attention=attention,
    )


def pairs(material: Material, rater: UUID) -> list[Pair]:
    """Find the recordings that a rater labelled twice in real work, oldest repeat first."""
    own = [each for each in material.of(rater) if each.kind == Batch.Kind.WORK]
    place = {each.assignment: number for number, each in enumerate(own)}
    first = {(each.recording, each.pass_id): each for each in own if each.repeat == 0}
    return [
        Pair(
            first=before,
            again=each,
            between=abs(place[each.assignment] - place[before.assignment]) - 1,
        )
        for each in own
        if each.repeat == 1 and (before := first.get((each.recording, each.pass_id))) is not None
    ]


def with_self(material: Material, measurable: Measurable, found: Sequence[Pair]) -> Coefficients:
    """Give the agreement of a rater with themselves: the two occasions play the raters' part."""
    rows = [
        (occasion, each, each.first)
        for pair in found
        if pair.first.pass_id == measurable.pass_id
        for occasion, each in (("first", pair.first), ("again", pair.again))
    ]
    if measurable.unit == "segment":
        runs = segments(material, measurable, rows).on_grid().runs(measurable.source)
        return coefficients(sufficient(runs))
    columns = [
        (str(each.recording), occasion, material.value(annotation, measurable), each.participant)
        for occasion, each, annotation in rows
    ]
    of_rater = intra_rater(
        [unit for unit, _, _, _ in columns],
        ["rater"] * len(columns),
        [occasion for _, occasion, _, _ in columns],
        [value for _, _, value, _ in columns],
        scale=measurable.scale,
        values=measurable.values,
        cluster=[str(participant) for _, _, _, participant in columns],
    )
    return of_rater["rater"]


def repeat_figures(material: Material, found: Sequence[Pair]) -> list[Figure]:
    """Give alpha and percent agreement of a rater with themselves, label by label."""
    by_pass: dict[str, int] = defaultdict(int)
    for pair in found:
        by_pass[pair.first.pass_id] += 1
    if not found:
        return [
            Figure(
                key="repeats",
                title="The same recording twice",
                value=Undefined("no_pairs"),
                n=0,
                of="recordings",
                unit="coefficient",
                means="No recording has been labelled a second time yet.",
            )
        ]
    gap = _gap(found)
    figures = []
    for each in material.measurables():
        n = by_pass[each.pass_id]
        if not n:
            continue
        alpha, percent = _twice(material, each, found, n)
        few = f"Only {n} recordings were labelled twice; {FEWEST_REPEATS} are needed to say more."
        attention = ""
        if not isinstance(alpha, Undefined) and alpha < LOW_REPEATS:
            attention = (
                f"The rater's own answers differ between two times (α below {LOW_REPEATS}): ask "
                "what made them decide."
            )
        figures.append(
            Figure(
                key=f"repeats:{each.name}",
                title=f"{material.title_of(each)}: α with themselves",
                value=alpha,
                n=n,
                of="recordings labelled twice",
                unit="coefficient",
                means=because(
                    alpha,
                    means=f"Agreement of the first time with the second, chance taken out. {gap}",
                    why=few if n < FEWEST_REPEATS else "",
                ),
                attention=attention,
            )
        )
        figures.append(
            Figure(
                key=f"repeats:{each.name}:percent",
                title=f"{material.title_of(each)}: same answer",
                value=percent,
                n=n,
                of="recordings labelled twice",
                means=because(
                    percent,
                    means="Share of time with the same label both times."
                    if each.unit == "segment"
                    else "Share of recordings with the same answer both times.",
                    why=few if n < FEWEST_REPEATS else "",
                ),
            )
        )
    return figures


def _twice(
    material: Material, measurable: Measurable, found: Sequence[Pair], n: int
) -> tuple[Value, Value]:
    if n < FEWEST_REPEATS:
        return Undefined("too_few_units"), Undefined("too_few_units")
    both = with_self(material, measurable, found)
    return both.alpha, both.percent


def _gap(found: Sequence[Pair]) -> str:
    items = median(pair.between for pair in found)
    days = median((pair.again.at - pair.first.at) / timedelta(days=1) for pair in found)
    return f"In between lay {items:.0f} other recordings and {days:.1f} days (medians)."

"""A rater beside the other raters: agreement, what they use more often, where they set boundaries.

Only what the gate would look at enters: real work without pre-labels, no controls. What others say
is compared with what one rater says; neither is the truth.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import fmean
from uuid import UUID

import numpy as np

from annotation.agreement import Ratings, Runs, Segments, event_agreement
from annotation.agreement.results import Undefined, Value
from annotation.codebooks import Measurable
from annotation.services.care.compared import Compared, compared
from annotation.services.care.figure import Figure, because, mean_of
from annotation.services.care.material import Material
from annotation.services.gold import RIGHT_FROM, TICK_US

RATER, OTHERS = "rater", "the others"
FEWEST_RECORDINGS = 5
FEWEST_MATCHES = 5
GAIN = 0.05
LOW_ALPHA = 0.4
FAR_US = 500_000
FAR_LEVEL = 0.15
MOST_VALUES = 8


@dataclass(frozen=True, slots=True)
class Beside:
    """One rater's agreement with the others on one label.

    `alpha`     of all raters; `without` of all but this one.
    `mean_pairwise`  mean of alpha with each other rater who shares recordings; `pairs` of them.
    `shared`    recordings that the rater and somebody else labelled.
    """

    alpha: Value
    without: Value
    mean_pairwise: Value
    pairs: int
    shared: int


def beside(material: Material, measurable: Measurable, rater: UUID) -> Beside:
    """Measure how one rater agrees with the others on one label."""
    found = compared(material, measurable)
    shared = found.shared_by(rater)
    nothing = Undefined("no_pairs")
    if not shared:
        return Beside(nothing, nothing, nothing, 0, 0)
    mine = found.with_each_other(rater)
    defined = [value for value in mine if not isinstance(value, Undefined)]
    reasons = [value for value in mine if isinstance(value, Undefined)]
    return Beside(
        alpha=found.alpha,
        without=found.without(rater),
        mean_pairwise=mean_of(defined) if defined else reasons[0],
        pairs=len(defined),
        shared=len(shared),
    )


def agreement_figures(material: Material, measurable: Measurable, rater: UUID) -> list[Figure]:
    """Give mean pairwise alpha, and how alpha changes without this rater."""
    found, title = beside(material, measurable, rater), material.title_of(measurable)
    none = "No recording of theirs was labelled by another rater yet, without pre-labels."
    gain: Value = Undefined("no_pairs")
    for value in (found.alpha, found.without):
        if isinstance(value, Undefined):
            gain = value
    if not isinstance(found.alpha, Undefined) and not isinstance(found.without, Undefined):
        gain = found.without - found.alpha
    return [
        Figure(
            key=f"pairwise:{measurable.name}",
            title=f"{title}: mean α with each other rater",
            value=found.mean_pairwise,
            n=found.shared,
            of="recordings shared with others",
            unit="coefficient",
            means=because(
                found.mean_pairwise,
                means=f"Mean of Krippendorff's α with each of {found.pairs} other "
                f"rater{'s' if found.pairs != 1 else ''}, chance taken out.",
                why="" if found.shared else none,
            ),
            attention="Agreement with the others is low on this label: talk about examples."
            if not isinstance(found.mean_pairwise, Undefined)
            and found.mean_pairwise < LOW_ALPHA
            and found.shared >= FEWEST_RECORDINGS
            else "",
        ),
        Figure(
            key=f"without:{measurable.name}",
            title=f"{title}: change of α without this rater",
            value=gain,
            n=found.shared,
            of="recordings shared with others",
            unit="difference",
            means=because(
                gain,
                means="Above 0: the other raters agree better among themselves.",
                why="There is no α to compare: too few raters share recordings."
                if not found.shared or gain == Undefined("no_pairs")
                else "",
            ),
            attention="The others agree clearly better without this rater, who may read the "
            "codebook in another way."
            if not isinstance(gain, Undefined) and gain > GAIN and found.shared >= FEWEST_RECORDINGS
            else "",
        ),
    ]


def usage_figures(material: Material, measurable: Measurable, rater: UUID) -> list[Figure]:
    """Give how often the rater uses each value, divided by how often the others do there."""
    found = compared(material, measurable)
    shared = found.shared_by(rater)
    table = found.table if shared else None
    if measurable.scale == "interval":
        return [_level_figure(material, measurable, rater, shared)]
    figures = []
    for value in _asked(found, rater, shared):
        own, others = _shares(table, str(rater), value) if table is not None else (None, None)
        ratio: Value = Undefined("no_ratings")
        if own is not None and others is not None:
            ratio = own / others if others > 0 else Undefined("absent")
        name = f" “{value}”" if len(measurable.values) > 2 else ""
        what = "time" if measurable.unit == "segment" else "recordings"
        figures.append(
            Figure(
                key=f"usage:{measurable.name}:{value}",
                title=f"{material.title_of(measurable)}{name}: used against the others",
                value=ratio,
                n=len(shared),
                of="recordings shared with others",
                unit="ratio",
                means=because(
                    ratio,
                    means=f"{100 * (own or 0):.0f} % of the {what} by this rater, "
                    f"{100 * (others or 0):.0f} % by the others there; 1 is as often.",
                    why=f"The others never used it there; this rater did in {100 * (own or 0):.0f} "
                    f"% of the {what}."
                    if others == 0
                    else "No recording of theirs was labelled by another rater yet, without "
                    "pre-labels.",
                ),
                attention=_far_from_one(ratio, len(shared)),
            )
        )
    return figures


def _asked(work: Compared, rater: UUID, shared: set[UUID]) -> list[str]:
    """Give the values to compare: of two the second, of many those used most there."""
    values = work.measurable.values
    if len(values) <= MOST_VALUES:
        return list(values[1:] if len(values) == 2 else values)
    used = Counter(
        work.material.value(annotation, work.measurable)
        for _, each, annotation in work.rows
        if each.recording in shared
    )
    return [value for value, _ in used.most_common(MOST_VALUES) if value is not None]


def _level_figure(
    material: Material, measurable: Measurable, rater: UUID, shared: set[UUID]
) -> Figure:
    """Give how much higher or lower the rater's numbers are than the others' there, on average."""
    own: dict[UUID, float] = {}
    others: dict[UUID, list[float]] = defaultdict(list)
    for _, each, annotation in compared(material, measurable).rows:
        value = material.value(annotation, measurable)
        if value is None or each.recording not in shared:
            continue
        if each.rater == rater:
            own[each.recording] = float(value)
        else:
            others[each.recording].append(float(value))
    apart = [number - fmean(others[key]) for key, number in own.items() if others[key]]
    mean = mean_of(apart)
    ends = [float(value) for value in (measurable.values[0], measurable.values[-1])]
    far = not isinstance(mean, Undefined) and abs(mean) > FAR_LEVEL * (ends[1] - ends[0])
    return Figure(
        key=f"usage:{measurable.name}:level",
        title=f"{material.title_of(measurable)}: level against the others",
        value=mean,
        n=len(apart),
        of="recordings shared with others",
        unit="difference",
        means=because(
            mean,
            means="Mean of the rater's number minus the others' mean, recording by recording; the "
            f"scale goes from {ends[0]:g} to {ends[1]:g}.",
            why="No recording of theirs was rated by another rater yet, without pre-labels.",
        ),
        attention="The rater's numbers lie clearly apart from the others'."
        if far and len(apart) >= FEWEST_RECORDINGS
        else "",
    )


def _far_from_one(ratio: Value, n: int) -> str:
    if isinstance(ratio, Undefined) or n < FEWEST_RECORDINGS or 0.5 <= ratio <= 2:
        return ""
    return f"Used {'more than twice' if ratio > 2 else 'less than half'} as often as by the others."


def _shares(table: Ratings | Runs, rater: str, value: str) -> tuple[float | None, float | None]:
    """Share of a value by one rater, and by the others where that rater answered too."""
    code = table.values.index(value)
    who = table.raters.index(rater) if rater in table.raters else None
    if who is None:
        return None, None
    if isinstance(table, Runs):
        answered = table.codes[:, who] >= 0
        weight, codes = table.weight[answered], table.codes[answered]
        rest = np.delete(codes, who, axis=1)
        given = (rest >= 0).sum(axis=1)
        both = given > 0
        own = float(((codes[:, who] == code) * weight)[both].sum() / weight[both].sum())
        share = (rest == code).sum(axis=1)[both] / given[both]
        return own, float((share * weight[both]).sum() / weight[both].sum())
    mine = {
        int(u): int(c)
        for u, r, c in zip(table.unit, table.rater, table.code, strict=True)
        if r == who
    }
    rest_of: dict[int, list[bool]] = defaultdict(list)
    for unit, by, given_code in zip(table.unit, table.rater, table.code, strict=True):
        if by != who and int(unit) in mine:
            rest_of[int(unit)].append(int(given_code) == code)
    if not rest_of:
        return None, None
    own_share = sum(mine[unit] == code for unit in rest_of) / len(rest_of)
    return own_share, sum(sum(each) / len(each) for each in rest_of.values()) / len(rest_of)


def boundary_figures(material: Material, measurable: Measurable, rater: UUID) -> list[Figure]:
    """Give the mean signed distance of the rater's boundaries from the others' consensus."""
    if measurable.unit != "segment":
        return []
    shared = compared(material, measurable).shared_by(rater)
    onset, offset, n = _bias(material, measurable, rater, shared)
    figures = []
    for name, value, early, late in (
        ("onset", onset, "begin before", "begin after"),
        ("offset", offset, "end before", "end after"),
    ):
        attention = ""
        if not isinstance(value, Undefined) and abs(value) * 1e6 > FAR_US:
            attention = f"Their segments {early if value < 0 else late} the others', on average."
        figures.append(
            Figure(
                key=f"boundary:{measurable.name}:{name}",
                title=f"{material.title_of(measurable)}: {name}",
                value=value,
                n=n,
                of="segments that the others marked too",
                unit="seconds",
                means=because(
                    value,
                    means=f"Mean difference to where more than half of the others set the {name}: "
                    "below 0 earlier, above 0 later.",
                    why=f"Only {n} segments of theirs match one of the others'; "
                    f"{FEWEST_MATCHES} are needed."
                    if shared
                    else "No recording of theirs was labelled by another rater yet, without "
                    "pre-labels.",
                ),
                attention=attention,
            )
        )
    return figures


def _bias(
    material: Material, measurable: Measurable, rater: UUID, shared: set[UUID]
) -> tuple[Value, Value, int]:
    """Signed onset and offset in seconds, and the number of matched segments."""
    few = Undefined("too_few_units")
    if not shared:
        return few, few, 0
    work = compared(material, measurable)
    mine = [row for row in work.rows if row[1].rater == rater and row[1].recording in shared]
    agreed = work.others_marked(rater).segments
    known = {str(each.recording): each for _, each, _ in mine}
    marked = [
        (str(each.recording), RATER, start, end)
        for _, each, annotation in mine
        for start, end, label in material.spans.get(annotation, ())
        if label == measurable.source
    ]
    marked += [(str(s.recording), OTHERS, s.start_us, s.end_us) for s in agreed]
    marked = [row for row in marked if row[0] in known]
    roster: dict[Hashable, tuple[str, str]] = dict.fromkeys(known, (RATER, OTHERS))
    both = Segments.from_rows(
        [row[0] for row in marked],
        [row[1] for row in marked],
        [row[2] for row in marked],
        [row[3] for row in marked],
        [measurable.source] * len(marked),
        roster=roster,
        durations={name: max(each.duration_us, 1) for name, each in known.items()},
        tick_us=TICK_US,
        labels=[measurable.source],
    )
    found = event_agreement(both, iou=RIGHT_FROM).bias[RATER]
    if found.n_matched < FEWEST_MATCHES:
        return few, few, found.n_matched
    onset, offset = found.onset_us, found.offset_us
    return (
        onset if isinstance(onset, Undefined) else onset / 1e6,
        offset if isinstance(offset, Undefined) else offset / 1e6,
        found.n_matched,
    )

"""Segments that are too much like another rater's to be two people's work. For leads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import UUID

from annotation.agreement.results import Undefined, Value
from annotation.services.care.figure import Figure, because
from annotation.services.care.material import Material, Submission

MANY_COPIES, MANY_COPIED = 3, 0.05


@dataclass(frozen=True, slots=True)
class Copies:
    """Segments whose two ends are to the microsecond those of another rater's.

    Two hands on a mouse rarely meet so exactly: `same` of `n` segments do, most with `most_with`.
    """

    same: int
    n: int
    most_with: UUID | None


def copies(material: Material, rater: UUID) -> Copies:
    """Count a rater's segments that begin and end exactly where another rater's does.

    Segments that begin or end with the recording are left out: these edges are easy to meet.
    """
    ends = _ends(material)
    met: Counter[UUID] = Counter()
    same = n = 0
    for each in material.of(rater):
        others = ends.raters.get((each.recording, each.pass_id), set()) - {rater}
        if not each.counts_for_agreement or not others:
            continue
        for start, end, label in _inside(material, each):
            n += 1
            found = ends.theirs[each.recording, start, end, label] - {rater}
            same += bool(found)
            met.update(found)
    return Copies(same, n, met.most_common(1)[0][0] if met else None)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Who labelled each recording in each pass, and who marked each very stretch."""

    raters: dict[tuple[UUID, str], set[UUID]]
    theirs: dict[tuple[UUID, int, int, str], set[UUID]]


def _ends(material: Material) -> _Ends:
    if "ends" not in material.kept:
        made = _Ends(defaultdict(set), defaultdict(set))
        for each in material.submissions:
            if each.counts_for_agreement:
                made.raters[each.recording, each.pass_id].add(each.rater)
                for start, end, label in _inside(material, each):
                    made.theirs[each.recording, start, end, label].add(each.rater)
        material.kept["ends"] = made
    found: _Ends = material.kept["ends"]
    return found


def copy_figure(found: Copies, name: str) -> Figure:
    """Give the share of segments that are to the microsecond another rater's. For leads only."""
    share: Value = found.same / found.n if found.n else Undefined("no_segments")
    return Figure(
        key="copies",
        title="Segments with exactly another rater's ends",
        value=share,
        n=found.n,
        of="segments in shared recordings",
        means=because(
            share,
            means="Two people who draw by hand hardly ever set both ends to the same microsecond."
            + (f" Most often the same as {name}'s." if name else ""),
            why="No segments in recordings that another rater labelled too.",
        ),
        attention="So many equal segments are no chance: ask how they came about."
        if not isinstance(share, Undefined) and found.same >= MANY_COPIES and share > MANY_COPIED
        else "",
    )


def _inside(material: Material, each: Submission) -> list[tuple[int, int, str]]:
    return [
        (start, end, label)
        for start, end, label in material.spans.get(each.standing, ())
        if start > 0 and end < each.duration_us
    ]

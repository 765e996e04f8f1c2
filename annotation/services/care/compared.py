"""One label's work that counts for agreement, and what several figures need of it, kept."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any
from uuid import UUID

from annotation.agreement import (
    Ratings,
    Runs,
    Segments,
    coefficients,
    consensus_segments,
    pairwise,
    sufficient,
)
from annotation.agreement.consensus import SegmentConsensus
from annotation.agreement.results import Undefined, Value
from annotation.codebooks import Measurable
from annotation.services.care.material import Material, Named, data, segments


class Compared:
    """What raters said of one label in real work, without pre-labels and without controls.

    Everything is computed when it is first asked for and kept, because the pages ask the same of
    one rater after another.
    """

    def __init__(self, material: Material, measurable: Measurable) -> None:
        self.material, self.measurable = material, measurable
        self.rows: list[Named] = [
            (str(each.rater), each, each.standing)
            for each in material.submissions
            if each.pass_id == measurable.pass_id and each.counts_for_agreement
        ]
        self._consensus: dict[UUID, SegmentConsensus] = {}

    @cached_property
    def raters_of(self) -> dict[UUID, set[UUID]]:
        """Give who labelled each recording."""
        found: dict[UUID, set[UUID]] = defaultdict(set)
        for _, each, _ in self.rows:
            found[each.recording].add(each.rater)
        return found

    def shared_by(self, rater: UUID) -> set[UUID]:
        """Give the recordings that the rater and at least one other labelled."""
        return {
            recording
            for recording, raters in self.raters_of.items()
            if len(raters) > 1 and rater in raters
        }

    @cached_property
    def marked(self) -> Segments:
        """Give the marked stretches of a segment label."""
        return segments(self.material, self.measurable, self.rows)

    @cached_property
    def table(self) -> Ratings | Runs:
        """Give what coefficients are computed from: answers, or the timeline in ticks."""
        if self.measurable.unit == "segment":
            return self.marked.on_grid().runs(self.measurable.source)
        return data(self.material, self.measurable, self.rows)

    @cached_property
    def alpha(self) -> Value:
        """Give alpha of all raters."""
        return coefficients(sufficient(self.table)).alpha

    @cached_property
    def pairs(self) -> dict[Any, Value]:
        """Give alpha of every two raters."""
        return dict(pairwise(self.table))

    def with_each_other(self, rater: UUID) -> list[Value]:
        """Give alpha of the rater with each other one."""
        return [value for pair, value in self.pairs.items() if str(rater) in pair]

    def without(self, rater: UUID) -> Value:
        """Give alpha of the others; undefined where there is only one."""
        others = [name for name in self.table.raters if name != str(rater)]
        if len(others) < 2:
            return Undefined("no_pairs")
        return coefficients(sufficient(self.table.only_raters(others))).alpha

    def others_marked(self, rater: UUID) -> SegmentConsensus:
        """Give what more than half of the others marked, and where they are tied."""
        if rater not in self._consensus:
            others = [name for name in self.marked.raters if name != str(rater)]
            self._consensus[rater] = consensus_segments(
                self.marked.only_raters(others), self.measurable.source
            )
        return self._consensus[rater]


def compared(material: Material, measurable: Measurable) -> Compared:
    """Give the work on one label, kept with the material."""
    key = ("compared", measurable.name)
    if key not in material.kept:
        material.kept[key] = Compared(material, measurable)
    found: Compared = material.kept[key]
    return found

"""The anchoring experiment as a page, a picture and a table; one source for the three.

This module loads numpy; views import it where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annotation.agreement import Undefined
from annotation.agreement.results import Value
from waver.datasets import figures
from waver.datasets.anchoring import RESAMPLES, Anchoring, Arm, Difference
from waver.datasets.models import GateRun
from waver.website import plots
from waver.website.plots.differences import signed
from waver.website.plots.drawing import Caption, number
from waver.website.queries.agreement import source
from waver.website.queries.figures import title_of, value_titles

COLUMNS = (
    "label", "what", "value", "with_prelabels", "without_prelabels", "difference", "low", "high",
    "undefined_because", "recordings_with", "recordings_without", "participants_with",
    "participants_without", "participants_in_both", "submissions_with", "submissions_without",
    "rated_with", "rated_without", "unit",
)  # fmt: skip
NO_DIFFERENCE = "its interval includes 0: no difference is shown"


@dataclass(frozen=True)
class Line:
    """One comparison: alpha, or the rate of one value."""

    what: str
    value: str
    shown: Value
    blind: Value
    found: Difference

    @property
    def is_rate(self) -> bool:
        """Tell whether it is a share."""
        return bool(self.value)

    @property
    def shown_text(self) -> str:
        """Write the number of the arm with pre-labels."""
        return _text(self.shown, self.is_rate)

    @property
    def blind_text(self) -> str:
        """Write the number of the arm without."""
        return _text(self.blind, self.is_rate)

    @property
    def difference_text(self) -> str:
        """Write the difference with its interval, in points of a percentage for rates."""
        found = self.found
        if found.value is None or found.low is None or found.high is None:
            return "–"
        if not self.is_rate:
            return f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]"
        ends = [signed(100 * value, 1) for value in (found.value, found.low, found.high)]
        return f"{ends[0]} [{ends[1]}, {ends[2]}] points"

    @property
    def reading(self) -> str:
        """Say in words what the difference shows, or why there is none."""
        found = self.found
        if found.value is None or found.low is None or found.high is None:
            return found.reason
        if found.low <= 0 <= found.high:
            return NO_DIFFERENCE
        more = found.value > 0
        if self.is_rate:
            return "given more with pre-labels" if more else "given less with pre-labels"
        return "raters agree more with pre-labels" if more else "raters agree less with them"


@dataclass(frozen=True)
class Comparison:
    """One label in both arms."""

    key: str
    title: str
    found: Anchoring
    lines: list[Line]

    @property
    def blind(self) -> Arm:
        """Give the arm without pre-labels."""
        return self.found.blind

    @property
    def shown(self) -> Arm:
        """Give the arm with them."""
        return self.found.shown

    @property
    def size_text(self) -> tuple[str, str]:
        """Write what was rated with and without pre-labels."""
        return _size(self.shown, self.is_timed), _size(self.blind, self.is_timed)

    @property
    def is_timed(self) -> bool:
        """Tell whether time was rated, not whole recordings."""
        return self.found.label.data == "segments"

    def rows(self) -> Iterable[list[Any]]:
        """Give the table's rows, in the order of COLUMNS."""
        for line in self.lines:
            found = line.found
            yield [
                self.key, "share of " + ("time" if self.is_timed else "clips") if line.is_rate
                else "alpha", line.value, _cell(line.shown), _cell(line.blind),
                *("" if v is None else v for v in (found.value, found.low, found.high)),
                found.reason, self.shown.recordings, self.blind.recordings,
                self.shown.participants, self.blind.participants, self.found.in_both,
                self.shown.submissions, self.blind.submissions, self.shown.size, self.blind.size,
                "seconds" if self.is_timed else "clips",
            ]  # fmt: skip


@dataclass(frozen=True)
class AnchoringPage:
    """The experiment in one look."""

    run: GateRun
    comparisons: list[Comparison]

    @property
    def has_both(self) -> bool:
        """Tell whether any label has recordings in both arms."""
        return any(one.shown.recordings and one.blind.recordings for one in self.comparisons)

    @property
    def has_few(self) -> bool:
        """Tell whether an arm has so few participants that intervals are too narrow."""
        return any(one.found.has_few for one in self.comparisons)

    def draw(self, *, alone: bool) -> str:
        """Draw all differences: of alpha on one axis, of the shares on another."""
        groups = [
            (
                "difference in Krippendorff's α",
                [self._gap(one, one.lines[0]) for one in self.comparisons],
            ),
            (
                "difference in the share labelled (of time or of clips)",
                [self._gap(one, line) for one in self.comparisons for line in one.lines[1:]],
            ),
        ]
        return plots.differences(groups, caption=self._caption(), alone=alone)

    def _gap(self, one: Comparison, line: Line) -> plots.Gap:
        found = line.found
        title = f"{line.what}, {one.title}" if line.is_rate else one.title
        return plots.Gap(title, found.value, found.low, found.high, found.reason)

    def _caption(self) -> Caption:
        arms = "; ".join(
            f"{one.title}: {one.shown.recordings} and {one.blind.recordings} recordings of "
            f"{one.shown.participants} and {one.blind.participants} participants"
            for one in self.comparisons
        )
        return Caption(
            "With pre-labels minus without",
            [
                (
                    f"95 % intervals, participants resampled ({RESAMPLES} times); filled squares: "
                    "the interval leaves out 0. More agreement with pre-labels is no sign of "
                    "better labels: raters who follow the machine agree with each other."
                ),
                f"n with and without pre-labels: {arms}.",
            ],
            source(self.run),
        )


def page(run: GateRun) -> AnchoringPage:
    """Compare the arms of every label that a look judged."""
    keys = list(figures.judged(run).items())
    return AnchoringPage(
        run,
        [
            Comparison(key, title_of(run, one), found, _lines(found, run, one))
            for (key, one), found in zip(keys, figures.arms(run), strict=True)
        ],
    )


def _lines(found: Anchoring, run: GateRun, one: figures.Judged) -> list[Line]:
    titles = value_titles(run, one.label)
    lines = [Line("agreement (α)", "", found.shown.alpha, found.blind.alpha, found.alpha)]
    for value, difference in found.rates.items():
        lines.append(
            Line(
                f"share “{titles.get(value, value)}”",
                value,
                found.shown.rates[value],
                found.blind.rates[value],
                difference,
            )
        )
    return lines


def _text(value: Value, is_rate: bool) -> str:
    if isinstance(value, Undefined):
        return "–"
    return f"{number(100 * value, 1)} %" if is_rate else number(value, 3)


def _cell(value: Value) -> Any:
    return "" if isinstance(value, Undefined) else value


def _size(arm: Arm, is_timed: bool) -> str:
    return f"{number(arm.size / 60, 1)} min" if is_timed else f"{number(arm.size, 0)} clips"

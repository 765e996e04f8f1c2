"""What a benchmark measures, beside which rival, and what it must reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bound:
    """What a figure must reach: `at least` or `at most` so many of its unit."""

    side: Literal["at least", "at most"]
    limit: float
    unit: str = "x"

    def is_met(self, figure: float) -> bool:
        """Whether `figure`, in the bound's unit, keeps the bound; exactly reaching it does."""
        return figure >= self.limit if self.side == "at least" else figure <= self.limit

    def __str__(self) -> str:
        return f"{self.side} {self.limit:,.10g} {self.unit}"


@dataclass(frozen=True)
class Row:
    """One line of a subject's table.

    case: what was measured. measured and rival: the values as text with units. ratio: as the
    subject's `ratio` says, the median where runs are paired; None where there is no rival.
    bound: None where the figure is only reported. figure: what the bound holds; the ratio if left
    out. note: how it was measured, where the title does not say.
    """

    case: str
    measured: str
    rival: str = ""
    ratio: float | None = None
    bound: Bound | None = None
    figure: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the bound is met; None without one. A bound without a figure is not met."""
        if self.bound is None:
            return None
        figure = self.ratio if self.figure is None else self.figure
        return figure is not None and self.bound.is_met(figure)


@dataclass(frozen=True)
class NotMeasured:
    """A line for what this machine cannot measure, with the reason as a sentence."""

    case: str
    reason: str


Line = Row | NotMeasured


@dataclass(frozen=True)
class Subject:
    """One benchmark. `measure` yields the table's lines as they are measured.

    rival: who is measured beside Waver in the same run, and how. ratio: what the ratio divides.
    versions: installed packages whose versions explain the figures.
    """

    name: str
    title: str
    rival: str
    ratio: str
    measure: Callable[[], Iterator[Line]]
    versions: tuple[str, ...] = ()
    only_by_name: bool = False

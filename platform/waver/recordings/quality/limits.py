"""What a study asks of a recording's figures: checked limits, and what falls short of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from waver.recordings.models import Quality
from waver.recordings.quality.catalogue import (
    AT_LEAST,
    AT_MOST,
    FIGURES,
    Figure,
    value_of,
    why_undefined,
)

Limits = Mapping[str, Mapping[str, float]]
"""{figure: {"at_least": number} or {"at_most": number}}"""


@dataclass(frozen=True)
class Shortfall:
    """A figure that falls short of a limit; `value` is None where it could not be measured."""

    figure: Figure
    bound: str
    limit: float
    value: float | None
    why: str = ""

    @property
    def sentence(self) -> str:
        """Say which figure, its value, the limit, and what to do."""
        asked = self.figure.write_limit(self.bound, self.limit)
        if self.value is None:
            return (
                f"{self.figure.title} could not be measured, and the study asks for {asked}. "
                f"{self.why}"
            )
        value = self.figure.write(self.value, beside=self.limit)
        return f"{self.figure.title} is {value}; the study asks for {asked}. {self.figure.advice}"

    @property
    def brief(self) -> str:
        """Say it in a few words, to stand in a list."""
        shown = "not measured"
        if self.value is not None:
            shown = self.figure.write(self.value, beside=self.limit)
        asked = self.figure.write_limit(self.bound, self.limit)
        return f"{self.figure.title.lower()} {shown} ({asked})"


def shortfalls(figures: Mapping[str, Any], limits: Limits) -> list[Shortfall]:
    """Give what falls short, in the catalogue's order. What is not known never passes a limit."""
    found = []
    for key, figure in FIGURES.items():
        for bound, limit in limits.get(key, {}).items():
            value = value_of(figures, key)
            if value is None:
                found.append(Shortfall(figure, bound, limit, None, why_undefined(figures, key)))
            elif value < limit if bound == AT_LEAST else value > limit:
                found.append(Shortfall(figure, bound, limit, value))
    return found


def judge(figures: Mapping[str, Any], limits: Limits) -> tuple[Quality.Verdict, list[str]]:
    """Give the verdict, and a sentence for each figure that falls short."""
    if not limits:
        return Quality.Verdict.NO_RULES, []
    reasons = [short.sentence for short in shortfalls(figures, limits)]
    return (Quality.Verdict.FALLS_SHORT if reasons else Quality.Verdict.MEETS), reasons


def problems(limits: Any) -> Iterator[tuple[str, str]]:
    """Yield what cannot be asked: the figure (as it was written) and a sentence."""
    if not isinstance(limits, Mapping):
        yield "", "Thresholds are named by figure, each with at_least or at_most and a number."
        return
    for key, limit in limits.items():
        figure = FIGURES.get(key) if isinstance(key, str) else None
        if figure is None:
            close = difflib.get_close_matches(str(key), FIGURES, n=1)
            meant = f"did you mean “{close[0]}”?" if close else f"there are {', '.join(FIGURES)}."
            yield str(key), f"There is no figure “{key}”; {meant}"
        elif sentence := _problem(figure, limit):
            yield figure.key, sentence


def _problem(figure: Figure, limit: Any) -> str:
    allowed = (figure.bound,) if figure.bound else (AT_LEAST, AT_MOST)
    how = " or ".join(allowed)
    if not isinstance(limit, Mapping) or len(limit) != 1:
        return f"The threshold of “{figure.title}” needs one bound: {how}, with a number."
    bound, number = next(iter(limit.items()))
    if bound not in allowed:
        return f"“{bound}” makes no sense for “{figure.title}”: write {how}."
    if isinstance(number, bool) or not isinstance(number, int | float):
        return f"The threshold of “{figure.title}” is {number!r}, which is no number. Write one."
    if not math.isfinite(number) or not figure.lowest <= number <= figure.highest:
        return (
            f"The threshold of “{figure.title}” is {number:g}. It lies from {figure.lowest:g} to "
            f"{figure.highest:g}."
        )
    return ""

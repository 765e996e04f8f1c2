"""A recording's own figures of quality, with what its study asks of each."""

from __future__ import annotations

from dataclasses import dataclass

from waver.recordings.models import Quality, Recording
from waver.recordings.quality.catalogue import (
    AT_LEAST,
    FIGURES,
    GROUPS,
    SHARE,
    Figure,
    value_of,
    why_undefined,
)
from waver.recordings.quality.limits import Limits
from waver.website.queries.quality import limit_of, limit_words


@dataclass(frozen=True)
class Shown:
    """One figure on a recording's page. `place` and `limit_place` are percent of a bar's length."""

    figure: Figure
    value: str
    asked: str
    is_short: bool
    why: str = ""
    place: float | None = None
    limit_place: float | None = None


@dataclass(frozen=True)
class QualityPart:
    """A recording's figures by group, with its verdict and reasons."""

    row: Quality
    groups: list[tuple[str, list[Shown]]]


def part(recording: Recording) -> QualityPart | None:
    """Read a recording's quality, None where it was not measured."""
    row = Quality.objects.filter(recording=recording).select_related("rules").first()
    if row is None:
        return None
    limits: Limits = row.rules.limits if row.rules else {}
    groups = [
        (title, [_shown(row, figure, limits) for figure in FIGURES.values() if figure.group == key])
        for key, title in GROUPS.items()
    ]
    return QualityPart(row, groups)


def _shown(row: Quality, figure: Figure, limits: Limits) -> Shown:
    value, limit = value_of(row.figures, figure.key), limit_of(limits, figure.key)
    asked = limit_words(figure, limits.get(figure.key))
    if value is None:
        return Shown(
            figure, "–", asked, is_short=bool(limit), why=why_undefined(row.figures, figure.key)
        )
    short = limit is not None and (value < limit[1] if limit[0] == AT_LEAST else value > limit[1])
    has_bar = figure.unit in (SHARE, "grey")
    return Shown(
        figure,
        figure.write(value, beside=limit[1] if limit else None),
        asked,
        is_short=short,
        place=100 * value / figure.highest if has_bar else None,
        limit_place=100 * limit[1] / figure.highest if has_bar and limit else None,
    )

"""Stretches of a recording's consensus: what decisions change in them, and who marked them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Vote:
    """How many of the raters gave one value to a clip, or marked a stretch: the soft label."""

    recording: str
    start_us: int | None
    end_us: int | None
    value: str
    votes: int
    raters: int


def overridden(
    won: Sequence[Span],
    decided: Sequence[tuple[Span, Span | None]],
    *,
    minimum_us: int = 0,
) -> list[tuple[int, int, bool]]:
    """Put decisions in the place of the vote.

    `won`      stretches that the vote gave, in order and apart.
    `decided`  (disputed interval, where in it the label is present or None) for each decision.
    Within every disputed interval only the decision counts, outside of all only the vote. Pieces
    that touch are one stretch; the third value tells whether a decision made a part of it. What
    decisions leave over of a voted stretch goes where it is shorter than `minimum_us`.
    """
    rest = without(won, [span for span, _ in decided])
    pieces = [(start, end, False) for start, end in rest]
    pieces += [(*where, True) for _, where in decided if where is not None]
    joined: list[tuple[int, int, bool]] = []
    for start, end, by_person in sorted(pieces):
        if joined and start <= joined[-1][1]:
            first, last, before = joined.pop()
            joined.append((first, max(last, end), before or by_person))
        else:
            joined.append((start, end, by_person))
    whole = set(won)
    return [
        piece
        for piece in joined
        if piece[2] or piece[:2] in whole or piece[1] - piece[0] >= minimum_us
    ]


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """Give what is left of the spans outside of all holes, in order."""
    left = list(spans)
    for low, high in holes:
        left = [
            piece
            for start, end in left
            for piece in ((start, min(end, low)), (max(start, high), end))
            if piece[0] < piece[1]
        ]
    return sorted(left)


class MarkedShare:
    """The mean share of raters who marked a stretch of one recording, by time."""

    def __init__(self, votes: Sequence[Vote], raters: int) -> None:
        self.votes, self.raters = votes, raters

    def __call__(self, start_us: int, end_us: int) -> float:
        """Give it for [start_us, end_us)."""
        marked = sum(
            vote.votes * max(0, min(end_us, vote.end_us or 0) - max(start_us, vote.start_us or 0))
            for vote in self.votes
        )
        return marked / (self.raters * (end_us - start_us))

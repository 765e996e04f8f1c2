"""What the scripted raters label: the planted truth with each rater's own seeded errors.

Where nothing was planted (the user's own media) a seeded rule stands in for the truth; both are
called synthetic wherever they show. Pre-labels are never looked at.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

ONSET_ERROR_US = 90_000  # standard deviation of a rater's onset and offset errors
MISS = 0.04  # how often a rater overlooks a planted segment
SHORTEST_US = 200_000


@dataclass(frozen=True)
class Truth:
    """What is true of one recording: its length and its hesitation, in microseconds."""

    name: str
    duration_us: int
    segments: tuple[tuple[int, int], ...]
    is_planted: bool


@dataclass(frozen=True)
class Labels:
    """What one scripted rater says of one recording; certainty from 1 to `scale`."""

    segments: tuple[tuple[int, int, int], ...]  # start_us, end_us, certainty
    present: bool
    certainty: int


def planted(name: str, entry: dict[str, Any]) -> Truth:
    """Read one recording's planted truth from an entry of `truth.json`."""
    return Truth(
        name=name,
        duration_us=entry["duration_us"],
        segments=tuple((span["start_us"], span["end_us"]) for span in entry["hesitation"]),
        is_planted=True,
    )


def by_rule(name: str, position: int, duration_us: int) -> Truth:
    """Give the stand-in for recordings without a planted truth: a rule, not a judgement.

    Every recording except each third one gets a stretch whose place depends on its name only.
    """
    chance = random.Random(f"rule {name}")  # noqa: S311 - reproducible, no secret
    if position % 3 == 2:
        return Truth(name, duration_us, (), is_planted=False)
    start = round(duration_us * chance.uniform(0.15, 0.45))
    length = round(duration_us * chance.uniform(0.25, 0.4))
    return Truth(name, duration_us, ((start, min(duration_us, start + length)),), is_planted=False)


def labelled_by(truth: Truth, *, rater: int, seed: int, scale: int) -> Labels:
    """Give what scripted rater number `rater` says: the truth, with that rater's seeded errors.

    Certainty follows the rater's own habit and not the recording, so that raters disagree on it:
    the demonstration's gate blocks that label.
    """
    chance = random.Random(f"{seed} {rater} {truth.name}")  # noqa: S311 - reproducible, no secret
    error = min(ONSET_ERROR_US, truth.duration_us // 60)
    segments = []
    for start, end in truth.segments:
        # A handful of recordings bears no missed segment: the gate would rightly block them all.
        if truth.is_planted and chance.random() < MISS:
            continue
        start_us = max(0, start + round(chance.gauss(0, error)))
        end_us = min(truth.duration_us, end + round(chance.gauss(0, error)))
        if end_us - start_us < min(SHORTEST_US, truth.duration_us // 4):
            start_us, end_us = start, end
        segments.append((start_us, end_us, chance.randint(1, scale)))
    return Labels(
        segments=tuple(segments), present=bool(segments), certainty=chance.randint(1, scale)
    )


def share_found(
    planted_spans: list[tuple[int, int]], found: list[tuple[int, int]]
) -> tuple[int, int, int]:
    """Give how many planted spans were found, how many candidates are right, and all candidates.

    Spans are half-open, in microseconds; two touch when they share at least a tenth of the
    shorter one.
    """

    def touch(one: tuple[int, int], other: tuple[int, int]) -> bool:
        shared = min(one[1], other[1]) - max(one[0], other[0])
        return shared * 10 >= min(one[1] - one[0], other[1] - other[0])

    hit = sum(any(touch(span, candidate) for candidate in found) for span in planted_spans)
    right = sum(any(touch(span, candidate) for span in planted_spans) for candidate in found)
    return hit, right, len(found)

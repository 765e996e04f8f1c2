"""What raters may read about their own controls without learning which items these are.

A rater could submit one recording and look whether a figure moved. So what depends on controls
moves only at the end of a week, only after a portion of at least PORTION submissions since it
last moved for any reason, and only when at least STEP new controls lie in it; it is rounded, and
the number of controls is told in steps. Whoever watches their page learns that at least one of
PORTION or more recordings was a control, and never which.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from annotation.agreement.results import Undefined, Value

PORTION = 25
STEP = 5
COARSE = 0.05


def portions(times: Sequence[datetime], *, now: datetime) -> list[datetime]:
    """Give the ends of the complete portions of a rater's work, oldest first.

    `times` are when their submissions of every kind were first handed in. A portion ends with a
    week (Monday, 0:00 UTC) that is over, as soon as it holds PORTION submissions.
    """
    ends: list[datetime] = []
    held = 0
    ordered = sorted(times)
    for place, at in enumerate(ordered):
        held += 1
        end = _end_of_week(at)
        last_of_week = place + 1 == len(ordered) or ordered[place + 1] >= end
        if last_of_week and held >= PORTION and end <= now:
            ends.append(end)
            held = 0
    return ends


def told_until(controls: Sequence[datetime], ends: Sequence[datetime]) -> datetime | None:
    """Give until when controls are told about: the last portion with STEP new ones, or None.

    `controls` are when the controls of one kind were handed in.
    """
    told: datetime | None = None
    for end in ends:
        if sum((told is None or at >= told) and at < end for at in controls) >= STEP:
            told = end
    return told


def coarse(value: Value) -> Value:
    """Round to steps of COARSE, so that one item cannot be read off a small number of them."""
    return value if isinstance(value, Undefined) else round(value / COARSE) * COARSE


def at_least(n: int) -> int:
    """Give the number in whole steps, rounded down."""
    return n // STEP * STEP


def _end_of_week(at: datetime) -> datetime:
    day = at.astimezone(UTC).date()
    return datetime.combine(day + timedelta(days=7 - day.weekday()), time(), tzinfo=UTC)

"""The one clock of a recording: integer microseconds, 0 at the first presented frame.

Spans are half-open, `[start_us, end_us)`. Frames, ticks and seconds are views of microseconds.
A rate is a rational number of frames per second; frame n is never found by adding up.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

MICROSECONDS = 1_000_000


def frame_us(frame: int, rate: Fraction) -> int:
    """Give the time of frame `frame` (0-based) in microseconds, rounded half up.

    Raises ValueError for a negative frame or a rate that is not above zero.
    """
    if frame < 0 or rate <= 0:
        raise ValueError("A frame number is 0 or more and a rate is above 0.")
    numerator = frame * MICROSECONDS * rate.denominator
    return (2 * numerator + rate.numerator) // (2 * rate.numerator)


def frame_at(us: int, rate: Fraction) -> int:
    """Give the frame shown at `us` microseconds: the last n with `frame_us(n) <= us`.

    Raises ValueError for a negative time or a rate that is not above zero.
    """
    if us < 0 or rate <= 0:
        raise ValueError("A time is 0 or more and a rate is above 0.")
    frame = us * rate.numerator // (MICROSECONDS * rate.denominator)
    while frame_us(frame + 1, rate) <= us:
        frame += 1
    while frame > 0 and frame_us(frame, rate) > us:
        frame -= 1
    return frame


def frames_in(start_us: int, end_us: int, rate: Fraction) -> range:
    """Give the frames whose time lies in `[start_us, end_us)`."""

    def first_at_or_after(us: int) -> int:
        shown = frame_at(us, rate)
        return shown if frame_us(shown, rate) == us else shown + 1

    return range(first_at_or_after(start_us), first_at_or_after(end_us))


def seconds_us(seconds: float) -> int:
    """Turn seconds into microseconds, rounded half up."""
    return int(Fraction(seconds) * MICROSECONDS + Fraction(1, 2))


def format_us(us: int) -> str:
    """Write a time as people read it: `1:02.345` (minutes, seconds, milliseconds)."""
    milliseconds = (us + 500) // 1000
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}:{rest // 1000:02d}.{rest % 1000:03d}"


def format_hms(us: int) -> str:
    """Write a time as `HH:MM:SS.mmm`, the form of BAH's annotation file."""
    milliseconds = (us + 500) // 1000
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


@dataclass(frozen=True, order=True)
class Span:
    """A half-open stretch of a recording, `[start_us, end_us)` in microseconds."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_us < self.end_us:
            raise ValueError("A span starts at 0 or later and ends after it starts.")

"""What the study's records say about a sensor file, and how names and units are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from workers.signals.errors import SignalError

MOST_CHANNELS = 64
_NAME_LENGTH, _UNIT_LENGTH = 80, 40
_FASTEST = 1_000_000  # samples per second: the clock has no finer times
_LARGEST_DENOMINATOR = 10**9
_WITH_UNIT = re.compile(r"(.*?)\s*[\[(]([^\[\]()]*)[\])]\s*")


@dataclass(frozen=True, slots=True)
class Description:
    """What a file does not say itself; empty where nothing was said.

    `rate` is samples per second, `channels` are names with their units in the order of the file's
    columns (without that of the time), `unit` is that of every channel which names none.
    """

    rate: Fraction | None = None
    channels: tuple[tuple[str, str], ...] = ()
    unit: str = ""

    @classmethod
    def read(cls, *, rate: str = "", channels: str = "", unit: str = "") -> Description:
        """Read what a manifest says: `rate` like 4, 0.5 or 250/3; `channels` like “a [x] | b”.

        Raises SignalError with what is wrong.
        """
        named = tuple(name_and_unit(part) for part in channels.split("|")) if channels else ()
        if any(not name for name, _ in named):
            raise SignalError(
                f"The channels “{channels}” hold an empty name. Write one name for each column, "
                "with | between them."
            )
        return cls(_rate(rate) if rate else None, named, unit.strip()[:_UNIT_LENGTH])


def _rate(text: str) -> Fraction:
    plain = text.strip()
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        if len(plain) > 30 or not plain.isascii() or not set(plain) <= set("0123456789./"):
            raise ValueError(text)
        rate = Fraction(plain)
    except (ValueError, ZeroDivisionError):
        raise SignalError(
            f"The rate “{text}” is no number of samples per second. Write it like 4, 0.5 or 250/3."
        ) from None
    return checked_rate(rate, f"The rate “{text}”")


def checked_rate(rate: Fraction, called: str) -> Fraction:
    """Give a rate back. Raises SignalError for one that no sensor has."""
    if not 0 < rate <= _FASTEST or rate.denominator > _LARGEST_DENOMINATOR:
        raise SignalError(
            f"{called} must lie above 0 and be at most {_FASTEST} samples per second. Correct it "
            "from the sensor's manual."
        )
    return rate


def name_and_unit(text: str) -> tuple[str, str]:
    """Read “skin conductance [µS]” or “EDA (µS)”: the name, and the unit or ""."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    found = _WITH_UNIT.fullmatch(plain)
    name, unit = (found[1], found[2]) if found and found[1] else (plain, "")
    return name.strip()[:_NAME_LENGTH], unit.strip()[:_UNIT_LENGTH]


def told_apart(names: list[str]) -> list[str]:
    """Give each name, numbered from its second use on, so that no two are the same."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return made


def refuse_number_of_channels(count: int, shown: str) -> None:
    """Raise SignalError where a file has no channel, or more than can be drawn."""
    if not count:
        raise SignalError(
            f"{shown} holds no sensor channel. Supply the file that the sensor's program exported."
        )
    if count > MOST_CHANNELS:
        raise SignalError(
            f"{shown} holds {count} channels; {MOST_CHANNELS} is the most. Export only those that "
            "the study needs."
        )

"""Where a file belongs in its take: which view it is, where it begins, what it shows, as written.

These are the optional columns of a manifest. What a sensor file does not say itself (how often it
was sampled, what its columns are called, in which unit) stands there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from waver.core.clock import MICROSECONDS
from waver.core.errors import BadInput
from waver.recordings.models import Recording, Take

View = Recording.View
Occlusion = Recording.Occlusion

#: The optional columns, in the order in which the guide explains them.
COLUMNS = (
    "take", "view", "offset_ms", "offset_s", "occlusion", "condition", "rate", "channels", "unit",
)  # fmt: skip
_OF_SENSORS = ("rate", "channels", "unit")
_TICKS = {"offset_ms": 1_000, "offset_s": MICROSECONDS}
_LONGEST_US = 24 * 3600 * MICROSECONDS


@dataclass(frozen=True)
class Placing:
    """Where a recording belongs. `take` is "" for a take of its own, which has one webcam.

    `offset_us` says where this view's 0 lies on the webcam's clock, None where nothing was said.
    `sensors` holds what was said about a sensor file: `rate`, `channels` and `unit`, as written.
    """

    take: str = ""
    view: str = View.WEBCAM
    offset_us: int | None = None
    occlusion: str = ""
    condition: str = ""
    sensors: Mapping[str, str] = field(default_factory=dict)


def read_placing(file: str, values: Mapping[str, str]) -> Placing:
    """Read the optional cells of a manifest's line. Raises BadInput with what is wrong with one."""
    view = _one_of(View, values.get("view", ""), file, "view") or View.WEBCAM
    occlusion = _one_of(Occlusion, values.get("occlusion", ""), file, "occlusion")
    take, condition = values.get("take", ""), values.get("condition", "")
    _check_length(file, "take", take, Take._meta.get_field("name").max_length)
    _check_length(
        file, "condition", condition, Take._meta.get_field("capture_condition").max_length
    )
    offset_us = _read_offset(file, values)
    sensors = {name: values[name] for name in _OF_SENSORS if values.get(name)}
    title = View(view).label.lower()
    if view == View.WEBCAM and offset_us:
        raise BadInput(
            f"{file} is its take's webcam, whose clock all other views are placed on, so it cannot "
            "begin at an offset. Leave the offset empty, and give the other views theirs."
        )
    if view != View.WEBCAM and not take:
        raise BadInput(
            f"{file} is a view from a {title}, but names no take. Write the same name into the "
            "column “take” of all files that were recorded together."
        )
    if sensors and view != View.PHYSIOLOGY:
        raise BadInput(
            f"The columns {', '.join(sensors)} describe sensors, but {file} is a {title}. Leave "
            "them empty, or write “physiology” as its view."
        )
    return Placing(take, view, offset_us, occlusion, condition, sensors)


def _one_of(choices: type[View] | type[Occlusion], text: str, file: str, column: str) -> str:
    """Read one of a column's words, however it is spelt: “Second camera”, “second_camera”."""
    word = "_".join(text.lower().replace("-", " ").replace("_", " ").split())
    known = {value: value for value in choices.values} | {
        "_".join(str(label).lower().replace("-", " ").split()): value
        for value, label in choices.choices
    }
    if choices is Occlusion:
        known |= {"none": "", "hmd": Occlusion.HEAD_MOUNTED_DISPLAY}
    if not word:
        return ""
    if word not in known:
        offered = ", ".join(value for value in choices.values if value)
        raise BadInput(f"The {column} of {file}, “{text}”, is not known. Write one of: {offered}.")
    return str(known[word])


def _check_length(file: str, column: str, text: str, most: int | None) -> None:
    if most is not None and len(text) > most:
        raise BadInput(
            f"The {column} of {file} has {len(text)} characters; {most} is the most. Shorten it."
        )


def _read_offset(file: str, values: Mapping[str, str]) -> int | None:
    given = [name for name in _TICKS if values.get(name)]
    if not given:
        return None
    if len(given) > 1:
        raise BadInput(
            f"{file} has an offset in milliseconds and one in seconds. Fill in only one of the two."
        )
    (column,) = given
    text = values[column]
    exact = exact_number(text)
    if exact is None:
        raise BadInput(
            f"The offset of {file}, “{text}”, is no number. Write it like 1250 or 1250.5, negative "
            "where the view began before the webcam."
        )
    exact *= _TICKS[column]
    if exact.denominator != 1:
        raise BadInput(
            f"The offset of {file}, “{text}”, is finer than a microsecond. Round it to six "
            "decimals of a second."
        )
    if abs(exact) > _LONGEST_US:
        raise BadInput(
            f"The offset of {file}, “{text}”, is longer than a day. Check its unit: offset_ms is "
            "in milliseconds, offset_s in seconds."
        )
    return int(exact)


def exact_number(text: str) -> Fraction | None:
    """Read a decimal number, with a point or a comma, or a fraction like 250/3; None for others.

    No exponents and no more than 30 characters, so that a short text is no astronomical number.
    """
    plain = text.strip().replace("−", "-")
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    if len(plain) > 30 or not plain.isascii() or not set(plain) <= set("+-.0123456789/"):
        return None
    try:
        return Fraction(plain)
    except (ValueError, ZeroDivisionError):
        return None

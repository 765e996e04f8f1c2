"""What a schema cannot say: names that clash, colours that cannot be seen, missing parts.

These checks run on whatever the file holds, also when its shape is wrong, so that an author sees
all problems at once; a part of the wrong shape is left to the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

Where = tuple[str | int, ...]
Problem = tuple[Where, str]

GROUNDS = {"the light page": "#ffffff", "the dark page": "#16181d"}
_OF_SEGMENTS = (
    "labels", "overlap", "minimum_duration_ms", "candidates", "timeline", "ticks_per_second",
)  # fmt: skip
_FIXED = ("exclusive", "multiple", "ordinal", "compound")
MOST_POINTS = 1001
MINIMUM_CONTRAST = 3.0  # WCAG 2.1, success criterion 1.4.11, for parts that carry meaning


def meaning_problems(data: Any) -> Iterator[Problem]:
    """All problems beyond the schema's, as (place, sentence)."""
    passes = _list(data, "passes")
    yield from _repeated(passes, ("passes",), "pass")
    for index, part in enumerate(passes):
        if isinstance(part, dict):
            yield from _pass_problems(part, ("passes", index))
    yield from _tier_problems(passes)


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two colours "#rrggbb", 1 to 21."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _list(data: Any, name: str) -> list[Any]:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _repeated(items: list[Any], where: Where, what: str, key: str = "id") -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = str(item.get(key, "")) if isinstance(item, dict) else ""
        if name and name in seen:
            yield (
                (*where, index, key),
                f"There are two {what}s with the {key} {name!r}; rename one.",
            )
        seen.add(name)


def _pass_problems(part: dict[str, Any], where: Where) -> Iterator[Problem]:
    labels, questions = _list(part, "labels"), _list(part, "questions")
    if part.get("unit") == "segment":
        if not labels:
            yield where, "A segment pass needs 'labels': what may a segment be?"
        if "overlap" not in part:
            yield where, "A segment pass must say under 'overlap' whether segments may overlap."
    elif part.get("unit") == "clip":
        for name in _OF_SEGMENTS:
            if name in part:
                yield (*where, name), f"A clip pass has no segments, so {name!r} has no meaning."
        if not questions:
            yield where, "A clip pass needs 'questions': what is asked about the clip?"
    if "ticks_per_second" in part and part.get("timeline") != "ticks":
        yield (
            (*where, "ticks_per_second"),
            "Only a pass with 'timeline: ticks' has ticks; add that, or leave this out.",
        )
    known = {str(label.get("id")) for label in labels if isinstance(label, dict)}
    if labels and part.get("candidates", "") not in {"", *known}:
        yield (*where, "candidates"), "'candidates' must be the id of one of this pass's labels."
    yield from _repeated(labels, (*where, "labels"), "label")
    yield from _repeated(labels, (*where, "labels"), "label", "title")
    yield from _repeated(questions, (*where, "questions"), "question")
    for index, label in enumerate(labels):
        yield from _label_problems(label, (*where, "labels", index))
    for index, question in enumerate(questions):
        if isinstance(question, dict):
            place = (*where, "questions", index)
            yield from _question_problems(question, place, part.get("unit"), questions)
    yield from _role_problems(questions, where, part.get("unit"))
    yield from _hotkey_problems(part, where)


def _tier_problems(passes: list[Any]) -> Iterator[Problem]:
    """Every tier of a file has its own name, whatever pass it belongs to."""
    taken: set[str] = set()
    for index, part in enumerate(passes):
        named: list[tuple[Where, Any]] = [(("passes", index), part)]
        for place, question in enumerate(_list(part, "questions")):
            named.append((("passes", index, "questions", place), question))
        for where, holder in named:
            tier = holder.get("tier") if isinstance(holder, dict) else None
            if isinstance(tier, str) and tier in taken:
                yield (*where, "tier"), f"The tier {tier!r} is named already; take another name."
            taken |= {tier} if isinstance(tier, str) else set()


def _label_problems(label: Any, where: Where) -> Iterator[Problem]:
    if not isinstance(label, dict):
        return
    if label.get("id") == "none":
        yield (*where, "id"), "'none' means unmarked time and cannot be a label; rename it."
    if "colour" not in label:
        yield where, "A segment label needs a 'colour' for the timeline."


def _question_problems(
    question: dict[str, Any], where: Where, unit: Any, siblings: list[Any]
) -> Iterator[Problem]:
    values, kind, role = _list(question, "values"), question.get("kind"), question.get("role")
    if kind in ("text", "rating") and "values" in question:
        yield (*where, "values"), f"A question of kind {kind!r} has no values; leave them out."
    if kind in _FIXED and "values" not in question:
        yield where, "A question with fixed answers needs 'values'."
    if (kind == "text") != (role in ("note", "description")):
        yield (
            where,
            "Free text is a note or a description: 'kind: text' goes with one of these roles only.",
        )
    if role == "cue" and unit == "clip":
        yield where, "Cues are noted per segment; in a clip pass ask a question of role 'label'."
    if role == "label" and unit == "segment":
        yield (
            where,
            "In a segment pass the labels are the segments'; use role 'cue' or 'certainty'.",
        )
    if unit == "segment" and "role" not in question:
        yield where, "A question about segments needs a 'role': certainty, cue, note, description."
    yield from rating_problems(question, where)
    yield from _compound_problems(question, where)
    yield from _each_problems(question, where)
    if role == "certainty":
        if kind != "ordinal":
            yield where, "A certainty is of kind 'ordinal'."
        elif not all(str(v.get("id", "")).isdigit() for v in values if isinstance(v, dict)):
            yield (*where, "values"), "The ids of a certainty's values must be whole numbers."
    targets = {q.get("id") for q in siblings if isinstance(q, dict) and q is not question}
    if "about" in question and (role != "certainty" or unit != "clip"):
        yield (*where, "about"), "Only a clip's certainty is 'about' another question."
    elif "about" in question and question["about"] not in targets:
        yield (*where, "about"), f"There is no question {question['about']!r} in this pass."
    yield from _repeated(values, (*where, "values"), "value")
    yield from _repeated(values, (*where, "values"), "value", "title")


def rating_problems(question: dict[str, Any], where: Where) -> Iterator[Problem]:
    """A rating has bounds and steps that fit between them; nothing else has them."""
    given = [n for n in ("minimum", "maximum", "step", "low", "high") if n in question]
    if question.get("kind") != "rating":
        for name in given:
            yield (*where, name), f"Only a rating has a {name!r}; leave it out."
        return
    bounds = [question.get(name) for name in ("minimum", "maximum", "step")]
    if not all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds):
        yield where, "A rating needs the numbers 'minimum', 'maximum' and 'step'."
        return
    low, high, step = (Decimal(str(bound)) for bound in bounds)
    if not all(bound.is_finite() for bound in (low, high, step)) or low >= high or step <= 0:
        yield where, "A rating's 'minimum' must lie below its 'maximum', and its 'step' above 0."
    elif (high - low) % step:
        yield (*where, "step"), f"Steps of {step} do not lead from {low} to {high}."
    elif (high - low) / step >= MOST_POINTS:
        yield (*where, "step"), f"A rating has at most {MOST_POINTS} points; take larger steps."


def _compound_problems(question: dict[str, Any], where: Where) -> Iterator[Problem]:
    if "pairs" not in question:
        return
    if question.get("kind") != "compound":
        yield (*where, "pairs"), "Only a question of kind 'compound' has 'pairs'; leave them out."
        return
    known = {str(v.get("id")) for v in _list(question, "values") if isinstance(v, dict)}
    seen: set[frozenset[str]] = set()
    for index, pair in enumerate(_list(question, "pairs")):
        parts = frozenset(map(str, pair)) if isinstance(pair, list) else frozenset()
        place = (*where, "pairs", index)
        for missing in sorted(parts - known):
            yield place, f"There is no value {missing!r} to make a pair of."
        if len(parts) == 1:
            yield place, "A pair needs two different values."
        elif parts in seen:
            yield place, "This pair stands here a second time; keep one of them."
        seen.add(parts)


def _each_problems(question: dict[str, Any], where: Where) -> Iterator[Problem]:
    each = question.get("each")
    if not isinstance(each, dict):
        return
    place = (*where, "each")
    if question.get("kind") != "multiple":
        yield place, "Only a question of kind 'multiple' can ask about 'each' answer."
    values = _list(each, "values")
    if each.get("kind") == "ordinal" and "values" not in each:
        yield place, "An ordinal needs 'values'."
    if each.get("kind") == "rating" and "values" in each:
        yield (*place, "values"), "A rating has no values; leave them out."
    for index, value in enumerate(values):
        if isinstance(value, dict) and "hotkey" in value:
            yield (
                (*place, "values", index, "hotkey"),
                "What is asked about each answer stands there several times, so it has no keys.",
            )
    yield from _repeated(values, (*place, "values"), "value")
    yield from _repeated(values, (*place, "values"), "value", "title")
    yield from rating_problems(each, place)


def ticks_rate(written: int | str) -> Fraction:
    """Read `ticks_per_second`: a whole number or a fraction such as "30000/1001"."""
    return Fraction(written)


def _role_problems(questions: list[Any], where: Where, unit: Any) -> Iterator[Problem]:
    """A segment has one certainty and one note; a clip's question has one certainty."""
    seen: set[tuple[str, str]] = set()
    for index, question in enumerate(questions):
        role = question.get("role", "label") if isinstance(question, dict) else ""
        if role not in ("certainty", "note"):
            continue
        key = (role, str(question.get("about", "")))
        if key in seen:
            about = f" about {key[1]!r}" if key[1] else ""
            yield (
                (*where, "questions", index),
                f"There is already a question of role {role!r}{about} in this pass; keep one.",
            )
        seen.add(key)


def _hotkey_problems(part: dict[str, Any], where: Where) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for place, value in _all_values(part, where):
        key = value.get("hotkey")
        if isinstance(key, str) and key in taken:
            yield (
                (*place, "hotkey"),
                f"The key {key!r} already chooses {taken[key]!r} in this pass; take another.",
            )
        elif isinstance(key, str):
            taken[key] = str(value.get("id"))
        colour = value.get("colour")
        if isinstance(colour, str) and len(colour) == 7:
            yield from _colour_problems(colour, (*place, "colour"))


def _colour_problems(colour: str, where: Where) -> Iterator[Problem]:
    try:
        ratios = {name: contrast(colour, ground) for name, ground in GROUNDS.items()}
    except ValueError:  # not hexadecimal: the schema says so
        return
    for name, ratio in ratios.items():
        if ratio < MINIMUM_CONTRAST:
            better = "darker" if name == "the light page" else "lighter"
            sentence = (
                f"The colour {colour} has a contrast of {ratio:.1f} : 1 on {name}; it needs at "
                f"least {MINIMUM_CONTRAST:.0f} : 1. Take a {better} one."
            )
            yield where, sentence


def _all_values(part: dict[str, Any], where: Where) -> Iterable[tuple[Where, dict[str, Any]]]:
    groups: list[tuple[Where, list[Any]]] = [((*where, "labels"), _list(part, "labels"))]
    for index, question in enumerate(_list(part, "questions")):
        groups.append(((*where, "questions", index, "values"), _list(question, "values")))
    for place, values in groups:
        for index, value in enumerate(values):
            if isinstance(value, dict):
                yield (*place, index), value

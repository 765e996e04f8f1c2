"""Raters' answers: from Label Studio's result to checked values.

Label Studio stores any label and any time that it is sent, so everything is checked here against
the codebook. `annotation.codebooks.times` has the convention for times, `results` the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from annotation.codebooks.interface import SEGMENT, control_name, each_name
from annotation.codebooks.model import PAIR, Codebook, Pass, Question, number_text
from annotation.codebooks.parsed import (
    EDGE_TOLERANCE_US,
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
)
from annotation.codebooks.times import edge_us, seconds_us, ticks_us


@dataclass(slots=True)
class _Given:
    """The answers of one region or of the clip; `each` by (question, chosen answer)."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    each: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, name: tuple[str, str], values: list[str]) -> None:
        """Add an answer; `name` is the question and, for what is asked of each, the answer."""
        if name[1]:
            self.each.setdefault(name, []).extend(values)
        else:
            self.answers.setdefault(name[0], []).extend(values)


@dataclass(slots=True)
class _Region(_Given):
    span: Mapping[str, Any] | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One checked answer, with what was asked about it."""

    value: str
    confidence: float | None = None
    grade: str = ""


def parse_result(
    codebook: Codebook, pass_id: str, result: Iterable[Mapping[str, Any]], duration_us: int
) -> ParsedAnnotation:
    """Check a Label Studio result against the codebook.

    result:      the `result` list of one annotation. An empty list is an answer: nothing marked.
    duration_us: length of the proxy in microseconds.
    Raises InvalidAnnotation listing every problem, KeyError for a pass the codebook lacks.
    """
    part = codebook.pass_(pass_id)
    problems: list[str] = []
    regions, clip = _collect(part, result, problems)
    if part.unit == "segment":
        parsed = [_segment(part, region, duration_us, problems) for region in regions]
        segments = sorted(
            (segment for segment in parsed if segment is not None),
            key=lambda segment: (segment.start_us, segment.end_us, segment.label),
        )
        annotation = ParsedAnnotation(segments=_without_overlaps(part, segments, problems))
    else:
        annotation = ParsedAnnotation(clip_labels=_clip_labels(part, clip, problems))
    if problems:
        raise InvalidAnnotation(problems)
    return annotation


def _collect(
    part: Pass, result: Iterable[Any], problems: list[str]
) -> tuple[list[_Region], _Given]:
    """Sort the result's items into regions (items that share an id) and clip-level answers."""
    regions: dict[str, _Region] = {}
    clip = _Given()
    names = _names(part)
    for item in result:
        if not isinstance(item, Mapping):
            problems.append("A part of the answer cannot be read; please answer again.")
            continue
        source, value = str(item.get("from_name")), item.get("value")
        if not isinstance(value, Mapping):
            problems.append(f"A part of the answer ({source!r}) has no value; please answer again.")
            continue
        is_label = part.unit == "segment" and source == SEGMENT
        if not is_label and source not in names:
            problems.append(
                f"The answer holds {source!r}, which this task does not ask; please reload the "
                "page and answer again."
            )
            continue
        if part.unit != "segment":
            clip.add(names[source], _given(value))
            continue
        region = regions.setdefault(str(item.get("id")), _Region())
        if is_label or region.span is None:
            region.span = value
        if is_label:
            region.labels += _given(value)
        else:
            region.add(names[source], _given(value))
    return list(regions.values()), clip


def _names(part: Pass) -> dict[str, tuple[str, str]]:
    """What each name in the interface asks: a question, or something about one answer to it."""
    names: dict[str, tuple[str, str]] = {}
    for question in part.questions:
        names[control_name(question)] = (question.id, "")
        if question.each is not None:
            names |= {each_name(question, v.id): (question.id, v.id) for v in question.values}
    return names


def _given(value: Mapping[str, Any]) -> list[str]:
    if "number" in value:
        number = value["number"]
        whole_or_not = isinstance(number, int | float) and not isinstance(number, bool)
        exact = Decimal(repr(number)) if whole_or_not else Decimal("NaN")
        return [number_text(exact) if exact.is_finite() else str(number)]
    for key in ("labels", "timelinelabels", "choices", "text"):
        if key in value:
            found = value[key]
            return [str(x) for x in (found if isinstance(found, list) else [found])]
    return []


def _clock(us: int) -> str:
    minutes, rest = divmod(max(us, 0), 60_000_000)
    return f"{minutes}:{rest // 1_000_000:02d}.{rest % 1_000_000 // 1000:03d}"


def _times(part: Pass, region: _Region) -> tuple[int, int] | None:
    """Start and end in microseconds, None where they are missing or no numbers."""
    span = region.span or {}
    if part.timeline == "ticks":
        ranges = span.get("ranges")
        if not isinstance(ranges, list) or len(ranges) != 1 or not isinstance(ranges[0], Mapping):
            return None
        return ticks_us(ranges[0].get("start"), ranges[0].get("end"), part.ticks_per_second)
    start, end = seconds_us(span.get("start")), seconds_us(span.get("end"))
    return None if start is None or end is None else (start, end)


def _segment(
    part: Pass, region: _Region, duration_us: int, problems: list[str]
) -> ParsedSegment | None:
    times = _times(part, region)
    if times is None:
        problems.append("A segment has no beginning or no end; please delete it and draw it anew.")
        return None
    start, end = times
    name = f"The segment from {_clock(start)} to {_clock(end)}"
    before = len(problems)
    tolerance = EDGE_TOLERANCE_US
    if part.timeline == "ticks":  # the last tick may reach beyond the recording's end
        tolerance = max(tolerance, edge_us(1, part.ticks_per_second))
    if start < -tolerance or end > duration_us + tolerance:
        problems.append(f"{name} leaves the recording, which ends at {_clock(duration_us)}.")
    start, end = max(start, 0), min(end, duration_us)
    if end <= start:
        problems.append(f"{name} has no length; please delete it or draw it longer.")
    elif end - start < part.minimum_duration_us:
        problems.append(
            f"{name} is shorter than {part.minimum_duration_us / 1e6:g} s and looks like a slip; "
            "please delete it or draw it longer."
        )
    label = _label(part, region, name, problems)
    answers = {
        question.id: _checked(question, region, name, problems) for question in part.questions
    }
    if len(problems) > before:
        return None
    return _described(part, ParsedSegment(start, end, label), answers)


def _described(
    part: Pass, segment: ParsedSegment, answers: Mapping[str, tuple[_Chosen, ...]]
) -> ParsedSegment:
    certainty, note = None, ""
    cues: list[ParsedCue] = []
    texts: list[ParsedText] = []
    for question in part.questions:
        chosen = answers[question.id]
        if question.role == "certainty" and chosen:
            certainty = int(chosen[0].value)
        elif question.role == "note":
            note = "\n".join(each.value for each in chosen)
        elif question.role == "description":
            texts += [ParsedText(question.id, each.value) for each in chosen]
        elif question.role == "cue":
            cues += [ParsedCue(question.id, c.value, c.confidence, c.grade) for c in chosen]
    return replace(segment, certainty=certainty, cues=tuple(cues), note=note, texts=tuple(texts))


def _label(part: Pass, region: _Region, name: str, problems: list[str]) -> str:
    if len(region.labels) != 1:
        many = "no label" if not region.labels else "more than one label"
        problems.append(f"{name} has {many}; please choose one.")
        return ""
    if region.labels[0] not in part.label_ids:
        known = ", ".join(label.title for label in part.labels)
        problems.append(
            f"{name} has the label {region.labels[0]!r}, which the codebook does not know; please "
            f"choose one of: {known}."
        )
    return region.labels[0]


def _checked(
    question: Question, region: _Given, name: str, problems: list[str]
) -> tuple[_Chosen, ...]:
    """The answers to one question in the codebook's order, each once; () for none."""
    values = _values(question, region.answers.get(question.id, []), name, problems)
    if question.each is None:
        return tuple(_Chosen(value) for value in values)
    titles = {value.id: value.title for value in question.values}
    chosen: list[_Chosen] = []
    for value in values:
        given = region.each.get((question.id, value), [])
        about = f"{name}, at “{titles[value]}”,"
        found = _values(question.each, given, about, problems)
        if not found:
            chosen.append(_Chosen(value))
        elif question.each.kind == "rating":
            chosen.append(_Chosen(value, confidence=float(found[0])))
        else:
            chosen.append(_Chosen(value, grade=found[0]))
    return tuple(chosen)


def _values(
    question: Question, given: Sequence[str], name: str, problems: list[str]
) -> tuple[str, ...]:
    """The values of one answer, checked, in the codebook's order."""
    if question.required and not [text for text in given if text.strip()]:
        problems.append(f"{name} lacks an answer to “{question.title}”.")
    if question.kind == "text":
        return tuple(text.strip() for text in given if text.strip())
    allowed = question.value_names or question.points
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        problems.append(
            f"{name} answers “{question.title}” with {', '.join(map(repr, unknown))}, which the "
            "codebook does not know; please choose again."
        )
    chosen = tuple(value for value in allowed if value in given)
    if question.kind == "compound":
        return _compound(question, chosen, name, problems)
    if question.kind != "multiple" and len(chosen) > 1:
        problems.append(f"{name} has several answers to “{question.title}”; please choose one.")
    return chosen


def _compound(
    question: Question, chosen: tuple[str, ...], name: str, problems: list[str]
) -> tuple[str, ...]:
    if not chosen:
        return ()
    answer = PAIR.join(chosen)
    if answer not in question.value_ids:
        titles = {value.id: value.title for value in question.values}
        named = " and ".join(titles[value] for value in chosen)
        problems.append(
            f"{name} answers “{question.title}” with {named}; please choose one, or two that the "
            "codebook lets blend."
        )
    return (answer,)


def _without_overlaps(
    part: Pass, segments: list[ParsedSegment], problems: list[str]
) -> tuple[ParsedSegment, ...]:
    """Refuse overlaps that the codebook forbids; trim those within the tolerance."""
    kept: list[ParsedSegment] = []
    for segment in segments:
        current: ParsedSegment | None = segment
        for earlier in kept:
            if current is None or part.overlap == "allowed":
                break
            if part.overlap == "different_labels" and earlier.label != current.label:
                continue
            shared = min(earlier.end_us, current.end_us) - current.start_us
            if shared <= 0:
                continue
            if shared > EDGE_TOLERANCE_US or current.end_us <= earlier.end_us:
                problems.append(
                    f"The segments from {_clock(earlier.start_us)} and from "
                    f"{_clock(current.start_us)} overlap; please draw them apart or join them."
                )
                current = None
            else:
                current = replace(current, start_us=earlier.end_us)
        if current is not None:
            kept.append(current)
    return tuple(kept)


def _clip_labels(part: Pass, given: _Given, problems: list[str]) -> tuple[ParsedClipLabel, ...]:
    answers = {
        question.id: _checked(question, given, "The clip", problems) for question in part.questions
    }
    labels: list[ParsedClipLabel] = []
    for question in part.questions:
        if question.role == "certainty":
            continue
        about = part.certainty_about(question.id)
        sure = answers[about.id] if about is not None else ()
        for chosen in answers[question.id]:
            confidence = float(sure[0].value) if sure else chosen.confidence
            labels.append(ParsedClipLabel(question.id, chosen.value, confidence, chosen.grade))
    return tuple(labels)

"""Raters' answers: from Label Studio's result to checked values, and back.

Label Studio stores any label and any time that it is sent, so everything is checked here against
the codebook. Times come as seconds on the waveform; the one convention is: microseconds are the
decimal number of seconds times a million, rounded half up, and nothing else is rounded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from annotation.codebooks.interface import SEGMENT, control_name, target
from annotation.codebooks.model import Codebook, Pass, Question

EDGE_TOLERANCE_US = 20_834
"""Half a frame at 24 frames per second, rounded up. A segment that leaves the recording by no
more is cut at its edge, because sound and picture of one file end up to that far apart; two
segments that may not overlap but do by no more are made to touch."""


class InvalidAnnotation(ValueError):
    """The answer does not fit the codebook; the rater must change it.

    The message says so in sentences for the rater; `problems` holds them one by one.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(self.problems))


@dataclass(frozen=True, slots=True)
class ParsedCue:
    """One ticked answer about a segment; the modality is the question's id."""

    modality: str
    cue: str


@dataclass(frozen=True, slots=True)
class ParsedSegment:
    """A marked stretch [start_us, end_us) on the recording's clock, microseconds.

    `certainty` is the codebook's number, or None where it was not asked or not given.
    """

    start_us: int
    end_us: int
    label: str
    certainty: int | None = None
    cues: tuple[ParsedCue, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ParsedClipLabel:
    """One answer about the whole clip: the question's id and the value's id (or a free text).

    `confidence` is the certainty that the rater gave for this question, if asked.
    """

    scale: str
    value: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ParsedAnnotation:
    """Everything one rater said in one pass; segments in time order."""

    segments: tuple[ParsedSegment, ...] = ()
    clip_labels: tuple[ParsedClipLabel, ...] = ()


@dataclass(slots=True)
class _Region:
    start: Any = None
    end: Any = None
    labels: list[str] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)


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


def to_result(
    codebook: Codebook, pass_id: str, annotation: ParsedAnnotation, duration_us: int
) -> list[dict[str, Any]]:
    """The Label Studio result that `parse_result` reads back as `annotation`.

    For pre-labels and for labels made elsewhere. Raises KeyError for a pass or question that the
    codebook lacks; values are not checked.
    """
    part = codebook.pass_(pass_id)
    if part.unit == "segment":
        return [
            item
            for index, segment in enumerate(annotation.segments)
            for item in _segment_result(part, segment, index, duration_us)
        ]
    answers: dict[str, list[str]] = {}
    for label in annotation.clip_labels:
        answers.setdefault(label.scale, []).append(label.value)
        certainty = part.certainty_about(label.scale)
        if certainty is not None and label.confidence is not None:
            answers[certainty.id] = [str(label.confidence)]
    return [
        {"id": _region_id(name, index), **_answer(part.question(name), part, values)}
        for index, (name, values) in enumerate(answers.items())
    ]


def _collect(
    part: Pass, result: Iterable[Mapping[str, Any]], problems: list[str]
) -> tuple[list[_Region], dict[str, list[str]]]:
    """Sort the result's items into regions (items that share an id) and clip-level answers."""
    regions: dict[str, _Region] = {}
    clip: dict[str, list[str]] = {}
    questions = {control_name(question): question.id for question in part.questions}
    for item in result:
        source, value = item.get("from_name"), item.get("value")
        if not isinstance(value, Mapping):
            problems.append(f"A part of the answer ({source!r}) has no value; please answer again.")
            continue
        given = _given(value)
        if part.unit == "segment" and source == SEGMENT:
            region = regions.setdefault(str(item.get("id")), _Region())
            region.start, region.end = value.get("start"), value.get("end")
            region.labels += given
        elif source not in questions:
            problems.append(
                f"The answer holds {source!r}, which this task does not ask; please reload the "
                "page and answer again."
            )
        elif part.unit == "segment":
            region = regions.setdefault(str(item.get("id")), _Region())
            if region.start is None:
                region.start, region.end = value.get("start"), value.get("end")
            region.answers.setdefault(questions[source], []).extend(given)
        else:
            clip.setdefault(questions[source], []).extend(given)
    return list(regions.values()), clip


def _given(value: Mapping[str, Any]) -> list[str]:
    for key in ("labels", "choices", "text"):
        if key in value:
            found = value[key]
            return [str(x) for x in (found if isinstance(found, list) else [found])]
    return []


def _microseconds(seconds: Any) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not math.isfinite(seconds):
        return None
    return int((Decimal(repr(seconds)) * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def _clock(us: int) -> str:
    minutes, rest = divmod(max(us, 0), 60_000_000)
    return f"{minutes}:{rest // 1_000_000:02d}.{rest % 1_000_000 // 1000:03d}"


def _segment(
    part: Pass, region: _Region, duration_us: int, problems: list[str]
) -> ParsedSegment | None:
    start, end = _microseconds(region.start), _microseconds(region.end)
    if start is None or end is None:
        problems.append("A segment has no beginning or no end; please delete it and draw it anew.")
        return None
    name = f"The segment from {_clock(start)} to {_clock(end)}"
    before = len(problems)
    if start < -EDGE_TOLERANCE_US or end > duration_us + EDGE_TOLERANCE_US:
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
        question.id: _checked(question, region.answers.get(question.id, []), name, problems)
        for question in part.questions
    }
    if len(problems) > before:
        return None
    certainty, note = None, ""
    cues: list[ParsedCue] = []
    for question in part.questions:
        values = answers[question.id]
        if question.role == "certainty" and values:
            certainty = int(values[0])
        elif question.role == "note":
            note = "\n".join(values)
        elif question.role == "cue":
            cues += [ParsedCue(question.id, value) for value in values]
    return ParsedSegment(start, end, label, certainty, tuple(cues), note)


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
    question: Question, given: Sequence[str], name: str, problems: list[str]
) -> tuple[str, ...]:
    """The answers to one question in the codebook's order, each once; () for none."""
    if question.kind == "text":
        texts = tuple(text.strip() for text in given if text.strip())
        if question.required and not texts:
            problems.append(f"{name} lacks an answer to “{question.title}”.")
        return texts
    unknown = sorted(set(given) - set(question.value_ids))
    if unknown:
        problems.append(
            f"{name} answers “{question.title}” with {', '.join(map(repr, unknown))}, which the "
            "codebook does not know; please choose again."
        )
    chosen = tuple(value for value in question.value_ids if value in given)
    if question.kind != "multiple" and len(chosen) > 1:
        problems.append(f"{name} has several answers to “{question.title}”; please choose one.")
    if question.required and not given:
        problems.append(f"{name} lacks an answer to “{question.title}”.")
    return chosen


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
                current = ParsedSegment(
                    earlier.end_us, current.end_us, current.label, current.certainty,
                    current.cues, current.note,
                )  # fmt: skip
        if current is not None:
            kept.append(current)
    return tuple(kept)


def _clip_labels(
    part: Pass, given: Mapping[str, list[str]], problems: list[str]
) -> tuple[ParsedClipLabel, ...]:
    answers = {
        question.id: _checked(question, given.get(question.id, []), "The clip", problems)
        for question in part.questions
    }
    labels: list[ParsedClipLabel] = []
    for question in part.questions:
        if question.role == "certainty":
            continue
        about = part.certainty_about(question.id)
        sure = answers[about.id] if about is not None else ()
        confidence = int(sure[0]) if sure else None
        labels += [ParsedClipLabel(question.id, v, confidence) for v in answers[question.id]]
    return tuple(labels)


def _segment_result(
    part: Pass, segment: ParsedSegment, index: int, duration_us: int
) -> list[dict[str, Any]]:
    span = {"start": segment.start_us / 1e6, "end": segment.end_us / 1e6, "channel": 0}
    shared = {
        "id": _region_id(f"{segment.start_us}-{segment.end_us}-{segment.label}", index),
        "original_length": duration_us / 1e6,
    }
    items = [
        {
            **shared,
            "from_name": SEGMENT,
            "to_name": target(part),
            "type": "labels",
            "value": {**span, "labels": [segment.label]},
        }
    ]
    for question in part.questions:
        values = [cue.cue for cue in segment.cues if cue.modality == question.id]
        if question.role == "certainty" and segment.certainty is not None:
            values = [str(segment.certainty)]
        elif question.role == "note" and segment.note:
            values = [segment.note]
        if values:
            answer = _answer(question, part, values)
            items.append({**shared, **answer, "value": {**span, **answer["value"]}})
    return items


def _answer(question: Question, part: Pass, values: list[str]) -> dict[str, Any]:
    text = question.kind == "text"
    return {
        "from_name": control_name(question),
        "to_name": target(part),
        "type": "textarea" if text else "choices",
        "value": {"text" if text else "choices": values},
    }


def _region_id(text: str, index: int) -> str:
    """A short id that is the same for the same answer, so that sending twice changes nothing."""
    return hashlib.sha256(f"{index}:{text}".encode()).hexdigest()[:10]

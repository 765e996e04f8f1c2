"""From answers to the Label Studio result that reads back as them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from annotation.codebooks.interface import SEGMENT, control_name, each_name, is_slider, target
from annotation.codebooks.model import PAIR, Codebook, Pass, Question
from annotation.codebooks.parsed import ParsedAnnotation, ParsedClipLabel, ParsedSegment
from annotation.codebooks.times import us_ticks


def to_result(
    codebook: Codebook, pass_id: str, annotation: ParsedAnnotation, duration_us: int
) -> list[dict[str, Any]]:
    """The Label Studio result that `parse_result` reads back as `annotation`.

    For pre-labels and for labels made elsewhere. On a line of ticks a segment is widened to whole
    ticks. Raises KeyError for a pass or question that the codebook lacks; values are not checked.
    """
    part = codebook.pass_(pass_id)
    if part.unit == "segment":
        return [
            item
            for index, segment in enumerate(annotation.segments)
            for item in _segment_result(part, segment, index, duration_us)
        ]
    return list(_clip_result(part, annotation.clip_labels))


def _clip_result(part: Pass, labels: tuple[ParsedClipLabel, ...]) -> Iterator[dict[str, Any]]:
    answers: dict[str, list[str]] = {}
    each: dict[tuple[str, str], str] = {}
    for label in labels:
        answers.setdefault(label.scale, []).append(label.value)
        given = _about_each(part.question(label.scale), label.confidence, label.grade)
        if given:
            each[label.scale, label.value] = given
        certainty = part.certainty_about(label.scale)
        if certainty is not None and label.confidence is not None:
            answers[certainty.id] = [str(int(label.confidence))]
    index = 0
    for name, values in answers.items():
        question = part.question(name)
        yield {"id": _region_id(name, index), **_answer(question, part, values)}
        index += 1
        for value in values:
            if question.each is not None and (name, value) in each:
                control = each_name(question, value)
                found = _answer(question.each, part, [each[name, value]], control)
                yield {"id": _region_id(control, index), **found}
                index += 1


def _segment_result(
    part: Pass, segment: ParsedSegment, index: int, duration_us: int
) -> Iterator[dict[str, Any]]:
    shared: dict[str, Any] = {
        "id": _region_id(f"{segment.start_us}-{segment.end_us}-{segment.label}", index)
    }
    span: dict[str, Any]
    if part.timeline == "ticks":
        first, last = us_ticks(segment.start_us, segment.end_us, part.ticks_per_second)
        span, kind = {"ranges": [{"start": first, "end": last}]}, "timelinelabels"
    else:
        span = {"start": segment.start_us / 1e6, "end": segment.end_us / 1e6, "channel": 0}
        shared["original_length"], kind = duration_us / 1e6, "labels"
    yield {
        **shared,
        "from_name": SEGMENT,
        "to_name": target(part),
        "type": kind,
        "value": {**span, kind: [segment.label]},
    }
    for answer in _segment_answers(part, segment):
        yield {**shared, **answer, "value": {**span, **answer["value"]}}


def _segment_answers(part: Pass, segment: ParsedSegment) -> Iterator[dict[str, Any]]:
    for question in part.questions:
        cues = [cue for cue in segment.cues if cue.modality == question.id]
        values = [cue.cue for cue in cues]
        if question.role == "certainty" and segment.certainty is not None:
            values = [str(segment.certainty)]
        elif question.role == "note" and segment.note:
            values = [segment.note]
        elif question.role == "description":
            values = [each.text for each in segment.texts if each.question == question.id]
        if values:
            yield _answer(question, part, values)
        for cue in cues:
            given = _about_each(question, cue.confidence, cue.grade)
            if given and question.each is not None:
                yield _answer(question.each, part, [given], each_name(question, cue.cue))


def _about_each(question: Question, confidence: float | None, grade: str) -> str:
    """What was answered about one chosen answer, as text; "" for nothing."""
    if question.each is None:
        return ""
    if question.each.kind == "ordinal":
        return grade
    return _number(question.each, confidence) if confidence is not None else ""


def _number(question: Question, number: float) -> str:
    """The rating's point that is this number."""
    for point in question.points:
        if float(point) == float(number):
            return point
    return str(number)


def _answer(
    question: Question, part: Pass, values: list[str], name: str | None = None
) -> dict[str, Any]:
    kind, value = _value(question, values)
    return {
        "from_name": name or control_name(question),
        "to_name": target(part),
        "type": kind,
        "value": value,
    }


def _value(question: Question, values: list[str]) -> tuple[str, Mapping[str, Any]]:
    if question.kind == "text":
        return "textarea", {"text": values}
    if is_slider(question):
        return "number", {"number": float(values[0])}
    if question.kind == "compound":
        return "choices", {"choices": values[0].split(PAIR)}
    return "choices", {"choices": values}


def _region_id(text: str, index: int) -> str:
    """A short id that is the same for the same answer, so that sending twice changes nothing."""
    return hashlib.sha256(f"{index}:{text}".encode()).hexdigest()[:10]

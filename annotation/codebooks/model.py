"""A codebook as plain values: passes, labels, questions and their allowed answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["clip", "segment"]
Kind: TypeAlias = Literal["exclusive", "multiple", "ordinal", "rating", "compound", "text"]
Role: TypeAlias = Literal["label", "certainty", "cue", "note", "description"]
Overlap: TypeAlias = Literal["forbidden", "different_labels", "allowed"]
Timeline: TypeAlias = Literal["waveform", "ticks"]
Scale: TypeAlias = Literal["nominal", "ordinal", "interval"]

PAIR = "+"
"""Joins the two parts of a compound answer: "anger+surprise". No id can hold it."""


class CodebookError(ValueError):
    """The codebook file must be changed by whoever wrote it; the message lists every problem.

    `problems` holds (line, sentence) pairs, lines counted from 1.
    """

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(f"Line {line}: {text}" for line, text in self.problems))


@dataclass(frozen=True, slots=True)
class Value:
    """One label or one answer. `export` is what released files write for it, if not its id.

    `ours` says that the published source does not give this value and that we chose it.
    """

    id: str
    title: str
    hint: str = ""
    note: str = ""
    hotkey: str = ""
    colour: str = ""
    export: int | str | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Something asked about a clip, or about each marked segment.

    kind      exclusive: one answer; multiple: any number; ordinal: one, values in order;
              rating: a number from `minimum` to `maximum` in steps of `step`; compound: one value
              or a pair of values, if `pairs` is not empty only one of those pairs; text.
    role      label: what the study is after; certainty: how sure the rater is; cue: what was
              seen or heard, the question's id names the modality; description: free text that is
              part of the work, such as a clue with its reason; note: free text beside the work.
    about     for a certainty about a clip: the question that it qualifies; "" for all of them.
    each      for several answers: what is asked about each chosen one. A rating is stored as the
              answer's confidence, an ordinal as its grade (an intensity, say).
    low, high what the two ends of a rating mean.
    tier      the name of its tier in ELAN; "" for the usual one.
    """

    id: str
    kind: Kind
    title: str
    role: Role = "label"
    about: str = ""
    hint: str = ""
    note: str = ""
    ours: bool = False
    required: bool = False
    values: tuple[Value, ...] = ()
    minimum: Decimal = Decimal(0)
    maximum: Decimal = Decimal(0)
    step: Decimal = Decimal(1)
    low: str = ""
    high: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    each: Question | None = None
    tier: str = ""

    @property
    def scale(self) -> Scale:
        """How the answers differ, in the terms of `annotation.agreement`."""
        if self.kind == "rating":
            return "interval"
        return "ordinal" if self.kind == "ordinal" else "nominal"

    @property
    def value_names(self) -> tuple[str, ...]:
        """Ids of the values that the codebook lists, in its order."""
        return tuple(value.id for value in self.values)

    @property
    def value_ids(self) -> tuple[str, ...]:
        """All answers that can be given, in order: ids, numbers of a rating, pairs "a+b"."""
        if self.kind == "rating":
            return self.points
        if self.kind == "compound":
            return (*self.value_names, *(PAIR.join(pair) for pair in self.allowed_pairs))
        return self.value_names

    @property
    def points(self) -> tuple[str, ...]:
        """The numbers of a rating, lowest first, without superfluous zeros: "-1", "-0.5", "0"."""
        count = int((self.maximum - self.minimum) / self.step) + 1
        return tuple(number_text(self.minimum + n * self.step) for n in range(count))

    @property
    def allowed_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of a compound question, each in the codebook's order of its values."""
        names = self.value_names
        pairs = self.pairs or tuple(combinations(names, 2))
        ordered = ((a, b) if names.index(a) < names.index(b) else (b, a) for a, b in pairs)
        return tuple(sorted(ordered, key=lambda pair: (names.index(pair[0]), names.index(pair[1]))))


def number_text(number: Decimal) -> str:
    """Write a number without superfluous zeros and never as a power of ten."""
    text = f"{number.normalize():f}"
    return "0" if text == "-0" else text


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example that raters read beside the instructions."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Pass:
    """One way through the recordings: the whole clip is judged, or segments are marked in it.

    labels               what a segment may be (segment passes only).
    candidates           the label with which cue candidates are drawn as pre-labels, "" for none.
    overlap              whether one rater's segments may overlap: not at all, only with
                         different labels, or freely.
    minimum_duration_us  a shorter segment is taken for a slip of the mouse.
    questions            about the clip, or about each segment.
    timeline             segments are drawn on the waveform, in seconds, or on a line of ticks.
    ticks_per_second     how many, for a line of ticks.
    transcript           whether what is said is shown beside, where the recording has it.
    tier                 the name in ELAN of the tier of its segments; "" for the usual one.
    """

    id: str
    unit: Unit
    title: str
    instructions: str
    examples: tuple[Example, ...]
    labels: tuple[Value, ...]
    overlap: Overlap
    minimum_duration_us: int
    questions: tuple[Question, ...]
    note: str = ""
    ours: bool = False
    candidates: str = ""
    timeline: Timeline = "waveform"
    ticks_per_second: Fraction = Fraction(10)
    transcript: bool = False
    tier: str = ""

    @property
    def label_ids(self) -> tuple[str, ...]:
        """Ids of the segment labels in the codebook's order."""
        return tuple(label.id for label in self.labels)

    def question(self, question_id: str) -> Question:
        """The question with this id. Raises KeyError."""
        for question in self.questions:
            if question.id == question_id:
                return question
        raise KeyError(question_id)

    def certainty_about(self, question_id: str) -> Question | None:
        """The question that asks how sure the rater is of another one's answer.

        None where a rating of each answer asks for that already.
        """
        general = None
        each = self.question(question_id).each
        if each is not None and each.kind == "rating":
            return None
        for question in self.questions:
            if question.role == "certainty" and question.about == question_id:
                return question
            if question.role == "certainty" and not question.about:
                general = question
        return general if self.question(question_id).role == "label" else None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a codebook's `migration`: what became of something the earlier version had.

    Names the old pass, and in it a segment label, a question, or answers to a question; nothing of
    them for the pass itself. `olds` has several entries only for a merge.

    to           rename and merge: the new id.
    to_question  rename: the question that the answer belongs to now, where it moved.
    into         split: the new ids. `by` and `when` say which other answer decides between them.
    otherwise    split: the new id where that answer does not decide; "" asks the rater again.
    reason       drop: why.
    """

    kind: Literal["rename", "merge", "split", "drop"]
    pass_id: str
    question: str = ""
    olds: tuple[str, ...] = ()
    to: str = ""
    to_question: str = ""
    into: tuple[str, ...] = ()
    by: str = ""
    when: tuple[tuple[str, str], ...] = ()
    otherwise: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Measurable:
    """Something whose agreement can be measured, and the values it can take.

    `name` is stable over versions: "segments:ah", "clip:emotion", "clip:behaviours:phone".
    segment labels       values ("none", label): marked or not at each moment.
    exclusive, ordinal   values: the answers' ids; of a compound question, also its pairs.
    rating               values: the numbers, on the interval scale.
    multiple             one per answer, values ("no", "yes"): ticked or not.
    """

    name: str
    pass_id: str
    unit: Unit
    source: str
    value: str
    scale: Scale
    values: tuple[str, ...]
    title: str


@dataclass(frozen=True, slots=True)
class Codebook:
    """A validated codebook. `sha256` covers its content, not its layout or comments.

    `migration` says what became of what version `migrates_from` asked and this one does not.
    """

    id: str
    version: int
    title: str
    languages: tuple[str, ...]
    source: str
    note: str
    passes: tuple[Pass, ...]
    sha256: str
    migrates_from: int | None = None
    migration: tuple[Rule, ...] = ()

    def pass_(self, pass_id: str) -> Pass:
        """The pass with this id. Raises KeyError with a sentence."""
        for candidate in self.passes:
            if candidate.id == pass_id:
                return candidate
        known = ", ".join(candidate.id for candidate in self.passes)
        raise KeyError(f"Codebook {self.id!r} has no pass {pass_id!r}; it has {known}.")

    def measurables(self) -> tuple[Measurable, ...]:
        """Everything whose agreement can be measured, in the codebook's order."""
        found: list[Measurable] = []
        for part in self.passes:
            for label in part.labels:
                name = f"{part.id}:{label.id}"
                found.append(
                    Measurable(
                        name, part.id, "segment", label.id, label.id, "nominal",
                        ("none", label.id), label.title,
                    )
                )  # fmt: skip
            if part.unit == "clip":
                found += [m for question in part.questions for m in _of_question(part, question)]
        return tuple(found)


def _of_question(part: Pass, question: Question) -> list[Measurable]:
    if question.role != "label" or question.kind == "text":
        return []
    name = f"{part.id}:{question.id}"
    if question.kind == "multiple":
        return [
            Measurable(
                f"{name}:{value.id}", part.id, "clip", question.id, value.id, "nominal",
                ("no", "yes"), f"{question.title}: {value.title}",
            )
            for value in question.values
        ]  # fmt: skip
    return [
        Measurable(
            name, part.id, "clip", question.id, "", question.scale, question.value_ids,
            question.title,
        )
    ]  # fmt: skip

"""What can be adjudicated in a codebook: the answers that a study is after, one topic each.

Certainties, cues and notes are the raters' own and are never decided by somebody else; ratings on
a scale of numbers are averaged instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from annotation.agreement import GAP
from annotation.codebooks import Codebook, Pass, Question, Value, load
from annotation.codebooks.model import PAIR, Scale
from annotation.models import CodebookVersion

PRESENT, ABSENT = "present", "absent"
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Topic:
    """One segment label, one question, or one answer of a question that allows several.

    `label`        as decisions name it: `ah`, `emotion`, `behaviours/phone`.
    `values`       what raters can say, in the codebook's order; for segments unmarked or marked.
    `choices`      what can be decided: (value, title); for segments present or absent.
    `definition`   what the codebook tells raters about it, paragraph by paragraph.
    `shortest_us`  a segment that is shorter is no answer (0 for clips).
    """

    pass_id: str
    label: str
    unit: Literal["clip", "segment"]
    source: str
    answer: str
    scale: Scale
    values: tuple[str, ...]
    title: str
    choices: tuple[tuple[str, str], ...]
    colour: str = ""
    shortest_us: int = 0
    definition: tuple[str, ...] = field(default=())

    @property
    def key(self) -> str:
        """Its name in gate policies and releases: pass/label."""
        return f"{self.pass_id}/{self.label}"

    def title_of(self, value: str) -> str:
        """Give the words for a value that raters gave or that was decided."""
        if self.unit == "segment":
            value = {GAP: ABSENT, self.source: PRESENT}.get(value, value)
        return dict(self.choices).get(value, value)


def codebook_of(version: CodebookVersion) -> Codebook:
    """Give a version's content."""
    return load(version.text)


def topics_of(version: CodebookVersion) -> dict[str, Topic]:
    """Give everything that can be adjudicated under a codebook version, by its key."""
    return _topics(version.text)


@lru_cache(maxsize=32)
def _topics(text: str) -> dict[str, Topic]:
    return {topic.key: topic for part in load(text).passes for topic in _of_pass(part)}


def _of_pass(part: Pass) -> list[Topic]:
    found = [_of_label(part, value) for value in part.labels]
    if part.unit == "clip":
        for question in part.questions:
            if question.role == "label" and question.kind not in ("text", "rating"):
                found += _of_question(part, question)
    return found


def _of_label(part: Pass, value: Value) -> Topic:
    return Topic(
        pass_id=part.id,
        label=value.id,
        unit="segment",
        source=value.id,
        answer="",
        scale="nominal",
        values=(GAP, value.id),
        title=value.title,
        choices=((PRESENT, "Present"), (ABSENT, "Absent")),
        colour=value.colour,
        shortest_us=part.minimum_duration_us,
        definition=_said(value.hint, part.instructions),
    )


def _of_question(part: Pass, question: Question) -> list[Topic]:
    if question.kind == "multiple":
        return [
            Topic(
                pass_id=part.id,
                label=f"{question.id}/{value.id}",
                unit="clip",
                source=question.id,
                answer=value.id,
                scale="nominal",
                values=(NO, YES),
                title=f"{question.title}: {value.title}",
                choices=((YES, "Yes"), (NO, "No")),
                colour=value.colour,
                definition=_said(value.hint, question.hint, part.instructions),
            )
            for value in question.values
        ]
    hints = [f"{value.title}: {value.hint}" for value in question.values if value.hint]
    return [
        Topic(
            pass_id=part.id,
            label=question.id,
            unit="clip",
            source=question.id,
            answer="",
            scale=question.scale,
            values=question.value_ids,
            title=question.title,
            choices=tuple((value, _words(question, value)) for value in question.value_ids),
            definition=_said(question.hint, *hints, part.instructions),
        )
    ]


def _words(question: Question, value: str) -> str:
    """The title of an answer; of a pair of answers, both."""
    titles = {each.id: each.title for each in question.values}
    return " and ".join(titles.get(part, part) for part in value.split(PAIR))


def _said(*texts: str) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())

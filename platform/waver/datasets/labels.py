"""What a policy's label name means in a codebook: `segments/ah`, `video/ah`, `video/cues/pause`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from annotation.agreement import GAP
from annotation.codebooks import Codebook, Pass, Question, load
from waver.core.errors import BadInput

Data = Literal["segments", "clips"]
YES, NO = "yes", "no"
GUARDS_BY_VALUE = ("category_alpha_min", "specific_agreement_min")
"""Guards that are a number, for the positive value, or a number for each of several values."""


@dataclass(frozen=True, slots=True)
class Label:
    """One thing whose agreement is measured, as it stands in the codebook.

    `key`     pass/label for segments, pass/question for clips, pass/question/answer for one answer
              of a question that allows several.
    `values`  all values it can take, in the codebook's order: `none` and the label for segments
              (marked or not at each moment), `no` and `yes` for one answer of several.
    """

    key: str
    pass_id: str
    data: Data
    source: str  # the segment's label, or the question whose stored answers hold it
    answer: str  # of a question that allows several answers, else ""
    scale: Literal["nominal", "ordinal", "interval"]
    values: tuple[str, ...]
    title: str
    is_certainty: bool = False


@lru_cache(maxsize=32)
def read_codebook(text: str) -> Codebook:
    """Read a codebook version's text; kept, because a version never changes."""
    return load(text)


def labels_of(codebook: Codebook) -> dict[str, Label]:
    """Give every label of a codebook that raters can agree on, by its key."""
    return {label.key: label for part in codebook.passes for label in _of_pass(part)}


def named_labels(codebook: Codebook, policy: Mapping[str, Any]) -> dict[str, Label]:
    """Give a codebook's labels after checking those that a gate policy names.

    Raises BadInput for a label that the codebook does not have, or has as another kind.
    """
    known, name = labels_of(codebook), f"{codebook.id} version {codebook.version}"
    for key, rule in policy["labels"].items():
        label = known.get(key)
        if label is None:
            raise BadInput(
                f"The policy names “{key}”, which {name} does not have. It has {', '.join(known)}."
            )
        if rule["data"] != label.data or rule.get("scale", label.scale) != label.scale:
            raise BadInput(
                f"The policy says that “{key}” is {rule['data']} ({rule.get('scale', 'nominal')}), "
                f"but in {name} it is {label.data} ({label.scale}). Correct it."
            )
        positive = rule.get("positive", label.values[0])
        if positive not in label.values:
            raise BadInput(
                f"The policy calls “{positive}” the positive value of “{key}”, which allows only "
                f"{', '.join(label.values)}. Correct the policy."
            )
        _check_values(key, rule["guards"], label)
    return known


def _check_values(key: str, guards: Mapping[str, Any], label: Label) -> None:
    """Raise BadInput for a guard on a value that the label does not have."""
    for name, guard in guards.items():
        unknown = (
            sorted(set(guard) - set(label.values))
            if name in GUARDS_BY_VALUE and isinstance(guard, dict)
            else []
        )
        if unknown:
            raise BadInput(
                f"The policy guards “{unknown[0]}” of “{key}” by {name}; the label allows only "
                f"{', '.join(label.values)}. Correct the policy."
            )


def _of_pass(part: Pass) -> Iterator[Label]:
    for value in part.labels:
        yield Label(
            key=f"{part.id}/{value.id}",
            pass_id=part.id,
            data="segments",
            source=value.id,
            answer="",
            scale="nominal",
            values=(GAP, value.id),
            title=value.title,
        )
    if part.unit == "clip":
        for question in part.questions:
            yield from _of_question(part, question)


def _of_question(part: Pass, question: Question) -> Iterator[Label]:
    if question.kind == "text":
        return
    key = f"{part.id}/{question.id}"
    if question.kind == "multiple":
        for value in question.values:
            yield Label(
                key=f"{key}/{value.id}",
                pass_id=part.id,
                data="clips",
                source=question.id,
                answer=value.id,
                scale="nominal",
                values=(NO, YES),
                title=f"{question.title}: {value.title}",
            )
        return
    yield Label(
        key=key,
        pass_id=part.id,
        data="clips",
        source=_stored_with(part, question),
        answer="",
        scale=question.scale,
        values=question.value_ids,
        title=question.title,
        is_certainty=question.role == "certainty",
    )


def _stored_with(part: Pass, question: Question) -> str:
    """The question whose rows hold the answers: a certainty stands on the answer it is about."""
    if question.role != "certainty":
        return question.id
    labels = [other.id for other in part.questions if other.role == "label"]
    return question.about or (labels[0] if labels else question.id)

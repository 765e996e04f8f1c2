"""What every pre-labeller has in common: the card that says what it is, and what it suggests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class PrelabelError(Exception):
    """A card or an input that a pre-labeller cannot work with; the message says why."""


class ModelKind(StrEnum):
    """How a pre-labeller works, which decides the runner that serves it.

    rule: documented formulas on measured signals. frame: a network on single face crops. clip: a
    network on a stretch of pictures and sound. chat: a language model that is asked questions.
    """

    RULE = "rule"
    FRAME = "frame"
    CLIP = "clip"
    CHAT = "chat"


@dataclass(frozen=True)
class ModelCard:
    """Which pre-labeller made a suggestion, exactly enough to make it again.

    sha256: of the weights; for a rule, of its parameters. describes: one sentence for the rater
    and the methods section, which says what the suggestion is and is not. outputs: the names of
    what it can suggest, in the model's own order. parameters: the numbers its formulas use.
    """

    id: str
    version: str
    kind: ModelKind
    sha256: str
    licence: str
    describes: str
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def parameter(self, name: str) -> float:
        """A parameter by name; raises PrelabelError when the card has none of that name."""
        if name not in self.parameters:
            raise PrelabelError(f"The model card {self.id} lacks the parameter {name!r}.")
        return self.parameters[name]


@dataclass(frozen=True)
class Candidate:
    """A suggested span [start_us, end_us) of a recording, in microseconds.

    cue: one of the card's outputs. score: 0..1, higher with more evidence, comparable only between
    candidates of the same card and cue. detail: a sentence with the measured evidence.
    """

    start_us: int
    end_us: int
    cue: str
    score: float
    detail: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_us < self.end_us:
            raise PrelabelError(f"A span from {self.start_us} to {self.end_us} us is empty.")
        if not 0 <= self.score <= 1:
            raise PrelabelError(f"A score must lie between 0 and 1, not at {self.score}.")


def parameters_sha256(parameters: Mapping[str, float]) -> str:
    """The hash that stands for a rule's weights: SHA-256 of its parameters as sorted JSON."""
    return hashlib.sha256(json.dumps(dict(parameters), sort_keys=True).encode()).hexdigest()

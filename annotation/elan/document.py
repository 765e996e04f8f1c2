"""An ELAN file as plain values. Times are whole milliseconds of ELAN's own time line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ElanProblem(ValueError):
    """The file must be changed by whoever made it; `problems` are sentences that say how."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Media:
    """A linked media file.

    `time_origin_ms` is the media's own time at which ELAN's time line begins: time in the media is
    time in the file plus this.
    """

    url: str
    mime_type: str
    relative_url: str = ""
    time_origin_ms: int = 0


@dataclass(frozen=True, slots=True)
class ElanAnnotation:
    """One annotation: a stretch of time and a text. `parent` is its place in the parent tier.

    A reference annotation has the times of the annotation that it refers to; `None` where ELAN
    itself has no time for it.
    """

    start_ms: int | None
    end_ms: int | None
    value: str
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier. Annotations of one tier do not overlap in time, and stand in their order.

    `parent` names the tier whose annotations these belong to, one each; `vocabulary` the controlled
    vocabulary that its values come from.
    """

    name: str
    annotations: tuple[ElanAnnotation, ...]
    annotator: str = ""
    participant: str = ""
    parent: str = ""
    vocabulary: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A controlled vocabulary: its values with what each means."""

    name: str
    description: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file."""

    author: str
    date: str
    media: tuple[Media, ...] = ()
    tiers: tuple[Tier, ...] = ()
    vocabularies: tuple[Vocabulary, ...] = ()

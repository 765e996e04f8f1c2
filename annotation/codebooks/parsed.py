"""What one rater said in one pass, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """One answer about a segment; the modality is the question's id, a number's cue its text.

    `confidence` and `grade` are what was asked about each chosen answer, if anything was.
    """

    modality: str
    cue: str
    confidence: float | None = None
    grade: str = ""


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A description that the rater wrote about a segment: a clue and its reason, say."""

    question: str
    text: str


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
    texts: tuple[ParsedText, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedClipLabel:
    """One answer about the whole clip: the question's id and the answer.

    value       the value's id, a pair "a+b" of ids, a rating's number as text, or a free text.
    confidence  the certainty that the rater gave for this question, or for this answer alone.
    grade       the degree that the rater gave for this answer, such as its intensity.
    """

    scale: str
    value: str
    confidence: float | None = None
    grade: str = ""


@dataclass(frozen=True, slots=True)
class ParsedAnnotation:
    """Everything one rater said in one pass; segments in time order."""

    segments: tuple[ParsedSegment, ...] = ()
    clip_labels: tuple[ParsedClipLabel, ...] = ()

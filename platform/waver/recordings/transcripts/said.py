"""A transcript as values, and the JSON in which one is stored. Times are the recording's clock."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from waver.core.errors import IntegrityProblem

# Control characters, halves of surrogate pairs, private and unassigned characters.
_DROPPED = frozenset({"Cc", "Cs", "Co", "Cn"})
# Thai, Lao, Burmese, Khmer, and all that follow: scripts that put no spaces between words.
_FIRST_UNSPACED = "\u0e00"


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, `[start_us, end_us)`. `probability`, 0 to 1, is a model's own estimate."""

    start_us: int
    end_us: int
    text: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance, `[start_us, end_us)`; segments of two speakers may overlap.

    `words` is empty where nobody timed them, and else holds every word of `text`, in order.
    """

    start_us: int
    end_us: int
    text: str
    speaker: str = ""
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A whole transcript; `language` is a code such as “en”, or empty where nobody said."""

    segments: tuple[Segment, ...]
    language: str = ""

    @property
    def text(self) -> str:
        """Everything that is said, in one line."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        """Every timed word, in order; empty unless every segment has them."""
        if not all(segment.words for segment in self.segments):
            return ()
        return tuple(word for segment in self.segments for word in segment.words)

    def to_json(self) -> bytes:
        """Write the stored form: one for equal transcripts, so that equal ones have equal bytes."""
        body = {
            "language": self.language,
            "segments": [_segment_body(segment) for segment in self.segments],
        }
        return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Said:
        """Read the stored form, also an earlier one without a language. Raises IntegrityProblem."""
        try:
            body = json.loads(data)
            segments = tuple(_segment(row) for row in body["segments"])
            return cls(segments, str(body.get("language", "")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityProblem(
                f"A stored transcript cannot be read ({type(error).__name__}). Restore an earlier "
                "version on the recording's page, or bring the transcript in again."
            ) from error


def tidy(text: str) -> str:
    """Give a text in composed characters and one line, without control characters."""
    composed = unicodedata.normalize("NFC", text)
    spaced = "".join(" " if c.isspace() else c for c in composed)
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in _DROPPED).split())


def tokens(text: str) -> list[str]:
    """Give the words of a text: what stands between spaces."""
    return text.split()


def fits_text(words: Sequence[Word], text: str) -> bool:
    """Tell whether these are the words of the text, one by one.

    In a script without spaces between words, whether they make up the text together.
    """
    said = [word.text for word in words]
    if said == tokens(text):
        return True
    unspaced = any(c >= _FIRST_UNSPACED and unicodedata.category(c) == "Lo" for c in text)
    return unspaced and "".join(tokens(text)) == "".join("".join(tokens(word)) for word in said)


def timed_words(said: Said) -> Iterator[Word]:
    """Give the timed words of those segments that have them."""
    for segment in said.segments:
        yield from segment.words


def words_per_minute(said: Said) -> float | None:
    """Give the speech rate: words over the time from the first one to the last, pauses and all.

    None where a language without spaces hides how many words there are, or no time passes.
    """
    words = [word.text for word in said.words] or tokens(said.text)
    if any(c >= _FIRST_UNSPACED and unicodedata.category(c) == "Lo" for c in said.text):
        words = [word.text for word in said.words]
    if not words:
        return None
    spans = said.words or said.segments
    length = max(each.end_us for each in spans) - min(each.start_us for each in spans)
    return len(words) * 60e6 / length if length > 0 else None


def _segment_body(segment: Segment) -> dict[str, Any]:
    body: dict[str, Any] = {
        "start_us": segment.start_us, "end_us": segment.end_us, "text": segment.text
    }  # fmt: skip
    if segment.speaker:
        body["speaker"] = segment.speaker
    if segment.words:
        body["words"] = [
            {"start_us": word.start_us, "end_us": word.end_us, "text": word.text}
            | ({} if word.probability is None else {"probability": word.probability})
            for word in segment.words
        ]
    return body


def _segment(row: Mapping[str, Any]) -> Segment:
    return Segment(
        int(row["start_us"]),
        int(row["end_us"]),
        str(row["text"]),
        str(row.get("speaker", "")),
        tuple(
            Word(int(w["start_us"]), int(w["end_us"]), str(w["text"]), w.get("probability"))
            for w in row.get("words", ())
        ),
    )

"""Speech as data: spans of time, and their JSON form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from workers.speech.errors import SpeechError


@dataclass(frozen=True)
class Span:
    """A half-open span [start_us, end_us) of a recording, in microseconds."""

    start_us: int
    end_us: int

    @property
    def duration_us(self) -> int:
        """How long the span lasts, in microseconds."""
        return self.end_us - self.start_us


@dataclass(frozen=True)
class Speech:
    """Where somebody speaks in a recording.

    segments: spans of speech, in order, not touching. pauses: silences between the first and the
    last speech that last at least PAUSE_MIN_US (workers.speech.vad). share: speech over duration,
    0..1. notes: sentences for the researcher. figures and tools: for the provenance record.
    """

    segments: tuple[Span, ...]
    pauses: tuple[Span, ...]
    duration_us: int
    share: float
    notes: tuple[str, ...]
    figures: dict[str, float | int | str]
    tools: dict[str, str]

    def to_json(self) -> str:
        """A JSON object with the fields by name; `from_json` gives the equal value back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Speech:
        """Read what `to_json` wrote; raises SpeechError for anything else."""
        try:
            fields = json.loads(text)
            for name in ("segments", "pauses"):
                fields[name] = tuple(Span(**span) for span in fields[name])
            fields["notes"] = tuple(fields["notes"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise SpeechError(f"This is not a record of speech: {error}.") from error

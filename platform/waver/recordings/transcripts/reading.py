"""What a transcript's file holds, and whether it fits its recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from waver.core.clock import format_us
from waver.core.errors import BadInput
from waver.recordings.transcripts.said import Said, Segment, Word, fits_text, tidy

MOST_BYTES = 8 * 2**20
MOST_SEGMENTS = 20_000
LONGEST_TEXT = 5_000
LONGEST_SPEAKER = 80
# So much may a file run over the recording's end, as players' and models' rounding does.
OVERRUN_US = 1_000_000
# The end of a segment whose file gives none: the recording's.
NO_END = -1
_MOST_TOLD = 20
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Line:
    """A segment, and the number of the line at which it stands in the file."""

    number: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says. `notes` are sentences about what was read in another way than it stands."""

    lines: tuple[Line, ...]
    language: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file: its encoding, what to add to each time, and which tiers of ELAN."""

    encoding: str = ""
    shift_us: int = 0
    tiers: tuple[str, ...] = ()


Reader = Callable[[bytes, Options], Reading]


class Problems:
    """Collects what is wrong with a file, each a sentence with the number of its line (`unit`)."""

    def __init__(self, *, unit: str = "Line") -> None:
        self._unit = unit
        self._told: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, line: int, sentence: str) -> None:
        """Add one; `sentence` begins with a small letter or a quotation."""
        self._told.append(f"{self._unit} {line}: {sentence}")

    def stop_if_any(self, name: str = "the file") -> None:
        """Raise BadInput with all of them, or the first twenty."""
        if not self._told:
            return
        more = len(self._told) - _MOST_TOLD
        told = self._told[:_MOST_TOLD] + ([f"… and {more} more."] if more > 0 else [])
        raise BadInput(f"Nothing was taken from {name} until it is corrected:\n" + "\n".join(told))


def check_size(data: bytes) -> None:
    """Raise BadInput for a file that is larger than any transcript, or empty."""
    if len(data) > MOST_BYTES:
        raise BadInput(
            f"The file has more than {MOST_BYTES >> 20} MiB; no transcript of a recording does. "
            "Choose the transcript of this one recording."
        )
    if not data.strip():
        raise BadInput("The file is empty. Choose the transcript of this recording.")


def fitted(
    reading: Reading,
    *,
    duration_us: int,
    shift_us: int = 0,
    unit: str = "Line",
    whole: str = "the file",
) -> tuple[Said, tuple[str, ...]]:
    """Hold a file's segments against the recording; give the transcript and all notes.

    Segments come in the order of their times and may overlap. What runs over the recording's end by
    at most OVERRUN_US is cut there, and said so. `unit` and `whole` are what sentences call a line
    and the file. Raises BadInput listing what does not fit.
    """
    problems = Problems(unit=unit)
    kept: list[Segment] = []
    cut = dropped = 0
    if len(reading.lines) > MOST_SEGMENTS:
        raise BadInput(f"The file holds more than {MOST_SEGMENTS} segments; no recording does.")
    for line in reading.lines:
        segment = _tidied(line.segment, shift_us, duration_us)
        if not segment.text:
            dropped += 1
            continue
        if _complain(problems, line.number, segment, duration_us):
            continue
        if segment.end_us > duration_us:
            cut += 1
            segment = clipped(segment, 0, duration_us)
        kept.append(segment)
    problems.stop_if_any(whole)
    if not kept:
        raise BadInput(f"{whole.capitalize()} holds no words. There is no empty transcript.")
    notes = list(reading.notes)
    if cut:
        notes.append(f"{_count(cut)} ran over the recording's end and {_was(cut)} cut there.")
    if dropped:
        notes.append(f"{_count(dropped)} without words {_was(dropped)} left out.")
    ordered = tuple(sorted(kept, key=lambda each: (each.start_us, each.end_us)))
    return Said(ordered, language_code(reading.language)), tuple(notes)


def checked(said: Said, *, duration_us: int) -> Said:
    """Hold a transcript from elsewhere (a form, a model) against the recording, as `fitted`."""
    lines = tuple(Line(n, segment) for n, segment in enumerate(said.segments, start=1))
    return fitted(Reading(lines, said.language), duration_us=duration_us)[0]


def clipped(segment: Segment, start_us: int, end_us: int) -> Segment:
    """Cut a segment to a stretch; without word times if a word would lose all of its time."""
    words = [
        replace(word, start_us=max(word.start_us, start_us), end_us=min(word.end_us, end_us))
        for word in segment.words
    ]
    whole = all(word.start_us < word.end_us for word in words)
    return replace(
        segment,
        start_us=max(segment.start_us, start_us),
        end_us=min(segment.end_us, end_us),
        words=tuple(words) if whole else (),
    )


def language_code(language: str) -> str:
    """Give a language's code, such as “fr”, also for its English name; "" for none.

    Raises BadInput for what is neither.
    """
    from django.conf.locale import LANG_INFO

    said = language.strip()
    if not said:
        return ""
    for code, about in LANG_INFO.items():
        if about.get("name", "").lower() == said.lower():
            return code
    if len(said) > 12 or not _LANGUAGE.fullmatch(said):
        raise BadInput(f"“{said[:40]}” is no language. Write its code, such as en, fr or fr-CA.")
    return said


def language_name(code: str) -> str:
    """Give a language's English name in small letters, as BAH writes it; "" if unknown."""
    from django.conf.locale import LANG_INFO

    for known in (code.lower(), code.lower().split("-")[0]):
        name = LANG_INFO.get(known, {}).get("name")
        if name:
            return str(name).lower()
    return ""


def _tidied(segment: Segment, shift_us: int, duration_us: int) -> Segment:
    """The segment in its stored form, moved; its words only if they are really its words."""
    text = tidy(segment.text)
    words = tuple(
        Word(w.start_us + shift_us, w.end_us + shift_us, tidy(w.text), w.probability)
        for w in segment.words
    )
    start = segment.start_us + shift_us
    end = duration_us if segment.end_us == NO_END else segment.end_us + shift_us
    in_order = all(a.end_us <= b.start_us for a, b in pairwise(words))
    inside = all(start <= word.start_us < word.end_us <= end for word in words)
    fits = in_order and inside and fits_text(words, text)
    return Segment(start, end, text, tidy(segment.speaker), words if fits else ())


def _complain(problems: Problems, line: int, segment: Segment, duration_us: int) -> bool:
    """Say what does not fit; give whether something did not."""
    start, end = segment.start_us, segment.end_us
    if start < 0:
        problems.add(line, "begins before the recording does. Give another shift.")
    elif end < start:
        problems.add(
            line,
            f"ends at {format_us(end)}, before it begins at {format_us(start)}. Exchange them.",
        )
    elif end == start:
        problems.add(line, f"begins and ends at {format_us(start)}. Give it a length.")
    elif start >= duration_us or end > duration_us + OVERRUN_US:
        problems.add(
            line,
            f"{format_us(start)}–{format_us(end)} lies beyond the recording, which ends at "
            f"{format_us(duration_us)}. Check whether this is its transcript.",
        )
    elif len(segment.text) > LONGEST_TEXT or len(segment.speaker) > LONGEST_SPEAKER:
        problems.add(
            line,
            f"a segment has at most {LONGEST_TEXT} characters and its speaker's name at most "
            f"{LONGEST_SPEAKER}. Split it.",
        )
    else:
        return False
    return True


def _count(number: int) -> str:
    return f"{number} segment{'' if number == 1 else 's'}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"

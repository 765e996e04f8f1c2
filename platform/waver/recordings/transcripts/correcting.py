"""A transcript as a form of rows that somebody edits, and back; words keep the times they had."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from waver.core.clock import MICROSECONDS, format_us
from waver.core.errors import BadInput
from waver.recordings.transcripts.reading import Line, Problems, Reading, fitted
from waver.recordings.transcripts.said import Said, Segment, Word, tidy, timed_words, tokens

MOST_ROWS = 2_000
"""More than a form can hold; a longer transcript is corrected in a file and brought in again."""
_TIME = re.compile(r"(?:(?:([0-9]{1,3}):)?([0-9]{1,5}):)?([0-9]{1,6})(?:[.,]([0-9]{1,6}))?")
_NEW_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """A segment as it is typed: times such as 1:02.345."""

    start: str
    end: str
    text: str
    speaker: str = ""


def rows_of(said: Said) -> list[Row]:
    """Give a transcript's rows."""
    return [
        Row(clock_text(each.start_us), clock_text(each.end_us), each.text, each.speaker)
        for each in said.segments
    ]


def clock_text(us: int) -> str:
    """Write a time so that reading it gives the same one back: 1:02.345, or with microseconds."""
    if us % 1000 == 0:
        return format_us(us)
    minutes, rest = divmod(us, 60 * MICROSECONDS)
    return f"{minutes}:{rest // MICROSECONDS:02d}.{rest % MICROSECONDS:06d}"


def read_time(typed: str) -> int | None:
    """Read hours, minutes and seconds as people type them: 62.5, 1:02.5, 0:01:02,500."""
    found = _TIME.fullmatch(typed.strip())
    if found is None:
        return None
    hours, minutes, seconds, part = found.groups()
    whole = (int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds)
    return whole * MICROSECONDS + int((part or "0").ljust(6, "0"))


def said_of(rows: Sequence[Row], *, language: str, base: Said, duration_us: int) -> Said:
    """Read the form. Words keep the times that they have in `base`, the version it began from.

    Raises BadInput with a sentence for each row that is wrong; rows count from 1.
    """
    if len(rows) > MOST_ROWS:
        raise BadInput(
            f"A form holds at most {MOST_ROWS} segments. Download the transcript, correct the file "
            "and bring it in again."
        )
    problems = Problems(unit="Segment")
    lines = []
    words = list(timed_words(base))
    for number, row in enumerate(rows, start=1):
        start, end = read_time(row.start), read_time(row.end)
        if start is None or end is None:
            wrong = row.start if start is None else row.end
            problems.add(number, f"“{wrong[:40]}” is no time. Write it like 1:02.345.")
            continue
        if row.text.strip():
            segment = Segment(start, end, tidy(row.text), tidy(row.speaker))
            lines.append(Line(number, replace(segment, words=retimed(segment, words))))
    problems.stop_if_any("the form")
    reading = Reading(tuple(lines), language)
    return fitted(reading, duration_us=duration_us, unit="Segment", whole="the form")[0]


# What the form's buttons do


def split(rows: Sequence[Row], at: int, *, caret: int | None, at_us: int | None) -> list[Row]:
    """Part a row in two: its text at `caret`, its time at `at_us`.

    Without a caret at the sign | in the text, and without that in the middle; without a time in
    proportion to the text.
    """
    row = _row(rows, at)
    text = row.text
    if "|" in text:
        first, second = text.split("|", 1)
    else:
        place = caret if caret is not None and 0 < caret < len(text) else _middle(text)
        first, second = text[:place], text[place:]
    start, end = read_time(row.start), read_time(row.end)
    if start is None or end is None or end - start < 2:
        between = row.end
    else:
        share = len(first) / max(1, len(first) + len(second))
        chosen = at_us if at_us is not None and start < at_us < end else None
        here = chosen if chosen is not None else start + round((end - start) * share / 1000) * 1000
        between = clock_text(min(max(here, start + 1), end - 1))
    return [
        *rows[:at],
        replace(row, end=between, text=first.strip()),
        replace(row, start=between, text=second.strip()),
        *rows[at + 1 :],
    ]


def merge(rows: Sequence[Row], at: int) -> list[Row]:
    """Join a row with the one after it; the first one's speaker stays."""
    row, following = _row(rows, at), _row(rows, at + 1)
    ends = [(read_time(each.end) or 0, each.end) for each in (row, following)]
    joined = replace(row, end=max(ends)[1], text=f"{row.text} {following.text}".strip())
    return [*rows[:at], joined, *rows[at + 2 :]]


def remove(rows: Sequence[Row], at: int) -> list[Row]:
    """Take a row out."""
    _row(rows, at)
    return [*rows[:at], *rows[at + 1 :]]


def add(rows: Sequence[Row], at: int, *, at_us: int | None, duration_us: int) -> list[Row]:
    """Put an empty row after row `at` (-1: before the first), in the gap there or at `at_us`."""
    before = (read_time(rows[at].end) or 0) if 0 <= at < len(rows) else 0
    following = read_time(rows[at + 1].start) if at + 1 < len(rows) else duration_us
    start = at_us if at_us is not None and at_us >= before else before
    start = min(start, max(0, duration_us - 1))
    end = min(following if following and following > start else start + _NEW_US, duration_us)
    made = Row(clock_text(start), clock_text(max(end, start + 1)), "")
    return [*rows[: at + 1], made, *rows[at + 1 :]]


def _row(rows: Sequence[Row], at: int) -> Row:
    if not 0 <= at < len(rows):
        raise BadInput("There is no such segment in the form. Reload the page.")
    return rows[at]


def _middle(text: str) -> int:
    """The space nearest to the middle, or the middle."""
    middle = len(text) // 2
    spaces = [n for n, sign in enumerate(text) if sign.isspace()]
    return min(spaces, key=lambda n: abs(n - middle), default=middle)


# Words


def retimed(segment: Segment, known: Iterable[Word]) -> tuple[Word, ...]:
    """Give a segment's words the times of the words that were known in its stretch.

    A word that stayed keeps its own time; words that were put in others' place share theirs by
    length; added ones share that of their neighbour. Without known words there: none.
    """
    there = [
        replace(
            word,
            start_us=max(word.start_us, segment.start_us),
            end_us=min(word.end_us, segment.end_us),
        )
        for word in known
        if segment.start_us <= (word.start_us + word.end_us) // 2 < segment.end_us
    ]
    there = [word for word in there if word.start_us < word.end_us]
    said = tokens(segment.text)
    if not there or not said:
        return ()
    matcher = SequenceMatcher(
        None, [_bare(word.text) for word in there], [_bare(text) for text in said], autojunk=False
    )
    made: list[Word] = []
    waiting: list[str] = []  # added before the first known word
    for what, a0, a1, b0, b1 in matcher.get_opcodes():
        if what == "equal":
            pairs = zip(there[a0:a1], said[b0:b1], strict=True)
            made += [
                word if word.text == text else replace(word, text=text) for word, text in pairs
            ]
            if waiting:
                first = made.pop(len(made) - (a1 - a0))
                at = len(made) - (a1 - a0) + 1
                made[at:at] = _shared(first.start_us, first.end_us, [*waiting, first.text])
                waiting = []
        elif what == "replace":
            start, end = there[a0].start_us, there[a1 - 1].end_us
            made += _shared(start, end, [*waiting, *said[b0:b1]])
            waiting = []
        elif what == "insert" and made:
            last = made.pop()
            made += _shared(last.start_us, last.end_us, [last.text, *said[b0:b1]])
        elif what == "insert":
            waiting = said[b0:b1]
    return tuple(made) if not waiting else ()


def _bare(text: str) -> str:
    return re.sub(r"\W", "", text).casefold() or text


def _shared(start_us: int, end_us: int, texts: Sequence[str]) -> Iterator[Word]:
    """Part a stretch among words by their lengths."""
    total = sum(len(text) for text in texts)
    done = 0
    for text in texts:
        begin = start_us + (end_us - start_us) * done // total
        done += len(text)
        yield Word(begin, start_us + (end_us - start_us) * done // total, text)

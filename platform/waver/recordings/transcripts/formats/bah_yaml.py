"""BAH's transcription files: Whisper's chunks in YAML, one file for each video.

    chunks:
    - language: english
      text: ' Well, when I wake up …'
      timestamp: !!python/tuple
      - 0.0
      - 12.0
    text: ' Well, when I wake up …'

BAH's own files have three faults, which are mended here and said so: the tag `!!python/tuple`,
which safe readers refuse; a last chunk without an end; and times that begin again at 0 with each
stretch of sound that Whisper heard at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from waver.core.clock import seconds_us
from waver.core.errors import BadInput
from waver.recordings.transcripts.formats.encoding import text_of
from waver.recordings.transcripts.reading import (
    NO_END,
    Line,
    Options,
    Problems,
    Reading,
    language_name,
)
from waver.recordings.transcripts.said import Said, Segment, tidy

#: Whisper hears at most so much sound at once.
HEARD_AT_ONCE_US = 30_000_000
_DEEPEST = 8
_MOST_EVENTS = 500_000
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:python/tuple", "tag:yaml.org,2002:str",
               "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "tag:yaml.org,2002:float",
               "tag:yaml.org,2002:int", "tag:yaml.org,2002:null")  # fmt: skip


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's
    """Only splits the text; nothing is constructed from it."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml's
    """Writes plain YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Value:
    """A piece of the file with the number of its line; scalars stay text, None if null."""

    line: int
    value: Any

    def get(self, key: str) -> _Value | None:
        return self.value.get(key) if isinstance(self.value, dict) else None


def read(data: bytes, options: Options) -> Reading:
    """Read a BAH transcription file, or its safe form that `write` gives."""
    text, notes = text_of(data, options.encoding)
    root = _tree(text)
    problems = Problems()
    chunks = root.get("chunks")
    if chunks is None or not isinstance(chunks.value, list):
        problems.add(root.line, "a list `chunks` is missing, so this is no transcript of BAH's.")
        problems.stop_if_any()
    rows: list[Any] = chunks.value if chunks is not None else []
    found = [made for row in rows if (made := _chunk(row, problems)) is not None]
    problems.stop_if_any()
    lines, mended = _continuous(found)
    languages = {said for row in rows if (said := _text(row.get("language")))}
    return Reading(
        tuple(lines), languages.pop() if len(languages) == 1 else "", notes + tuple(mended)
    )


def write(said: Said | None) -> bytes:
    """Write a transcript in BAH's layout, or that there is none.

    `timestamp` is a plain list of seconds, so that safe readers take it too; texts begin with a
    space, as Whisper's do.
    """
    if said is None:
        return b"chunks: []\ntext: null\n"
    language = language_name(said.language) or None
    chunks = [
        {
            "language": language,
            "text": f" {segment.text}",
            "timestamp": [segment.start_us / 1e6, segment.end_us / 1e6],
        }
        for segment in said.segments
    ]
    body = {"chunks": chunks, "text": "".join(str(chunk["text"]) for chunk in chunks)}
    made: str = yaml.dump(body, Dumper=_Dumper, allow_unicode=True, width=10_000)
    return made.encode()


# YAML, as far as it is needed


def _tree(text: str) -> _Value:
    """The file as nested values, without anchors, with few levels, and with no tag obeyed."""
    try:
        events = _events(text)
        next(events), next(events)  # the stream and the document begin
        made = _value(next(events), events, depth=0)
        next(events)  # the document ends
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise BadInput("The file holds more than one YAML document.")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"Line {mark.line + 1}: t" if mark else "T"
        what = getattr(error, "problem", None) or "it cannot be read"
        raise BadInput(f"{where}he file is no proper YAML ({what}).") from error
    except StopIteration as error:
        raise BadInput("The file holds no transcript of BAH's.") from error
    return made


def _events(text: str) -> Iterator[Any]:
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = _line(event)
        if count > _MOST_EVENTS:
            raise BadInput(f"Line {line}: the file holds more than any transcript does.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadInput(
                f"Line {line}: the file uses anchors, which no transcript of BAH's does."
            )
        tag = getattr(event, "tag", None)
        if tag not in _PLAIN_TAGS:
            raise BadInput(f"Line {line}: the tag {str(tag)[:60]} has no place in a transcript.")
        yield event


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _value(event: Any, events: Iterator[Any], *, depth: int) -> _Value:
    line = _line(event)
    if depth > _DEEPEST:
        raise BadInput(f"Line {line}: the file is nested deeper than any transcript of BAH's.")
    if isinstance(event, yaml.ScalarEvent):
        empty = not event.style and event.value in ("", "~", "null", "Null", "NULL")
        return _Value(line, None if empty else event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(event, events, depth=depth + 1))
        return _Value(line, items)
    found: dict[str, _Value] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(event, events, depth=depth + 1)
        found[str(key.value)] = _value(next(events), events, depth=depth + 1)
    return _Value(line, found)


# Chunks


def _chunk(row: _Value, problems: Problems) -> Line | None:
    """A chunk as it stands, its end NO_END where it has none."""
    said, times = _text(row.get("text")), row.get("timestamp")
    pair = times.value if times is not None else None
    if not isinstance(pair, list) or len(pair) != 2:
        problems.add(row.line, "a chunk needs a `timestamp` with its start and its end.")
        return None
    start, end = (_seconds(each) for each in pair)
    if start is None or (end is None and pair[1].value is not None):
        problems.add(row.line, "a chunk's `timestamp` is no pair of seconds.")
        return None
    return Line(row.line, Segment(start, NO_END if end is None else end, said))


def _text(value: _Value | None) -> str:
    return tidy(value.value) if value is not None and isinstance(value.value, str) else ""


def _seconds(value: _Value) -> int | None:
    try:
        number = float(value.value)
    except (TypeError, ValueError):
        return None
    return seconds_us(number) if math.isfinite(number) and abs(number) < 1e6 else None


def _continuous(chunks: list[Line]) -> tuple[list[Line], list[str]]:
    """Put the chunks on one clock, and give each an end.

    Whisper goes on from where the last chunk of a stretch ended, or 30 s on where that has no end.
    """
    made: list[Line] = []
    began = previous = 0
    again: list[int] = []
    open_ends: list[int] = []
    for place, line in enumerate(chunks):
        start, end = line.segment.start_us, line.segment.end_us
        if place and start < previous:
            last = chunks[place - 1].segment.end_us
            began += HEARD_AT_ONCE_US if last == NO_END else last
            again.append(line.number)
        previous = start
        if end == NO_END:
            open_ends.append(line.number)
            following = chunks[place + 1].segment.start_us if place + 1 < len(chunks) else None
            end = following if following is not None and following > start else NO_END
        made.append(
            Line(
                line.number,
                Segment(began + start, NO_END if end == NO_END else began + end, line.segment.text),
            )
        )
    return made, list(_mended(again, open_ends))


def _mended(again: list[int], open_ends: list[int]) -> Iterator[str]:
    if again:
        yield (
            f"The times begin again at {_lines(again)}, as in BAH's own files; each stretch was "
            "taken to begin where the one before it ended. Check the times against the video."
        )
    if open_ends:
        yield (
            f"{_lines(open_ends).capitalize()} had no end; it was set to the next beginning, or to "
            "the end of the recording. Check it against the video."
        )


def _lines(numbers: list[int]) -> str:
    said = ", ".join(str(number) for number in numbers[:8])
    more = ", …" if len(numbers) > 8 else ""
    return f"line {said}" if len(numbers) == 1 else f"lines {said}{more}"

"""WebVTT (W3C): cues with voices, and times inside a cue's text, which time its words.

Read by hand, because no well-kept reader keeps the numbers of lines, refuses a damaged cue instead
of leaving it out, or reads the times of words; the tests hold what is written here against one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from waver.core.clock import format_hms
from waver.recordings.transcripts.formats.encoding import text_of
from waver.recordings.transcripts.reading import Line, Options, Problems, Reading
from waver.recordings.transcripts.said import Said, Segment, Word, tidy, tokens

MEDIA_TYPE = "text/vtt; charset=utf-8"
_ARROW = "-->"
_TIME = re.compile(r"(?:([0-9]{1,4}):)?([0-5]?[0-9]):([0-5]?[0-9])\.([0-9]{3})")
_TAG = re.compile(r"<([^<>]*)(>?)")
_KNOWN_TAG = re.compile(r"/?(?:c|i|b|u|v|lang|ruby|rt|font)(?:\.[^\s.]+)*(?:\s.*)?", re.DOTALL)
_VOICE = re.compile(r"v(?:\.[^\s.]+)*\s+(.+)", re.DOTALL)
_GROUPS = (
    "Some words are timed only in groups; these segments were brought in without words' times."
)


def read(data: bytes, options: Options) -> Reading:
    """Read a WebVTT file. Styles, regions, comments and cue settings say nothing that was said."""
    text, notes = text_of(data, options.encoding)
    rows = text.removeprefix("\ufeff").split("\n")
    problems = Problems()
    if not re.fullmatch(r"WEBVTT(?:[ \t].*)?", rows[0]):
        problems.add(1, "the file does not begin with WEBVTT. Choose a WebVTT file, or use .srt.")
        problems.stop_if_any()
    blocks = list(_blocks(rows))
    language = _header(blocks[0], problems)
    lines: list[Line] = []
    grouped = False
    for number, block in blocks[1:]:
        at = 0 if _ARROW in block[0] else 1
        if len(block) > at and _ARROW in block[at]:
            found, in_groups = _cue(number + at, block[at:], problems)
            lines += found
            grouped = grouped or in_groups
        elif not re.match(r"(NOTE|STYLE|REGION)(\s|$)", block[0]):
            problems.add(number, f"“{block[0][:60]}” is neither a cue nor a comment.")
    problems.stop_if_any()
    return Reading(tuple(lines), language, notes + ((_GROUPS,) if grouped else ()))


def write(said: Said) -> bytes:
    """Write a transcript with its speakers and, where they are known, the times of its words.

    Times are rounded to milliseconds, which is all that WebVTT has.
    """
    head = "WEBVTT\n" + (f"Language: {said.language}\n" if said.language else "")
    return (head + "".join(f"\n{_cue_text(segment)}\n" for segment in said.segments)).encode()


def _blocks(rows: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Stretches of lines between empty ones, with the first one's number.

    A second arrow in a block begins a new one: somebody forgot the empty line.
    """
    block: list[str] = []
    first = 1
    for number, row in enumerate(rows, start=1):
        again = _ARROW in row and any(_ARROW in earlier for earlier in block)
        if block and (not row.strip() or again):
            yield first, block
            block = []
        if row.strip():
            if not block:
                first = number
            block.append(row)
    if block:
        yield first, block


def _header(block: tuple[int, list[str]], problems: Problems) -> str:
    """The language of the header, which some tools write; and what a header may not say."""
    language = ""
    for number, row in enumerate(block[1], start=block[0]):
        name, _, value = row.partition(":")
        if name.strip().lower() == "language":
            language = value.strip()
        if _ARROW in row:
            problems.add(number, "an empty line is missing between WEBVTT and the first cue.")
        if row.startswith("X-TIMESTAMP-MAP"):
            problems.add(
                number,
                "the file's times belong to a stream (X-TIMESTAMP-MAP). Export it with times that "
                "begin at the recording's beginning.",
            )
    return language


def _time(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + milliseconds * 1000


def _cue(number: int, block: Sequence[str], problems: Problems) -> tuple[list[Line], bool]:
    """A cue's segments, one for each voice in it, and whether words are timed in groups only."""
    left, _, right = block[0].partition(_ARROW)
    start, end = _time(left.strip()), _time((right.split() or [""])[0])
    if start is None or end is None:
        wrong = left.strip() if start is None else (right.split() or [""])[0]
        problems.add(number, f"“{wrong[:40]}” is no time. Write it like 00:01:02.345.")
        return [], False
    text = _Text(start, end, problems, number + 1)
    text.read("\n".join(block[1:]))
    return [Line(number, segment) for segment in text.segments()], text.grouped


@dataclass
class _Text:
    """Reads the text of a cue into pieces: from when, in which voice, and what is said."""

    start: int
    end: int
    problems: Problems
    line: int
    voices: list[str] = field(default_factory=lambda: [""])
    pieces: list[tuple[int, int, str]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    grouped: bool = False

    def read(self, text: str) -> None:
        """Take the text apart at its tags."""
        at = 0
        for tag in _TAG.finditer(text):
            self._say(text[at : tag.start()])
            self.line += text.count("\n", at, tag.start())
            self._tag(tag[1], closed=bool(tag[2]), line=self.line)
            self.line += tag[0].count("\n")
            at = tag.end()
        self._say(text[at:])

    def segments(self) -> Iterator[Segment]:
        """One for each voice that says something; one without words if none does."""
        said = [
            tidy("".join(piece for _, voice, piece in self.pieces if voice == number))
            for number in range(len(self.voices))
        ]
        if not any(said):
            yield Segment(self.start, self.end, "")
        for number, (name, text) in enumerate(zip(self.voices, said, strict=True)):
            if text:
                words = self._words(number, text) if self.times else ()
                yield Segment(self.start, self.end, text, name, words)

    def _say(self, text: str) -> None:
        now = self.times[-1] if self.times else self.start
        if text:
            self.pieces.append((now, len(self.voices) - 1, html.unescape(text)))

    def _tag(self, tag: str, *, closed: bool, line: int) -> None:
        time = _time(tag.strip())
        if not closed or (time is None and not _KNOWN_TAG.fullmatch(tag)):
            told = f"“<{tag[:40]}{'>' if closed else ''}”"
            self.problems.add(line, f"{told} is no tag. Write &lt; for the sign <.")
        elif time is not None:
            if not (self.times or [self.start])[-1] <= time <= self.end:
                self.problems.add(line, f"the time <{tag}> lies outside its cue, or goes back.")
            self.times.append(time)
        elif (voice := _VOICE.fullmatch(tag)) is not None:
            self.voices.append(tidy(html.unescape(voice[1])))
        elif tag == "/v":
            self.voices.append("")

    def _words(self, number: int, text: str) -> tuple[Word, ...]:
        """The words of one voice, if each piece between two times is one word at most."""
        ends = dict(pairwise([*sorted({self.start, *self.times, self.end}), self.end]))
        merged: dict[int, str] = {}
        for time, voice, piece in self.pieces:
            if voice == number:
                merged[time] = merged.get(time, "") + piece
        if any(len(tokens(piece)) > 1 for piece in merged.values()):
            self.grouped = True
            return ()
        words = [
            Word(time, ends.get(time, self.end), tidy(piece)) for time, piece in merged.items()
        ]
        return tuple(word for word in words if word.text)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _cue_text(segment: Segment) -> str:
    start, end = format_hms(segment.start_us), format_hms(segment.end_us)
    if start == end:  # shorter than half a millisecond, which WebVTT cannot say
        end = format_hms(segment.end_us + 1000)
    voice = f"<v {_escaped(segment.speaker)}>" if segment.speaker else ""
    return f"{start} {_ARROW} {end}\n{voice}{_timed_text(segment, start, end)}"


def _timed_text(segment: Segment, start: str, end: str) -> str:
    """The text with each word's time before it, and its end where a silence follows."""
    stamps = [
        stamp for w in segment.words for stamp in (format_hms(w.start_us), format_hms(w.end_us))
    ]
    pairs = zip(stamps[::2], stamps[1::2], strict=True)
    if not segment.words or any(first >= last for first, last in pairs):
        return _escaped(segment.text)
    now, at, made = start, 0, ""
    for word, (begins, ends) in zip(
        segment.words, zip(stamps[::2], stamps[1::2], strict=True), strict=True
    ):
        place = segment.text.find(word.text, at)
        if place < 0:
            return _escaped(segment.text)
        made += _escaped(segment.text[at:place])
        # A single word that fills its cue has no other time to be known by.
        made += "" if begins == now and (begins, ends) != (start, end) else f"<{begins}>"
        made += _escaped(word.text)
        following = place + len(word.text)
        now, at = ends, following
        made += "" if ends == end else f"<{ends}>"
    return made + _escaped(segment.text[at:])

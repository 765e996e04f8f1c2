"""SRT (SubRip): numbered cues. There is no standard, so what many tools write is read.

Read: a point instead of the comma, Windows' line ends, missing numbers and empty lines, empty lines
within a text, positions behind the times, overlapping cues, and marks for looks, which are left
out. SRT knows neither speakers nor the times of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from waver.core.clock import format_hms
from waver.recordings.transcripts.formats.encoding import text_of
from waver.recordings.transcripts.reading import Line, Options, Problems, Reading
from waver.recordings.transcripts.said import Said, Segment

MEDIA_TYPE = "application/x-subrip; charset=utf-8"
_ARROW = "-->"
_CLOCK = r"([0-9]{1,3}):([0-5]?[0-9]):([0-5]?[0-9])[,.]([0-9]{3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s+\S.*)?\s*")
_NUMBER = re.compile(r"\s*[0-9]{1,9}\s*")
_LOOKS = re.compile(r"</?(?:b|i|u|s|font)(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)


def read(data: bytes, options: Options) -> Reading:
    """Read an SRT file."""
    text, notes = text_of(data, options.encoding)
    rows = text.removeprefix("\ufeff").split("\n")
    problems = Problems()
    at = [number for number, row in enumerate(rows) if _ARROW in row]
    if not at:
        problems.add(1, "the file holds no times such as 00:00:01,000 --> 00:00:02,500.")
        problems.stop_if_any()
    before = [
        n for n, row in enumerate(rows[: at[0]]) if row.strip() and not _NUMBER.fullmatch(row)
    ]
    for number in before[:1]:
        problems.add(number + 1, f"“{rows[number][:60]}” stands before the first cue's times.")
    lines = []
    for order, (number, following) in enumerate(zip(at, [*at[1:], None], strict=True), start=1):
        times = _times(rows[number])
        if times is None:
            problems.add(
                number + 1,
                f"“{rows[number].strip()[:60]}” is no pair of times. Write it like "
                "00:00:01,000 --> 00:00:02,500.",
            )
            continue
        said = _said(rows[number + 1 : following], last=following is None, order=order)
        lines.append(Line(number + 1, Segment(*times, " ".join(_LOOKS.sub("", said).split()))))
    problems.stop_if_any()
    return Reading(tuple(lines), notes=notes)


def write(said: Said) -> bytes:
    """Write a transcript; without speakers and words' times, which SRT does not have.

    Times are rounded to milliseconds.
    """
    cues = []
    for number, segment in enumerate(said.segments, start=1):
        start, end = format_hms(segment.start_us), format_hms(segment.end_us)
        if start == end:
            end = format_hms(segment.end_us + 1000)
        times = f"{start} {_ARROW} {end}".replace(".", ",")
        # An arrow in the text would be read as times.
        cues.append(f"{number}\n{times}\n{segment.text.replace(_ARROW, '→')}\n")
    return "\n".join(cues).encode()


def _times(row: str) -> tuple[int, int] | None:
    found = _TIMES.fullmatch(row)
    if found is None:
        return None
    numbers = [int(part) for part in found.groups()]
    start, end = (
        ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + milliseconds * 1000
        for hours, minutes, seconds, milliseconds in (numbers[:4], numbers[4:])
    )
    return start, end


def _said(rows: Sequence[str], *, last: bool, order: int) -> str:
    """The text up to the next cue's number, which belongs to that."""
    kept = list(rows)
    if not last and kept and _NUMBER.fullmatch(kept[-1]):
        apart = len(kept) == 1 or not kept[-2].strip()
        if apart or int(kept[-1]) == order + 1:
            kept.pop()
    return "\n".join(kept)

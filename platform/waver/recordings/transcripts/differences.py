"""How two versions of a transcript differ, word by word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from waver.recordings.transcripts.said import Said, tokens

MOST_WORDS = 20_000
_AROUND = 12  # words shown on each side of a change

SAME, ADDED, REMOVED, LEFT_OUT = "same", "added", "removed", "left out"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of words that stayed, came or went; or words that stayed and are not shown.

    `start_us` is where the segment begins in which it stands, in the version that has it.
    """

    kind: str
    text: str
    start_us: int


@dataclass(frozen=True, slots=True)
class Differences:
    """`added` and `removed` count words, `retimed` segments whose words stayed."""

    parts: tuple[Part, ...]
    added: int
    removed: int
    retimed: int
    too_long: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    speaker: str
    start_us: int


def between(older: Said, newer: Said) -> Differences:
    """Compare two versions: words with their speakers; times only where the words stayed."""
    old, new = list(_tokens(older)), list(_tokens(newer))
    retimed = _retimed(older, newer)
    if max(len(old), len(new)) > MOST_WORDS:
        return Differences((), 0, 0, retimed, too_long=True)
    matcher = SequenceMatcher(
        None, [(t.text, t.speaker) for t in old], [(t.text, t.speaker) for t in new], autojunk=False
    )
    parts: list[Part] = []
    added = removed = 0
    for what, a0, a1, b0, b1 in matcher.get_opcodes():
        if what == "equal":
            parts += _shortened(new[b0:b1], first=b0 == 0, last=b1 == len(new))
            continue
        if a1 > a0:
            removed += a1 - a0
            parts.append(_part(REMOVED, old[a0:a1]))
        if b1 > b0:
            added += b1 - b0
            parts.append(_part(ADDED, new[b0:b1]))
    return Differences(tuple(parts), added, removed, retimed)


def _tokens(said: Said) -> Iterator[_Token]:
    for segment in said.segments:
        for text in tokens(segment.text):
            yield _Token(text, segment.speaker, segment.start_us)


def _part(kind: str, words: list[_Token]) -> Part:
    """The words with each speaker's name where it begins."""
    said = []
    speaker = ""
    for word in words:
        if word.speaker != speaker:
            speaker = word.speaker
            said.append(f"{speaker}:" if speaker else "")
        said.append(word.text)
    return Part(kind, " ".join(filter(None, said)), words[0].start_us)


def _shortened(words: list[_Token], *, first: bool, last: bool) -> Iterator[Part]:
    """What stayed, as much as stands around a change."""
    if not words:
        return
    before, after = (0 if first else _AROUND), (0 if last else _AROUND)
    hidden = len(words) - before - after
    if hidden < _AROUND:
        yield _part(SAME, words)
        return
    if before:
        yield _part(SAME, words[:before])
    yield Part(LEFT_OUT, f"{hidden} words stayed", words[before].start_us)
    if after:
        yield _part(SAME, words[-after:])


def _retimed(older: Said, newer: Said) -> int:
    """How many segments kept their words but have other times."""
    old = [(s.speaker, s.text) for s in older.segments]
    new = [(s.speaker, s.text) for s in newer.segments]
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return sum(
        (a.start_us, a.end_us) != (b.start_us, b.end_us)
        for i, j, size in blocks
        for a, b in zip(older.segments[i : i + size], newer.segments[j : j + size], strict=True)
    )

"""Transcripts in ELAN's files: a tier for each speaker, and a tier of words below it.

Stands here, because ELAN's files are read one layer above the recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from annotation import elan
from waver.core.errors import BadInput
from waver.recordings.transcripts.formats import READERS as _OTHERS
from waver.recordings.transcripts.importing import Readers
from waver.recordings.transcripts.reading import Line, Options, Reading
from waver.recordings.transcripts.said import Segment, Word, tidy, tokens

_MS = 1000
_NO_TIME = "Give it a beginning and an end in ELAN."


def read_eaf(data: bytes, options: Options) -> Reading:
    """Read the tiers that hold what is said; `options.tiers` names them, or the file has one.

    Several tiers are several speakers, each called by the tier's participant or name. The words of
    an annotation are timed where one tier below it holds exactly these words. Times are put on the
    video's clock by the first linked media's time origin. Lines are counted as annotations.
    Raises BadInput.
    """
    try:
        document = elan.read(data)
    except elan.ElanProblem as problem:
        raise BadInput("\n".join(problem.problems)) from problem
    tiers = _chosen(document, options.tiers)
    origin = document.media[0].time_origin_ms if document.media else 0
    lines: list[Line] = []
    for tier in tiers:
        speaker = (tier.participant or tier.name) if len(tiers) > 1 else tier.participant
        below = [each for each in document.tiers if each.parent == tier.name and each.annotations]
        words = [_words(each, origin) for each in below]
        for row in tier.annotations:
            if row.start_ms is None or row.end_ms is None:
                raise BadInput(
                    f"In the tier {tier.name!r} the annotation “{row.value[:60]}” has no time of "
                    f"its own. {_NO_TIME}"
                )
            start, end = (row.start_ms + origin) * _MS, (row.end_ms + origin) * _MS
            timed = _only_fitting([_within(each, start, end) for each in words], row.value)
            segment = Segment(start, end, row.value, speaker, timed)
            lines.append(Line(len(lines) + 1, segment))
    return Reading(tuple(lines))


READERS: Readers = MappingProxyType({**_OTHERS, ".eaf": ("ELAN", read_eaf)})
"""Every format in which a transcript can be brought in."""


def _chosen(document: elan.Document, wanted: Sequence[str]) -> list[elan.Tier]:
    """The tiers that are named, or the only top tier with annotations."""
    if wanted:
        known = {tier.name: tier for tier in document.tiers}
        missing = [name for name in wanted if name not in known]
        if missing:
            raise BadInput(
                f"The file has no tier {', '.join(map(repr, missing))}. It has: "
                f"{', '.join(known) or 'none'}."
            )
        return [known[name] for name in dict.fromkeys(wanted)]
    top = [tier for tier in document.tiers if tier.annotations and not tier.parent]
    if len(top) == 1:
        return top
    names = ", ".join(tier.name for tier in top)
    raise BadInput(
        f"The file has several tiers ({names}), and only some may hold what is said. Name those."
        if top
        else "The file holds no annotation, so it holds no transcript."
    )


def _words(tier: elan.Tier, origin: int) -> list[Word]:
    return [
        Word((row.start_ms + origin) * _MS, (row.end_ms + origin) * _MS, tidy(row.value))
        for row in tier.annotations
        if row.start_ms is not None and row.end_ms is not None and row.value.strip()
    ]


def _within(words: Sequence[Word], start_us: int, end_us: int) -> tuple[Word, ...]:
    return tuple(word for word in words if start_us <= word.start_us and word.end_us <= end_us)


def _only_fitting(candidates: Sequence[tuple[Word, ...]], text: str) -> tuple[Word, ...]:
    said = tokens(tidy(text))
    fitting = [words for words in candidates if [word.text for word in words] == said]
    return fitting[0] if len(fitting) == 1 else ()

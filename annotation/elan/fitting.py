"""Match an ELAN file with a codebook: tiers with passes and questions, texts with answers.

Nothing is guessed and nothing is left out silently: a tier or a text that the codebook does not
know, an annotation without a time, or an answer that belongs to no segment refuses the file, all of
them listed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annotation.codebooks.answers import parse_result
from annotation.codebooks.model import PAIR, Codebook, Pass, Question
from annotation.codebooks.parsed import (
    EDGE_TOLERANCE_US,
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
)
from annotation.codebooks.results import to_result
from annotation.elan.document import Document, ElanAnnotation, ElanProblem, Tier
from annotation.elan.tiers import BLENDED, JOINED, Place, layout_of, tier_names, words_of

_BEHIND = re.compile(r"^(?P<text>.*?)\s*\[(?P<more>[^\[\]]+)\]$", re.DOTALL)
_LANE = re.compile(r"^(?P<name>.*?)(?: #(?P<lane>[2-9]\d*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FoundPass:
    """One rater's work in one pass, checked against the codebook.

    `result` is the same as a Label Studio result on a waveform, which `parse_result` reads.
    """

    pass_id: str
    annotation: ParsedAnnotation
    result: list[dict[str, Any]]


def fitted(
    document: Document,
    codebook: Codebook,
    duration_us: int,
    *,
    annotator: str = "",
    ignore: Iterable[str] = (),
    shift_ms: int = 0,
    empty_means_none: bool = False,
) -> tuple[FoundPass, ...]:
    """Read one rater's work out of a document, for every pass that it holds.

    duration_us       length of the recording's proxy, whose clock the times are put on: time in the
                      file, plus the first linked media's time origin, plus `shift_ms`.
    annotator         whose tiers to read where the file holds several raters' ("@name").
    ignore            tiers to leave out.
    empty_means_none  whether an empty tier of segments says that there was nothing to mark; else
                      such a pass counts as not done.
    Raises ElanProblem listing everything that does not fit.
    """
    reader = _Reader(document, codebook, frozenset(ignore), shift_ms)
    reader.sort_tiers(annotator)
    found: list[FoundPass] = []
    for part in codebook.passes:
        places = reader.tiers_of(part)
        label_tiers = part.unit == "segment" and any(place[0] == "" for place in places)
        done = any(tier.annotations for tier in places.values())
        if done or (label_tiers and empty_means_none):
            read = reader.segments(part) if part.unit == "segment" else reader.clip(part)
            found += reader.checked(part, read, duration_us)
    reader.stop_if_problems()
    if not found:
        known = ", ".join(sorted(tier_names(codebook).values()))
        raise ElanProblem(
            [f"The file holds no work: none of these tiers has an annotation: {known}."]
        )
    return tuple(found)


@dataclass(slots=True)
class _Reader:
    document: Document
    codebook: Codebook
    ignore: frozenset[str]
    shift_ms: int
    problems: list[str] = field(default_factory=list)
    # (pass, question) -> lane -> tier
    tiers: dict[Place, dict[int, Tier]] = field(default_factory=dict)

    def sort_tiers(self, annotator: str) -> None:
        """Find out which tier is which; list the unknown ones."""
        places = {name: place for place, name in tier_names(self.codebook).items()}
        unknown: list[str] = []
        whose: dict[str, list[tuple[Place, int, Tier]]] = {}
        for tier in self.document.tiers:
            if tier.name in self.ignore:
                continue
            name, _, rater = tier.name.partition("@")
            match = _LANE.match(name)
            place = places.get(match["name"]) if match else None
            if place is not None and match is not None:
                whose.setdefault(rater, []).append((place, int(match["lane"] or 1), tier))
            elif tier.annotations:
                unknown.append(tier.name)
        if unknown:
            self.problems.append(
                f"The codebook “{self.codebook.id}” has no {_tiers(unknown)}. It knows: "
                f"{', '.join(places)}. Rename the tiers in ELAN, or say which to leave out."
            )
        working = sorted(
            rater for rater, rows in whose.items() if any(tier.annotations for _, _, tier in rows)
        )
        if annotator and annotator not in whose:
            self.problems.append(f"The file has no tier of {annotator!r}; it has {_raters(whose)}.")
        elif not annotator and len(working) > 1:
            self.problems.append(
                f"The file holds the work of several raters: {_raters(working)}. Say whose to take."
            )
        self.stop_if_problems()
        chosen = annotator or (working[0] if working else next(iter(whose), ""))
        for place, lane, tier in whose.get(chosen, []):
            self.tiers.setdefault(place, {})[lane] = tier

    def stop_if_problems(self) -> None:
        if self.problems:
            raise ElanProblem(self.problems)

    def tiers_of(self, part: Pass) -> dict[tuple[str, int], Tier]:
        return {
            (question, lane): tier
            for (pass_id, question), lanes in self.tiers.items()
            for lane, tier in lanes.items()
            if pass_id == part.id
        }

    def _span(self, tier: Tier, row: ElanAnnotation) -> tuple[int, int] | None:
        """Start and end in microseconds on the recording's clock."""
        if row.start_ms is None or row.end_ms is None:
            self.problems.append(
                f"In the tier {tier.name!r} the annotation “{row.value[:60]}” has no time of its "
                "own. Give it a beginning and an end in ELAN."
            )
            return None
        origin = self.document.media[0].time_origin_ms if self.document.media else 0
        shift = origin + self.shift_ms
        return (row.start_ms + shift) * 1000, (row.end_ms + shift) * 1000

    # Segments

    def segments(self, part: Pass) -> ParsedAnnotation:
        """All segments of all lanes, with what the other tiers say about each."""
        found: list[ParsedSegment] = []
        of_lane: dict[int, list[int]] = {}  # lane -> for each label annotation, its place or -1
        for lane, tier in sorted(self.tiers.get((part.id, ""), {}).items()):
            of_lane[lane] = []
            for row in tier.annotations:
                span = self._span(tier, row)
                label = self._one(part, None, tier, row.value)
                if span is None or label is None:
                    of_lane[lane].append(-1)
                    continue
                of_lane[lane].append(len(found))
                found.append(ParsedSegment(*span, label))
        for question in part.questions:
            for lane, tier in sorted(self.tiers.get((part.id, question.id), {}).items()):
                for row in tier.annotations:
                    place = self._belongs(part, tier, row, lane, of_lane, found)
                    if place is not None and row.value:
                        found[place] = self._with(part, found[place], question, tier, row.value)
        found.sort(key=lambda each: (each.start_us, each.end_us, each.label))
        return ParsedAnnotation(segments=tuple(found))

    def _belongs(
        self,
        part: Pass,
        tier: Tier,
        row: ElanAnnotation,
        lane: int,
        of_lane: Mapping[int, Sequence[int]],
        found: Sequence[ParsedSegment],
    ) -> int | None:
        """Find the segment that an answer is about: its parent, or the one at the same time."""
        labels = self.tiers.get((part.id, ""), {}).get(lane)
        if row.parent is not None and labels is not None and tier.parent == labels.name:
            place = of_lane[lane][row.parent]
            return place if place >= 0 else None
        span = self._span(tier, row)
        if span is None:
            return None
        around = [
            place
            for place, segment in enumerate(found)
            if segment.start_us - EDGE_TOLERANCE_US <= span[0]
            and span[1] <= segment.end_us + EDGE_TOLERANCE_US
        ]
        same = [p for p in around if (found[p].start_us, found[p].end_us) == span]
        if len(same) == 1:
            return same[0]
        if len(around) == 1:
            return around[0]
        many = "lies in no segment" if not around else "lies in several segments"
        self.problems.append(
            f"In the tier {tier.name!r} the annotation “{row.value[:60]}” at {_clock(span[0])} "
            f"{many}. Give it the times of the segment that it is about."
        )
        return None

    def _with(
        self, part: Pass, segment: ParsedSegment, question: Question, tier: Tier, text: str
    ) -> ParsedSegment:
        if question.role == "note":
            return replace(segment, note=text)
        if question.role == "description":
            return replace(segment, texts=(*segment.texts, ParsedText(question.id, text)))
        if question.role == "certainty":
            level = self._one(part, question, tier, text)
            return segment if level is None else replace(segment, certainty=int(level))
        cues = [
            ParsedCue(name, value, confidence, grade)
            for name, value, confidence, grade in self._several(part, question, tier, text)
        ]
        return replace(segment, cues=(*segment.cues, *cues))

    # Clips

    def clip(self, part: Pass) -> ParsedAnnotation:
        """The answers about the whole recording; each tier has one annotation."""
        labels: list[ParsedClipLabel] = []
        sure: dict[str, float] = {}
        for question in part.questions:
            for tier in self.tiers.get((part.id, question.id), {}).values():
                texts = list(dict.fromkeys(row.value for row in tier.annotations if row.value))
                if len(texts) > 1 and question.kind != "text":
                    self.problems.append(
                        f"The tier {tier.name!r} is about the whole recording, but says several "
                        f"things: {', '.join(texts[:5])}. Keep one."
                    )
                    continue
                for text in texts:
                    labels += self._clip_labels(part, question, tier, text, sure)
        carried = []
        for label in labels:
            about = part.certainty_about(label.scale)
            level = sure.get(about.id) if about is not None else None
            carried.append(label if level is None else replace(label, confidence=level))
        return ParsedAnnotation(clip_labels=tuple(carried))

    def _clip_labels(
        self, part: Pass, question: Question, tier: Tier, text: str, sure: dict[str, float]
    ) -> list[ParsedClipLabel]:
        if question.kind == "text":
            return [ParsedClipLabel(question.id, text)]
        if question.role == "certainty":
            level = self._one(part, question, tier, text)
            if level is not None:
                sure[question.id] = float(level)
            return []
        return [
            ParsedClipLabel(name, value, confidence, grade)
            for name, value, confidence, grade in self._several(part, question, tier, text)
        ]

    # Texts

    def _several(
        self, part: Pass, question: Question, tier: Tier, text: str
    ) -> list[tuple[str, str, float | None, str]]:
        """Read the answers in one annotation: question, value, confidence and grade of each."""
        found: list[tuple[str, str, float | None, str]] = []
        pieces = text.split(JOINED) if question.kind == "multiple" else [text]
        for piece in (piece.strip() for piece in pieces):
            if not piece:
                continue
            match = _BEHIND.match(piece) if question.each is not None else None
            plain, more = (match["text"], match["more"]) if match else (piece, "")
            stray = layout_of(self.codebook).strays.get((question.id, plain.casefold()))
            if stray is not None:
                found.append((*stray, None, ""))
                continue
            value = self._one(part, question, tier, plain)
            if value is not None:
                found.append((question.id, value, *self._of_each(question, tier, more)))
        return found

    def _of_each(self, question: Question, tier: Tier, more: str) -> tuple[float | None, str]:
        if question.each is None or not more:
            return None, ""
        known = _readings({v.id: v.title for v in question.each.values})
        known |= {point: point for point in question.each.points} if not known else {}
        value = known.get(more.strip().casefold())
        if value is None:
            self.problems.append(
                f"The tier {tier.name!r} holds [{more}], which is no answer to "
                f"“{question.each.title}”."
            )
            return None, ""
        return (float(value), "") if question.each.kind == "rating" else (None, value)

    def _one(self, part: Pass, question: Question | None, tier: Tier, text: str) -> str | None:
        """The one answer (or label) that a text stands for, or None after noting the problem."""
        words = words_of(self.codebook, part, question)
        known = _readings(words)
        for value in question.values if question is not None else part.labels:
            names = [value.id, value.title, *([] if value.export is None else [str(value.export)])]
            for name in names:
                known.setdefault(name.casefold(), value.id)
        if question is not None and question.kind == "compound":
            parts = [known.get(piece.strip().casefold()) for piece in text.split(BLENDED)]
            if all(parts):
                order = question.value_names
                return PAIR.join(sorted((str(p) for p in parts), key=order.index))
        elif text.strip().casefold() in known:
            return known[text.strip().casefold()]
        self.problems.append(
            f"The tier {tier.name!r} holds “{text[:60]}”, which the codebook does not know there. "
            f"It knows: {', '.join(words.values())}."
        )
        return None

    def checked(
        self, part: Pass, annotation: ParsedAnnotation, duration_us: int
    ) -> list[FoundPass]:
        """Check what was read as any rater's answer is checked; note what does not fit."""
        if self.problems:
            return []
        # On a waveform whatever the pass says: a line of ticks would round the times.
        on_waveform = replace(
            self.codebook,
            passes=tuple(
                replace(each, timeline="waveform") if each.id == part.id else each
                for each in self.codebook.passes
            ),
        )
        result = to_result(on_waveform, part.id, annotation, duration_us)
        try:
            read = parse_result(on_waveform, part.id, result, duration_us)
        except InvalidAnnotation as error:
            self.problems += [f"In the pass “{part.title}”: {text}" for text in error.problems]
            return []
        return [FoundPass(part.id, read, result)]


def _readings(words: Mapping[str, str]) -> dict[str, str]:
    known = {value.casefold(): value for value in words}
    return known | {word.casefold(): value for value, word in words.items()}


def _tiers(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names))
    return f"tier {listed}" if len(names) == 1 else f"tiers {listed}"


def _raters(names: Iterable[str]) -> str:
    return ", ".join(repr(name) if name else "tiers without a name behind “@”" for name in names)


def _clock(us: int) -> str:
    minutes, rest = divmod(max(us, 0), 60_000_000)
    return f"{minutes}:{rest // 1_000_000:02d}.{rest % 1_000_000 // 1000:03d}"

"""Which tier holds what, and raters' work as an ELAN document.

A codebook's passes are numbered in its order. A segment pass has one tier for its labels and one
for each question about a segment; a clip pass has one for each question, with one annotation over
the whole recording. A file may name a tier otherwise (`tier` in the codebook), and the published
layout of BAH is known here. Tiers of several raters are told apart by "@" and the rater's name;
where one rater's segments may overlap, which ELAN forbids within a tier, the tier is followed by
" #2", " #3".

Several answers stand in one annotation, joined by " - " as in BAH; what was asked about each stands
in brackets behind it: "Fear [0.3] - Surprise [0.9]".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotation.codebooks.model import PAIR, Codebook, Pass, Question, Value
from annotation.codebooks.parsed import ParsedAnnotation, ParsedSegment
from annotation.elan.document import Document, ElanAnnotation, Media, Tier, Vocabulary

JOINED, BLENDED = " - ", " + "
Place = tuple[str, str]
"""A pass and a question of it; "" for the labels of its segments."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of a published set's tiers, and its words for answers, by place.

    `strays` are answers that are known to stand in the wrong tier, or to be spelt twice:
    (question, word in small letters) -> (question, answer).
    """

    names: Mapping[Place, str]
    words: Mapping[Place, Mapping[str, str]]  # answer -> word
    strays: Mapping[tuple[str, str], tuple[str, str]]


LAYOUTS: Mapping[str, Layout] = {
    # The tiers in BAH's published screenshot; the last two are ours. The strays are those that
    # BAH's published counts of cues show.
    "bah-ah": Layout(
        names={
            ("video", "ah"): "1-A/H",
            ("video", "certainty"): "1-Certitude",
            ("segments", ""): "2-A/H",
            ("segments", "certainty"): "2-Certitude",
            ("segments", "facial"): "Facial",
            ("segments", "language"): "Language",
            ("segments", "audio"): "Audio",
            ("segments", "body"): "Body",
            ("segments", "inconsistency"): "Inconsistency",
            ("segments", "note"): "Note",
        },
        words={
            ("video", "ah"): {"present": "Y", "absent": "N"},
            ("video", "certainty"): {"1": "1", "2": "2", "3": "3"},
            ("segments", ""): {"ah": "Y"},
            ("segments", "certainty"): {"1": "1", "2": "2", "3": "3"},
        },
        strays={
            ("facial", "eyebrows"): ("facial", "eyebrow"),
            ("facial", "look away"): ("body", "look_away"),
            ("facial", "hedging"): ("language", "hedging"),
            ("audio", "positive"): ("language", "positive"),
            ("audio", "negative"): ("language", "negative"),
            ("body", "pause"): ("audio", "pause"),
            ("body", "slow"): ("audio", "slow"),
            ("body", "breath"): ("audio", "breath"),
            ("body", "click"): ("audio", "click"),
        },
    )
}
NO_LAYOUT = Layout({}, {}, {})


@dataclass(frozen=True, slots=True)
class RaterWork:
    """What one rater said in one pass. `rater` is the name that the file shows."""

    rater: str
    pass_id: str
    annotation: ParsedAnnotation


def layout_of(codebook: Codebook) -> Layout:
    """The published layout of a codebook; an empty one where there is none."""
    return LAYOUTS.get(codebook.id, NO_LAYOUT)


def tier_names(codebook: Codebook) -> dict[Place, str]:
    """The name of every tier, by pass and question ("" for the segments' labels)."""
    known = layout_of(codebook).names
    found: dict[Place, str] = {}
    for number, part in enumerate(codebook.passes, start=1):
        if part.unit == "segment":
            usual = known.get((part.id, ""), f"{number}-{part.id}")
            found[part.id, ""] = part.tier or usual
        for question in part.questions:
            usual = known.get((part.id, question.id), f"{number}-{part.id}-{question.id}")
            found[part.id, question.id] = question.tier or usual
    return found


def words_of(codebook: Codebook, part: Pass, question: Question | None) -> dict[str, str]:
    """How each answer of a question (None: each label of a segment) is written in a file."""
    place = (part.id, question.id if question is not None else "")
    known = layout_of(codebook).words.get(place, {})
    values: Sequence[Value] = question.values if question is not None else part.labels
    words = {value.id: known.get(value.id, _plain(value)) for value in values}
    if question is not None and question.kind == "rating":
        words = {point: point for point in question.points}
    return words


def _plain(value: Value) -> str:
    """The title, or the id where the title could not be read back."""
    odd = any(sign in value.title for sign in (JOINED, BLENDED, "[", "]"))
    return value.id if odd else value.title


def document_of(
    codebook: Codebook,
    works: Sequence[RaterWork],
    *,
    duration_us: int,
    media: Sequence[Media] = (),
    author: str = "Waver",
    date: str = "",
) -> Document:
    """Give raters' work on one recording as an ELAN document.

    Times are rounded half up to milliseconds, and a segment that would vanish has one millisecond.
    Raises KeyError for a pass that the codebook lacks.
    """
    names, tiers = tier_names(codebook), []
    vocabularies: dict[str, Vocabulary] = {}
    for work in works:
        part = codebook.pass_(work.pass_id)
        builder = _Builder(codebook, part, names, work, vocabularies)
        tiers += builder.segments() if part.unit == "segment" else builder.clip(duration_us)
    return Document(author, date, tuple(media), tuple(tiers), tuple(vocabularies.values()))


def milliseconds(us: int) -> int:
    """Microseconds as milliseconds, rounded half up."""
    return (us + 500) // 1000


class _Builder:
    """Makes the tiers of one rater's work in one pass."""

    def __init__(
        self,
        codebook: Codebook,
        part: Pass,
        names: Mapping[Place, str],
        work: RaterWork,
        vocabularies: dict[str, Vocabulary],
    ) -> None:
        self._codebook, self._part, self._names, self._work = codebook, part, names, work
        self._vocabularies = vocabularies

    def segments(self) -> list[Tier]:
        """One tier of labels for each lane, each followed by the tiers of its questions."""
        tiers: list[Tier] = []
        words = words_of(self._codebook, self._part, None)
        for lane, rows in enumerate(_lanes(self._work.annotation.segments) or [[]], start=1):
            times = [_span(row) for row in rows]
            labels = [
                ElanAnnotation(start, end, words[row.label])
                for (start, end), row in zip(times, rows, strict=True)
            ]
            vocabulary = self._vocabulary(None)
            top = self._tier("", lane, labels, vocabulary=vocabulary)
            tiers.append(top)
            for question in self._part.questions:
                answers = [
                    ElanAnnotation(start, end, text, place)
                    for place, ((start, end), row) in enumerate(zip(times, rows, strict=True))
                    if (text := self._about_segment(question, row))
                ]
                tiers.append(
                    self._tier(
                        question.id, lane, answers, parent=top.name,
                        vocabulary=self._vocabulary(question),
                    )
                )  # fmt: skip
        return tiers

    def clip(self, duration_us: int) -> list[Tier]:
        """One tier for each question, with one annotation over the whole recording."""
        end = max(1, milliseconds(duration_us))
        tiers: list[Tier] = []
        for question in self._part.questions:
            text = self._about_clip(question)
            rows = [ElanAnnotation(0, end, text)] if text else []
            tiers.append(self._tier(question.id, 1, rows, vocabulary=self._vocabulary(question)))
        return tiers

    def _tier(
        self,
        question: str,
        lane: int,
        rows: Sequence[ElanAnnotation],
        *,
        parent: str = "",
        vocabulary: str = "",
    ) -> Tier:
        name = self._names[self._part.id, question]
        numbered = name if lane == 1 else f"{name} #{lane}"
        rater = self._work.rater
        return Tier(
            name=f"{numbered}@{rater}" if rater else numbered,
            annotations=tuple(rows),
            annotator=rater,
            parent=parent,
            vocabulary=vocabulary,
        )

    def _about_segment(self, question: Question, row: ParsedSegment) -> str:
        if question.role == "certainty":
            sure = None if row.certainty is None else str(row.certainty)
            return "" if sure is None else self._written(question, [(sure, None, "")])
        if question.role == "note":
            return row.note
        if question.role == "description":
            return "\n".join(each.text for each in row.texts if each.question == question.id)
        return self._written(
            question,
            [(c.cue, c.confidence, c.grade) for c in row.cues if c.modality == question.id],
        )

    def _about_clip(self, question: Question) -> str:
        labels = self._work.annotation.clip_labels
        if question.role == "certainty":
            for label in labels:
                about = self._part.certainty_about(label.scale)
                if about is not None and about.id == question.id and label.confidence is not None:
                    return self._written(question, [(str(int(label.confidence)), None, "")])
            return ""
        mine = [label for label in labels if label.scale == question.id]
        if question.kind == "text":
            return "\n".join(label.value for label in mine)
        sure_of_each = question.each is not None and question.each.kind == "rating"
        return self._written(
            question,
            [(one.value, one.confidence if sure_of_each else None, one.grade) for one in mine],
        )

    def _written(self, question: Question, answers: Sequence[tuple[str, float | None, str]]) -> str:
        words = words_of(self._codebook, self._part, question)
        texts = []
        for value, confidence, grade in answers:
            text = BLENDED.join(words[part] for part in value.split(PAIR))
            more = grade or (f"{confidence:g}" if confidence is not None else "")
            texts.append(f"{text} [{more}]" if more else text)
        return JOINED.join(texts)

    def _vocabulary(self, question: Question | None) -> str:
        """Note the vocabulary of a tier that holds one answer at a time, and give its name."""
        if question is not None and question.kind not in ("exclusive", "ordinal"):
            return ""
        name = f"{self._codebook.id} {self._names[self._part.id, question.id if question else '']}"
        words = words_of(self._codebook, self._part, question)
        values = question.values if question is not None else self._part.labels
        entries = tuple((words[value.id], value.hint or value.title) for value in values)
        title = question.title if question is not None else self._part.title
        self._vocabularies[name] = Vocabulary(name, title, entries)
        return name


def _span(row: ParsedSegment) -> tuple[int, int]:
    start = milliseconds(row.start_us)
    return start, max(start + 1, milliseconds(row.end_us))


def _lanes(segments: Sequence[ParsedSegment]) -> list[list[ParsedSegment]]:
    """Share segments out so that none overlap within a lane, the first lane that is free first."""
    lanes: list[list[ParsedSegment]] = []
    ends: dict[int, int] = defaultdict(int)
    for segment in sorted(segments, key=lambda each: (each.start_us, each.end_us, each.label)):
        start, end = _span(segment)
        lane = next((n for n in range(len(lanes)) if ends[n] <= start), len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(segment)
        ends[lane] = end
    return lanes

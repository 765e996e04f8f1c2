"""Carry answers given with an earlier version of a codebook to a later one.

The later version's file says under `migration` what became of every label, question and answer
that it lacks: renamed, merged, split, or dropped with a reason. `compare` reads that block against
both versions; `migrate` carries one rater's answers over. Nothing is guessed: what the block does
not decide is listed as unmapped, and the rater has to be asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from annotation.codebooks.model import PAIR
from annotation.codebooks.parsed import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
)

Fate: TypeAlias = Literal["kept", "renamed", "merged", "split", "dropped"]


@dataclass(frozen=True, slots=True)
class Target:
    """What becomes of one old label, question or answer.

    to         its new id; "" where it is dropped or split.
    question   for an answer: the new question that it belongs to.
    into       for what is split: the new ids.
    by, when   for what is split: the old question whose answer decides, and the new id for each
               such answer. Empty: nothing decides, the rater is asked again.
    otherwise  the new id where the deciding answer is missing or not in `when`; "" asks again.
    reason     why it is dropped.
    """

    fate: Fate
    to: str = ""
    question: str = ""
    into: tuple[str, ...] = ()
    by: str = ""
    when: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PassChange:
    """What becomes of one old pass: its new id ("" if dropped), and of all that it asked.

    `answers` is keyed by (old question, old answer). `certainty` maps what a certainty was about (a
    question's id, "" for a segment) to the old question that asked for it. `joined` are the new
    labels in which old ones were merged, `note` is the old question for a free note, `order` the
    new codebook's order of answers.
    """

    to: str
    reason: str = ""
    labels: Mapping[str, Target] = field(default_factory=dict)
    questions: Mapping[str, Target] = field(default_factory=dict)
    answers: Mapping[tuple[str, str], Target] = field(default_factory=dict)
    certainty: Mapping[str, str] = field(default_factory=dict)
    joined: frozenset[str] = frozenset()
    note: str = ""
    order: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Migration:
    """The way from one version of a codebook to a later one, checked against both.

    Made by `annotation.codebooks.changes.compare`, and by nothing else: every label, question and
    answer of the old version has its target here.
    """

    codebook: str
    from_version: int
    to_version: int
    passes: Mapping[str, PassChange]

    @property
    def changes_nothing(self) -> bool:
        """Whether every answer stays exactly as it is."""
        return all(
            name == change.to
            and all(
                target.fate == "kept"
                for group in (change.labels, change.questions, change.answers)
                for target in group.values()
            )
            for name, change in self.passes.items()
        )


@dataclass(frozen=True, slots=True)
class Left:
    """One piece of work that was not carried over, and why; times for what was in a segment."""

    pass_id: str
    what: str
    why: str
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True)
class Migrated:
    """One rater's answers in the new version.

    pass_id   the pass that they belong to now; "" when the pass was dropped.
    unmapped  what the migration does not decide: it is not in `annotation`, and the rater must be
              asked again before these answers count as complete.
    dropped   what the migration drops, each with the author's reason.
    """

    pass_id: str
    annotation: ParsedAnnotation
    unmapped: tuple[Left, ...] = ()
    dropped: tuple[Left, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing has to be asked again."""
        return not self.unmapped


def migrate(annotation: ParsedAnnotation, migration: Migration, pass_id: str) -> Migrated:
    """Carry one rater's answers in one pass over to the new version.

    Renaming is a bijection. Segments that a merge gives the same label are joined where they touch
    or overlap: the joined one has the lowest certainty, all cues and all notes of its parts. A
    split label is decided by another answer of the same segment or clip, or listed as unmapped.
    Raises KeyError for a pass that the old version lacks.
    """
    change = migration.passes[pass_id]
    unmapped: list[Left] = []
    dropped: list[Left] = []
    if not change.to:
        dropped.append(Left(pass_id, f"the pass {pass_id!r}", change.reason))
        return Migrated("", ParsedAnnotation(), (), tuple(dropped))
    carrier = _Carrier(pass_id, change, unmapped, dropped)
    segments = [carrier.segment(segment) for segment in annotation.segments]
    labels = carrier.clip_labels(annotation.clip_labels)
    carried = ParsedAnnotation(
        segments=joined([each for each in segments if each is not None], change.joined),
        clip_labels=labels,
    )
    return Migrated(change.to, carried, tuple(unmapped), tuple(dropped))


def migrate_through(
    annotation: ParsedAnnotation, migrations: Iterable[Migration], pass_id: str
) -> Migrated:
    """Carry answers through several versions, oldest first; what was left adds up."""
    result = Migrated(pass_id, annotation)
    for migration in migrations:
        if not result.pass_id:
            break
        step = migrate(result.annotation, migration, result.pass_id)
        result = replace(
            step,
            unmapped=(*result.unmapped, *step.unmapped),
            dropped=(*result.dropped, *step.dropped),
        )
    return result


def joined(
    segments: Sequence[ParsedSegment], labels: frozenset[str] | set[str]
) -> tuple[ParsedSegment, ...]:
    """Join segments of one of these labels that touch or overlap; give all in time order."""
    kept: list[ParsedSegment] = []
    last: dict[str, int] = {}  # label -> place in `kept` of its newest segment
    for segment in sorted(segments, key=lambda each: (each.start_us, each.end_us, each.label)):
        place = last.get(segment.label) if segment.label in labels else None
        if place is not None and segment.start_us <= kept[place].end_us:
            kept[place] = _one_of_two(kept[place], segment)
            continue
        last[segment.label] = len(kept)
        kept.append(segment)
    return tuple(kept)


def _one_of_two(first: ParsedSegment, second: ParsedSegment) -> ParsedSegment:
    given = [c for c in (first.certainty, second.certainty) if c is not None]
    notes = [note for note in (first.note, second.note) if note]
    return replace(
        first,
        end_us=max(first.end_us, second.end_us),
        certainty=min(given) if given else None,
        cues=tuple(dict.fromkeys((*first.cues, *second.cues))),
        note="\n".join(dict.fromkeys(notes)),
        texts=tuple(dict.fromkeys((*first.texts, *second.texts))),
    )


class _Carrier:
    """Carries the parts of one annotation, and notes what stays behind."""

    def __init__(
        self, pass_id: str, change: PassChange, unmapped: list[Left], dropped: list[Left]
    ) -> None:
        self._pass_id, self._change = pass_id, change
        self._unmapped, self._dropped = unmapped, dropped

    def segment(self, segment: ParsedSegment) -> ParsedSegment | None:
        """Give the segment as the new version has it, or None where it stays behind."""
        given: dict[str, list[str]] = defaultdict(list)
        for cue in segment.cues:
            given[cue.modality].append(cue.cue)
        sure = self._change.certainty.get("")
        if sure is not None and segment.certainty is not None:
            given[sure].append(str(segment.certainty))
        span = (segment.start_us, segment.end_us)
        label = self._decide(
            self._change.labels[segment.label], f"the label {segment.label!r}", given, span
        )
        if label is None:
            return None
        cues: list[ParsedCue] = []
        for cue in segment.cues:
            found = self._answer(cue.modality, cue.cue, given, span)
            if found is not None:
                cues.append(replace(cue, modality=found[0], cue=found[1]))
        return replace(
            segment,
            label=label,
            certainty=self._certainty("", segment.certainty, given, span),
            cues=self._in_order(cues),
            note=self._note(segment.note, span),
            texts=self._texts(segment.texts, span),
        )

    def _note(self, note: str, span: tuple[int, int]) -> str:
        asked = self._change.questions.get(self._change.note)
        if note and asked is not None and asked.fate == "dropped":
            self._drop(f"what was written under {self._change.note!r}", asked.reason, span)
            return ""
        return note

    def _texts(self, texts: Sequence[ParsedText], span: tuple[int, int]) -> tuple[ParsedText, ...]:
        kept: list[ParsedText] = []
        for text in texts:
            asked = self._change.questions[text.question]
            if asked.fate == "dropped":
                self._drop(f"what was written under {text.question!r}", asked.reason, span)
            else:
                kept.append(replace(text, question=asked.to))
        return tuple(kept)

    def clip_labels(self, labels: Sequence[ParsedClipLabel]) -> tuple[ParsedClipLabel, ...]:
        """Give the clip's answers as the new version has them, each once."""
        given: dict[str, list[str]] = defaultdict(list)
        for label in labels:
            given[label.scale].append(label.value)
            sure_of = self._change.certainty.get(label.scale)
            if sure_of is not None and label.confidence is not None:
                given[sure_of].append(str(int(label.confidence)))
        found: dict[tuple[str, str], ParsedClipLabel] = {}
        for label in labels:
            carried = self._answer(label.scale, label.value, given, None)
            if carried is None:
                continue
            sure = self._confidence(label, given)
            before = found.get(carried)
            if before is not None and before.confidence is not None:
                # Of two answers that became one, the surer: either of them is meant.
                sure = max(before.confidence, sure if sure is not None else before.confidence)
            found[carried] = replace(label, scale=carried[0], value=carried[1], confidence=sure)
        order = self._change.order
        return tuple(
            sorted(
                found.values(),
                key=lambda each: (
                    order.get(each.scale, -1),
                    order.get(f"{each.scale}/{each.value}", -1),
                ),
            )
        )

    def _in_order(self, cues: list[ParsedCue]) -> tuple[ParsedCue, ...]:
        order = self._change.order
        once = dict.fromkeys(cues)
        return tuple(
            sorted(
                once,
                key=lambda cue: (
                    order.get(cue.modality, -1),
                    order.get(f"{cue.modality}/{cue.cue}", -1),
                ),
            )
        )

    def _confidence(self, label: ParsedClipLabel, given: Mapping[str, list[str]]) -> float | None:
        if label.scale not in self._change.certainty or label.confidence is None:
            return label.confidence  # none, or one of this answer alone, on its own scale
        return self._certainty(label.scale, int(label.confidence), given, None)

    def _certainty(
        self,
        about: str,
        value: int | None,
        given: Mapping[str, list[str]],
        span: tuple[int, int] | None,
    ) -> int | None:
        question = self._change.certainty.get(about)
        if question is None or value is None:
            return value
        found = self._answer(question, str(value), given, span)
        return int(found[1]) if found is not None else None

    def _answer(
        self,
        question: str,
        value: str,
        given: Mapping[str, list[str]],
        span: tuple[int, int] | None,
    ) -> tuple[str, str] | None:
        """Give the new question and answer, or None where the answer stays behind."""
        asked = self._change.questions[question]
        if asked.fate == "dropped":
            self._drop(f"the question {question!r}", asked.reason, span)
            return None
        parts = value.split(PAIR)
        if any((question, part) not in self._change.answers for part in parts):
            return asked.to, value  # a number or a text: it has no fixed answers to rename
        moved = asked.to
        new: list[str] = []
        for part in parts:
            target = self._change.answers[question, part]
            decided = self._decide(target, f"the answer {part!r} to {question!r}", given, span)
            if decided is None:
                return None
            moved = target.question or moved
            new.append(decided)
        order = self._change.order
        once = sorted(set(new), key=lambda part: order.get(f"{moved}/{part}", -1))
        return moved, PAIR.join(once)

    def _decide(
        self,
        target: Target,
        what: str,
        given: Mapping[str, list[str]],
        span: tuple[int, int] | None,
    ) -> str | None:
        """Give the new id, or None after noting why there is none."""
        if target.fate == "dropped":
            self._drop(what, target.reason, span)
            return None
        if target.fate != "split":
            return target.to
        answers = given.get(target.by, []) if target.by else []
        ways = {target.when.get(answer, target.otherwise) for answer in answers}
        if not answers:
            ways = {target.otherwise}
        if len(ways) == 1 and (way := next(iter(ways))):
            return way
        why = f"it was split into {', '.join(map(repr, target.into))}, and "
        if not target.by:
            why += "only the rater can say which it is"
        elif len(ways) > 1:
            why += f"the answers to {target.by!r} point to several of them"
        else:
            why += f"no answer to {target.by!r} decides between them"
        self._unmapped.append(Left(self._pass_id, what, why, *(span or (None, None))))
        return None

    def _drop(self, what: str, reason: str, span: tuple[int, int] | None) -> None:
        self._dropped.append(Left(self._pass_id, what, reason, *(span or (None, None))))

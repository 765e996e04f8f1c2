"""Recordings whose answer is known: set by a lead, retired, and compared with what a rater said.

They train and qualify raters and control their work. What raters say about them never enters
agreement or a release.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from django.db import transaction
from django.utils import timezone

from annotation.codebooks import (
    Codebook,
    InvalidAnnotation,
    Measurable,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    Pass,
    parse_result,
    to_result,
)
from annotation.models import Annotation, CodebookVersion, GoldItem
from annotation.services import codebooks
from waver.core import audit
from waver.core.errors import BadInput, Conflict
from waver.recordings.models import Recording

TICK_US = 100_000
"""Marked time is compared in tenths of a second, finer than raters can place a boundary."""

RIGHT_FROM = 0.5
"""Marked time equals the known answer when at least this share of the time that either marks is
marked by both (intersection over union); the same half lets two segments match as one event."""

Spans: TypeAlias = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one answer compares with the known one, for one measurable label of the codebook.

    `n`, `agreed`  what was compared: one answer about the clip, or ticks of TICK_US for a segment
                   label (marked by both or by neither).
    `right`        whether the label counts as equal to the known answer: the same answer; for a
                   segment label, marked time that overlaps by RIGHT_FROM, or none in both.
    `matched`, `expected`, `marked`  segments: events found, events there are, events the rater
                   drew; 0 for an answer about the clip.
    """

    label: str
    n: int
    agreed: int
    right: bool
    matched: int = 0
    expected: int = 0
    marked: int = 0

    @property
    def event_f1(self) -> float | None:
        """2 · matched / (expected + marked); None when neither side has an event."""
        events = self.expected + self.marked
        return 2 * self.matched / events if events else None


@transaction.atomic
def set_answer(
    *,
    codebook: CodebookVersion,
    recording: Recording,
    pass_id: str,
    answer: Mapping[str, Any],
    rationale: str,
    set_by: str,
) -> GoldItem:
    """Record the known answer of a recording; one that was set before is retired.

    `answer` holds `segments` (start_us, end_us, label, certainty, cues) or `clip_labels` (scale,
    value), and is checked as a rater's answer is. Setting the same answer again gives the row
    that is there.
    Raises BadInput for an answer that does not fit the codebook, a recording of another study or
    without a length, or no rationale.
    """
    if not rationale.strip():
        raise BadInput("A known answer needs its reason: raters in training read it. Write it.")
    if recording.study_id != codebook.study_id:
        raise BadInput("The recording belongs to another study than the codebook. Choose another.")
    checked = _checked(codebook, recording, pass_id, answer)
    standing = (
        GoldItem.objects.select_for_update()
        .filter(codebook=codebook, recording=recording, pass_id=pass_id, retired_at__isnull=True)
        .first()
    )
    if standing is not None:
        if (standing.answer, standing.rationale) == (checked, rationale):
            return standing
        retire(gold=standing, actor=set_by)
    made = GoldItem.objects.create(
        codebook=codebook,
        recording=recording,
        pass_id=pass_id,
        answer=checked,
        rationale=rationale,
        set_by=set_by,
    )
    audit.record(
        actor=set_by,
        verb="gold.set",
        object_kind="gold_item",
        object_id=made.pk,
        detail={"recording": str(recording.pk), "pass": pass_id},
    )
    return made


@transaction.atomic
def retire(*, gold: GoldItem, actor: str) -> None:
    """Take a known answer out of use; scores that were made with it stay.

    Raises Conflict when it is retired already.
    """
    now = timezone.now()
    changed = GoldItem.objects.filter(pk=gold.pk, retired_at__isnull=True).update(retired_at=now)
    if changed != 1:
        raise Conflict("This known answer is retired already. Nothing needs to be done.")
    gold.retired_at = now
    audit.record(actor=actor, verb="gold.retired", object_kind="gold_item", object_id=gold.pk)


def answer_of(annotation: Annotation) -> dict[str, Any]:
    """Give an accepted annotation in the form of a known answer, such as an expert's own work."""
    return {
        "segments": [
            {
                "start_us": segment.start_us,
                "end_us": segment.end_us,
                "label": segment.label,
                "certainty": segment.certainty,
                "cues": [{"modality": c.modality, "cue": c.cue} for c in segment.cues.all()],
            }
            for segment in annotation.segments.prefetch_related("cues")
        ],
        "clip_labels": [
            {
                "scale": label.scale,
                "value": label.value,
                **({"confidence": int(label.confidence)} if label.confidence is not None else {}),
            }
            for label in annotation.clip_labels.all()
        ],
    }


def score(annotation: Annotation, gold: GoldItem) -> dict[str, LabelScore]:
    """Compare an accepted annotation with the known answer: a score per measurable label.

    The keys are the codebook's measurables, such as "segments:ah" or "clip:emotion". What is no
    label (cues, certainty, notes) is not scored: the codebook does not say what is right there.
    """
    return compare(answer_of(annotation), gold, codebook=codebooks.parsed(gold.codebook))


def compare(
    said: Mapping[str, Any], gold: GoldItem, *, codebook: Codebook
) -> dict[str, LabelScore]:
    """As `score`, of an answer in the form of a known one; `codebook` is the gold item's, read."""
    known = gold.answer
    duration_us = gold.recording.duration_us or 0
    return {
        each.name: (
            _score_segments(each, said, known, duration_us)
            if each.unit == "segment"
            else _score_clip(each, said, known)
        )
        for each in codebook.measurables()
        if each.pass_id == gold.pass_id
    }


def right_and_all(scores: Iterable[Mapping[str, LabelScore]]) -> tuple[int, int]:
    """Count the labels that equal the known answers, and all of them: one per item and label."""
    each = [label.right for item in scores for label in item.values()]
    return sum(each), len(each)


def _checked(
    version: CodebookVersion, recording: Recording, pass_id: str, answer: Mapping[str, Any]
) -> dict[str, Any]:
    if recording.duration_us is None:
        raise BadInput("This recording is not prepared yet, so no answer on it can be checked.")
    codebook: Codebook = codebooks.parsed(version)
    try:
        given = _parsed(answer)
        sure = _surely(codebook.pass_(pass_id), given)
        raw = to_result(codebook, pass_id, sure, recording.duration_us)
        known = parse_result(codebook, pass_id, raw, recording.duration_us)
    except KeyError as error:
        raise BadInput(f"The known answer does not fit the codebook: {error.args[0]}") from error
    except (InvalidAnnotation, TypeError, ValueError) as error:
        raise BadInput(f"The known answer does not fit the codebook: {error}") from error
    of_segments = codebook.pass_(pass_id).unit == "segment"
    if (given.clip_labels if of_segments else given.segments) or (
        not of_segments and not known.clip_labels
    ):
        wanted = "segments, and nothing about the whole clip" if of_segments else "clip labels"
        raise BadInput(f"The pass {pass_id!r} asks for {wanted}. Correct the known answer.")
    unsure = {(each.start_us, each.label) for each in given.segments if each.certainty is None}
    confidence = {(each.scale, each.value): each.confidence for each in given.clip_labels}
    return {
        "segments": [
            {
                "start_us": each.start_us,
                "end_us": each.end_us,
                "label": each.label,
                "certainty": None if (each.start_us, each.label) in unsure else each.certainty,
                "cues": [{"modality": cue.modality, "cue": cue.cue} for cue in each.cues],
            }
            for each in known.segments
        ],
        "clip_labels": [
            {
                "scale": each.scale,
                "value": each.value,
                **(
                    {"confidence": sure_of}
                    if (sure_of := confidence.get((each.scale, each.value))) is not None
                    else {}
                ),
            }
            for each in known.clip_labels
        ],
    }


def _surely(part: Pass, given: ParsedAnnotation) -> ParsedAnnotation:
    """Fill in certainty where the codebook asks raters for it: what is known need not say it."""
    asked = [each for each in part.questions if each.role == "certainty" and each.required]
    if not asked:
        return given
    most = {each.about: int(each.value_ids[-1]) for each in asked}
    anything = most.get("", next(iter(most.values())))
    return ParsedAnnotation(
        segments=tuple(
            each if each.certainty is not None else replace(each, certainty=anything)
            for each in given.segments
        ),
        clip_labels=tuple(
            each
            if each.confidence is not None
            else replace(each, confidence=most.get(each.scale, anything))
            for each in given.clip_labels
        ),
    )


def _parsed(answer: Mapping[str, Any]) -> ParsedAnnotation:
    return ParsedAnnotation(
        segments=tuple(
            ParsedSegment(
                start_us=int(each["start_us"]),
                end_us=int(each["end_us"]),
                label=str(each["label"]),
                certainty=each.get("certainty"),
                cues=tuple(ParsedCue(c["modality"], c["cue"]) for c in each.get("cues", ())),
            )
            for each in answer.get("segments", ())
        ),
        clip_labels=tuple(
            ParsedClipLabel(str(each["scale"]), str(each["value"]), each.get("confidence"))
            for each in answer.get("clip_labels", ())
        ),
    )


def _score_clip(
    measurable: Measurable, said: Mapping[str, Any], known: Mapping[str, Any]
) -> LabelScore:
    answers = [
        {e["value"] for e in side["clip_labels"] if e["scale"] == measurable.source}
        for side in (said, known)
    ]
    if measurable.value:  # one of several boxes: ticked or not
        answers = [answer & {measurable.value} for answer in answers]
    right = answers[0] == answers[1]
    return LabelScore(measurable.name, n=1, agreed=int(right), right=right)


def _score_segments(
    measurable: Measurable, said: Mapping[str, Any], known: Mapping[str, Any], duration_us: int
) -> LabelScore:
    marked, expected = (
        sorted(
            (e["start_us"], e["end_us"])
            for e in side["segments"]
            if e["label"] == measurable.source
        )
        for side in (said, known)
    )
    n = math.ceil(duration_us / TICK_US)
    one, other = _ticks(marked, n), _ticks(expected, n)
    both, either = len(one & other), len(one | other)
    return LabelScore(
        measurable.name,
        n=n,
        agreed=n - (either - both),
        # A stretch too short to hold a tick's middle is marked all the same, and not nothing.
        right=both >= RIGHT_FROM * either if either else not marked and not expected,
        matched=_matched(marked, expected, duration_us),
        expected=len(expected),
        marked=len(marked),
    )


def _ticks(spans: Spans, n: int) -> set[int]:
    """Give the ticks, counted from 0, whose middle lies in one of the spans."""
    half = TICK_US // 2
    return {
        tick
        for start, end in spans
        for tick in range(-(-(start - half) // TICK_US), -(-(end - half) // TICK_US))
        if 0 <= tick < n
    }


def _matched(marked: Spans, expected: Spans, duration_us: int) -> int:
    """Count the events that match one to one."""
    if not marked or not expected:
        return 0
    # numpy and scipy, which the web process does not load
    from annotation.agreement import Segments, event_agreement

    roster: dict[Hashable, tuple[str, ...]] = {"it": ("rater", "known")}
    rows = [("rater", *span) for span in marked] + [("known", *span) for span in expected]
    segments = Segments.from_rows(
        ["it"] * len(rows),
        [who for who, _, _ in rows],
        [start for _, start, _ in rows],
        [end for _, _, end in rows],
        ["label"] * len(rows),
        roster=roster,
        durations={"it": duration_us},
        tick_us=TICK_US,
    )
    return event_agreement(segments, iou=RIGHT_FROM).n_matched

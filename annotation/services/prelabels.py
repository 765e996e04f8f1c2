"""Pre-labels: cue candidates shown to raters as a start, in the pre-label arm only.

A cue candidate says that a cue may show there; it says nothing about what the study is after. So
it becomes a region in the labelling interface only where the codebook's pass names the segment
label that candidates are drawn with (`candidates`). The rater must still answer every required
question about the region, deletes it or moves it; which arm a label came from is recorded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from annotation.codebooks import Codebook, ParsedAnnotation, ParsedSegment, to_result
from annotation.models import Assignment
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.clock import Span
from waver.recordings.models import CueCandidate, Recording
from waver.recordings.subjects import subject_of
from waver.studies.models import StudyDesign

VERSION = "cue-candidates"


def predictions_for(
    assignments: Sequence[Assignment], codebook: Codebook, pass_id: str
) -> dict[UUID, list[dict[str, Any]] | None]:
    """Give Label Studio's result for each assignment's pre-label, or None where none is shown.

    None in the blind arm, without a label named for candidates, without a candidate, and where
    the participant's consent to computer models does not cover it (any more). A few queries for
    all; recordings come with their take.
    """
    found: dict[UUID, list[dict[str, Any]] | None] = {row.pk: None for row in assignments}
    label = codebook.pass_(pass_id).candidates
    in_arm = [row for row in assignments if row.arm == StudyDesign.Arm.PRELABEL]
    if not label or not in_arm:
        return found
    recordings = {row.recording_id: row.recording for row in in_arm}
    decisions = policy.may_each(
        Purpose.INFER,
        [subject_of(each) for each in recordings.values()],
        actor="annotation.publish",
    )
    allowed = {key for key, may in zip(recordings, decisions, strict=True) if may.allowed}
    candidates: dict[UUID, list[CueCandidate]] = defaultdict(list)
    for each in CueCandidate.objects.filter(recording_id__in=allowed).order_by("start_us"):
        candidates[each.recording_id].append(each)
    for row in in_arm:
        spans = _joined(candidates[row.recording_id], row.recording)
        if spans:
            shown = ParsedAnnotation(
                segments=tuple(ParsedSegment(span.start_us, span.end_us, label) for span in spans)
            )
            found[row.pk] = to_result(codebook, pass_id, shown, row.recording.duration_us or 0)
    return found


def _joined(candidates: list[CueCandidate], recording: Recording) -> list[Span]:
    """Join candidates that overlap or touch: several cues at one moment are one place to look."""
    spans: list[Span] = []
    for candidate in candidates:
        end_us = min(candidate.end_us, recording.duration_us or 0)
        if end_us <= candidate.start_us:
            continue
        if spans and candidate.start_us <= spans[-1].end_us:
            spans[-1] = Span(spans[-1].start_us, max(spans[-1].end_us, end_us))
        else:
            spans.append(Span(candidate.start_us, end_us))
    return spans

"""Where known answers come from: a rater's or lead's own work, or what was decided in a dispute."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annotation.codebooks import Codebook, Pass
from annotation.models import (
    Adjudication,
    Annotation,
    Assignment,
    ClipLabel,
    CodebookVersion,
    Segment,
)
from annotation.services import codebooks, gold
from waver.core.errors import BadInput
from waver.recordings.models import Recording

DECIDED = "decided"
PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Source:
    """An answer that could become the known one: its key, whose it is, and what it says."""

    key: str
    title: str
    answer: dict[str, Any]
    text: str


def sources(
    *, recording: Recording, version: CodebookVersion, pass_id: str
) -> tuple[list[Source], str]:
    """Give the answers on a recording that could become known, and why one is missing, or "".

    First what most raters said with the decisions on disputes put in, if there are any; then
    every accepted answer that stands, a lead's own work among them.
    """
    part = codebooks.parsed(version).pass_(pass_id)
    decided, why_not = _decided(recording, version, part)
    found = [decided] if decided is not None else []
    rows = (
        Annotation.objects.filter(
            assignment__recording=recording,
            assignment__batch__pass_id=pass_id,
            codebook=version,
        )
        .exclude(verdict=Annotation.Verdict.REJECTED)
        .exclude(assignment__state=Assignment.State.WITHDRAWN)
        .order_by("assignment_id", "-version")
        .distinct("assignment_id")
        .select_related("assignment__rater")
    )
    for row in rows:
        if row.verdict == Annotation.Verdict.ACCEPTED:
            answer = gold.answer_of(row)
            found.append(
                Source(
                    f"annotation:{row.pk}",
                    f"{row.assignment.rater.get_username()}'s answer",
                    answer,
                    in_words(part, answer),
                )
            )
    return found, why_not


def own_answer(part: Pass, given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Read a lead's own answer from a form: answers by question, or lines of segments.

    A line of `segments` is “start end label”, in seconds. Raises BadInput for a line that is none;
    whether the answer fits the codebook is checked when it is set.
    """
    if part.unit != "segment":
        return {
            "segments": [],
            "clip_labels": [
                {"scale": question.id, "value": value}
                for question in part.questions
                if question.role != "certainty"
                for value in given.get(f"answer-{question.id}", ())
                if value.strip()
            ],
        }
    lines = "\n".join(given.get("segments", ())).splitlines()
    return {"segments": [_line(line) for line in lines if line.strip()], "clip_labels": []}


def in_words(part: Pass, answer: Mapping[str, Any]) -> str:
    """Write an answer as a lead reads it."""
    if part.unit == "segment":
        spans = [
            f"{each['start_us'] / 1e6:.2f}–{each['end_us'] / 1e6:.2f} s {each['label']}"
            for each in answer["segments"]
        ]
        return "; ".join(spans) or "nothing marked"
    return "; ".join(f"{each['scale']}: {each['value']}" for each in answer["clip_labels"])


def _line(line: str) -> dict[str, Any]:
    words = line.replace(",", " ").split()
    try:
        start, end, label = float(words[0]), float(words[1]), words[2]
    except (ValueError, IndexError) as error:
        raise BadInput(
            f"“{line.strip()}” is no segment. Write start, end and label, such as “2.5 6.1 ah”, "
            "in seconds."
        ) from error
    return {"start_us": round(start * 1e6), "end_us": round(end * 1e6), "label": label}


def _decided(
    recording: Recording, version: CodebookVersion, part: Pass
) -> tuple[Source | None, str]:
    """Put the decisions into what most raters said; None without one or where a tie is open."""
    rows = list(
        Adjudication.objects.filter(
            recording=recording, codebook=version, pass_id=part.id
        ).order_by("created_at")
    )
    superseded = {row.supersedes_id for row in rows}
    decisions = [row for row in rows if row.pk not in superseded]
    if not decisions:
        return None, ""
    from annotation.services import disputes  # numpy, which most web processes never need

    work = list(
        disputes.standing_work(
            study=version.study,
            codebook=version,
            pass_id=part.id,
            arms=disputes.arms_of(version.study),
            recording=recording.pk,
        ).values_list("pk", flat=True)
    )
    if part.unit == "segment":
        answer, is_open = _segments(part, recording, work, decisions), False
    else:
        answer, is_open = _answers(codebooks.parsed(version), part, work, decisions)
    if is_open:
        return None, "Some labels of this recording are tied and not decided yet."
    return Source(
        DECIDED, "As most raters said, with the decisions", answer, in_words(part, answer)
    ), ""


def _segments(
    part: Pass, recording: Recording, work: Sequence[UUID], decisions: Sequence[Adjudication]
) -> dict[str, Any]:
    found = []
    for label in part.label_ids:
        spans = _majority(label, recording, work)
        for row in decisions:
            if row.label != label or row.start_us is None or row.end_us is None:
                continue
            spans = _without(spans, row.start_us, row.end_us)
            if row.value == PRESENT:
                start = row.decided_start_us if row.decided_start_us is not None else row.start_us
                end = row.decided_end_us if row.decided_end_us is not None else row.end_us
                spans.append((start, end))
        found += [
            {"start_us": start, "end_us": end, "label": label} for start, end in _joined(spans)
        ]
    return {"segments": sorted(found, key=lambda each: each["start_us"]), "clip_labels": []}


def _majority(label: str, recording: Recording, work: Sequence[UUID]) -> list[tuple[int, int]]:
    """Give the stretches that more than half of the raters marked."""
    from annotation.agreement import Segments, consensus_segments

    rows = list(
        Segment.objects.filter(annotation__in=work, label=label).values_list(
            "annotation_id", "start_us", "end_us"
        )
    )
    if not work:
        return []
    roster: dict[Hashable, list[str]] = {"it": [str(pk) for pk in work]}
    table = Segments.from_rows(
        ["it"] * len(rows),
        [str(pk) for pk, _, _ in rows],
        [start for _, start, _ in rows],
        [end for _, _, end in rows],
        [label] * len(rows),
        roster=roster,
        durations={"it": recording.duration_us or 1},
        tick_us=gold.TICK_US,
        labels=[label],
    )
    return [(span.start_us, span.end_us) for span in consensus_segments(table, label).segments]


def _without(spans: Sequence[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Cut a stretch out of all spans."""
    return [
        piece
        for a, b in spans
        for piece in ((a, min(b, start)), (max(a, end), b))
        if piece[0] < piece[1]
    ]


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that touch: what was decided continues what was agreed."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _answers(
    codebook: Codebook, part: Pass, work: Sequence[UUID], decisions: Sequence[Adjudication]
) -> tuple[dict[str, Any], bool]:
    """Give the majority's answers with decisions put in, and whether a tie is left."""
    given: dict[str, dict[UUID, list[str]]] = defaultdict(lambda: defaultdict(list))
    for pk, scale, value in ClipLabel.objects.filter(annotation__in=work).values_list(
        "annotation_id", "scale", "value"
    ):
        given[scale][pk].append(value)
    decided = {row.label: row.value for row in decisions}
    found, is_open = [], False
    for each in codebook.measurables():
        if each.pass_id != part.id or each.unit == "segment":
            continue
        key = f"{each.source}/{each.value}" if each.value else each.source
        value = decided.get(key, "")
        if not value:
            votes = Counter(
                ("yes" if each.value in given[each.source][pk] else "no")
                if each.value
                else next(iter(given[each.source][pk]), "")
                for pk in work
            )
            most = [vote for vote in votes.most_common(2) if vote[0]]
            if not most or (len(most) > 1 and most[0][1] == most[1][1]):
                is_open = True
                continue
            value = most[0][0]
        if not each.value:
            found.append({"scale": each.source, "value": value})
        elif value == "yes":
            found.append({"scale": each.source, "value": each.value})
    return {"segments": [], "clip_labels": found}, is_open

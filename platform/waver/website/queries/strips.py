"""The disagreement timeline of a recording: its raters' marks, what most say, and how many do.

This module loads numpy; views import it where it is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from annotation.agreement import Segments, consensus_segments
from annotation.codebooks import Codebook, ParsedAnnotation, Pass
from annotation.codebooks.model import Value as CodebookValue
from annotation.models import (
    Adjudication,
    Annotation,
    Assignment,
    Batch,
    ClipLabel,
    CodebookVersion,
    Segment,
)
from annotation.services import carried
from annotation.services.standing import codebook_with_work, scope
from waver.core.errors import Missing
from waver.datasets.labels import NO, YES, Label, read_codebook
from waver.datasets.models import GateRun, Snapshot
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign
from waver.website import plots
from waver.website.plots.drawing import Caption
from waver.website.queries.agreement import source
from waver.website.queries.figures import name_of, rater_names, titles_in
from waver.website.queries.recording import NO_COLOUR

COLUMNS = ("row", "kind", "label", "start_s", "end_s", "share_of_raters", "answer")
MOST = "Most raters"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Strip:
    """One recording in one pass, as its raters see it."""

    recording: Recording
    part: Pass
    lanes: list[plots.Lane]
    most: list[plots.Lane]  # what more than half marked, and what exactly half did
    curves: list[plots.Curve]
    raters: int
    run: GateRun | None
    codebook: CodebookVersion  # in whose words all of it stands
    annotations: frozenset[str]  # whose labels these are, by id
    is_prelabelled: bool  # whether a rater of them saw pre-labels

    @property
    def duration_us(self) -> int:
        """Give the recording's length."""
        return self.recording.duration_us or 1

    @property
    def is_timed(self) -> bool:
        """Tell whether there is anything to draw over time."""
        return self.part.unit != "clip"

    def rows(self) -> Iterable[list[Any]]:
        """Give the table's rows, in the order of COLUMNS."""
        for lane in (*self.lanes, *self.most):
            for one in lane.stretches:
                share = "" if one.share is None else one.share
                yield [
                    lane.name,
                    one.kind,
                    one.label,
                    one.start_us / 1e6,
                    one.end_us / 1e6,
                    share,
                    "",
                ]
            if not lane.stretches and lane.words:
                yield [lane.name, "answer", "", "", "", "", lane.words]
        for curve in self.curves:
            for start, end, share in curve.steps:
                yield [curve.name, "share", curve.label, start / 1e6, end / 1e6, share, ""]

    def draw(self, *, alone: bool = False, slim: bool = False) -> str:
        """Draw it; `slim` for a list of many recordings, without the curves."""
        return plots.strip(
            self.duration_us, [*self.lanes, *self.most], [] if slim else self.curves,
            caption=self._caption(), alone=alone, slim=slim,
            labels=[(value.title, value.colour or NO_COLOUR) for value in self.part.labels],
        )  # fmt: skip

    def _caption(self) -> Caption:
        study = self.recording.study
        newer = (
            f"{study.title} ({study.code}), labels as they are on {timezone.now():%Y-%m-%d}: "
            "newer than the last snapshot, or in none yet."
        )
        shown = ", labelled with pre-labels shown" if self.is_prelabelled else ""
        return Caption(
            f"Disagreement in {name_of(self.recording)}: {self.part.title}",
            [
                (
                    "Time in minutes and seconds. One row for each rater; then what most of them "
                    "marked (filled) or exactly half (hatched), and the share of raters who "
                    "marked it at each moment: near ½ they are most divided. Most raters are not "
                    "always right."
                ),
                f"n = {self.raters} raters, {self.duration_us / 1e6:.1f} s{shown}.",
            ],
            source(self.run) if self.run else newer,
        )


@dataclass(frozen=True)
class _Said:
    """One annotation, and what it says in the words of the strip's codebook version."""

    row: Annotation
    said: ParsedAnnotation


def strips(
    recordings: Sequence[Recording],
    pass_id: str,
    *,
    snapshot: Snapshot | None,
    run: GateRun | None,
    for_lead: bool,
    label: Label | None = None,
    codebook: CodebookVersion | None = None,
) -> dict[UUID, Strip]:
    """Give the strips of some recordings of one study, in a few queries.

    With a snapshot, its labels made without pre-labels; else the newest that were accepted. Work
    done with an earlier version of the codebook is carried over. `label` names the question that
    a row's answer is to be about; without, rows give all answers. `codebook` is given by who has
    found the one that was worked with already.
    """
    if not recordings:
        return {}
    study = recordings[0].study
    if codebook is None:
        codebook = snapshot.codebook if snapshot else codebook_with_work(study)
    part = _pass(read_codebook(codebook.text), pass_id) if codebook else None
    if codebook is None or part is None:
        return {}
    by_recording = _said(recordings, part, snapshot, codebook)
    everybody = sorted({one.row.assignment.rater_id for r in by_recording.values() for one in r})
    names = rater_names(study, everybody, for_lead=for_lead)
    return {
        recording.pk: _strip(recording, part, rows, names, run, codebook, label)
        for recording in recordings
        if (rows := by_recording[recording.pk])
    }


def of_recording(recording: Recording, *, for_lead: bool) -> list[Strip]:
    """Give a recording's strips as it is labelled now, one for each pass of segments.

    They name the newest look whose snapshot holds exactly these labels, if there is one.
    """
    codebook = codebook_with_work(recording.study)
    if codebook is None:
        return []
    asked = recording.assignments.filter(batch__kind=Batch.Kind.WORK)
    used = set(asked.values_list("batch__codebook_id", "batch__pass_id").distinct())
    made = [
        strip
        for part in read_codebook(codebook.text).passes
        if part.unit != "clip"
        and any(
            (version, name) in used
            for version, stored in carried.stored_passes(codebook, part.id).items()
            for name in stored
        )
        for strip in strips(
            [recording], part.id, snapshot=None, run=None, for_lead=for_lead, codebook=codebook
        ).values()
    ]
    return [_with_decisions(replace(one, run=_look_at(one))) for one in made]


def _look_at(strip: Strip) -> GateRun | None:
    """The newest look, if its snapshot holds exactly the labels of a strip."""
    run = (
        GateRun.objects.filter(snapshot__study=strip.recording.study_id)
        .select_related("snapshot__study", "snapshot__codebook")
        .order_by("-created_at")
        .first()
    )
    if run is None:
        return None
    frozen = run.snapshot.annotations.filter(
        scope(strip.recording.study, strip.codebook, strip.part.id),
        assignment__recording=strip.recording,
    )
    same = {str(pk) for pk in frozen.values_list("pk", flat=True)} == strip.annotations
    return run if same else None


def _with_decisions(strip: Strip) -> Strip:
    """Add what an adjudication decided on exactly these labels; it never enters agreement."""
    values = {value.id: (track, value) for track, value in enumerate(strip.part.labels)}
    rows = Adjudication.objects.filter(
        recording=strip.recording, start_us__isnull=False, adjudication__isnull=True,
        codebook__in=[version.pk for version in carried.versions_of(strip.codebook)],
    ).order_by("start_us")  # fmt: skip
    stretches = []
    for row in rows:
        pass_id, name, _ = carried.decision_in(row, strip.codebook) or ("", "", "")
        same_work = frozenset(row.looked_at) == strip.annotations
        if pass_id != strip.part.id or name not in values or not same_work:
            continue
        track, value = values[name]
        present = row.decided_start_us is not None and row.decided_end_us is not None
        stretches.append(
            plots.Stretch(
                (row.decided_start_us if present else row.start_us) or 0,
                (row.decided_end_us if present else row.end_us) or 0,
                value.title,
                value.colour or NO_COLOUR,
                "decided" if present else "decided_absent",
                track=track,
            )
        )
    if not stretches:
        return strip
    return replace(strip, most=[*strip.most, plots.Lane("Decided by adjudication", stretches)])


def one_of_recording(recording: Recording, pass_id: str) -> Strip:
    """Give the strip that somebody wants to download, without names.

    Raises Missing when nobody labelled the recording in this pass over time.
    """
    for one in of_recording(recording, for_lead=False):
        if one.part.id == pass_id:
            return one
    raise Missing("Nobody has marked stretches of this recording in this pass yet.")


def _said(
    recordings: Sequence[Recording],
    part: Pass,
    snapshot: Snapshot | None,
    codebook: CodebookVersion,
) -> dict[UUID, list[_Said]]:
    """Read what counts, one annotation for each recording and rater, as measures do."""
    found: dict[tuple[UUID, UUID], _Said] = {}
    for row in _annotations(recordings, part.id, snapshot, codebook):
        given = row.assignment
        carried_over = carried.read_in(row, given.batch.pass_id, codebook)
        if carried_over.complete:
            who = (given.recording_id, given.rater_id)
            found.setdefault(who, _Said(row, carried_over.annotation))
    by_recording: dict[UUID, list[_Said]] = defaultdict(list)
    for (recording, _), one in found.items():
        by_recording[recording].append(one)
    return by_recording


def _annotations(
    recordings: Sequence[Recording],
    pass_id: str,
    snapshot: Snapshot | None,
    codebook: CodebookVersion,
) -> QuerySet[Annotation]:
    rows = Annotation.objects.filter(
        scope(recordings[0].study, codebook, pass_id), assignment__recording__in=recordings
    )
    if snapshot is not None:
        blind = StudyDesign.Arm.BLIND
        rows = rows.filter(snapshots=snapshot, assignment__arm=blind).order_by("pk")
    else:
        newest = (
            Annotation.objects.filter(
                assignment__recording__in=recordings, assignment__batch__kind=Batch.Kind.WORK,
                assignment__is_gold=False, assignment__repeat=0,
            )
            .exclude(assignment__state=Assignment.State.WITHDRAWN)
            .order_by("assignment_id", "-version")
            .distinct("assignment_id")
        )  # fmt: skip
        rows = rows.filter(pk__in=newest.values("pk"), verdict=Annotation.Verdict.ACCEPTED)
        rows = rows.order_by("-codebook__version", "pk")
    return rows.select_related("assignment__batch").prefetch_related(
        Prefetch("segments", Segment.objects.order_by("start_us").prefetch_related("cues")),
        Prefetch("clip_labels", ClipLabel.objects.order_by("scale")),
    )


def _pass(codebook: Codebook, pass_id: str) -> Pass | None:
    return next((part for part in codebook.passes if part.id == pass_id), None)


def _strip(
    recording: Recording,
    part: Pass,
    rows: Sequence[_Said],
    names: dict[UUID, str],
    run: GateRun | None,
    codebook: CodebookVersion,
    label: Label | None,
) -> Strip:
    order = sorted(rows, key=lambda one: _number(names[one.row.assignment.rater_id]))
    lanes = [
        plots.Lane(
            names[one.row.assignment.rater_id],
            _stretches(one.said, part),
            _words(one.said, part, label),
        )
        for one in order
    ]
    most: list[plots.Lane] = []
    curves: list[plots.Curve] = []
    if part.unit != "clip" and len(rows) > 1:
        segments = _segments(recording, part, rows)
        agreed: list[plots.Stretch] = []
        for track, value in enumerate(part.labels):
            lane, curve = _consensus(segments, value, track)
            agreed += lane
            name = f"Share: {value.title}" if len(part.labels) > 1 else "Share of raters"
            curves.append(plots.Curve(name, value.title, value.colour or NO_COLOUR, curve))
        most.append(plots.Lane(MOST, agreed, "nothing"))
    whose = frozenset(str(one.row.pk) for one in rows)
    shown = any(one.row.assignment.arm != StudyDesign.Arm.BLIND for one in rows)
    return Strip(recording, part, lanes, most, curves, len(rows), run, codebook, whose, shown)


def _stretches(said: ParsedAnnotation, part: Pass) -> list[plots.Stretch]:
    values = {value.id: (track, value) for track, value in enumerate(part.labels)}
    return [
        plots.Stretch(
            segment.start_us, segment.end_us, value.title, value.colour or NO_COLOUR, track=track
        )
        for segment in sorted(said.segments, key=lambda one: one.start_us)
        if segment.label in values
        for track, value in [values[segment.label]]
    ]


def _words(said: ParsedAnnotation, part: Pass, label: Label | None) -> str:
    """Give the answer that a label is about; without one all answers about the clip."""
    if part.unit != "clip":
        return "marked nothing"
    if label is not None:
        return _answer(said, part, label)
    titles = {question.id: titles_in(question) for question in part.questions}
    found = [titles.get(one.scale, {}).get(one.value, one.value) for one in said.clip_labels]
    return ", ".join(found) or NO_ANSWER


def _answer(said: ParsedAnnotation, part: Pass, label: Label) -> str:
    given = [one for one in said.clip_labels if one.scale == label.source]
    if label.answer:
        return YES if label.answer in {one.value for one in given} else NO
    titles = titles_in(part.question(label.key.split("/")[1]))
    if label.is_certainty:
        sure = [f"{one.confidence:g}" for one in given if one.confidence is not None]
        return titles.get(sure[0], sure[0]) if sure else NO_ANSWER
    return ", ".join(titles.get(one.value, one.value) for one in given) or NO_ANSWER


def _segments(recording: Recording, part: Pass, rows: Sequence[_Said]) -> Segments:
    length = recording.duration_us or 1
    known = {value.id for value in part.labels}
    marks = [
        (str(who.row.assignment.rater_id), one.start_us, min(one.end_us, length), one.label)
        for who in rows
        for one in who.said.segments
        if one.label in known and one.start_us < length
    ]
    roster: dict[Hashable, list[Hashable]] = {
        "it": [str(who.row.assignment.rater_id) for who in rows]
    }
    return Segments.from_rows(
        ["it"] * len(marks), [m[0] for m in marks], [m[1] for m in marks], [m[2] for m in marks],
        [m[3] for m in marks], roster=roster, durations={"it": length}, tick_us=1,
        labels=[value.id for value in part.labels],
    )  # fmt: skip


def _consensus(
    segments: Segments, value: CodebookValue, track: int
) -> tuple[list[plots.Stretch], list[tuple[int, int, float]]]:
    """What most marked with a label, and the share of raters by time."""
    found = consensus_segments(segments, value.id)
    colour = value.colour or NO_COLOUR
    lane = [
        plots.Stretch(span.start_us, span.end_us, value.title, colour, kind, span.share, track)
        for kind, spans in (("agreed", found.segments), ("undecided", found.undecided))
        for span in spans
    ]
    runs = segments.runs(value.id)
    counts = runs.counts()
    steps: list[tuple[int, int, float]] = []
    start = 0
    for length, (absent, present) in zip(runs.duration_us.tolist(), counts.tolist(), strict=True):
        steps.append((start, start + length, present / (absent + present)))
        start += length
    return sorted(lane, key=lambda one: one.start_us), steps


def _number(name: str) -> tuple[int, str]:
    digits = name.removeprefix("Rater ").split(" ")[0]
    return (int(digits) if digits.isdigit() else 0, name)

"""What figures about raters are computed from: stored rows, read once and never changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from annotation.agreement import Ratings, Runs, Segments
from annotation.codebooks import Codebook, Measurable
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    ClipLabel,
    CodebookVersion,
    RaterProfile,
    Segment,
)
from annotation.services import codebooks
from annotation.services.gold import TICK_US
from waver.consent.models import Participant
from waver.studies.models import Study, StudyDesign

NEWEST = 20_000
"""So many submissions of a study are looked at, the newest: a page must not take minutes."""

_SLICE = 2000


@dataclass(frozen=True, slots=True)
class Submission:
    """One assignment that a rater handed in.

    `first`     the annotation that was accepted first: what counts for controls, because a later
                correction is no blind answer.
    `standing`  the annotation that counts now: what counts for agreement.
    `at`        when the first was submitted.
    `lead_us`   how long the recording was open until the standing one; None where not known.
    """

    assignment: UUID
    rater: UUID
    recording: UUID
    participant: UUID
    pass_id: str
    kind: str
    arm: str
    is_gold: bool
    repeat: int
    first: UUID
    standing: UUID
    at: datetime
    lead_us: int | None
    duration_us: int

    @property
    def is_control(self) -> bool:
        """Tell whether this is a known answer or a repeat, of which raters must not learn."""
        return self.is_gold or self.repeat > 0

    @property
    def counts_for_agreement(self) -> bool:
        """Tell whether the gate would look at it: real work, no control, without pre-labels."""
        return (
            self.kind == Batch.Kind.WORK
            and not self.is_control
            and self.arm == StudyDesign.Arm.BLIND
        )


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The submissions of a study under one codebook version, and what each annotation says.

    `spans`    annotation -> (start_us, end_us, label), in order of time.
    `answers`  annotation -> question -> the answers given.
    """

    study: Study
    version: CodebookVersion
    codebook: Codebook
    submissions: tuple[Submission, ...]
    spans: dict[UUID, list[tuple[int, int, str]]]
    answers: dict[UUID, dict[str, list[str]]]
    is_cut: bool = False  # older submissions were left out
    # What was computed of it already; goes with the material.
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def of(self, rater: UUID) -> list[Submission]:
        """Give one rater's submissions, oldest first."""
        if "of" not in self.kept:
            of: dict[UUID, list[Submission]] = defaultdict(list)
            for each in self.submissions:
                of[each.rater].append(each)
            self.kept["of"] = dict(of)
        found: list[Submission] = self.kept["of"].get(rater, [])
        return found

    def only(self, wanted: Callable[[Submission], bool]) -> Material:
        """Give the same material with the submissions that `wanted` picks."""
        kept = tuple(each for each in self.submissions if wanted(each))
        return replace(self, submissions=kept, kept={})

    def before(self, moment: datetime) -> Material:
        """Give the material as if nothing had been submitted since."""
        return self.only(lambda each: each.at < moment)

    def measurables(self) -> tuple[Measurable, ...]:
        """Give the labels that the study is after, in the codebook's order."""
        return self.codebook.measurables()

    def title_of(self, measurable: Measurable) -> str:
        """Name a label with its pass, which may ask for the same label in another way."""
        return f"{measurable.title} ({self.codebook.pass_(measurable.pass_id).title.lower()})"

    def value(self, annotation: UUID, measurable: Measurable) -> str | None:
        """Give an annotation's answer about the whole clip; None where it was not answered."""
        given = self.answers.get(annotation, {}).get(measurable.source, [])
        if measurable.value:
            return "yes" if measurable.value in given else "no"
        return given[0] if given else None

    def said(self, annotation: UUID) -> dict[str, Any]:
        """Give an annotation in the form of a known answer, without what is not scored."""
        return {
            "segments": [
                {"start_us": start, "end_us": end, "label": label}
                for start, end, label in self.spans.get(annotation, ())
            ],
            "clip_labels": [
                {"scale": scale, "value": value}
                for scale, values in self.answers.get(annotation, {}).items()
                for value in values
            ],
        }


def gather(
    study: Study, *, recordings_of: UUID | None = None, newest: int = NEWEST
) -> Material | None:
    """Read the submissions of a study, or of one rater and of others on the same recordings.

    The newest codebook version with accepted work counts. Withdrawn participants are left out, and
    so is work of a rater from before what was kept about them was removed.
    Gives None while nothing was accepted.
    """
    version = (
        CodebookVersion.objects.filter(study=study, annotation__verdict=Annotation.Verdict.ACCEPTED)
        .order_by("-version", "-created_at")
        .first()
    )
    if version is None:
        return None
    rows = _rows(study)
    if recordings_of is not None:
        theirs = Assignment.objects.filter(batch__study=study, rater=recordings_of)
        rows = rows.filter(assignment__recording__in=theirs.values("recording"))
    found, is_cut = _submissions(rows, version, newest)
    profiles = RaterProfile.objects.filter(study=study)
    removed = dict(profiles.values_list("user_id", "figures_removed_at"))

    def is_kept(each: Submission) -> bool:
        moment = removed.get(each.rater)
        return moment is None or each.at > moment

    kept = tuple(each for each in found if is_kept(each))
    wanted = {each.first for each in kept} | {each.standing for each in kept}
    spans, answers = _said(wanted)
    return Material(
        study=study,
        version=version,
        codebook=codebooks.parsed(version),
        submissions=kept,
        spans=spans,
        answers=answers,
        is_cut=is_cut,
    )


def _rows(study: Study) -> QuerySet[Annotation]:
    return (
        Annotation.objects.filter(assignment__batch__study=study)
        .exclude(verdict=Annotation.Verdict.REJECTED)
        .exclude(assignment__state=Assignment.State.WITHDRAWN)
        .filter(assignment__recording__take__participant__state=Participant.State.ACTIVE)
    )


_COLUMNS = (
    "assignment_id",
    "pk",
    "verdict",
    "codebook_id",
    "remote_updated_at",
    "lead_time_us",
    "assignment__rater_id",
    "assignment__recording_id",
    "assignment__recording__take__participant_id",
    "assignment__recording__duration_us",
    "assignment__batch__pass_id",
    "assignment__batch__kind",
    "assignment__arm",
    "assignment__is_gold",
    "assignment__repeat",
)


def _submissions(
    rows: QuerySet[Annotation], version: CodebookVersion, newest: int
) -> tuple[list[Submission], bool]:
    """Fold the versions of each assignment: the first accepted one, and the one that stands."""
    is_cut = rows.values("assignment_id").distinct().count() > newest
    if is_cut:
        recent = rows.order_by("-assignment_id").values_list("assignment_id", flat=True).distinct()
        rows = rows.filter(assignment_id__in=list(recent[:newest]))
    first: dict[UUID, tuple[UUID, datetime]] = {}
    last: dict[UUID, tuple[Any, ...]] = {}
    for row in rows.order_by("assignment_id", "version").values_list(*_COLUMNS).iterator(_SLICE):
        if row[2] == Annotation.Verdict.ACCEPTED:
            first.setdefault(row[0], (row[1], row[4]))
        last[row[0]] = row
    found = [
        Submission(
            assignment=assignment,
            rater=row[6],
            recording=row[7],
            participant=row[8],
            pass_id=row[10],
            kind=row[11],
            arm=row[12],
            is_gold=row[13],
            repeat=row[14],
            first=first[assignment][0],
            standing=row[1],
            at=first[assignment][1],
            lead_us=row[5],
            duration_us=row[9] or 0,
        )
        for assignment, row in last.items()
        if row[2] == Annotation.Verdict.ACCEPTED and row[3] == version.pk
    ]
    return sorted(found, key=lambda each: (each.at, str(each.assignment))), is_cut


def _said(
    annotations: Iterable[UUID],
) -> tuple[dict[UUID, list[tuple[int, int, str]]], dict[UUID, dict[str, list[str]]]]:
    ids = list(annotations)
    spans: dict[UUID, list[tuple[int, int, str]]] = defaultdict(list)
    answers: dict[UUID, dict[str, list[str]]] = defaultdict(dict)
    for begin in range(0, len(ids), _SLICE):
        part = ids[begin : begin + _SLICE]
        for pk, start, end, label in Segment.objects.filter(annotation__in=part).values_list(
            "annotation_id", "start_us", "end_us", "label"
        ):
            spans[pk].append((start, end, label))
        for pk, scale, value in ClipLabel.objects.filter(annotation__in=part).values_list(
            "annotation_id", "scale", "value"
        ):
            answers[pk].setdefault(scale, []).append(value)
    for each in spans.values():
        each.sort()
    return dict(spans), dict(answers)


Named = tuple[str, Submission, UUID]
"""Who counts as the rater of a submission, the submission, and which of its annotations counts."""


def ratings(material: Material, measurable: Measurable, rows: Sequence[Named]) -> Ratings:
    """Give the answers about whole clips: units are recordings, clusters participants."""
    return Ratings.from_long(
        [str(each.recording) for _, each, _ in rows],
        [who for who, _, _ in rows],
        [material.value(annotation, measurable) for _, _, annotation in rows],
        scale=measurable.scale,
        values=measurable.values,
        cluster=[str(each.participant) for _, each, _ in rows],
    )


def segments(material: Material, measurable: Measurable, rows: Sequence[Named]) -> Segments:
    """Give the stretches marked with one label; who marked nothing said that nothing is there."""
    roster: dict[Hashable, list[Hashable]] = defaultdict(list)
    durations: dict[Hashable, int] = {}
    clusters: dict[Hashable, Hashable] = {}
    marked: list[tuple[str, str, int, int]] = []
    for who, each, annotation in rows:
        recording = str(each.recording)
        roster[recording].append(who)
        durations[recording] = max(each.duration_us, 1)
        clusters[recording] = str(each.participant)
        marked += [
            (recording, who, start, end)
            for start, end, label in material.spans.get(annotation, ())
            if label == measurable.source
        ]
    return Segments.from_rows(
        [recording for recording, _, _, _ in marked],
        [who for _, who, _, _ in marked],
        [start for _, _, start, _ in marked],
        [end for _, _, _, end in marked],
        [measurable.source] * len(marked),
        roster=dict(roster),
        durations=durations,
        tick_us=TICK_US,
        labels=[measurable.source],
        clusters=clusters,
    )


def data(material: Material, measurable: Measurable, rows: Sequence[Named]) -> Ratings | Runs:
    """Give what coefficients are computed from: answers, or the timeline in ticks."""
    if measurable.unit == "segment":
        return segments(material, measurable, rows).on_grid().runs(measurable.source)
    return ratings(material, measurable, rows)

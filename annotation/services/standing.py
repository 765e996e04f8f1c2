"""The work that counts for consensus and adjudication: real, newest, accepted, of one version.

Work done with earlier versions of the codebook is carried over, as in snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation.codebooks import ParsedAnnotation
from annotation.models import Annotation, Assignment, Batch, ClipLabel, CodebookVersion, Segment
from annotation.services import carried
from annotation.services.topics import Topic
from waver.consent.models import ConsentState, Participant, Purpose
from waver.studies.models import Study, StudyDesign

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Work:
    """One annotation that counts: the newest accepted one of its assignment."""

    annotation: UUID
    recording: UUID
    participant: UUID
    rater: UUID
    duration_us: int


def codebook_with_work(study: Study) -> CodebookVersion | None:
    """Give the newest version of the codebook that was worked with last, as snapshots do."""
    work = Annotation.objects.filter(
        codebook=OuterRef("pk"),
        verdict=Annotation.Verdict.ACCEPTED,
        assignment__batch__kind=Batch.Kind.WORK,
        assignment__is_gold=False,
        assignment__repeat=0,
    )
    found = (
        CodebookVersion.objects.filter(Exists(work), study=study)
        .order_by("-version", "-created_at")
        .first()
    )
    return None if found is None else carried.newest_of(found)


def arms_of(study: Study) -> tuple[str, ...]:
    """Give the arms whose labels enter consensus: the blind one, and both where a design asks."""
    takes = StudyDesign.objects.filter(study=study, consensus_takes_prelabelled=True).exists()
    both = (StudyDesign.Arm.BLIND.value, StudyDesign.Arm.PRELABEL.value)
    return both if takes else both[:1]


def standing_work(
    *,
    study: Study,
    codebook: CodebookVersion,
    pass_id: str,
    arms: Iterable[str],
    recording: UUID | None = None,
) -> QuerySet[Annotation]:
    """Find the annotations that count: real work, no controls, no repeats, newest and accepted.

    Work done with earlier versions of the codebook is among them.
    """
    chosen = Annotation.objects.filter(
        scope(study, codebook, pass_id),
        assignment__batch__kind=Batch.Kind.WORK,
        assignment__is_gold=False,
        assignment__repeat=0,
        assignment__arm__in=tuple(arms),
    )
    if recording is not None:
        chosen = chosen.filter(assignment__recording=recording)
    newest = (
        chosen.exclude(verdict=Annotation.Verdict.REJECTED)
        .exclude(assignment__state=Assignment.State.WITHDRAWN)
        .order_by("assignment_id", "-version")
        .distinct("assignment_id")
    )
    return Annotation.objects.filter(
        pk__in=newest.values("pk"), verdict=Annotation.Verdict.ACCEPTED
    )


def scope(study: Study, codebook: CodebookVersion, pass_id: str) -> Q:
    """A pass of a study, under each name that the codebook's versions have for it."""
    named = Q(pk__in=[])
    for version, names in carried.stored_passes(codebook, pass_id).items():
        named |= Q(assignment__batch__codebook=version, assignment__batch__pass_id__in=names)
    return Q(assignment__batch__study=study) & named


def who_left(study: Study) -> frozenset[UUID]:
    """Give the participants whose recordings nobody may judge any longer."""
    people = Participant.objects.filter(study=study)
    withdrawn = people.exclude(state=Participant.State.ACTIVE).values_list("pk", flat=True)
    ended = ConsentState.objects.filter(
        participant__study=study,
        purpose__in=[Purpose.PROCESS, Purpose.ANNOTATE],
        ended_at__isnull=False,
    ).values_list("participant", flat=True)
    return frozenset(withdrawn) | frozenset(ended)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The work on a topic: by annotation, what earlier versions' say now, and where others are."""

    works: Mapping[UUID, Work]
    earlier: Mapping[UUID, ParsedAnnotation]
    within: Mapping[str, Any]

    def marks(self, topic: Topic) -> Iterator[tuple[Work, int, int]]:
        """Give every stretch that was marked with the topic's label."""
        rows = Segment.objects.filter(**self.within, label=topic.source)
        columns = rows.values_list("annotation", "start_us", "end_us")
        for annotation, start, end in columns.iterator(chunk_size=_BATCH):
            if annotation in self.works:
                yield self.works[annotation], start, end
        for annotation, said in self.earlier.items():
            for one in said.segments:
                if one.label == topic.source:
                    yield self.works[annotation], one.start_us, one.end_us

    def answers(self, topic: Topic) -> Iterator[tuple[UUID, str]]:
        """Give every answer to the topic's question."""
        rows = ClipLabel.objects.filter(**self.within, scale=topic.source)
        yield from rows.values_list("annotation", "value").iterator(chunk_size=_BATCH)
        for annotation, said in self.earlier.items():
            for one in said.clip_labels:
                if one.scale == topic.source:
                    yield annotation, one.value


def gather(chosen: QuerySet[Annotation], codebook: CodebookVersion) -> Gathered:
    """One annotation per recording and rater: of the latest version, the oldest of these."""
    columns = (
        "pk",
        "assignment__recording",
        "assignment__recording__take__participant",
        "assignment__rater",
        "assignment__recording__duration_us",
    )
    rows = chosen.filter(assignment__recording__duration_us__gt=0).order_by("pk")
    own = rows.filter(codebook=codebook).values_list(*columns)
    found: dict[tuple[UUID, UUID], Work] = {}
    for row in own.iterator(chunk_size=_BATCH):
        work = Work(*row)
        found.setdefault((work.recording, work.rater), work)
    earlier: dict[UUID, ParsedAnnotation] = {}
    others = rows.exclude(codebook=codebook).order_by("-codebook__version", "pk")
    full = others.select_related("assignment__batch", "assignment__recording__take")
    for annotation in full.prefetch_related("segments__cues", "clip_labels").iterator(_BATCH):
        given = annotation.assignment
        who = (given.recording_id, given.rater_id)
        said = carried.read_in(annotation, given.batch.pass_id, codebook)
        if said.complete and who not in found:
            participant = given.recording.take.participant_id
            duration = given.recording.duration_us or 0
            found[who] = Work(annotation.pk, who[0], participant, who[1], duration)
            earlier[annotation.pk] = said.annotation
    return Gathered({work.annotation: work for work in found.values()}, earlier, {})

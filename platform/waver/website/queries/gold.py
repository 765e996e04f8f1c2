"""What the page of known answers shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Count, Q

from annotation.codebooks.model import Pass
from annotation.models import CodebookVersion, GoldItem
from annotation.services import codebooks
from annotation.services.gold_sources import Source, in_words, sources
from waver.core.errors import Missing
from waver.recordings.models import Recording
from waver.studies.models import Study
from waver.website.queries import jobs

SHOWN = 50


@dataclass(frozen=True)
class GoldLine:
    """A known answer in the list."""

    item: GoldItem
    recording: str
    text: str


@dataclass(frozen=True)
class Choice:
    """A recording that could get a known answer, and how many answers it has in the pass."""

    recording: Recording
    title: str
    answers: int
    is_known: bool


@dataclass(frozen=True)
class GoldPage:
    """Everything on the page. `version` is None while the study has no codebook."""

    version: CodebookVersion | None
    passes: tuple[Pass, ...]
    part: Pass | None
    lines: list[GoldLine]
    retired: int
    choices: list[Choice] = field(default_factory=list)
    recording: Recording | None = None
    recording_title: str = ""
    sources: list[Source] = field(default_factory=list)
    why_not: str = ""


def page(study: Study, *, pass_id: str, participant: str, recording_id: str) -> GoldPage:
    """Read the known answers of a study, and what could become one."""
    try:
        version = codebooks.current(study)
    except Missing:
        return GoldPage(None, (), None, [], 0)
    codebook = codebooks.parsed(version)
    used = set(study.batches.values_list("pass_id", flat=True))
    part = next(
        (each for each in codebook.passes if each.id == pass_id),
        next((each for each in codebook.passes if each.id in used), codebook.passes[0]),
    )
    items = GoldItem.objects.filter(codebook=version).select_related(
        "recording__take__participant", "recording__take__prompt"
    )
    standing = items.filter(retired_at__isnull=True).order_by("pass_id", "-created_at")
    passes = {each.id: each for each in codebook.passes}
    recording = find_recording(study, recording_id) if recording_id else None
    found, why_not = (
        sources(recording=recording, version=version, pass_id=part.id) if recording else ([], "")
    )
    return GoldPage(
        version=version,
        passes=codebook.passes,
        part=part,
        lines=[
            GoldLine(item, jobs.recording_title(item.recording), _text(passes, item))
            for item in standing
        ],
        retired=items.filter(retired_at__isnull=False).count(),
        choices=_choices(study, part, participant, {i.recording_id for i in standing}),
        recording=recording,
        recording_title=jobs.recording_title(recording) if recording else "",
        sources=found,
        why_not=why_not,
    )


def find_recording(study: Study, recording_id: str) -> Recording:
    """Give a recording of the study. Raises Missing for any other."""
    try:
        key = UUID(recording_id)
    except ValueError as error:
        raise Missing("There is no such recording in this study.") from error
    found = study.recordings.filter(pk=key).first()
    if found is None:
        raise Missing("There is no such recording in this study.")
    return found


def find_item(study: Study, item_id: UUID) -> GoldItem:
    """Give a known answer of the study. Raises Missing for any other."""
    found = GoldItem.objects.filter(codebook__study=study, pk=item_id).first()
    if found is None:
        raise Missing("This study has no such known answer. Its page lists them all.")
    return found


def _choices(study: Study, part: Pass, participant: str, known: set[UUID]) -> list[Choice]:
    """List ready recordings, most answers in the pass first, by participant if asked.

    Also those that nobody was sent yet: a qualification comes before real work.
    """
    cameras = [Recording.View.WEBCAM, Recording.View.SECOND_CAMERA]
    rows = study.recordings.filter(state=Recording.State.READY, view__in=cameras).select_related(
        "take__participant", "take__prompt"
    )
    if participant:
        rows = rows.filter(take__participant__code=participant)
    counted = rows.annotate(
        answers=Count(
            "assignments__annotations__assignment",
            filter=Q(assignments__batch__pass_id=part.id),
            distinct=True,
        )
    ).order_by("-answers", "pk")[:SHOWN]
    return [Choice(row, jobs.recording_title(row), row.answers, row.pk in known) for row in counted]


def _text(passes: dict[str, Pass], item: GoldItem) -> str:
    part = passes.get(item.pass_id)
    return in_words(part, item.answer) if part else ""

"""One recording: its facts, how it was made, and what people and rules marked in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, prefetch_related_objects

from annotation.codebooks.loader import load
from annotation.codebooks.model import PAIR, CodebookError, Value
from annotation.models import Annotation, Assignment, ClipLabel, Segment, SegmentCue
from annotation.services.assignment.people import GONE
from annotation.services.numbering import rater_numbers
from waver.core.errors import Missing
from waver.recordings.models import Asset, CueCandidate, FaceTrack, Recording, Stage
from waver.studies.models import Study
from waver.website.queries.face_statuses import FaceStatus, face_statuses

STAGE_TITLES = {
    "normalise": "Video prepared",
    "faces": "Faces found and followed",
    "speech": "Speech and pauses found",
    "signals": "Sensors read",
    "cues": "Cue candidates marked",
    "transcribe": "Transcript made by a model",
    "quality": "Quality measured",
    "mask": "Faces masked",
}
# A stage's notes and decisions stand on the recording itself.
SAID_ELSEWHERE = {"notes", "decide"}
STAGE_ORDER = list(STAGE_TITLES)
# Where a codebook gives no colour: middle grey, 3 to 1 on both themes.
NO_COLOUR = "#7a858f"


def find(study: Study, recording_id: UUID) -> Recording:
    """Give a recording of this study, with what its pages always need.

    Raises Missing for an unknown recording, and for one of another study.
    """
    row = (
        study.recordings.select_related("study", "take__participant", "take__prompt")
        .filter(pk=recording_id)
        .first()
    )
    if row is None:
        raise Missing(
            "This study has no such recording. It may have been erased at the participant's wish; "
            "the list of recordings shows what is there."
        )
    return row


def asset(recording: Recording, kind: str, *, number: int = 0) -> Asset:
    """Give one of a recording's assets with its blob. Raises Missing when it is not there."""
    row = recording.assets.select_related("blob").filter(kind=kind, number=number).first()
    if row is None:
        raise Missing(
            f"This recording has no {kind.replace('_', ' ')}: it has not been made yet, or could "
            "not be. The recording's page says why."
        )
    row.recording = recording
    return row


@dataclass(frozen=True)
class ClipAnswer:
    """What a rater said about the whole recording."""

    question: str
    answer: str
    certainty: float | None = None


@dataclass(frozen=True)
class Mark:
    """A stretch that a rater marked, in microseconds."""

    start_us: int
    end_us: int
    label: str
    colour: str
    certainty: int | None
    cues: list[str]


@dataclass(frozen=True)
class RaterRow:
    """One rater's work on one recording. `name` is “Rater 2”; only the lead sees `who`."""

    name: str
    who: str
    is_synthetic: bool
    arm: str
    batch: str
    state: str
    marks: list[Mark] = field(default_factory=list)
    answers: list[ClipAnswer] = field(default_factory=list)


@dataclass(frozen=True)
class StageLine:
    """One step of the processing and how it went."""

    title: str
    stage: Stage
    seconds: float | None
    figures: list[tuple[str, str]]


@dataclass(frozen=True)
class RecordingPage:
    """Everything on a recording's page but the timeline's own data."""

    recording: Recording
    assets: list[Asset]
    stages: list[StageLine]
    tracks: list[FaceTrack]
    candidates: list[CueCandidate]
    raters: list[RaterRow]
    face_statuses: list[FaceStatus]

    @property
    def has_proxy(self) -> bool:
        """Tell whether there is a video to play."""
        return any(asset.kind == Asset.Kind.PROXY for asset in self.assets)

    @property
    def has_contact_sheet(self) -> bool:
        """Tell whether there is a picture of all faces that were cut out."""
        return any(asset.kind == Asset.Kind.CONTACT_SHEET for asset in self.assets)


def read_once(recording: Recording) -> None:
    """Read what several parts of a recording's page need: its files, steps and people.

    From then on, `.all()` of them asks the database no more.
    """
    assets = Asset.objects.select_related("blob").order_by("created_at")
    tracks = FaceTrack.objects.order_by("-is_participant", "number")
    prefetch_related_objects(
        [recording], Prefetch("assets", assets), Prefetch("face_tracks", tracks), "stages"
    )


def page(recording: Recording, *, for_lead: bool) -> RecordingPage:
    """Read a recording's page, in a constant number of queries."""
    read_once(recording)
    stages = sorted(recording.stages.all(), key=_stage_place)
    return RecordingPage(
        recording=recording,
        assets=list(recording.assets.all()),
        stages=[_stage_line(stage) for stage in stages],
        tracks=list(recording.face_tracks.all()),
        candidates=list(recording.cue_candidates.select_related("run__card")),
        raters=rater_rows(recording, for_lead=for_lead),
        face_statuses=face_statuses(stages),
    )


def rater_rows(recording: Recording, *, for_lead: bool) -> list[RaterRow]:
    """Give every rater's newest accepted work on a recording, in three queries.

    Raters are numbered within the study, the same on every page; names are for the lead only.
    """
    numbers = rater_numbers(recording.study)
    segments = Prefetch("segments", Segment.objects.prefetch_related("cues", "texts"))
    newest = (
        Annotation.objects.order_by("-version")
        .prefetch_related(segments, Prefetch("clip_labels", ClipLabel.objects.order_by("scale")))
        .only("assignment_id", "version", "verdict")
    )
    rows = (
        recording.assignments.exclude(state__in=GONE)
        .select_related("rater", "batch__codebook")
        .prefetch_related(Prefetch("annotations", newest))
        .order_by("batch__created_at", "repeat")
    )
    words = _Words()
    found = [
        _rater_row(row, number=numbers[row.rater_id], words=words, for_lead=for_lead)
        for row in rows
    ]
    return sorted(found, key=lambda row: (row.name, row.batch))


_Key = tuple[UUID, str]
"""A codebook version and a pass of it: two passes may use one id with different titles."""


class _Words:
    """The codebook's titles and colours for ids; each codebook version is read once."""

    def __init__(self) -> None:
        self._books: dict[_Key, dict[tuple[str, str], Value]] = {}
        self._questions: dict[_Key, dict[str, str]] = {}

    def read(self, row: Assignment) -> _Key:
        """Read the codebook of an assignment's batch and give the key of its pass."""
        version, pass_id = row.batch.codebook, row.batch.pass_id
        key = (version.pk, pass_id)
        if key not in self._books:
            self._books[key], self._questions[key] = {}, {}
            try:
                part = load(version.text).pass_(pass_id)
            except (CodebookError, KeyError):
                return key  # an older codebook: ids stand for themselves
            self._add("", part.labels, key)
            for question in part.questions:
                self._questions[key][question.id] = question.title
                self._add(question.id, question.values, key)
        return key

    def _add(self, group: str, values: tuple[Value, ...], key: _Key) -> None:
        self._books[key].update({(group, value.id): value for value in values})

    def value(self, key: _Key, group: str, value_id: str) -> tuple[str, str]:
        """Give the title and the colour of a label or an answer; of a blend, both titles."""
        known = [self._books[key].get((group, part)) for part in value_id.split(PAIR)]
        if not all(known):
            return value_id, NO_COLOUR
        found = [value for value in known if value is not None]
        return " + ".join(value.title for value in found), found[0].colour or NO_COLOUR

    def cue(self, key: _Key, cue: SegmentCue) -> str:
        """Give a cue's title, or its question with a number, and how strong or sure it is."""
        title = self.value(key, cue.modality, cue.cue)[0]
        if (cue.modality, cue.cue) not in self._books[key] and PAIR not in cue.cue:
            title = f"{self.question(key, cue.modality)} {title}"
        more = cue.grade or ("" if cue.confidence is None else f"{cue.confidence:g}")
        return f"{title} [{more}]" if more else title

    def question(self, key: _Key, question_id: str) -> str:
        """Give the title of a question."""
        return self._questions[key].get(question_id, question_id)


def _rater_row(row: Assignment, *, number: int, words: _Words, for_lead: bool) -> RaterRow:
    key = words.read(row)
    found = RaterRow(
        name=f"Rater {number}" + (f", repeat {row.repeat}" if row.repeat else ""),
        who=row.rater.get_username() if for_lead else "",
        is_synthetic=row.rater.is_synthetic,
        arm=row.get_arm_display(),
        batch=f"{row.batch.pass_id} · {row.batch.number}",
        state=row.state,
    )
    for annotation in row.annotations.all()[:1]:
        if annotation.verdict != Annotation.Verdict.ACCEPTED:
            continue
        found.marks.extend(_mark(segment, words, key) for segment in annotation.segments.all())
        found.answers.extend(
            ClipAnswer(
                question=words.question(key, label.scale),
                answer=words.value(key, label.scale, label.value)[0],
                certainty=label.confidence,
            )
            for label in annotation.clip_labels.all()
        )
    return found


def _mark(segment: Segment, words: _Words, key: _Key) -> Mark:
    title, colour = words.value(key, "", segment.label)
    return Mark(
        start_us=segment.start_us,
        end_us=segment.end_us,
        label=title,
        colour=colour,
        certainty=segment.certainty,
        cues=[
            *(words.cue(key, cue) for cue in segment.cues.all()),
            *(f"{words.question(key, row.question)} {row.text}" for row in segment.texts.all()),
        ],
    )


def _stage_place(stage: Stage) -> int:
    name = stage.name.rsplit(".", 1)[-1]
    return STAGE_ORDER.index(name) if name in STAGE_ORDER else len(STAGE_ORDER)


def _stage_line(stage: Stage) -> StageLine:
    name = stage.name.rsplit(".", 1)[-1]
    seconds = None
    if stage.started_at and stage.finished_at:
        seconds = (stage.finished_at - stage.started_at).total_seconds()
    return StageLine(
        title=STAGE_TITLES.get(name, name),
        stage=stage,
        seconds=seconds,
        figures=[
            (key.replace("_", " "), _figure(value))
            for key, value in stage.figures.items()
            if key not in SAID_ELSEWHERE
        ],
    )


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return ", ".join(_figure(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_figure(part)}" for key, part in value.items())
    return str(value)

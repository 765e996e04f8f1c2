"""What a stage found, as rows: faces seen, and stretches that a model marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from waver.core.errors import IntegrityProblem
from waver.core.storage import Stored
from waver.recordings.models import (
    CueCandidate,
    FaceTrack,
    ModelCard,
    ModelRun,
    Recording,
    SensorChannel,
    Transcript,
)
from waver.recordings.quality import rules
from waver.recordings.transcripts import versions


@dataclass(frozen=True)
class FaceSeen:
    """One person's face, from `start_us` to before `end_us`. Shares and scores lie in 0 to 1."""

    number: int
    start_us: int
    end_us: int
    usable_share: float
    mean_score: float
    is_participant: bool


@dataclass(frozen=True)
class Marked:
    """A stretch in which a model found that a cue may show; `score` lies in 0 to 1."""

    start_us: int
    end_us: int
    cue: str
    score: float
    detail: str


@dataclass(frozen=True)
class ModelUse:
    """One model or rule applied to the recording: which one, and what it marked."""

    code: str
    version: str
    kind: str
    describes: str
    licence: str
    sha256: str
    coverage: float
    seconds: float
    device: str
    marked: Sequence[Marked] = ()


@dataclass(frozen=True)
class ChannelRead:
    """One sensor channel, from `start_us` to before `end_us` on its recording's clock.

    The rate, in samples per second, is None where samples carry their own times; the extremes are
    None where every sample is missing.
    """

    number: int
    name: str
    unit: str
    rate: Fraction | None
    samples: int
    missing: int
    start_us: int
    end_us: int
    minimum: float | None
    maximum: float | None

    def row_of(self, recording: Recording) -> SensorChannel:
        """Give the row of this channel, not yet stored."""
        fields = {name: value for name, value in vars(self).items() if name != "rate"}
        return SensorChannel(
            recording=recording,
            rate_numerator=self.rate.numerator if self.rate else None,
            rate_denominator=self.rate.denominator if self.rate else None,
            **fields,
        )


@dataclass(frozen=True)
class Heard:
    """What a model heard, as stored bytes; `in_place_of` is the version it may replace, or 0.

    `provenance` is the asset's: stage, version, inputs, tools and parameters.
    """

    stored: Stored
    language: str
    model: str
    made_by: str
    in_place_of: int
    provenance: Mapping[str, Any]

    def write(self, recording: Recording) -> None:
        """Make it the next version. Raises Conflict where people's work stands."""
        source = Transcript.Source.MODEL
        newest = versions.standing(recording)
        if newest is None or newest.version != self.in_place_of:
            versions.refuse_replacing(recording, source)
        if newest is not None and newest.blob.sha256 == self.stored.sha256:
            return
        versions.add(
            recording,
            self.stored,
            source=source,
            made_from=self.model,
            made_by=self.made_by,
            language=self.language,
            provenance=self.provenance,
        )


@dataclass(frozen=True)
class Findings:
    """The rows that a stage leaves. None leaves what is there; an empty list removes it.

    `quality` are the figures of waver.recordings.quality.catalogue.
    """

    faces: Sequence[FaceSeen] | None = None
    models: Sequence[ModelUse] | None = None
    quality: Mapping[str, Any] | None = None
    channels: Sequence[ChannelRead] | None = None
    heard: Heard | None = None

    def write(self, recording: Recording) -> None:
        """Replace the recording's rows by these, in the caller's transaction.

        Raises IntegrityProblem when a model's card names other bytes than an earlier one, and
        Conflict when people's transcript stands in a model's place.
        """
        if self.faces is not None:
            recording.face_tracks.all().delete()
            FaceTrack.objects.bulk_create(
                FaceTrack(recording=recording, **vars(face)) for face in self.faces
            )
        if self.models is not None:
            recording.model_runs.all().delete()
            for use in self.models:
                _write_run(recording, use)
        if self.channels is not None:
            recording.sensor_channels.all().delete()
            SensorChannel.objects.bulk_create(read.row_of(recording) for read in self.channels)
        if self.quality is not None:
            rules.record(recording, self.quality)
        if self.heard is not None:
            self.heard.write(recording)


def _write_run(recording: Recording, use: ModelUse) -> None:
    card, _ = ModelCard.objects.get_or_create(
        code=use.code,
        version=use.version,
        defaults={
            "kind": use.kind,
            "describes": use.describes,
            "licence": use.licence,
            "sha256": use.sha256,
        },
    )
    if card.sha256 != use.sha256:
        raise IntegrityProblem(
            f"The model card {card} was registered with the bytes {card.sha256[:12]}, but the "
            f"worker has {use.sha256[:12]}. Give a changed model a new version."
        )
    run = ModelRun.objects.create(
        card=card,
        recording=recording,
        coverage=use.coverage,
        seconds=use.seconds,
        device=use.device,
    )
    CueCandidate.objects.bulk_create(
        CueCandidate(run=run, recording=recording, **vars(marked)) for marked in use.marked
    )

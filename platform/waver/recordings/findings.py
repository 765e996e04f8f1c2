"""What a stage found, as rows: faces seen, and stretches that a model marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waver.core.errors import IntegrityProblem
from waver.recordings.models import CueCandidate, FaceTrack, ModelCard, ModelRun, Recording


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
class Findings:
    """The rows that a stage leaves. None leaves what is there; an empty list removes it."""

    faces: Sequence[FaceSeen] | None = None
    models: Sequence[ModelUse] | None = None

    def write(self, recording: Recording) -> None:
        """Replace the recording's rows by these, in the caller's transaction.

        Raises IntegrityProblem when a model's card names other bytes than an earlier one.
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

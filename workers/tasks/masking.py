"""Masked previews: made on request, the same for the same proxy, faces and restrictions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings

from waver.core import clock, storage
from waver.core.errors import IntegrityProblem
from waver.core.jobs import JobRun
from waver.recordings import jobs, pipeline
from waver.recordings.masked import blank_stretches
from waver.recordings.models import Asset, Recording
from waver.recordings.pipeline import MadeFile, Outcome
from workers.runner import handles
from workers.tasks.recordings import plain_errors

if TYPE_CHECKING:
    from workers.faces.detectors import Detector
    from workers.faces.masking import MaskedPreview
    from workers.faces.models import DetectorCard

_Kind = Asset.Kind
# The closer look works at this size, pixels of the long side; the same network's second look at
# another.
_CLOSE, _CLOSER = 640, 960
_STYLE: Final = "fill"


@dataclass(frozen=True)
class _Detectors:
    """Who finds the faces to cover and who checks; `same` where only one network is installed."""

    finder: DetectorCard
    second: DetectorCard

    @property
    def same(self) -> bool:
        return self.second.name.partition("-")[0] == self.finder.name.partition("-")[0]

    @property
    def checked_by(self) -> str:
        """In words, for the figures."""
        return f"{self.second.name}, mirrored" if self.same else self.second.name

    def parameters(self) -> dict[str, str | int]:
        """What of the detectors decides the result."""
        return {
            "finder_sha256": self.finder.sha256,
            "finder_size": _CLOSE,
            "second_sha256": self.second.sha256,
            "second_size": _CLOSER if self.same else _CLOSE,
        }


@handles(jobs.MASK, on_failure=pipeline.ended_badly)
def mask(run: JobRun) -> None:
    """Cover every face of the proxy, and have a second detector look for what was missed."""
    from workers.faces.masking import mask_faces

    with plain_errors():
        detectors = _detectors()
    key = UUID(run.job.subject_id)
    blank = blank_stretches([key])[key]
    parameters = {"style": _STYLE, "sound": False, "blank": blank, **detectors.parameters()}
    work = pipeline.begin(run, parameters=parameters)
    if work is None:
        return
    rate = _rate(work.recording)
    with (
        plain_errors(),
        work.lend(_Kind.PROXY, suffix=".mp4") as proxy,
        work.lend(_Kind.LANDMARKS, suffix=".parquet") as table,
        storage.workspace(f"mask-{run.job.attempts}") as folder,
    ):
        made = mask_faces(
            proxy,
            table,
            folder / "masked.mp4",
            rate=rate,
            finder=_loaded(detectors.finder, _CLOSE),
            second=_second(detectors),
            style=_STYLE,
            blank=[_frames(start, end, rate) for start, end in blank],
            on_progress=lambda share: run.progress(share, "Masking faces"),
        )
        if made.frame_count != work.recording.frame_count:
            raise IntegrityProblem(
                f"The masked preview of {work.recording.original_name} has {made.frame_count} "
                f"frames, but its proxy {work.recording.frame_count}. Prepare the recording again."
            )
        pipeline.finish(
            run,
            work,
            _outcome(made, detectors),
            still=lambda: blank_stretches([key])[key] == blank,
        )


def _outcome(made: MaskedPreview, detectors: _Detectors) -> Outcome:
    from importlib.metadata import version

    return Outcome(
        files=[MadeFile(_Kind.MASKED_PREVIEW, made.video, "video/mp4")],
        figures={
            "frames": made.frame_count,
            "frames_masked": made.masked_frames,
            "frames_blank": made.blanked_frames,
            "closer_looks": made.looks,
            "frames_checked": made.checked_frames,
            "checked_by": detectors.checked_by,
            "faces_found": made.found,
            "faces_covered": made.covered,
            "recall": made.recall,
            "faces_still_seen": made.still_seen,
            "sound": made.has_sound,
        },
        tools={
            "pyav": version("av"),
            "onnxruntime": version("onnxruntime"),
            "finder": f"{detectors.finder.name} {detectors.finder.version}",
            "second": f"{detectors.second.name} {detectors.second.version}",
        },
    )


def _detectors() -> _Detectors:
    """Give the detector that is set up, and another network to check it where one is installed."""
    from workers.faces.errors import FaceError
    from workers.faces.models import CENTERFACE, prepare_models

    name = settings.WAVER_FACE_DETECTOR
    known = prepare_models(Path(settings.WAVER_MODELS), names=[name, CENTERFACE])
    if name not in known:
        raise FaceError(
            f"The face detector “{name}” is not installed. Install it with “python -m "
            "workers.faces”, or set WAVER_FACE_DETECTOR to another."
        )
    family = name.partition("-")[0]
    others = [card for other, card in known.items() if other.partition("-")[0] != family]
    return _Detectors(known[name], others[0] if others else known[CENTERFACE])


def _second(detectors: _Detectors) -> Detector:
    from workers.faces.masking import Mirrored

    if detectors.same:
        return Mirrored(_loaded(detectors.second, _CLOSER))
    return _loaded(detectors.second, _CLOSE)


@lru_cache(maxsize=2)
def _loaded(card: DetectorCard, long_side: int) -> Detector:
    """Load a detector once per process."""
    from workers.faces.detectors import load

    return load(card, long_side=long_side)


def _frames(start_us: int, end_us: int, rate: Fraction) -> tuple[int, int]:
    """The frames [first, end) that show anything of a stretch."""
    return clock.frame_at(start_us, rate), clock.frame_at(end_us - 1, rate) + 1


def _rate(recording: Recording) -> Fraction:
    if recording.rate is None:
        raise IntegrityProblem(
            f"{recording.original_name} has a proxy but no frame rate. Prepare it again."
        )
    return recording.rate

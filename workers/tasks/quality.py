"""Measuring a recording's quality for curators, and judging a study's recordings again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction

from waver.core import storage
from waver.core.errors import Missing
from waver.core.jobs import JobRun
from waver.recordings import jobs, pipeline
from waver.recordings.findings import Findings
from waver.recordings.models import Asset, Recording, Stage
from waver.recordings.pipeline import Outcome, StageWork
from waver.recordings.quality import judging, rules
from waver.recordings.quality.catalogue import FIGURES, undefined
from waver.studies.models import Study
from workers.runner import handles
from workers.tasks.recordings import plain_errors

if TYPE_CHECKING:
    from pathlib import Path

    from workers.faces.summary import FaceSummary
    from workers.speech.level import VoiceLevel
    from workers.speech.spans import Speech

    Figures = dict[str, float | dict[str, str]]

_Kind = Asset.Kind
# Enough for a median of the light; each is one read from the middle of a file.
LIT_FRAMES = 50
NO_FACE = "No face was found."
NO_FRONTAL = "No usable frontal face was found."
NOT_LOOKED = "It was prepared before this was looked for; prepare it again."
NO_SOUND = "The recording has no sound track."
SILENT = "The sound track is digital silence."
NO_SPEECH = "No speech was found."
NO_NOISE = "Too little sound without speech is there to tell the room's noise."
NO_DRIFT = "The sound is too short, or too broken, to tell how its clock runs."
# What earlier stages measured and this one takes over.
_FROM_NORMALISE = (
    "has_sound", "digital_silence", "clipped_share", "repeated_frames", "left_out_frames",
    "source_frames", "source_mean_rate", "audio_drift_us",
)  # fmt: skip
_FROM_FACES = ("people", "frames_occluded")


@handles(jobs.QUALITY, on_failure=pipeline.ended_badly)
def measure_quality(run: JobRun) -> None:
    """Measure what curators ask about: face, light, voice, pauses, frames."""
    from workers.faces.summary import summarise
    from workers.speech.level import voice_level
    from workers.speech.spans import Speech

    earlier = _earlier_figures(run.job.subject_id)
    work = pipeline.begin(run, parameters=earlier)
    if work is None:
        return
    with (
        plain_errors(),
        work.lend(_Kind.LANDMARKS, suffix=".parquet") as table,
        work.lend(_Kind.AUDIO_16K, suffix=".wav") as sound,
        work.lend(_Kind.SPEECH, suffix=".json") as record,
    ):
        run.progress(0.0, "Measuring quality")
        heard = Speech.from_json(record.read_text(encoding="utf-8"))
        face = summarise(table)
        figures = {
            **_face_figures(face, earlier, work.recording),
            "light_imbalance": _light(work, table),
            **_sound_figures(heard, voice_level(sound, heard), earlier),
            **_time_figures(work.recording, earlier),
        }
    ordered = {key: figures[key] for key in FIGURES}
    unknown = sum(isinstance(value, dict) for value in ordered.values())
    outcome = Outcome(
        figures={"measured": len(ordered) - unknown, "unknown": unknown},
        findings=Findings(quality=ordered),
    )
    pipeline.finish(run, work, outcome)


@handles(jobs.JUDGE_QUALITY)
def judge_quality(run: JobRun) -> None:
    """Judge a study's recordings by its newest thresholds."""
    study = Study.objects.filter(pk=run.job.subject_id).first()
    if study is None:
        raise Missing("The study whose recordings were to be judged is gone. Nothing is to do.")
    judging.judge_all(
        study, on_progress=lambda share: run.progress(share, "Judging recordings again")
    )
    # Held before the job ends: who sets thresholds holds them too, and then asks for this job.
    with transaction.atomic():
        rules.hold_rules(study.pk, shared=True)
        with run.commit():
            newest = rules.newest(study.pk)
            # Set while this ran, when asking for a second job gave this one.
            if newest is not None and judging.stale(study.pk, newest).exists():
                rules.judge_soon(study.pk)


def _earlier_figures(recording_id: str) -> dict[str, Any]:
    """What the stages before measured: with the inputs' bytes, all that decides the result."""
    found: dict[str, Any] = {}
    for name, wanted in (("normalise", _FROM_NORMALISE), ("faces", _FROM_FACES)):
        stage = Stage.objects.filter(recording_id=recording_id, name=name).first()
        figures = stage.figures if stage is not None else {}
        found |= {key: figures[key] for key in wanted if key in figures}
    return found


def _face_figures(face: FaceSummary, earlier: Mapping[str, Any], recording: Recording) -> Figures:
    height = None
    if face.height_px is not None and recording.height:
        height = face.height_px / recording.height
    covered: float | dict[str, str] = undefined(NOT_LOOKED)
    if "frames_occluded" in earlier or not face.seen:
        covered = _known(face.occluded_share, NO_FACE)
    return {
        "usable_face_share": face.usable_share,
        "face_size_px": _known(face.eye_distance_px, NO_FACE),
        "face_height_share": _known(height, NO_FACE),
        "turned_share": _known(face.turned_share, NO_FACE),
        "roll_degrees": _known(face.roll_degrees, NO_FACE),
        "brightness": _known(face.brightness, NO_FACE),
        "dark_share": _known(face.dark_share, NO_FACE),
        "bright_share": _known(face.bright_share, NO_FACE),
        "sharpness": _known(face.sharpness, NO_FACE),
        "occluded_share": covered,
        "people": _known(earlier.get("people"), NOT_LOOKED),
    }


def _light(work: StageWork, table: Path) -> float | dict[str, str]:
    """How evenly the face is lit, from crops read here and there; nothing is unpacked."""
    import numpy as np
    import pyarrow.parquet as pq

    from workers.faces.summary import frontal_frames, median_imbalance

    wanted = set(frontal_frames(table, at_most=LIT_FRAMES))
    if not wanted:
        return undefined(NO_FRONTAL)
    index = b"".join(storage.open_range(work.inputs[_Kind.CROP_INDEX].blob))
    with pq.ParquetFile(io.BytesIO(index)) as file:
        places = file.read(columns=["frame", "offset", "size"])
    tar = work.inputs[_Kind.CROPS].blob
    rows = zip(*(np.asarray(places[name].to_pylist()) for name in places.column_names), strict=True)
    jpegs = [
        b"".join(storage.open_range(tar, start=int(offset), length=int(size)))
        for frame, offset, size in rows
        if int(frame) in wanted
    ]
    return _known(median_imbalance(jpegs), NO_FRONTAL)


def _sound_figures(heard: Speech, voice: VoiceLevel, earlier: Mapping[str, Any]) -> Figures:
    names = (
        "voice_level_dbfs", "snr_db", "clipped_share", "speech_share", "longest_pause_s",
        "pauses_per_minute",
    )  # fmt: skip
    if not earlier.get("has_sound"):
        return dict.fromkeys(names, undefined(NO_SOUND))
    if earlier.get("digital_silence"):
        return dict.fromkeys(names, undefined(SILENT))
    spoken = heard.segments[-1].end_us - heard.segments[0].start_us if heard.segments else 0
    longest = max((pause.duration_us for pause in heard.pauses), default=0)
    return {
        "voice_level_dbfs": _known(voice.level_dbfs, NO_SPEECH),
        "snr_db": _known(voice.snr_db, NO_NOISE if heard.segments else NO_SPEECH),
        "clipped_share": _known(earlier.get("clipped_share"), NOT_LOOKED),
        "speech_share": heard.share,
        "longest_pause_s": longest / 1e6 if spoken else undefined(NO_SPEECH),
        "pauses_per_minute": (
            len(heard.pauses) / (spoken / 60e6) if spoken else undefined(NO_SPEECH)
        ),
    }


def _time_figures(recording: Recording, earlier: Mapping[str, Any]) -> Figures:
    frames, source = recording.frame_count, earlier.get("source_frames")
    drift = earlier.get("audio_drift_us")
    shares: Figures = {}
    for key, counted, of in (
        ("repeated_share", earlier.get("repeated_frames"), frames),
        ("left_out_share", earlier.get("left_out_frames"), source),
    ):
        shares[key] = counted / of if counted is not None and of else undefined(NOT_LOOKED)
    return {
        "duration_s": _known(
            recording.duration_us / 1e6 if recording.duration_us else None, NOT_LOOKED
        ),
        "frame_rate": _known(earlier.get("source_mean_rate"), NOT_LOOKED),
        **shares,
        "audio_drift_ms": (
            abs(drift) / 1000
            if drift is not None
            else undefined(NO_DRIFT if earlier.get("has_sound") else NO_SOUND)
        ),
    }


def _known(value: float | None, reason: str) -> float | dict[str, str]:
    return undefined(reason) if value is None else float(value)

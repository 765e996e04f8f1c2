"""Preparing recordings: each handler borrows its inputs, calls the pure part, hands back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from waver.core import clock, storage
from waver.core.errors import BadInput, IntegrityProblem, TemporaryProblem
from waver.core.jobs import JobRun
from waver.recordings import jobs, people, pipeline
from waver.recordings.findings import FaceSeen, Findings, Marked, ModelUse
from waver.recordings.models import Asset, Recording, Stage
from waver.recordings.pipeline import MadeFile, Outcome, StageWork
from workers.runner import handles

if TYPE_CHECKING:
    from workers.faces.detectors import Detector
    from workers.faces.extract import FaceExtraction, TrackSummary
    from workers.faces.models import DetectorCard
    from workers.media.normalise import Proxy
    from workers.prelabel.cards import ModelCard

_Kind = Asset.Kind
_PARQUET, _JSON, _WAV = "application/vnd.apache.parquet", "application/json", "audio/wav"
_FLAC = "audio/flac"
_BUCKETS = 20  # of the waveform, per second
CROP_SIZE = 256
# Faces are looked for in every fifth frame, and in all frames where they come, go or move fast
# (workers.faces.following): landmarks stay within 3 % of the eyes' distance of a look at each.
LOOK_EVERY = 5


@handles(jobs.NORMALISE, on_failure=pipeline.ended_badly)
def normalise(run: JobRun) -> None:
    """Make the frame-exact proxy, its time map, both sounds and the waveform."""
    from workers.media.normalise import normalise as make_proxy

    work = pipeline.begin(run)
    if work is None:
        return
    with (
        plain_errors(),
        work.lend(_Kind.ORIGINAL) as source,
        storage.workspace(f"normalise-{run.job.attempts}") as folder,
    ):
        proxy = make_proxy(
            source,
            folder,
            frame_us=clock.frame_us,
            on_progress=_reporter(run, "Preparing the video"),
            name=work.recording.original_name,
            as_depth=work.recording.view == Recording.View.DEPTH,
        )
        pipeline.finish(run, work, _proxy_outcome(proxy, folder))


def _proxy_outcome(proxy: Proxy, folder: Path) -> Outcome:
    from workers.media.waveform import peaks

    waveform = folder / "waveform.json"
    outline = [round(p, 4) for p in peaks(proxy.audio_16k, buckets_per_second=_BUCKETS)]
    waveform.write_text(json.dumps({"buckets_per_second": _BUCKETS, "peaks": outline}))
    files = [
        MadeFile(_Kind.PROXY, proxy.video, "video/mp4"),
        MadeFile(_Kind.FRAME_MAP, proxy.frame_map, _PARQUET),
        MadeFile(_Kind.AUDIO_16K, proxy.audio_16k, _WAV),
        MadeFile(_Kind.WAVEFORM, waveform, _JSON),
    ]
    if proxy.audio_native is not None:
        files.append(MadeFile(_Kind.AUDIO_NATIVE, proxy.audio_native, _FLAC))
    return Outcome(
        files=files,
        fields={
            "duration_us": proxy.duration_us,
            "frame_count": proxy.frame_count,
            "rate_numerator": proxy.rate.numerator,
            "rate_denominator": proxy.rate.denominator,
            "width": proxy.width,
            "height": proxy.height,
        },
        figures=proxy.figures,
        notes=proxy.notes,
        tools=proxy.tools,
    )


@handles(jobs.FACES, on_failure=pipeline.ended_badly)
def faces(run: JobRun) -> None:
    """Find, follow, align and crop the faces of the proxy."""
    from workers.faces.counting import check_frames
    from workers.faces.extract import extract_faces

    with plain_errors():
        card = _detector_card()
    chosen = partial(
        people.choice_for, run.job.subject_id, detector_sha256=card.sha256, look_every=LOOK_EVERY
    )
    choice = chosen()
    work = pipeline.begin(
        run,
        parameters={
            "detector": card.name,
            "detector_sha256": card.sha256,
            "crop_size": CROP_SIZE,
            "look_every": LOOK_EVERY,
            **choice.parameters,
        },
    )
    if work is None:
        return
    rate = _rate(work.recording)
    with (
        plain_errors(),
        work.lend(_Kind.PROXY, suffix=".mp4") as proxy,
        storage.workspace(f"faces-{run.job.attempts}") as folder,
    ):
        found = extract_faces(
            proxy,
            folder,
            detector=_detector(card),
            frame_us=lambda frame: clock.frame_us(frame, rate),
            rate=rate,
            crop_size=CROP_SIZE,
            every=LOOK_EVERY,
            participant=choice.applied,
            expected_frames=work.recording.frame_count,
            on_progress=_reporter(run, "Finding and following faces"),
        )
        check_frames(
            table=found.table,
            crop_index=found.crop_index,
            frame_count=work.recording.frame_count or 0,
        )
        outcome = _faces_outcome(found, folder, work.recording, choice)
        pipeline.finish(run, work, outcome, still=lambda: chosen() == choice)


def _faces_outcome(
    found: FaceExtraction, folder: Path, recording: Recording, choice: people.Choice
) -> Outcome:
    from workers.tasks.face_outline import write_outline

    rate = _rate(recording)
    outline = folder / "face_outline.json"
    write_outline(found.table, outline, rate=rate, end_us=clock.frame_us(found.frame_count, rate))
    files = [
        MadeFile(_Kind.LANDMARKS, found.table, _PARQUET),
        MadeFile(_Kind.FACE_OUTLINE, outline, _JSON),
        MadeFile(_Kind.CROPS, found.crops, "application/x-tar"),
        MadeFile(_Kind.CROP_INDEX, found.crop_index, _PARQUET),
    ]
    for made in found.pictures:
        sheet = 0 if made.sheet == found.contact_sheet else made.track_id
        files.append(MadeFile(_Kind.CONTACT_SHEET, made.sheet, "image/jpeg", sheet))
        files.append(MadeFile(_Kind.FACE_PREVIEW, made.film, "video/mp4", made.track_id))
    return Outcome(
        files=files,
        figures={
            **found.figures,
            "share_with_face": found.share_with_face,
            "people": found.people,
        },
        notes=found.notes,
        tools=found.tools,
        findings=Findings(faces=[_face_seen(track, rate) for track in found.tracks]),
        decide=choice.decision(recording.original_name) or _decision_about_faces(found, recording),
    )


def _face_seen(track: TrackSummary, rate: Fraction) -> FaceSeen:
    return FaceSeen(
        number=track.track_id,
        start_us=clock.frame_us(track.first_frame, rate),
        end_us=clock.frame_us(track.last_frame + 1, rate),
        usable_share=track.usable_share,
        mean_score=track.mean_score,
        is_participant=track.is_participant,
    )


def _decision_about_faces(found: FaceExtraction, recording: Recording) -> str:
    """Say what a person must decide about the faces that were found, or nothing.

    A second camera need not see the face; that others are seen who did not agree matters there too.
    """
    name, must_show = recording.original_name, recording.view == Recording.View.WEBCAM
    usable = sum(track.usable_share for track in found.tracks if track.is_participant)
    if found.share_with_face == 0 and must_show:
        return (
            f"No face was found in {name}. Leave the recording out, or accept it if the voice "
            "alone is to be annotated."
        )
    if usable == 0 and must_show:
        return (
            f"No usable face was found in {name}: it is too small, covered, blurred or off the "
            "frame throughout. Leave the recording out, or accept it if raters can judge it so."
        )
    if found.people > 1:
        return (
            f"{found.people} people are seen in {name}, but only the participant has consented. "
            "Look at the contact sheet; accept the recording only if the others agreed too."
        )
    return ""


@handles(jobs.SPEECH, on_failure=pipeline.ended_badly)
def speech(run: JobRun) -> None:
    """Find speech and pauses, and how fast somebody speaks. Transcripts are another stage's."""
    from importlib.metadata import version

    from workers.speech.rate import with_rate
    from workers.speech.vad import find_speech

    work = pipeline.begin(run, parameters={"silero-vad": version("silero-vad")})
    if work is None:
        return
    with (
        plain_errors(),
        work.lend(_Kind.AUDIO_16K, suffix=".wav") as sound,
        storage.workspace(f"speech-{run.job.attempts}") as folder,
    ):
        run.progress(0.0, "Finding speech and pauses")
        found = with_rate(sound, find_speech(sound))
        record = folder / "speech.json"
        record.write_text(found.to_json(), encoding="utf-8")
        outcome = Outcome(
            files=[MadeFile(_Kind.SPEECH, record, _JSON)],
            figures={**found.figures, "speech_share": found.share},
            notes=found.notes if _can_be_heard(work.recording) else (),
            tools=found.tools,
        )
        pipeline.finish(run, work, outcome)


def _can_be_heard(recording: Recording) -> bool:
    """Tell whether there is sound at all; if not, the first stage has said so already."""
    figures = Stage.objects.get(recording=recording, name=pipeline.NORMALISE.name).figures
    return bool(figures["has_sound"]) and not figures.get("digital_silence")


@handles(jobs.CUES, on_failure=pipeline.ended_badly)
def cues(run: JobRun) -> None:
    """Mark cue candidates, each naming the cue that fired and its score."""
    from workers.prelabel.cues import CUE_CARD, find_cues
    from workers.speech.spans import Speech

    work = pipeline.begin(
        run,
        parameters={
            "card": CUE_CARD.id,
            "card_version": CUE_CARD.version,
            "card_sha256": CUE_CARD.sha256,
        },
    )
    if work is None:
        return
    started = time.monotonic()
    with (
        plain_errors(),
        work.lend(_Kind.LANDMARKS, suffix=".parquet") as table,
        work.lend(_Kind.SPEECH, suffix=".json") as record,
    ):
        run.progress(0.0, "Marking cue candidates")
        heard = Speech.from_json(record.read_text(encoding="utf-8"))
        end_us = work.recording.duration_us or heard.duration_us
        marked = [
            Marked(c.start_us, min(c.end_us, end_us), c.cue, c.score, c.detail)
            for c in find_cues(face_table=table, speech=heard, card=CUE_CARD)
            if c.start_us < end_us
        ]
    use = _model_use(work, CUE_CARD, marked, seconds=time.monotonic() - started)
    outcome = Outcome(figures={"candidates": len(marked)}, findings=Findings(models=[use]))
    pipeline.finish(run, work, outcome)


def _model_use(
    work: StageWork, card: ModelCard, marked: list[Marked], *, seconds: float
) -> ModelUse:
    seen = Stage.objects.get(recording=work.recording, name=pipeline.FACES.name).figures
    return ModelUse(
        code=card.id,
        version=card.version,
        kind=card.kind.value,
        describes=card.describes,
        licence=card.licence,
        sha256=card.sha256,
        coverage=float(seen["share_with_face"]),
        seconds=seconds,
        device="cpu",
        marked=marked,
    )


# Parts


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the pure parts' errors into Waver's, which say whether trying again can help."""
    from workers.faces.errors import FaceError
    from workers.media.errors import MediaToolError, RefusedRecordingError
    from workers.prelabel.cards import PrelabelError
    from workers.speech.errors import SpeechError

    try:
        yield
    except RefusedRecordingError as error:
        raise BadInput(str(error)) from error
    except MediaToolError as error:
        raise TemporaryProblem(str(error)) from error
    except (FaceError, SpeechError, PrelabelError) as error:
        raise IntegrityProblem(str(error)) from error


def _reporter(run: JobRun, note: str) -> Callable[[float], None]:
    return lambda share: run.progress(share, note)


def _rate(recording: Recording) -> Fraction:
    if recording.rate is None:
        raise IntegrityProblem(
            f"{recording.original_name} has a proxy but no frame rate. Prepare it again."
        )
    return recording.rate


def _detector_card() -> DetectorCard:
    """Give the card of the detector in use; a bundled one is prepared here if it was not before."""
    from workers.faces.errors import FaceError
    from workers.faces.models import prepare_models

    name = settings.WAVER_FACE_DETECTOR
    known = prepare_models(Path(settings.WAVER_MODELS), names=[name])
    if name not in known:
        raise FaceError(
            f"The face detector “{name}” is not installed; here are {', '.join(known) or 'none'}. "
            "Install it with “python -m workers.faces”, or set WAVER_FACE_DETECTOR to another."
        )
    return known[name]


@lru_cache(maxsize=1)
def _detector(card: DetectorCard) -> Detector:
    """Load the detector once per process: the session costs more than a short recording."""
    from workers.faces.detectors import load

    return load(card)

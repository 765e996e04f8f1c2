"""Transcripts made by a model, where one is set up: on request, never over people's work."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from waver.core import storage
from waver.core.jobs import JobRun
from waver.recordings import jobs, pipeline, transcribing
from waver.recordings.findings import Findings, Heard
from waver.recordings.models import Asset, Recording
from waver.recordings.pipeline import Outcome, StageWork
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment, Word
from workers.runner import handles
from workers.tasks.recordings import plain_errors

if TYPE_CHECKING:
    from workers.speech.transcribe import Hearer, SpeechModel, Transcription

_Kind = Asset.Kind
_NOTHING = "The model heard no words, so there is no transcript."


@handles(jobs.TRANSCRIBE, on_failure=pipeline.ended_badly)
def transcribe(run: JobRun) -> None:
    """Have the model write down what is said, and make it a version unless people's work stands."""
    from workers.speech import transcribe as speech
    from workers.speech.spans import Speech

    with plain_errors():
        model = speech.describe(transcribing.model_folder())
    in_place_of = int(run.job.payload.get("in_place_of", 0))
    language = _language(run)
    work = pipeline.begin(
        run,
        parameters={
            "model": model.called,
            "model_sha256": model.sha256,
            "language": language,
            "in_place_of": in_place_of,
        },
    )
    if work is None:
        return
    with (
        plain_errors(),
        work.lend(_Kind.AUDIO_16K, suffix=".wav") as sound,
        work.lend(_Kind.SPEECH, suffix=".json") as record,
    ):
        made = speech.transcribe(
            sound,
            Speech.from_json(record.read_text(encoding="utf-8")),
            hearer=_hearer(model),
            language=language,
            on_progress=lambda share: run.progress(share, "Writing down what is said"),
        )
    _finish(run, work, model, made, in_place_of)


def _finish(
    run: JobRun, work: StageWork, model: SpeechModel, made: Transcription, in_place_of: int
) -> None:
    heard = _said(made)
    restricted = versions.restricted(work.recording)
    said = versions.without_restricted(work.recording, heard)
    left_out = len(heard.segments) - len(said.segments)
    figures = {**made.figures, "left_out_because_restricted": left_out}
    if not said.segments:
        pipeline.finish(run, work, Outcome(figures=figures, notes=[_NOTHING], tools=made.tools))
        return
    said = versions.fitting(work.recording, said)
    with storage.workspace(f"transcribe-{run.job.attempts}") as folder:
        path = folder / "transcript.json"
        path.write_bytes(said.to_json())
        stored = storage.put(path)
    try:
        provenance = {
            "stage": work.kind.name,
            "version": work.kind.version,
            "inputs": sorted(asset.blob.sha256 for asset in work.inputs.values()),
            "tools": dict(made.tools),
            "parameters": dict(work.parameters),
        }
        made_by = f"{work.kind.name} {work.kind.version}"
        row = Heard(stored, said.language, model.called, made_by, in_place_of, provenance)
        findings = Findings(heard=row)
        pipeline.finish(
            run,
            work,
            Outcome(figures=figures, tools=made.tools, findings=findings),
            still=lambda: versions.restricted(work.recording) == restricted,
        )
    finally:
        storage.discard(stored)  # does nothing once a version has its reference


def _said(made: Transcription) -> Said:
    return Said(
        tuple(
            Segment(
                each.start_us,
                each.end_us,
                each.text,
                words=tuple(
                    Word(w.start_us, w.end_us, w.text.strip(), round(w.probability, 3))
                    for w in each.words
                ),
            )
            for each in made.utterances
        ),
        made.language,
    )


def _language(run: JobRun) -> str:
    """What is spoken, as far as the take says; the pipeline tells when the recording is gone."""
    found = Recording.objects.filter(pk=run.job.subject_id).select_related("take").first()
    return found.take.language if found is not None else ""


@lru_cache(maxsize=1)
def _hearer(model: SpeechModel) -> Hearer:
    """Load the model once per process."""
    from workers.speech.transcribe import load

    return load(model)

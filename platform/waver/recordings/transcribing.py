"""Asking for a transcript that a model makes, where this Waver has a model."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.errors import BadInput, Conflict
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.recordings import jobs, pipeline
from waver.recordings.models import Asset, Recording, Transcript
from waver.recordings.subjects import subject_of
from waver.recordings.transcripts import versions
from waver.studies.models import Study

STAGE = "transcribe"
_USABLE = (Recording.State.READY, Recording.State.ATTENTION)
NO_MODEL = (
    "No speech model is set up here. An administrator can set WAVER_SPEECH_MODEL to the folder of "
    "a Whisper model (docs/administrator.md says how); until then, bring a transcript in."
)


def refusal(recording: Recording) -> str:
    """Say why no model can be asked for this recording's transcript, or nothing."""
    if not settings.WAVER_SPEECH_MODEL:
        return NO_MODEL
    kinds = {row.kind for row in recording.assets.all()}
    if not {Asset.Kind.AUDIO_16K, Asset.Kind.SPEECH} <= kinds:
        return "Its sound has not been looked at yet. Wait until it is prepared."
    return ""


def ask_for_transcript(*, recording: Recording, actor: str, replace: bool = False) -> Job:
    """Queue a model's transcript of a recording.

    It becomes a version unless people's work stands; with `replace` also then, in the place of the
    version that stands now. Raises BadInput without a model, ConsentRefused, and Conflict also
    while one is being made that was asked for otherwise.
    """
    policy.require(Purpose.PROCESS, subject_of(recording), actor=actor)
    reason = refusal(recording)
    if reason:
        raise BadInput(reason)
    if not replace:
        versions.refuse_replacing(recording, Transcript.Source.MODEL)
    standing = versions.standing(recording)
    in_place_of = standing.version if standing is not None and replace else 0
    payload = {"in_place_of": in_place_of}
    with transaction.atomic():
        job = enqueue(
            jobs.TRANSCRIBE,
            subject_kind="recording",
            subject_id=recording.pk,
            payload=payload,
            key=f"{jobs.TRANSCRIBE.name}:{recording.pk}",
        )
        if job.payload != payload:
            raise Conflict(
                "The model was asked already, before another version stood. Wait until it has "
                "ended, then ask again if you still want to."
            )
        audit.record(
            actor=actor,
            verb="transcript.asked",
            object_kind="recording",
            object_id=recording.pk,
            detail=payload,
        )
    return job


def ask_for_study(*, study: Study, actor: str) -> tuple[int, list[str]]:
    """Queue a model's transcript of every recording of a study that has none yet.

    Gives how many were queued, and a sentence for each recording that was not. Raises BadInput
    without a model.
    """
    if not settings.WAVER_SPEECH_MODEL:
        raise BadInput(NO_MODEL)
    waiting = study.recordings.filter(
        transcripts=None, state__in=_USABLE, view__in=pipeline.TRANSCRIBE.views
    ).select_related("take__participant", "study")
    queued, told = 0, []
    for recording in waiting.order_by("created_at"):
        decision = policy.decide(Purpose.PROCESS, subject_of(recording))
        reason = refusal(recording) if decision else decision.reason
        if reason:
            told.append(f"{recording.original_name}: {reason}")
            continue
        ask_for_transcript(recording=recording, actor=actor)
        queued += 1
    return queued, told


def model_folder() -> Path:
    """Give the folder of the model. Raises BadInput where none is set up."""
    if not settings.WAVER_SPEECH_MODEL:
        raise BadInput(NO_MODEL)
    return Path(settings.WAVER_SPEECH_MODEL)

"""Receiving a recording, and what people decide about one afterwards."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.db import IntegrityError, transaction
from django.utils import timezone

from waver.consent import policy
from waver.consent.models import Participant, Purpose
from waver.core import audit, jobs, states, storage
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.core.subjects import Subject
from waver.recordings import restricting, takes
from waver.recordings.decisions import asked_by_stages
from waver.recordings.models import Asset, Recording, Stage, Take
from waver.recordings.pipeline import stages_known, stages_of
from waver.recordings.placing import Placing
from waver.studies.models import Prompt, Study

SUBJECT_KIND = "recording"
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".csv": "text/csv",
    ".edf": "application/edf",
}


class Duplicate(Conflict):
    """The study has a recording with the same bytes already."""

    def __init__(self, sentence: str, *, earlier: Recording) -> None:
        super().__init__(sentence)
        self.earlier = earlier


def receive(
    *,
    study: Study,
    source: Path,
    original_name: str,
    participant_code: str,
    prompt_order: int | None,
    recorded_at: datetime | None,
    actor: str,
    language: str = "",
    placing: Placing | None = None,
) -> Recording:
    """Take in one recording: ask consent, keep the original, queue its preparation.

    The original is stored by its hash; then its rows and its first job are made in one
    transaction. Whether the file is a video at all is found out by the first stage, so that a
    damaged original is kept too. `language` is what is spoken, one of the study's languages; "" for
    that of the participant's consent form. `placing` says which view of which take it is; without
    it, the webcam of a take of its own.
    Raises Missing for an unknown participant, prompt or file and for a view of a take without a
    webcam, BadInput for a recording time in the future or a language that the study has not,
    ConsentRefused (also for an undated recording), Conflict for what does not fit its take,
    Duplicate for bytes that are there.
    """
    placing = placing or Placing()
    participant = _participant(study, participant_code)
    prompt = _prompt(study, prompt_order)
    _check_time(original_name, recorded_at)
    _check_language(study, original_name, language)
    subject = Subject(
        participant_id=participant.pk,
        asset_id=None,
        kind=Asset.Kind.ORIGINAL.value,
        recorded_at=recorded_at,
    )
    policy.require(Purpose.PROCESS, subject, actor=actor)
    if not source.is_file():
        raise Missing(f"The file {original_name} is not there. Check its name and folder.")
    stored = storage.put(source)
    try:
        with transaction.atomic():
            decision = policy.decide(Purpose.PROCESS, subject, hold=True)
            if not decision or recorded_at is None:
                raise ConsentRefused(decision.reason, purpose=decision.purpose.value)
            _refuse_duplicate(study, stored.sha256, original_name)
            take = takes.join(
                participant=participant,
                prompt=prompt,
                recorded_at=recorded_at,
                language=language,
                placing=placing,
                name=original_name,
            )
            made = _make_rows(take, stored, placing, original_name=original_name, actor=actor)
            restricting.carry(made)
            return made
    except IntegrityError:
        _refuse_duplicate(study, stored.sha256, original_name)  # somebody else was faster
        raise
    finally:
        storage.discard(stored)  # does nothing once the original has its reference


def _make_rows(
    take: Take, stored: storage.Stored, placing: Placing, *, original_name: str, actor: str
) -> Recording:
    recording = Recording.objects.create(
        study=take.participant.study,
        take=take,
        view=placing.view,
        offset_us=placing.offset_us or 0,
        occlusion=placing.occlusion,
        original_name=original_name,
        original_sha256=stored.sha256,
        is_synthetic=take.participant.is_synthetic or take.participant.study.is_synthetic,
    )
    Asset.objects.create(
        recording=recording,
        kind=Asset.Kind.ORIGINAL,
        blob=storage.acquire(stored),
        media_type=_MEDIA_TYPES.get(Path(original_name).suffix.lower(), "application/octet-stream"),
        made_by={
            "stage": "receive",
            "version": 1,
            "inputs": [],
            "tools": {},
            "parameters": takes.received_with(placing),
        },
    )
    Stage.objects.bulk_create(
        Stage(recording=recording, name=kind.name, version=kind.version)
        for kind in stages_of(recording.view)
    )
    audit.record(
        actor=actor,
        verb="recording.received",
        object_kind=SUBJECT_KIND,
        object_id=recording.pk,
        detail={"sha256": stored.sha256, "size": stored.size},
    )
    prepare(recording)
    return recording


def prepare(recording: Recording) -> Job:
    """Queue the preparation of a recording; stages that are done and up to date are skipped."""
    first = stages_of(recording.view)[0].job
    return enqueue(
        first,
        subject_kind=SUBJECT_KIND,
        subject_id=recording.pk,
        key=f"{first.name}:{recording.pk}",
    )


@transaction.atomic
def accept(*, recording: Recording, actor: str) -> None:
    """Let a recording that needs a decision be annotated as it is.

    Raises Conflict when it does not need one (any more).
    """
    states.move(
        recording,
        to=Recording.State.READY,
        allowed_from=[Recording.State.ATTENTION],
        accepted_decisions=asked_by_stages(stages_known(recording)),
    )
    audit.record(
        actor=actor,
        verb="recording.accepted",
        object_kind=SUBJECT_KIND,
        object_id=recording.pk,
    )


@transaction.atomic
def stop(*, recording: Recording, sentence: str) -> None:
    """Stop every use of a recording that consent no longer covers; nothing is deleted."""
    jobs.cancel(subject_kind=SUBJECT_KIND, subject_id=recording.pk, reason=sentence)
    # Job, recording, stage: the order in which a stage locks them too, or the two could block.
    Recording.objects.select_for_update().get(pk=recording.pk)
    recording.stages.filter(state__in=[Stage.State.WAITING, Stage.State.RUNNING]).update(
        state=Stage.State.REFUSED, error=sentence, finished_at=timezone.now()
    )
    Recording.objects.filter(pk=recording.pk).exclude(state=Recording.State.REFUSED).update(
        state=Recording.State.REFUSED, error=sentence
    )
    recording.refresh_from_db()


def _participant(study: Study, code: str) -> Participant:
    found = Participant.objects.filter(study=study, code=code).select_related("study").first()
    if found is None:
        raise Missing(
            f"The study “{study.title}” has no participant “{code}”. Register the participant and "
            "record their consent first, or correct the code."
        )
    return found


def _prompt(study: Study, order: int | None) -> Prompt | None:
    if order is None:
        return None
    found = study.prompts.filter(order=order).first()
    if found is None:
        known = ", ".join(str(n) for n in study.prompts.values_list("order", flat=True)) or "none"
        raise Missing(
            f"The study “{study.title}” has no prompt {order} (it has: {known}). Correct the "
            "number, or add the prompt to the study."
        )
    return found


def _check_language(study: Study, name: str, language: str) -> None:
    if language and language not in study.languages:
        raise BadInput(
            f"The language of {name}, “{language}”, is none of the study's, "
            f"{', '.join(study.languages)}. Correct it, or leave it empty."
        )


def _check_time(name: str, recorded_at: datetime | None) -> None:
    if recorded_at is None:
        return  # consent refuses an undated recording, and says so in its own words
    if recorded_at.tzinfo is None:
        raise BadInput(
            f"The recording time of {name} has no time zone. Write it like "
            "2024-03-01T10:00:00+01:00, or with Z for UTC."
        )
    if recorded_at > timezone.now():
        raise BadInput(
            f"The recording time of {name}, {recorded_at:%Y-%m-%d %H:%M %Z}, is in the future. "
            "Correct it from the study's records."
        )


def _refuse_duplicate(study: Study, sha256: str, name: str) -> None:
    earlier = (
        Recording.objects.filter(study=study, original_sha256=sha256)
        .select_related("take__participant", "take__prompt")
        .first()
    )
    if earlier is not None:
        raise Duplicate(
            f"{name} holds the same bytes as {earlier.original_name} of "
            f"{earlier.participant.code}, received on {earlier.created_at:%Y-%m-%d}. It was not "
            "stored again; remove it from the manifest, or supply the recording that was meant.",
            earlier=earlier,
        )

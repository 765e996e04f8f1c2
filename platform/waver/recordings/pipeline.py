"""The stages that prepare a recording: what each needs, when it runs, and what it leaves behind.

    normalise -> faces  \\
              -> speech  -> cues, quality -> ready, or a decision is needed

Which stages a recording has depends on its view; a stage on request runs when somebody asks for it.

A handler computes between `begin` and `finish`; both ask consent. Everything that a stage leaves is
written in the transaction that ends its job, or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import states, storage
from waver.core.errors import Conflict, ConsentRefused, Missing, TemporaryProblem
from waver.core.jobs import JobName, JobRun, enqueue
from waver.core.models import Job
from waver.recordings import jobs
from waver.recordings.decisions import still_open
from waver.recordings.findings import Findings
from waver.recordings.models import Asset, Recording, Stage
from waver.recordings.subjects import subject_of
from waver.recordings.takes import notes_of

_Kind = Asset.Kind
_State = Recording.State
_View = Recording.View
_CAMERAS = frozenset({_View.WEBCAM, _View.SECOND_CAMERA})
_VIDEO = _CAMERAS | {_View.DEPTH}


@dataclass(frozen=True)
class StageKind:
    """One stage: raise `version` when the same inputs would give other results than before."""

    name: str
    version: int
    job: JobName
    purpose: Purpose
    inputs: tuple[str, ...]
    after: tuple[str, ...] = ()
    views: frozenset[str] = _CAMERAS
    # What is missing when the stage fails, as a sentence; empty where the recording cannot be used
    # at all without it.
    missing: str = ""
    # Whether it is left out until somebody asks for it; it never holds up the recording.
    on_request: bool = False


NORMALISE = StageKind(
    "normalise", 3, jobs.NORMALISE, Purpose.PROCESS, (_Kind.ORIGINAL,), views=_VIDEO
)
FACES = StageKind("faces", 4, jobs.FACES, Purpose.PROCESS, (_Kind.PROXY,), ("normalise",))
SPEECH = StageKind("speech", 3, jobs.SPEECH, Purpose.PROCESS, (_Kind.AUDIO_16K,), ("normalise",))
CUES = StageKind(
    "cues",
    1,
    jobs.CUES,
    Purpose.INFER,
    (_Kind.LANDMARKS, _Kind.SPEECH),
    ("faces", "speech"),
    views=frozenset({_View.WEBCAM}),
    missing="No cue candidates were marked.",
)
SIGNALS = StageKind(
    "signals",
    1,
    jobs.SIGNALS,
    Purpose.PROCESS,
    (_Kind.ORIGINAL,),
    views=frozenset({_View.PHYSIOLOGY}),
)
QUALITY = StageKind(
    "quality",
    1,
    jobs.QUALITY,
    Purpose.PROCESS,
    (_Kind.LANDMARKS, _Kind.CROPS, _Kind.CROP_INDEX, _Kind.SPEECH, _Kind.AUDIO_16K),
    ("faces", "speech"),
    views=frozenset({_View.WEBCAM}),
    missing="Its quality was not measured.",
)
STAGES = (NORMALISE, FACES, SPEECH, SIGNALS, CUES, QUALITY)
MASK = StageKind(
    "mask",
    1,
    jobs.MASK,
    Purpose.PROCESS,
    (_Kind.PROXY, _Kind.LANDMARKS),
    ("faces",),
    on_request=True,
)
TRANSCRIBE = StageKind(
    "transcribe",
    1,
    jobs.TRANSCRIBE,
    Purpose.PROCESS,
    (_Kind.AUDIO_16K, _Kind.SPEECH),
    ("speech",),
    on_request=True,
)
_BY_JOB = {kind.job.name: kind for kind in (*STAGES, MASK, TRANSCRIBE)}


def stages_of(view: str) -> list[StageKind]:
    """Give the stages that every recording of this view goes through, in their order."""
    return [kind for kind in STAGES if view in kind.views and not kind.on_request]


@dataclass(frozen=True)
class StageWork:
    """What a stage works on, from `begin` to `finish`."""

    kind: StageKind
    recording: Recording
    stage: Stage
    inputs: Mapping[str, Asset]
    inputs_sha256: str
    parameters: Mapping[str, Any]

    @contextmanager
    def lend(self, kind: str, *, suffix: str = "") -> Iterator[Path]:
        """Lend a path to an input's bytes until the block ends."""
        with storage.materialise(self.inputs[kind].blob, suffix=suffix) as path:
            yield path


@dataclass(frozen=True)
class MadeFile:
    """A file that a stage made, to be kept as the recording's asset of that kind and number.

    All that a stage made before is replaced as a whole, also what it does not make any more.
    """

    kind: str
    path: Path
    media_type: str
    number: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a stage leaves behind.

    `fields` are set on the recording, `figures` and `notes` (sentences for the researcher) on the
    stage, `tools` and the work's parameters on every asset. `decide` is the sentence for which a
    person must decide whether the recording is used; empty where nobody must.
    """

    files: Sequence[MadeFile] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    decide: str = ""


def begin(run: JobRun, *, parameters: Mapping[str, Any] | None = None) -> StageWork | None:
    """Start the stage that the job names; None when it is done already for these inputs.

    `parameters` are everything besides the inputs that decides the result, such as the SHA-256 of
    a model. A stage that is done already only hands over to the next ones, and ends its job.
    Raises Missing for a recording that is gone, ConsentRefused, and Conflict when an earlier stage
    has not left what this one needs.
    """
    kind = _BY_JOB[run.job.name]
    recording = _recording(run.job)
    _require_consent(kind, recording)
    inputs = _inputs(kind, recording)
    chosen = dict(parameters or {})
    inputs_sha256 = _inputs_hash(kind, inputs, chosen)
    stage, _ = Stage.objects.get_or_create(
        recording=recording, name=kind.name, defaults={"version": kind.version}
    )
    if stage.state == Stage.State.DONE and stage.inputs_sha256 == inputs_sha256:
        with run.commit():
            _advance(_lock(recording), kind, run.job)
        return None
    with transaction.atomic():
        recording = _lock(recording)
        states.move(
            stage,
            to=Stage.State.RUNNING,
            allowed_from=Stage.State.values,
            version=kind.version,
            error="",
            started_at=timezone.now(),
            finished_at=None,
            runs=F("runs") + 1,
        )
        if not kind.on_request:
            _move(recording, _State.PROCESSING, error="")
    return StageWork(kind, recording, stage, inputs, inputs_sha256, chosen)


def finish(
    run: JobRun,
    work: StageWork,
    outcome: Outcome,
    *,
    still: Callable[[], bool] = lambda: True,
) -> None:
    """End the stage: keep its files and rows, and queue what comes next, in one transaction.

    Consent is asked again, and holds until the commit. When it is refused, or the job is no longer
    this attempt's, nothing is kept and the error is raised. So is TemporaryProblem when the inputs
    were replaced meanwhile, or what the stage was told does not stand any more (`still`): asking
    for the stage then gave this job, so this job must do it again.
    """
    stored: list[tuple[MadeFile, storage.Stored]] = []
    try:
        for made in outcome.files:
            stored.append((made, storage.put(made.path)))  # noqa: PERF401 - kept when one fails
        with run.commit():
            _require_consent(work.kind, work.recording, hold=True)
            recording = _lock(work.recording)
            _require_current(recording, work, still)
            _keep(recording, work, stored, tools=outcome.tools)
            outcome.findings.write(recording)
            Recording.objects.filter(pk=recording.pk).update(**outcome.fields)
            states.move(
                work.stage,
                to=Stage.State.DONE,
                allowed_from=[Stage.State.RUNNING],
                inputs_sha256=work.inputs_sha256,
                figures={
                    **outcome.figures,
                    "notes": list(outcome.notes),
                    "decide": outcome.decide,
                },
                finished_at=timezone.now(),
            )
            _advance(recording, work.kind, run.job)
    finally:
        for _, put in stored:
            storage.discard(put)  # only what nothing refers to


def ended_badly(job: Job) -> None:
    """Write down, in the transaction that ends the job, that its stage was refused or failed."""
    kind = _BY_JOB[job.name]
    found = Recording.objects.filter(pk=job.subject_id).select_related("take").first()
    if found is None:
        return
    recording = _lock(found)
    refused = job.state == Job.State.REFUSED
    if refused:
        # Asked again to record the refusal: what raised it was rolled back with its transaction.
        policy.may(kind.purpose, subject_of(recording), actor=job.name)
    Stage.objects.filter(recording=recording, name=kind.name).update(
        state=Stage.State.REFUSED if refused else Stage.State.FAILED,
        error=job.error,
        finished_at=timezone.now(),
    )
    if not kind.on_request:
        _settle(recording, job)


# Parts


def _recording(job: Job) -> Recording:
    found = (
        Recording.objects.filter(pk=job.subject_id)
        .select_related("take__participant", "study")
        .first()
    )
    if found is None:
        raise Missing(f"The recording {job.subject_id} is gone: it was erased. Nothing is to do.")
    return found


def _lock(recording: Recording) -> Recording:
    """Give the row as it is now, locked: two stages that end together must see each other."""
    return (
        Recording.objects.select_for_update(of=("self",))
        .select_related("take__participant", "study")
        .get(pk=recording.pk)
    )


def _require_consent(kind: StageKind, recording: Recording, *, hold: bool = False) -> None:
    decision = policy.decide(kind.purpose, subject_of(recording), hold=hold)
    if not decision:
        raise ConsentRefused(decision.reason, purpose=decision.purpose.value)


def _inputs(kind: StageKind, recording: Recording) -> dict[str, Asset]:
    assets = {
        asset.kind: asset
        for asset in recording.assets.filter(kind__in=kind.inputs).select_related("blob")
    }
    missing = [name for name in kind.inputs if name not in assets]
    if missing:
        raise Conflict(
            f"The stage “{kind.name}” of {recording.original_name} needs {', '.join(missing)}, "
            "which an earlier stage has not made. Prepare the recording again from the start."
        )
    return assets


def _require_current(recording: Recording, work: StageWork, still: Callable[[], bool]) -> None:
    now = {name: asset.blob.sha256 for name, asset in _inputs(work.kind, recording).items()}
    if still() and now == {name: asset.blob.sha256 for name, asset in work.inputs.items()}:
        return
    raise TemporaryProblem(
        f"What the stage “{work.kind.name}” of {recording.original_name} works on was changed "
        "while it ran, so what it made was thrown away."
    )


def _inputs_hash(
    kind: StageKind, inputs: Mapping[str, Asset], parameters: Mapping[str, Any]
) -> str:
    body = json.dumps(
        [
            kind.name,
            kind.version,
            sorted((name, asset.blob.sha256) for name, asset in inputs.items()),
            parameters,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(body.encode()).hexdigest()


def _keep(
    recording: Recording,
    work: StageWork,
    stored: Sequence[tuple[MadeFile, storage.Stored]],
    *,
    tools: Mapping[str, str],
) -> None:
    """Make the files the recording's assets, in place of all that the stage made before."""
    if not stored:
        return
    older = recording.assets.filter(
        Q(kind__in={made.kind for made, _ in stored}) | Q(made_by__stage=work.kind.name)
    )
    replaced = [asset.blob for asset in older.select_related("blob")]
    # Blobs are locked in the order of their hashes, by everyone.
    new = [(made, put) for made, put in sorted(stored, key=lambda pair: pair[1].sha256)]
    blobs = [storage.acquire(put) for _, put in new]
    older.delete()
    for blob in sorted(replaced, key=lambda blob: blob.sha256):
        storage.let_go(blob)
    Asset.objects.bulk_create(
        Asset(
            recording=recording,
            kind=made.kind,
            number=made.number,
            blob=blob,
            media_type=made.media_type,
            made_by={
                "stage": work.kind.name,
                "version": work.kind.version,
                "inputs": sorted(asset.blob.sha256 for asset in work.inputs.values()),
                "tools": dict(tools),
                "parameters": dict(work.parameters),
            },
        )
        for (made, _), blob in zip(new, blobs, strict=True)
    )


def _advance(recording: Recording, done: StageKind, job: Job) -> None:
    """Queue the stages for which everything is there now; settle when none is left."""
    if done.on_request:
        return
    finished = set(recording.stages.filter(state=Stage.State.DONE).values_list("name", flat=True))
    for kind in stages_of(recording.view):
        if done.name in kind.after and finished.issuperset(kind.after):
            # What failed before gets another chance; what is done is skipped or done again.
            recording.stages.filter(
                name=kind.name, state__in=[Stage.State.FAILED, Stage.State.REFUSED]
            ).update(state=Stage.State.WAITING, error="")
            _queue(kind, recording)
    if recording.state not in (_State.READY, _State.ATTENTION):
        _settle(recording, job)


def _queue(kind: StageKind, recording: Recording) -> None:
    enqueue(
        kind.job,
        subject_kind="recording",
        subject_id=recording.pk,
        key=f"{kind.job.name}:{recording.pk}",
    )


def _queue_new(recording: Recording, known: Sequence[tuple[StageKind, Stage]]) -> None:
    """Queue stages that this Waver has since the recording came, if nothing else will."""
    done = {kind.name for kind, stage in known if stage.state == Stage.State.DONE}
    begun = {kind.name for kind, _ in known}
    for kind in stages_of(recording.view):
        if kind.name not in begun and kind.after and done.issuperset(kind.after):
            _queue(kind, recording)


def _settle(recording: Recording, job: Job) -> None:
    """Let the recording's state and notes follow from its stages, ready only after the last.

    `job` is the one that ends in this transaction.
    """
    known = stages_known(recording)
    notes = notes_of(recording)
    notes += [note for _, stage in known for note in stage.figures.get("notes", [])]
    for bad, state in (
        (Stage.State.REFUSED, _State.REFUSED),
        (Stage.State.FAILED, _State.FAILED),
    ):
        for kind, stage in known:
            if not kind.missing and stage.state == bad:
                _move(recording, state, error=stage.error, notes=notes)
                return
    covered = policy.decide(Purpose.PROCESS, subject_of(recording))
    if not covered:
        _move(recording, _State.REFUSED, error=covered.reason, notes=notes)
        return
    _queue_new(recording, known)
    if _is_unfinished(recording, known, job):
        _move(recording, _State.PROCESSING, notes=notes)
        return
    for kind, stage in known:
        if stage.state in (Stage.State.REFUSED, Stage.State.FAILED):
            notes.append(f"{kind.missing} {stage.error}")
    decisions = still_open(recording, known)
    state = _State.ATTENTION if decisions else _State.READY
    _move(recording, state, error=" ".join(decisions), notes=notes)


def stages_known(recording: Recording) -> list[tuple[StageKind, Stage]]:
    """Give the recording's stages that were begun or wait, each with its kind, in their order."""
    stages = {stage.name: stage for stage in recording.stages.all()}
    wanted = stages_of(recording.view)
    return [(kind, stages[kind.name]) for kind in wanted if kind.name in stages]


def _is_unfinished(
    recording: Recording, known: Sequence[tuple[StageKind, Stage]], job: Job
) -> bool:
    """Tell whether a stage is still to come: one that never ended, or one queued to run again."""
    ended = (Stage.State.DONE, Stage.State.FAILED, Stage.State.REFUSED)
    wanted = stages_of(recording.view)
    if len(known) < len(wanted) or any(stage.state not in ended for _, stage in known):
        return True
    return (
        Job.objects.filter(
            subject_kind="recording",
            subject_id=str(recording.pk),
            name__in=[kind.job.name for kind in wanted],
            state__in=[Job.State.QUEUED, Job.State.RUNNING],
        )
        .exclude(pk=job.pk)
        .exists()
    )


def _move(recording: Recording, to: str, **fields: Any) -> None:
    """Move the locked recording, from whatever state it is in."""
    states.move(recording, to=to, allowed_from=_State.values, **fields)

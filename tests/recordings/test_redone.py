"""Stages that are done again, or whose inputs change while they run: nothing old is left behind."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from tests.factories import AssetFactory, RecordingFactory
from waver.core import jobs
from waver.core.errors import TemporaryProblem
from waver.core.jobs import JobRun
from waver.core.models import Blob, Job
from waver.recordings import pipeline
from waver.recordings.decisions import asked_by_stages
from waver.recordings.models import Asset, Recording, Stage
from waver.recordings.pipeline import CUES, FACES, QUALITY, MadeFile, Outcome, StageKind, StageWork
from workers import tasks as tasks  # registers the handlers

pytestmark = pytest.mark.django_db

_Kind = Asset.Kind


@pytest.fixture
def recording(storage_folder) -> Recording:
    """A recording whose faces and speech were found."""
    made = RecordingFactory(state=Recording.State.PROCESSING)
    for kind in {_Kind.PROXY, *CUES.inputs, *QUALITY.inputs}:
        AssetFactory(recording=made, kind=kind, data=f"{kind} at first".encode())
    for name in ("normalise", "faces", "speech"):
        Stage.objects.create(recording=made, name=name, version=1, state="done")
    return made


def begin(recording: Recording, kind: StageKind, **parameters) -> tuple[JobRun, StageWork]:
    jobs.enqueue(
        kind.job,
        subject_kind="recording",
        subject_id=recording.pk,
        key=f"{kind.job.name}:{recording.pk}",
    )
    job = jobs.claim_next(queues=[kind.job.queue])
    assert job is not None
    assert job.name == kind.job.name
    run = JobRun(job)
    work = pipeline.begin(run, parameters=parameters)
    assert work is not None
    return run, work


def test_what_was_made_of_inputs_that_are_replaced_meanwhile_is_thrown_away(recording):
    run, work = begin(recording, QUALITY)
    newer = AssetFactory(recording=RecordingFactory(), kind=_Kind.LANDMARKS, data=b"other faces")
    recording.assets.filter(kind=_Kind.LANDMARKS).update(blob=newer.blob)
    with pytest.raises(TemporaryProblem, match="was changed while it ran"):
        pipeline.finish(run, work, Outcome(figures={"measured": 1}))
    assert recording.stages.get(name="quality").figures == {}
    assert Job.objects.get(pk=run.job.pk).state == "running"  # and so it is tried again


def test_what_was_made_by_words_that_were_taken_back_meanwhile_is_thrown_away(recording):
    run, work = begin(recording, FACES)
    with pytest.raises(TemporaryProblem, match="was changed while it ran"):
        pipeline.finish(run, work, Outcome(), still=lambda: False)


def test_a_stage_that_came_with_an_upgrade_is_queued_and_the_recording_becomes_ready(recording):
    """It was being prepared when a Waver without the stage “quality” was replaced."""
    pipeline.finish(*begin(recording, CUES), Outcome())
    recording.refresh_from_db()
    assert recording.state == Recording.State.PROCESSING
    assert Job.objects.get(name=QUALITY.job.name).state == "queued"
    pipeline.finish(*begin(recording, QUALITY), Outcome())
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY


def test_what_was_accepted_before_an_upgrade_stays_accepted(recording):
    upgrade = import_module("waver.recordings.migrations.0007_quality_decisions")
    Recording.objects.filter(pk=recording.pk).update(state=Recording.State.READY)
    recording.stages.filter(name="faces").update(figures={"decide": "3 people."})
    Stage.objects.create(recording=recording, name="cues", version=1, state="failed", error="Oh.")
    upgrade.remember_accepted(apps, None)
    recording.refresh_from_db()
    assert asked_by_stages(pipeline.stages_known(recording)) == recording.accepted_decisions


def test_pictures_of_people_that_are_not_found_any_more_are_gone(recording, tmp_path):
    def found(*people: int) -> Outcome:
        files = [MadeFile(_Kind.LANDMARKS, tmp_path / "table", "x/y")]
        files += [MadeFile(_Kind.FACE_PREVIEW, tmp_path / str(n), "video/mp4", n) for n in people]
        for made in files:
            made.path.write_text(f"{made.path.name} of {len(people)}")
        return Outcome(files=files)

    pipeline.finish(*begin(recording, FACES, look_every=5), found(1, 2))
    assert recording.assets.filter(kind=_Kind.FACE_PREVIEW).count() == 2
    Job.objects.filter(state="queued").delete()
    pipeline.finish(*begin(recording, FACES, look_every=4), found())
    assert not recording.assets.filter(kind=_Kind.FACE_PREVIEW).exists()
    assert recording.assets.filter(kind=_Kind.AUDIO_16K).exists()
    kept = {asset.blob.sha256 for asset in recording.assets.select_related("blob")}
    assert set(Blob.objects.filter(references__gt=0).values_list("sha256", flat=True)) == kept

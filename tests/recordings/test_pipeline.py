"""From an original to a recording that is ready, with the real ffmpeg, detector and networks."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.factories import RECORDED_AT, consented_participant
from tests.recordings.clips import write_manifest
from tests.recordings.conftest import stored_bytes
from waver.consent import services as consent
from waver.core import holders, jobs, storage
from waver.core.models import AuditEntry, Blob, Job
from waver.recordings import pipeline, services
from waver.recordings.import_folder import import_folder
from waver.recordings.models import Asset, CueCandidate, ModelRun, Recording, Stage
from waver.recordings.quality.catalogue import FIGURES, value_of
from waver.recordings.timeline import timeline
from workers import runner
from workers.tasks import recordings as handlers

# Rows must be committed for `on_commit`, which erases replaced bytes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs]


def stages_of(recording) -> dict[str, tuple[str, int]]:
    return {s.name: (s.state, s.runs) for s in recording.stages.all()}


def until(name: str) -> Job:
    """Run jobs until the next one is `name`, and claim that."""
    while (job := jobs.claim_next(queues=["cpu", "gpu"])) is not None:
        if job.name == name:
            return job
        runner.run(job, guarded=False)
    raise AssertionError(f"no job {name} came")


def test_a_recording_becomes_ready_and_says_how_each_asset_was_made(receive, face):
    recording = receive(face)
    assert {job.state for job in runner.drain()} == {"done"}

    recording.refresh_from_db()
    assert recording.state == Recording.State.READY, recording.error
    assert (recording.frame_count, recording.rate, recording.duration_us) == (15, 15, 1_000_000)
    assert stages_of(recording) == dict.fromkeys(
        ("normalise", "faces", "speech", "cues", "quality"), ("done", 1)
    )
    assert any("no sound track" in note for note in recording.notes)

    assets = {asset.kind: asset for asset in recording.assets.select_related("blob")}
    assert set(assets) == {
        "original", "proxy", "frame_map", "audio_16k", "waveform", "landmarks", "face_outline",
        "crops", "crop_index", "contact_sheet", "face_preview", "speech",
    }  # fmt: skip
    made_by = assets["crops"].made_by
    assert made_by["inputs"] == [assets["proxy"].blob.sha256]
    assert (made_by["stage"], made_by["version"]) == ("faces", pipeline.FACES.version)
    assert made_by["tools"]["detector_sha256"] == made_by["parameters"]["detector_sha256"]
    assert {blob.references for blob in Blob.objects.all()} == {1}

    track = recording.face_tracks.get()
    assert (track.start_us, track.end_us, track.is_participant) == (0, 1_000_000, True)
    quality = recording.quality
    assert (quality.verdict, quality.reasons, quality.rules) == ("no_rules", [], None)
    assert set(quality.figures) == set(FIGURES)
    known = {key: value_of(quality.figures, key) for key in FIGURES}
    assert (known["usable_face_share"], known["people"], known["duration_s"]) == (1.0, 1.0, 1.0)
    assert known["face_size_px"] is not None
    assert 0 <= known["light_imbalance"] < 0.5
    assert quality.figures["voice_level_dbfs"] == {"undefined": "The recording has no sound track."}
    run = ModelRun.objects.get(recording=recording)
    assert (run.card.code, run.coverage) == ("waver-cues", 1.0)

    drawn = timeline(recording)
    json.dumps(drawn)
    assert drawn["faces"]["runs"] == [[0, 1_000_000, "usable"]]
    assert len(drawn["pose"]["time_us"]) == len(drawn["pose"]["yaw"]) > 5
    assert drawn["waveform"]["peaks"] == [0.0] * 20
    assert (drawn["speech"], drawn["transcript"], drawn["rate"]) == ([], None, [15, 1])


def test_preparing_again_does_no_finished_stage_again(receive, face, stack):
    recording = receive(face)
    runner.drain()
    before = list(Stage.objects.order_by("pk").values())
    kept = list(Asset.objects.order_by("pk").values())
    on_disk = stored_bytes(stack)

    services.prepare(recording)
    assert {job.state for job in runner.drain()} == {"done"}

    assert list(Stage.objects.order_by("pk").values()) == before
    assert list(Asset.objects.order_by("pk").values()) == kept
    assert stored_bytes(stack) == on_disk
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY


def test_a_changed_parameter_redoes_its_stage_and_releases_the_old_bytes(
    receive, face, stack, monkeypatch
):
    recording = receive(face)
    runner.drain()
    old = recording.assets.select_related("blob").get(kind=Asset.Kind.CROPS).blob

    monkeypatch.setattr(handlers, "CROP_SIZE", 128)
    services.prepare(recording)
    runner.drain()

    stages = stages_of(recording)
    assert stages["normalise"] == stages["speech"] == ("done", 1)
    assert stages["faces"] == ("done", 2)
    new = recording.assets.select_related("blob").get(kind=Asset.Kind.CROPS)
    assert new.made_by["parameters"]["crop_size"] == 128
    assert storage.verify_absent(old)
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY
    # Nothing lies in the storage that no asset refers to.
    assert stored_bytes(stack) == set(Asset.objects.values_list("blob__sha256", flat=True))


def test_bad_files_get_a_sentence_each_are_kept_and_stop_nobody(
    study, stack, tmp_path, face, caplog
):
    from tests.recordings.clips import two_faces_clip

    folder = tmp_path / "folder"
    folder.mkdir()
    good = face.read_bytes()
    (folder / "good.mp4").write_bytes(good)
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    (folder / "text.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    two_faces_clip(folder / "two.mp4")
    files = ["good.mp4", "empty.mp4", "cut.mp4", "text.mp4", "two.mp4"]
    for number, _ in enumerate(files):
        consented_participant(study, code=f"P{number}")
    when = RECORDED_AT.isoformat()
    write_manifest(folder, *(f"{file},P{n},1,{when}" for n, file in enumerate(files)))

    import_folder(study=study, folder=folder, actor="tests")
    runner.drain()

    rows = {row.original_name: row for row in Recording.objects.all()}
    assert {name: row.state for name, row in rows.items()} == {
        "good.mp4": "ready",
        "empty.mp4": "failed",
        "cut.mp4": "failed",
        "text.mp4": "failed",
        "two.mp4": "attention",
    }
    assert "empty.mp4 is empty" in rows["empty.mp4"].error
    assert "cut.mp4 is cut off" in rows["cut.mp4"].error
    assert "text.mp4" in rows["text.mp4"].error
    assert "only the participant has consented" in rows["two.mp4"].error
    for name, row in rows.items():
        original = row.assets.select_related("blob").get(kind=Asset.Kind.ORIGINAL)
        assert b"".join(storage.open_range(original.blob)) == (folder / name).read_bytes()
        if row.state == "failed":
            assert row.assets.count() == 1
            assert stages_of(row)["normalise"] == ("failed", 1)
            assert row.error == row.stages.get(name="normalise").error
    assert stored_bytes(stack) == set(Asset.objects.values_list("blob__sha256", flat=True))


@pytest.mark.slow  # its parts are proven on the same files in tests/media and tests/faces
def test_real_recordings_without_a_face_or_a_duration(receive, shared_media):
    none = receive(shared_media / "no_face.mp4", code="P1")
    webm = receive(shared_media / "mediarecorder_no_duration.webm", code="P2")
    runner.drain()
    none.refresh_from_db()
    webm.refresh_from_db()
    assert none.state == Recording.State.ATTENTION
    assert "No face was found in no_face.mp4" in none.error
    assert not none.assets.filter(kind=Asset.Kind.CONTACT_SHEET).exists()
    assert webm.state == Recording.State.READY, webm.error
    assert webm.duration_us is not None
    assert webm.duration_us > 7_000_000
    services.accept(recording=none, actor="tests")
    services.prepare(none)
    runner.drain()
    none.refresh_from_db()
    assert none.state == Recording.State.READY  # what a person decided stays decided


@pytest.mark.parametrize("holders_reached", [True, False], ids=["at once", "not yet everywhere"])
def test_consent_withdrawn_between_start_and_commit_stores_nothing(
    receive, face, stack, monkeypatch, holders_reached
):
    recording = receive(face)
    before = stored_bytes(stack)
    finish = pipeline.finish

    def withdraw_then_finish(run, work, outcome):
        with monkeypatch.context() as patch:
            if not holders_reached:
                patch.setattr(holders, "all_holders", tuple)
            consent.withdraw(participant=recording.participant, actor="tests")
        finish(run, work, outcome)

    monkeypatch.setattr(handlers.pipeline, "finish", withdraw_then_finish)
    (job,) = runner.drain()

    recording.refresh_from_db()
    assert job.state == ("cancelled" if holders_reached else "refused")
    assert recording.state == Recording.State.REFUSED
    assert "withdrawn from the study" in recording.error
    assert stages_of(recording)["normalise"][0] == "refused"
    assert list(recording.assets.values_list("kind", flat=True)) == ["original"]
    assert stored_bytes(stack) == before
    assert recording.frame_count is None
    if not holders_reached:
        entry = AuditEntry.objects.get(verb="consent.refused")
        assert entry.actor == "recordings.normalise"


def test_a_stage_that_starts_without_consent_is_refused(receive, face):
    recording = receive(face)
    job = until("recordings.faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders, "all_holders", tuple)
        consent.withdraw(participant=recording.participant, actor="tests")
    runner.run(job, guarded=False)
    job.refresh_from_db()
    assert job.state == "refused"
    assert stages_of(recording)["faces"] == ("refused", 0)


@pytest.mark.parametrize("why", ["setting", "purpose"])
def test_without_leave_to_infer_a_recording_is_ready_without_candidates(study, receive, face, why):
    if why == "setting":
        study.setting = "education"
        study.save()
        recording = receive(face)
        says = "5(1)(f)"
    else:
        consented_participant(study, code="P1", purposes=["process", "annotate"])
        recording = receive(face)
        says = "Let computer models mark possible cues"
    runner.drain()
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY
    assert stages_of(recording)["cues"] == ("refused", 0)
    assert says in recording.notes[-1]
    assert not CueCandidate.objects.exists()
    assert not ModelRun.objects.exists()
    drawn = timeline(recording)
    assert drawn["cues"] == []
    assert says in drawn["cues_refused"]


def test_an_attempt_that_lost_its_job_leaves_nothing(receive, face, stack):
    recording = receive(face)
    before = stored_bytes(stack)
    job = jobs.claim_next(queues=["cpu"])
    Job.objects.filter(pk=job.pk).update(attempts=job.attempts + 1)  # another worker took it over
    runner.run(job, guarded=False)
    assert stored_bytes(stack) == before
    assert stages_of(recording)["normalise"][0] == "running"
    assert recording.assets.count() == 1


def test_a_broken_tool_is_tried_again_and_then_fails_with_its_sentence(receive, face, monkeypatch):
    monkeypatch.setenv("WAVER_FFMPEG", "/nonexistent/ffmpeg")
    recording = receive(face)
    job = jobs.claim_next(queues=["cpu"])
    runner.run(job, guarded=False)
    job.refresh_from_db()
    assert job.state == "queued"
    Job.objects.update(not_before=None, max_attempts=2)
    runner.run(jobs.claim_next(queues=["cpu"]), guarded=False)
    recording.refresh_from_db()
    assert recording.state == Recording.State.FAILED
    assert "ffmpeg" in recording.error

    monkeypatch.delenv("WAVER_FFMPEG")
    services.prepare(recording)
    runner.drain()
    recording.refresh_from_db()
    assert (recording.state, recording.error) == (Recording.State.READY, "")


def test_stage_names_and_versions_are_part_of_what_a_skip_compares(receive, face, monkeypatch):
    recording = receive(face)
    runner.drain()
    newer = dataclasses.replace(pipeline.SPEECH, version=pipeline.SPEECH.version + 1)
    monkeypatch.setitem(pipeline._BY_JOB, newer.job.name, newer)
    services.prepare(recording)
    runner.drain()
    assert stages_of(recording)["speech"] == ("done", 2)
    assert recording.stages.get(name="speech").version == newer.version


def test_erasing_a_participant_removes_rows_jobs_and_bytes(study, receive, face, stack):
    recording = receive(face)
    runner.drain()
    holder = next(h for h in holders.all_holders() if h.name == "recordings")
    participant = recording.participant
    assert {held.kind for held in holder.list(participant.pk)} > {"recording", "asset crops"}
    assert holder.verify_absent(participant.pk)

    holder.quarantine(participant.pk)
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY  # consent still covers it

    assert consent.erase(participant=participant, actor="tests") == []
    assert stored_bytes(stack) == set()
    assert not Recording.objects.exists()
    assert not Job.objects.exists()


def test_verify_absent_looks_into_the_storage(receive, face, stack):
    recording = receive(face)
    sha256 = recording.original_sha256
    participant = recording.participant
    blob = Blob.objects.get()
    consent.erase(participant=participant, actor="tests")
    holder = next(h for h in holders.all_holders() if h.name == "recordings")
    assert holder.verify_absent(participant.pk) == []
    storage.put(face)  # a backup brought the bytes back
    assert [held.object_id for held in holder.verify_absent(participant.pk)] == [sha256]
    assert blob.sha256 == sha256


def test_bytes_that_somebody_else_also_gave_stay(study, receive, face, stack):
    from tests.factories import StudyFactory

    mine = receive(face)
    other = StudyFactory()
    consented_participant(other, code="Q1")
    theirs = receive(face, study=other, participant_code="Q1", prompt_order=None)
    consent.erase(participant=mine.participant, actor="tests")
    original = theirs.assets.select_related("blob").get()
    assert b"".join(storage.open_range(original.blob)) == face.read_bytes()


def test_faces_and_speech_that_end_together_start_the_cues_once(receive, face):
    """Two workers, two connections: the later commit sees that the other stage is done."""
    import threading

    from django.db import connection

    recording = receive(face)
    runner.run(until("recordings.normalise"), guarded=False)
    pair = [jobs.claim_next(queues=["cpu"]) for _ in range(2)]
    assert {job.name for job in pair} == {"recordings.faces", "recordings.speech"}

    def work(job):
        try:
            runner.run(job, guarded=False)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(job,)) for job in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert Job.objects.filter(name="recordings.cues").count() == 1
    runner.drain()
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY

"""The stage that measures quality, on assets whose content is set."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.faces.test_summary import face, write_table
from tests.factories import AssetFactory, RecordingFactory, StudyFactory
from tests.speech.test_level import RATE, noise, tone, write_wav
from waver.core import jobs
from waver.recordings import services
from waver.recordings.models import Asset, Quality, Recording, Stage
from waver.recordings.pipeline import stages_of
from waver.recordings.quality import rules
from waver.recordings.quality.catalogue import FIGURES, why_undefined
from workers import runner
from workers import tasks as tasks  # registers the handlers
from workers.faces.crops import CropWriter
from workers.faces.table import FaceStatus
from workers.speech.spans import Span, Speech

pytestmark = pytest.mark.django_db

NORMALISED = {
    "has_sound": True, "digital_silence": False, "clipped_share": 0.002, "repeated_frames": 30,
    "left_out_frames": 5, "source_frames": 250, "source_mean_rate": 25.0, "audio_drift_us": -12_000,
}  # fmt: skip
FACES = [
    {"frame": n, "yaw": 45.0 if n >= 200 else 2.0}
    | ({"status": FaceStatus.BLURRED} if n % 10 == 0 else {})
    for n in range(240)
]


@pytest.fixture
def prepare(tmp_path: Path, storage_folder: Path):
    """Make a recording whose earlier stages are done, with the assets that they left."""

    def made(
        *,
        faces: list[dict[str, Any]] | None = None,
        spans: tuple[tuple[float, float], ...] = ((1, 3), (5, 8)),
        normalised: dict[str, Any] | None = None,
        found: dict[str, Any] | None = None,
    ) -> Recording:
        recording = RecordingFactory(study=StudyFactory(), state=Recording.State.PROCESSING)
        rows = FACES if faces is None else faces
        table = write_table(
            tmp_path / "faces.parquet", rows, frames=300, participant=1 if rows else None
        )
        with CropWriter(tmp_path / "crops.tar", tmp_path / "crops.parquet") as crops:
            crop = cv2.resize(face(), (64, 64))
            for row in rows:
                crops.add(row["frame"], crop)
        samples = noise(10, -60)
        for start, end in spans:
            samples[round(start * RATE) : round(end * RATE)] += tone(end - start, -20)
        sound = write_wav(tmp_path / "a.wav", samples.round())
        segments = tuple(Span(round(a * 1e6), round(b * 1e6)) for a, b in spans)
        pauses = tuple(Span(before.end_us, after.start_us) for before, after in pairwise(segments))
        share = sum(b - a for a, b in spans) / 10
        record = Speech(segments, pauses, 10_000_000, share, (), {}, {}).to_json().encode()
        for kind, data in (
            (Asset.Kind.LANDMARKS, table.read_bytes()),
            (Asset.Kind.CROPS, (tmp_path / "crops.tar").read_bytes()),
            (Asset.Kind.CROP_INDEX, (tmp_path / "crops.parquet").read_bytes()),
            (Asset.Kind.AUDIO_16K, sound.read_bytes()),
            (Asset.Kind.SPEECH, record),
        ):
            AssetFactory(recording=recording, kind=kind, data=data)
        figures = {
            "normalise": {**NORMALISED, **(normalised or {})},
            "faces": {"people": 2, "frames_occluded": 0, "share_with_face": 0.8, **(found or {})},
        }
        for kind in stages_of(recording.view):
            Stage.objects.create(
                recording=recording, name=kind.name, version=kind.version,
                state="waiting" if kind.name == "quality" else "done",
                figures=figures.get(kind.name, {}),
            )  # fmt: skip
        for path in tmp_path.iterdir():
            if path.is_file():
                path.unlink()
        return recording

    return made


def measure(recording: Recording) -> dict[str, Any]:
    rules.measure_soon([recording])
    (job,) = runner.drain()
    assert job.state == "done", job.error
    recording.refresh_from_db()
    return Quality.objects.get(recording=recording).figures


def test_figures_are_those_of_what_was_set(prepare) -> None:
    recording = prepare()
    found = measure(recording)
    assert set(found) == set(FIGURES)
    assert recording.state == Recording.State.READY
    expected = {
        "usable_face_share": 216 / 300, "face_size_px": 40.0, "face_height_share": 100 / 480,
        "turned_share": 40 / 240, "occluded_share": 0.0, "people": 2.0, "brightness": 120.0,
        "dark_share": 0.0, "sharpness": 100.0, "clipped_share": 0.002, "speech_share": 0.5,
        "longest_pause_s": 2.0, "pauses_per_minute": 60 / 7, "duration_s": 10.0,
        "frame_rate": 25.0, "repeated_share": 0.1, "left_out_share": 0.02, "audio_drift_ms": 12.0,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["voice_level_dbfs"] == pytest.approx(-20, abs=0.3)
    assert found["snr_db"] == pytest.approx(40, abs=0.6)
    assert 0 <= found["light_imbalance"] < 0.2


@pytest.mark.parametrize(
    ("changes", "unknown", "why"),
    [
        ({"faces": []}, "face_size_px", "No face was found."),
        ({"faces": []}, "occluded_share", "No face was found."),
        ({"faces": []}, "light_imbalance", "No usable frontal face was found."),
        ({"normalised": {"has_sound": False}}, "speech_share", "has no sound track"),
        (
            {"normalised": {"has_sound": False, "audio_drift_us": None}},
            "audio_drift_ms",
            "has no sound track",
        ),
        ({"normalised": {"digital_silence": True}}, "snr_db", "digital silence"),
        ({"spans": ()}, "voice_level_dbfs", "No speech was found."),
        ({"spans": ()}, "longest_pause_s", "No speech was found."),
        ({"spans": ((0, 10),)}, "snr_db", "Too little sound without speech"),
        ({"normalised": {"audio_drift_us": None}}, "audio_drift_ms", "too short, or too broken"),
    ],
)
def test_what_cannot_be_measured_is_missing_with_its_reason(prepare, changes, unknown, why) -> None:
    found = measure(prepare(**changes))
    assert why in why_undefined(found, unknown)
    assert isinstance(found[unknown], dict)
    if changes == {"faces": []}:
        assert found["usable_face_share"] == 0.0  # that no frame has a face was measured


def test_one_stretch_of_speech_has_no_pause(prepare) -> None:
    found = measure(prepare(spans=((2, 6),)))
    assert (found["longest_pause_s"], found["pauses_per_minute"]) == (0.0, 0.0)


def test_thresholds_that_stand_already_ask_for_a_decision_at_once(prepare) -> None:
    recording = prepare()
    rules.set_rules(study=recording.study, limits={"people": {"at_most": 1}}, actor="lead")
    runner.drain()
    measure(recording)
    assert recording.state == Recording.State.ATTENTION
    assert "people 2 (at most 1)" in recording.error


def test_what_was_accepted_stays_accepted_when_it_is_measured_again(prepare) -> None:
    recording = prepare()
    rules.set_rules(study=recording.study, limits={"people": {"at_most": 1}}, actor="lead")
    runner.drain()
    measure(recording)
    services.accept(recording=recording, actor="lead")
    stage = recording.stages.get(name="faces")
    recording.stages.filter(pk=stage.pk).update(figures={**stage.figures, "people": 3})
    assert measure(recording)["people"] == 3.0
    assert recording.stages.get(name="quality").runs == 2
    assert recording.state == Recording.State.READY
    # But a stage that finds something else to ask about asks.
    recording.stages.filter(pk=stage.pk).update(figures={"people": 4, "decide": "4 people."})
    measure(recording)
    assert (recording.state, recording.error) == (Recording.State.ATTENTION, "4 people.")
    services.accept(recording=recording, actor="lead")
    measure(recording)
    assert recording.state == Recording.State.READY


def test_nothing_is_measured_twice(prepare) -> None:
    recording = prepare()
    measure(recording)
    measure(recording)
    assert recording.stages.get(name="quality").runs == 1


def test_a_recording_whose_quality_cannot_be_measured_needs_a_decision(prepare) -> None:
    recording = prepare()
    asset = AssetFactory(recording=prepare(), kind=Asset.Kind.PROXY, data=b"no table")
    recording.assets.filter(kind=Asset.Kind.LANDMARKS).update(blob=asset.blob)
    rules.measure_soon([recording])
    assert {job.state for job in runner.drain()} == {"failed"}
    recording.refresh_from_db()
    assert recording.state == Recording.State.ATTENTION
    assert recording.error.startswith("Its quality was not measured.")
    assert not Quality.objects.filter(recording=recording).exists()


def test_a_job_for_an_erased_study_says_so(db) -> None:
    jobs.enqueue(
        jobs.declared()["recordings.judge_quality"],
        subject_kind="study",
        subject_id="00000000-0000-7000-8000-000000000000",
    )
    (job,) = runner.drain()
    assert job.state == "failed"
    assert "is gone" in job.error


def test_light_is_measured_on_frontal_frames_only(prepare) -> None:
    turned = [{"frame": n, "yaw": 40.0} for n in range(20)]
    found = measure(prepare(faces=turned))
    assert found["light_imbalance"] == {"undefined": "No usable frontal face was found."}
    assert np.isfinite(found["face_size_px"])

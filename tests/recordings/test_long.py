"""Long recordings: ten minutes through every stage, and four hours on a page."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from tests.factories import AssetFactory, RecordingFactory
from tests.recordings.clips import face_clip
from waver.recordings.models import Recording
from waver.recordings.timeline import timeline
from waver.website import crops
from workers import runner

MINUTES, CLIP_SECONDS, RATE = 10, 10, 15
LARGEST_TIMELINE = 2_000_000


def repeated(clip: Path, times: int) -> Path:
    """Write a clip over and over without coding it again."""
    path = clip.with_name("long.mp4")
    with av.open(str(path), "w") as target:
        streams: Sequence = ()
        for turn in range(times):
            with av.open(str(clip)) as source:
                streams = streams or [target.add_stream_from_template(s) for s in source.streams]
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        shift = round(turn * CLIP_SECONDS / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = streams[0]
                        target.mux(packet)
    return path


@pytest.mark.slow
@pytest.mark.programs
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_ten_minutes_go_through_every_stage(receive, tmp_path: Path) -> None:
    clip = face_clip(tmp_path / "clip.mp4", frames=CLIP_SECONDS * RATE)
    recording = receive(repeated(clip, MINUTES * 60 // CLIP_SECONDS))
    assert {job.state for job in runner.drain()} == {"done"}
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY, recording.error
    assert recording.frame_count == MINUTES * 60 * RATE
    assert recording.duration_us == MINUTES * 60 * 1_000_000
    (seen,) = recording.face_tracks.all()
    assert seen.usable_share_of_recording > 0.99

    chance = random.Random(7)
    crops.read(recording, frame=0, actor="tests")  # reads the index
    began = time.monotonic()
    for _ in range(100):
        jpeg = crops.read(recording, frame=chance.randrange(recording.frame_count), actor="tests")
        assert jpeg.startswith(b"\xff\xd8\xff")
    assert time.monotonic() - began < 10
    assert len(json.dumps(timeline(recording))) < LARGEST_TIMELINE
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("storage_folder")
def test_the_timeline_of_four_hours_is_no_larger_than_a_page_can_take() -> None:
    seconds = 4 * 3600
    recording = RecordingFactory(duration_us=seconds * 1_000_000, frame_count=seconds * 30)
    peaks = [round(n % 97 / 97, 4) for n in range(seconds * 20)]
    times = [n * 100_000 for n in range(seconds * 10)]
    pose = {"time_us": times, **{name: [-12.3] * len(times) for name in ("yaw", "pitch", "roll")}}
    flicker = [
        [n * 500_000, (n + 1) * 500_000, "usable" if n % 2 else "blurred"]
        for n in range(seconds * 2)
    ]
    for kind, body in (
        ("waveform", {"buckets_per_second": 20, "peaks": peaks}),
        ("face_outline", {"runs": flicker, "pose": pose}),
    ):
        AssetFactory(
            recording=recording, kind=kind, media_type="application/json",
            data=json.dumps(body).encode(),
        )  # fmt: skip
    shown = timeline(recording)
    assert len(json.dumps(shown)) < LARGEST_TIMELINE
    assert max(shown["waveform"]["peaks"]) == max(peaks)
    runs = shown["faces"]["runs"]
    assert (runs[0][0], runs[-1][1]) == (0, seconds * 1_000_000)

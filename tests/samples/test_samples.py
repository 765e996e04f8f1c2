"""Sample recordings: they hold what their truth says, and the same seed makes them again."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import av
import numpy as np
import pytest

from waver.core.clock import frame_us
from workers.media.normalise import normalise
from workers.media.sound import blocks
from workers.samples.make import make_samples
from workers.samples.picture import Portrait
from workers.samples.plan import plan_recordings

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make four recordings of three people once, through the command line."""
    out = tmp_path_factory.mktemp("samples")
    command = [sys.executable, "-m", "workers.samples", str(out), "--participants", "3"]
    done = subprocess.run(
        [*command, "--json-progress"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["done"] for line in lines] == [1, 2, 3, 4]
    assert {line["of"] for line in lines} == {4}
    assert lines[0]["what"] == "P001 prompt 1"
    return out


def read_truth(folder: Path) -> dict:
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def test_manifest_and_truth_agree(samples: Path) -> None:
    truth = read_truth(samples)
    assert truth["synthetic"] is True
    with (samples / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["file", "participant", "prompt", "recorded_at"]
    assert {row["file"] for row in rows} == set(truth["files"])
    for row in rows:
        assert (samples / row["file"]).is_file()
        recorded = datetime.fromisoformat(row["recorded_at"].replace("Z", "+00:00"))
        assert recorded.utcoffset() is not None
        assert truth["files"][row["file"]]["participant"] == row["participant"]
    hashes = [entry["sha256"] for entry in truth["files"].values()]
    assert len(set(hashes)) == len(hashes)


def test_planted_times_lie_within_the_recording(samples: Path) -> None:
    for name, entry in read_truth(samples)["files"].items():
        with av.open(str(samples / name)) as media:
            frames = sum(1 for _ in media.decode(video=0))
        assert abs(frames / 15 * 1e6 - entry["duration_us"]) <= 1
        for event in entry["events"]:
            assert 0 < event["start_us"] < event["end_us"] < entry["duration_us"]
        kinds = {event["kind"] for event in entry["events"]}
        assert (entry["label"] == "hesitant") == (kinds == {"pause", "head_turn"})
        assert bool(entry["hesitation"]) == (entry["label"] == "hesitant")


def test_planted_pauses_are_quiet_and_the_rest_is_not(samples: Path, tmp_path: Path) -> None:
    seen = 0
    for name, entry in read_truth(samples)["files"].items():
        proxy = normalise(samples / name, tmp_path / name, frame_us=frame_us)
        assert proxy.notes == ()
        sound = np.concatenate(list(blocks(proxy.audio_16k))).astype(int)
        for event in entry["events"]:
            if event["kind"] != "pause":
                continue
            seen += 1
            start, end = (round(event[key] * 0.016) for key in ("start_us", "end_us"))
            edge = 800  # 50 ms for what the codec smears
            inside = np.abs(sound[start + edge : end - edge])
            assert inside.max() < 300
            assert np.abs(sound[start - 8000 : start]).max() > 2000
            assert np.abs(sound[end : end + 8000]).max() > 2000
    assert seen >= 2


def test_a_second_run_makes_nothing_and_a_lost_file_comes_back_the_same(samples: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in samples.glob("*.mp4")}
    make_samples(samples, participants=3)
    assert {path.name: path.stat().st_mtime_ns for path in samples.glob("*.mp4")} == before
    lost = samples / "P002_1.mp4"
    original = lost.read_bytes()
    lost.write_bytes(b"half of it")
    said: list[str] = []
    make_samples(samples, participants=3, on_progress=lambda _done, _of, what: said.append(what))
    assert lost.read_bytes() == original
    assert [what for what in said if "made before" not in what] == ["P002 prompt 1"]


def test_the_default_plan() -> None:
    plans = plan_recordings(participants=12, seed=7)
    assert len(plans) == 16
    assert len({plan.file for plan in plans}) == 16
    assert len({plan.participant for plan in plans}) == 12
    assert sum(plan.prompt == 2 for plan in plans) == 4
    assert {plan.kind for plan in plans} == {"hesitant", "fluent", "pause", "head_turn"}
    assert plans == plan_recordings(participants=12, seed=7)
    assert plans != plan_recordings(participants=12, seed=8)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        plan_recordings(participants=0, seed=7)


def test_a_turn_moves_the_nose_more_than_the_shoulders() -> None:
    look = plan_recordings(participants=1, seed=7)[0].look
    portrait = Portrait(look, seed=1)
    still, turned = (portrait.draw(index=0, yaw=yaw).astype(int) for yaw in (0.0, 32.0))
    changed = np.abs(turned - still).mean(axis=2)
    assert changed[60:160, 100:220].mean() > 5 * changed[215:].mean()

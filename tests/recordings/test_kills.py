"""`kill -9` at any moment of a real stage: no half-written asset, nothing left lying about.

A worker is killed at points of the code where files are between two states, and at moments drawn
by chance; the programs that it starts are killed, too. Afterwards the recording is prepared to the
end: with the same bytes as an undisturbed run, hash by hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from tests.factories import RECORDED_AT, StudyFactory, consented_participant
from tests.recordings.clips import face_clip
from tests.recordings.mortal import POINTS
from tests.stack.running import ROOT, wait_for
from waver.core import reconcile, storage
from waver.core.models import Blob, Job
from waver.recordings import services
from waver.recordings.masked import ask_for_masked_preview
from waver.recordings.models import Asset, Recording, Stage
from workers.processes import descendants
from workers.runner import failure_hooks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.programs,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
]

STAGES = ("normalise", "faces", "speech", "quality", "mask")
# Before which of a stage's files it may die; what quality leaves is no file.
BEFORE_FILES = {"normalise": (0, 2), "faces": (0, 2), "speech": (0,), "quality": (), "mask": (0,)}
FRAMES = 30
BY_CHANCE = 16


@dataclass
class Mortal:
    """The process that forks workers, and where they store."""

    process: subprocess.Popen[str]
    folder: Path
    temporary: Path
    turn: int = 0
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """The folder of this turn: a storage and a scratch that nobody used before."""
        return self.folder / str(self.turn)

    def new_place(self) -> None:
        self.turn += 1
        (self.place / "scratch").mkdir(parents=True)
        django_settings.WAVER_STORAGE = {
            "backend": "folder",
            "folder": self.place / "storage",
        }
        django_settings.WAVER_SCRATCH = self.place / "scratch"

    def start(self, *, die: dict[str, Any] | None = None) -> int:
        """Have a worker work; give its process id."""
        order = {
            "storage": str(self.place / "storage"),
            "scratch": str(self.place / "scratch"),
            "die": die,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._read()

    def ended(self) -> int:
        """Wait for the worker's end; give the signal that ended it, 0 for none."""
        return os.WTERMSIG(status) if os.WIFSIGNALED(status := self._read()) else 0

    def work(self, *, die: dict[str, Any] | None = None) -> int:
        self.start(die=die)
        return self.ended()

    def _read(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the forking process is gone"
        return int(line)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face_clip(tmp_path_factory.mktemp("clips") / "face.mp4", frames=FRAMES)


@pytest.fixture
def mortal(
    transactional_db: None, tmp_path: Path, models_folder: Path, settings
) -> Iterator[Mortal]:
    settings.WAVER_MODELS = models_folder
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.recordings.mortal"),
            *(connection.settings_dict["NAME"], str(models_folder)),
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
            "DJANGO_SETTINGS_MODULE": "waver.config.settings.test",
            "TMPDIR": str(temporary),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    made = Mortal(process, tmp_path / "places", temporary)
    made.new_place()
    yield made
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def receive(clip: Path) -> Recording:
    """Take the clip in for somebody new; the same bytes are stored for each."""
    study = StudyFactory()
    consented_participant(study, code="P1")
    return services.receive(
        study=study, source=clip, original_name="face.mp4", participant_code="P1",
        prompt_order=None, recorded_at=RECORDED_AT, actor="tests",
    )  # fmt: skip


def undisturbed(mortal: Mortal, clip: Path) -> dict[str, str]:
    """Prepare the clip and mask it; give each asset's hash."""
    recording = receive(clip)
    assert mortal.work() == 0
    ask_for_masked_preview(recording, actor="tests")
    assert mortal.work() == 0
    hashes = hashes_of(recording)
    assert {"proxy", "landmarks", "crops", "speech", "masked_preview"} <= set(hashes)
    forget(mortal)
    return hashes


def forget(mortal: Mortal) -> None:
    """Begin again with an empty storage, so that every byte is written anew."""
    for model in (Asset, Stage, Job):
        model.objects.all().delete()
    Recording.objects.all().update(original_sha256="")
    Blob.objects.all().delete()
    shutil.rmtree(mortal.place)
    mortal.new_place()


def hashes_of(recording: Recording) -> dict[str, str]:
    rows = Asset.objects.filter(recording=recording).select_related("blob")
    return {f"{row.kind} {row.number}".removesuffix(" 0"): row.blob.sha256 for row in rows}


def assert_whole(mortal: Mortal) -> None:
    """Every asset's bytes are there, all of them, and are what their hash says."""
    for blob in Blob.objects.filter(assets__isnull=False).distinct():
        content = b"".join(storage.open_range(blob))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (blob.size, blob.sha256)
    stored = [p for p in (mortal.place / "storage").rglob("*") if p.is_file()]
    for path in stored:
        if path.parent.name != ".drafts":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def recover(mortal: Mortal, recording: Recording) -> None:
    """What the upkeep does when the lease of a killed worker has run out, and then a new worker."""
    Job.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
    reconcile.reconcile(on_failure=failure_hooks())
    Job.objects.filter(state="queued").update(not_before=None)
    assert mortal.work() == 0
    ask_for_masked_preview(recording, actor="tests")
    assert mortal.work() == 0


def assert_like_undisturbed(mortal: Mortal, recording: Recording, expected: dict[str, str]) -> None:
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY, recording.error
    assert hashes_of(recording) == expected
    assert set(recording.stages.values_list("state", flat=True)) == {"done"}
    assert set(Job.objects.values_list("state", flat=True)) == {"done"}
    assert_whole(mortal)
    assert_frames_agree(recording)
    # What was put and never referred to goes a day later; nothing else is left.
    Blob.objects.filter(references=0).update(created_at=timezone.now() - timedelta(days=2))
    storage.remove_forgotten()
    files = {path.name for path in (mortal.place / "storage").rglob("*") if path.is_file()}
    assert files == set(expected.values())
    assert list((mortal.place / "scratch").iterdir()) == []
    assert list(mortal.temporary.iterdir()) == []


def assert_frames_agree(recording: Recording) -> None:
    import av
    import pyarrow.parquet as parquet

    counts: dict[str, int] = {}
    for kind in ("proxy", "masked_preview"):
        asset = recording.assets.get(kind=kind)
        with storage.materialise(asset.blob, suffix=".mp4") as path, av.open(str(path)) as opened:
            counts[kind] = sum(1 for _ in opened.decode(video=0))
    for kind in ("frame_map", "landmarks"):
        asset = recording.assets.get(kind=kind)
        with storage.materialise(asset.blob, suffix=".parquet") as path:
            counts[kind] = parquet.read_metadata(path).num_rows
    assert set(counts.values()) == {recording.frame_count} == {FRAMES}


def test_a_worker_that_dies_where_files_are_between_two_states(mortal: Mortal, clip: Path) -> None:
    expected = undisturbed(mortal, clip)
    for stage in STAGES:
        for at in POINTS:
            for after in BEFORE_FILES[stage] if at in ("draft", "put") else (0,):
                recording = receive(clip)
                die = {"stage": stage, "at": at, "after": after}
                if stage == "mask":
                    assert mortal.work() == 0
                    ask_for_masked_preview(recording, actor="tests")
                assert mortal.work(die=die) == signal.SIGKILL, die
                assert_whole(mortal)
                recover(mortal, recording)
                assert_like_undisturbed(mortal, recording, expected)
                forget(mortal)


@pytest.mark.parametrize("whom", ["worker", "programs"])
def test_a_worker_or_what_it_started_killed_by_chance(
    mortal: Mortal, clip: Path, whom: str
) -> None:
    began = time.monotonic()
    expected = undisturbed(mortal, clip)
    lasts = time.monotonic() - began
    chance = random.Random(f"kills of the {whom}")
    interrupted = 0
    for _ in range(BY_CHANCE):
        recording = receive(clip)
        # Programs are started by the first stage only.
        masking = whom == "worker" and chance.random() < 0.3
        if masking:
            assert mortal.work() == 0
            ask_for_masked_preview(recording, actor="tests")
        pid = mortal.start()
        deadline = time.monotonic() + chance.uniform(0, lasts * share(whom, masking))
        started = kill_then(pid, deadline, whom=whom)
        ended = mortal.ended()
        interrupted += ended == signal.SIGKILL or (whom == "programs" and bool(started))
        assert_gone(started)
        assert_whole(mortal)
        recover(mortal, recording)
        assert_like_undisturbed(mortal, recording, expected)
        forget(mortal)
    assert interrupted >= BY_CHANCE // 3


def share(whom: str, masking: bool) -> float:
    """In what part of the time that everything takes the moment to kill is drawn."""
    if whom == "programs":
        return 0.2
    return 0.3 if masking else 0.8


def kill_then(pid: int, deadline: float, *, whom: str) -> list[int]:
    """Kill the worker, or the programs it has started, when the time has come.

    Gives the programs that ran. Of the programs, the next one that appears is waited for.
    """
    while time.monotonic() < deadline or (whom == "programs" and not descendants(pid)):
        if not Path(f"/proc/{pid}").exists() or _is_dead(pid):
            return []
        time.sleep(0.002)
    started = descendants(pid)
    for one in [pid] if whom == "worker" else started:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            return []
    return started


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def assert_gone(started: list[int]) -> None:
    """Nothing that the worker started goes on without it."""
    wait_for(
        lambda: all(not Path(f"/proc/{pid}").exists() or _is_dead(pid) for pid in started),
        seconds=10, what="gone",
    )  # fmt: skip

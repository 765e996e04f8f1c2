"""Kill -9 in the middle of preparing real recordings: each still ends ready, and once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.running import (
    ROOT,
    Running,
    kill_pool_process,
    kill_postgres,
    kill_worker,
    running_stack,
    wait_for,
)
from workers.media.runner import binary

# A killed worker's jobs are taken up again when their lease of a minute has run out.
pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(420)]

_STUDY = """
import sys, django; django.setup()
from waver.demo.study import make_participants
from waver.studies.services import PromptText, add_prompts, create_study
study = create_study(code=sys.argv[1], title=sys.argv[1], setting="lab", actor="tests")
prompts = [PromptText(text={"en": f"Prompt {number}."}, order=number) for number in (1, 2)]
add_prompts(study=study, actor="tests", prompts=prompts)
print(make_participants(study, sys.argv[2:], is_synthetic=True))
"""
_AUDIT = "from waver.core import audit; print(audit.first_broken())"
_OF_STUDY = """
    FROM core_job j JOIN recordings_recording r ON r.id::text = j.subject_id
    JOIN studies_study s ON s.id = r.study_id WHERE s.code = %s AND j.subject_kind = 'recording'
"""
# With sound that is heard and a face that is seen, every stage leaves all it can leave.
_MADE_BY = {
    "receive": {"original"},
    "normalise": {"proxy", "frame_map", "audio_16k", "audio_native", "waveform"},
    "faces": {
        *("landmarks", "face_outline", "crops", "crop_index", "contact_sheet", "face_preview"),
    },
    "speech": {"speech"},
}
_STAGES = ("cues", "faces", "normalise", "quality", "speech")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_stack(tmp_path_factory.mktemp("faults") / "var") as one:
        yield one


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sample recordings of two participants, each so long that a stage takes seconds."""
    short, long = tmp_path_factory.mktemp("short"), tmp_path_factory.mktemp("long")
    subprocess.run(
        [sys.executable, "-m", "workers.samples", short, "--participants", "2"],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    for sample in short.glob("*.mp4"):
        subprocess.run(
            [
                *(binary(), "-v", "error", "-stream_loop", "3", "-i", sample),
                *("-vf", "scale=1280:720", "-preset", "ultrafast", long / sample.name),
            ],
            check=True, timeout=120,
        )  # fmt: skip
    shutil.copy(short / "manifest.csv", long)
    return long


@pytest.mark.parametrize(
    ("stage", "kill", "killed"),
    [
        ("faces", kill_worker, "compute"),
        ("normalise", kill_pool_process, "compute"),
        ("normalise", kill_postgres, "postgres"),
        ("faces", kill_postgres, "postgres"),
    ],
)
def test_every_recording_ends_ready_once(
    running: Running, recordings: Path, stage: str, kill: Callable[[Running], None], killed: str
) -> None:
    code = f"{stage}-{kill.__name__}".replace("_", "-")
    assert running.run("-c", _STUDY, code, "P001", "P002").strip() == "2"
    restarts = running.restarts(killed)
    imported = running.run("manage.py", "import_recordings", code, str(recordings))
    assert imported.strip() == "3 imported, 0 there already, 0 refused."

    # Both processes of the worker are at work, so that any of them is killed in the middle.
    in_flight = wait_for(lambda: _in_flight(running, code, stage), seconds=90, what="in flight")
    kill(running)
    wait_for(lambda: running.restarts(killed) > restarts, seconds=20, what="started again")
    wait_for(
        lambda: _states(running, code) == ["ready"] * 3, seconds=240, what="all recordings ready"
    )

    if killed == "compute":
        assert max(_attempts(running, in_flight)) == 2, "nothing was interrupted"
    _assert_done_once(running, code)
    _assert_stored_once(running)
    assert running.run("manage.py", "shell", "--verbosity", "0", "-c", _AUDIT).strip() == "None"


def _in_flight(running: Running, code: str, stage: str) -> list[str]:
    """The compute worker's two running jobs, once one of `stage` is well under way."""
    found = running.rows(
        f"SELECT j.id, j.name, j.progress {_OF_STUDY} AND j.state = 'running'", [code]
    )
    under_way = any(name == f"recordings.{stage}" and 0 < done < 0.7 for _, name, done in found)
    return [str(pk) for pk, _, _ in found] if under_way and len(found) == 2 else []


def _states(running: Running, code: str) -> list[str]:
    found = running.rows(
        "SELECT r.state, r.error FROM recordings_recording r "
        "JOIN studies_study s ON s.id = r.study_id WHERE s.code = %s",
        [code],
    )
    assert not [row for row in found if row[0] in ("failed", "refused", "attention")], found
    return [row[0] for row in found]


def _attempts(running: Running, pks: list[str]) -> list[int]:
    return [
        row[0]
        for row in running.rows("SELECT attempts FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
    ]


def _assert_done_once(running: Running, code: str) -> None:
    """Each stage of each recording is done, by one job, and left one set of assets and rows."""
    recording = "JOIN recordings_recording r ON r.id = x.recording_id "
    study = "JOIN studies_study s ON s.id = r.study_id WHERE s.code = %s"
    stages = running.rows(
        f"SELECT x.name, x.state FROM recordings_stage x {recording}{study}", [code]
    )
    assert sorted(stages) == sorted([(name, "done") for name in _STAGES] * 3)
    jobs = running.rows(f"SELECT j.name, j.state, j.subject_id {_OF_STUDY}", [code])
    assert len(jobs) == len(set(jobs)) == 3 * len(_STAGES)
    assert {state for _, state, _ in jobs} == {"done"}
    assets = running.rows(
        "SELECT x.made_by->>'stage', x.kind, count(*), count(DISTINCT r.id) "
        f"FROM recordings_asset x {recording}{study} GROUP BY 1, 2",
        [code],
    )
    expected = [(stage, kind, 3, 3) for stage, kinds in _MADE_BY.items() for kind in kinds]
    assert sorted(assets) == sorted(expected)
    for table, condition in (("facetrack", "x.is_participant"), ("modelrun", "true")):
        rows = running.rows(
            f"SELECT x.recording_id FROM recordings_{table} x {recording}{study} AND {condition}",
            [code],
        )
        assert len(rows) == len(set(rows)) == 3, table


def _assert_stored_once(running: Running) -> None:
    """Every stored byte is referred to as often as it says, and nothing else lies about."""
    blobs = running.rows(
        'SELECT b.sha256, b."references", count(a.id) FROM core_blob b '
        "LEFT JOIN recordings_asset a ON a.blob_id = b.id GROUP BY b.id",
        [],
    )
    assert [row for row in blobs if row[1] != row[2] or row[1] == 0] == []
    files = [path for path in (running.var / "storage").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == sorted(row[0] for row in blobs)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert list((running.var / "scratch").iterdir()) == []

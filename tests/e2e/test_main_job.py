"""The main job with one command: from recordings to a verified release, and once only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annotation.labelstudio import process
from tests.stack.running import ROOT, environment_of
from waver.stack.postgres import embedded_cluster
from waver.stack.status import is_locked, read_status

pytestmark = [pytest.mark.stack, pytest.mark.labelstudio, pytest.mark.timeout(900)]

# What a second run must leave as it is: in Waver's database, and in Label Studio's.
_COUNTS = {
    "waver": {
        "runs of stages": "SELECT sum(runs) FROM recordings_stage",
        "jobs": "SELECT count(*) FROM core_job WHERE subject_kind = 'recording'",
        **{
            table: f"SELECT count(*) FROM {table}"
            for table in (
                *("core_blob", "recordings_asset", "recordings_recording", "consent_participant"),
                *("annotation_batch", "annotation_assignment", "annotation_annotation"),
                *("datasets_snapshot", "datasets_gaterun", "datasets_release"),
            )
        },
    },
    "label_studio": {
        table: f"SELECT count(*) FROM {table}" for table in ("project", "task", "task_completion")
    },
}
_WHO_SHARES = """
    SELECT p.code, c.code, coalesce(s.allowed AND s.ended_at IS NULL, false)
    FROM consent_participant p
    LEFT JOIN consent_consentstate s ON s.participant_id = p.id AND s.purpose = 'research'
    LEFT JOIN datasets_releasecode c ON c.participant_id = p.id
"""
_BYTES_OF = """
    SELECT p.code, b.sha256 FROM consent_participant p
    JOIN recordings_take t ON t.participant_id = p.id
    JOIN recordings_recording r ON r.take_id = t.id
    JOIN recordings_asset a ON a.recording_id = r.id JOIN core_blob b ON b.id = a.blob_id
"""


@dataclass(frozen=True)
class Facts:
    """What the databases and the storage hold while no stack runs."""

    counts: dict[str, int]
    shares: dict[str, tuple[str | None, bool]]  # participant: name in releases, may be shared
    bytes_of: dict[str, set[str]]  # participant: SHA-256 of each stored file
    storage: dict[str, int]  # file: modification time


@dataclass(frozen=True)
class Run:
    """One run of the command, and what it left."""

    status: int
    said: str
    facts: Facts

    @property
    def release(self) -> Path:
        """The folder that the run names on its line of its own."""
        (named,) = re.findall(r"^release: (/.+)$", self.said, flags=re.MULTILINE)
        return Path(named)

    def step(self, number: int) -> str:
        """What the run said in one of its numbered steps."""
        return self.said.split(f"\n{number}. ")[1].split(f"\n{number + 1}. ")[0]

    @property
    def verdicts(self) -> dict[str, str]:
        """Each label's verdict, as printed."""
        found = re.findall(
            r"^ +(PASS|TENTATIVE|FAIL|UNDETERMINED) +(\S+): For these raters,",
            self.step(8),
            flags=re.MULTILINE,
        )
        return {label: verdict.lower() for verdict, label in found}


class Installation:
    """A folder of its own for all that Waver writes, and the commands run on it."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.environment = {**os.environ, **environment_of(var)}
        self.environment.pop("WAVER_PGHOST", None)

    def manage(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command of manage.py; give its exit status and all that it printed."""
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def demo(self, *arguments: str | Path) -> Run:
        """Run the demonstration to its end."""
        status, said = self.manage("demo", "--once", *arguments)
        assert status == 0, said
        return Run(status, said, self.facts())

    def facts(self) -> Facts:
        """Look into the databases with a server of our own, as no stack runs now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("WAVER_PGHOST", raising=False)
            cluster = embedded_cluster(self.var)
        assert not cluster.is_running, "the run left PostgreSQL running"
        cluster.start()

        def rows(database: str, statement: str) -> list[tuple[Any, ...]]:
            with psycopg.connect(**cluster.connection_parameters(database)) as connection:
                return connection.execute(statement.encode()).fetchall()

        try:
            bytes_of: dict[str, set[str]] = {}
            for code, sha256 in rows("waver", _BYTES_OF):
                bytes_of.setdefault(code, set()).add(sha256)
            return Facts(
                counts={
                    f"{database}: {name}": int(rows(database, statement)[0][0])
                    for database, statements in _COUNTS.items()
                    for name, statement in statements.items()
                },
                shares={code: (name, may) for code, name, may in rows("waver", _WHO_SHARES)},
                bytes_of=bytes_of,
                storage={
                    str(path): path.stat().st_mtime_ns
                    for path in (self.var / "storage").rglob("*")
                    if path.is_file()
                },
            )
        finally:
            cluster.stop()

    def processes(self) -> list[str]:
        """Name every process that was started for this installation and still runs."""
        marker = f"WAVER_VAR={self.var}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    if marker in environment:
                        found.append((entry / "cmdline").read_text().replace("\0", " "))
                except OSError:
                    continue  # it has ended, or it is another user's
        return found


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    if not process.installed():
        pytest.skip(
            "Label Studio is absent: there is no .venv-label-studio. `make demo` installs it."
        )
    var = tmp_path_factory.mktemp("main-job") / "var"
    yield Installation(var)
    shutil.rmtree(var, ignore_errors=True)


@pytest.fixture(scope="module")
def first(installation: Installation) -> Run:
    return installation.demo()


@pytest.fixture(scope="module")
def second(installation: Installation, first: Run) -> Run:
    return installation.demo()


@pytest.fixture
def copy(first: Run, tmp_path: Path) -> Path:
    """A copy of the release; its files are links, to be replaced and never written into."""
    return shutil.copytree(first.release, tmp_path / "copy", copy_function=os.link)


def table(release: Path, name: str) -> list[dict[str, Any]]:
    """Read one of the release's tables from its Parquet file."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(release / "tables" / f"{name}.parquet").to_pylist()
    return found


def test_the_release_is_named_and_verifies(installation: Installation, first: Run) -> None:
    assert first.release.is_dir()
    status, said = installation.manage("verify_release", first.release)
    assert (status, said.splitlines()[-1]) == (
        0,
        "Nothing is changed, missing or extra: the release is as it was published.",
    )


def test_a_changed_byte_a_missing_and_an_extra_file_are_found(
    installation: Installation, copy: Path
) -> None:
    def finds(name: str, kind: str) -> None:
        status, said = installation.manage("verify_release", copy)
        assert status == 1
        assert any(name in line and kind in line for line in said.splitlines()), said
        assert "1 problem." in said

    assert installation.manage("verify_release", copy)[0] == 0
    video = next((copy / "bah" / "Videos").rglob("*.mp4"))
    whole = video.read_bytes()
    video.unlink()
    finds(video.name, "missing")
    video.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    finds(video.name, "changed")
    video.write_bytes(whole)
    (copy / "tables" / "notes.txt").write_text("mine")
    finds("tables/notes.txt", "does not belong to the release")


def test_one_label_passes_and_one_is_blocked(first: Run) -> None:
    receipt = json.loads((first.release / "receipt.json").read_text(encoding="utf-8"))["receipt"]
    assert {key: label["verdict"] for key, label in receipt["labels"].items()} == first.verdicts
    assert first.verdicts["segments/ah"] == "pass"
    assert first.verdicts["video/certainty"] == "fail"
    passed = {label for label, verdict in first.verdicts.items() if verdict == "pass"}
    assert {row["label"] for row in table(first.release, "consensus")} == passed
    assert {row["label"] for row in table(first.release, "clip_labels")} <= passed
    assert {row["label"] for row in table(first.release, "segments")} <= passed
    for label in receipt["labels"].values():
        assert label["cross_check"]["package"] == "krippendorff"
        assert label["cross_check"]["difference"] < 1e-9


def test_only_participants_who_share_are_in_the_release(first: Run) -> None:
    shares = first.facts.shares
    (kept_back,) = [code for code, (_, may) in shares.items() if not may]
    assert len(shares) == 12
    names = {name for name, may in shares.values() if may}
    for name in ("participants", "recordings", "splits"):
        assert {row["participant"] for row in table(first.release, name)} == names, name
    recordings = {row["recording"] for row in table(first.release, "recordings")}
    assert len(recordings) == 15
    for name in ("submissions", "segments", "clip_labels", "consensus", "cue_candidates"):
        assert {row["recording"] for row in table(first.release, name)} <= recordings, name
    released = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in first.release.rglob("*")
        if path.is_file()
    }
    theirs = first.facts.bytes_of
    # Maps of frame times are the same for recordings of one length, whoever is in them.
    of_others = set().union(*(theirs[code] for code in shares if code != kept_back))
    only_theirs = theirs[kept_back] - of_others
    assert len(only_theirs) > 5
    assert not released & only_theirs
    assert all(released & theirs[code] for code, (_, may) in shares.items() if may)
    assert "Left out: 1 recording of 1 participant, because" in first.step(9)


def test_the_consensus_is_that_of_raters_who_saw_no_prelabels(first: Run) -> None:
    answers: dict[str, list[str]] = {}
    for row in table(first.release, "clip_labels"):
        if row["arm"] == "blind" and row["label"] == "video/ah":
            answers.setdefault(row["recording"], []).append(row["value"])
    consensus = {
        row["recording"]: row["value"]
        for row in table(first.release, "consensus")
        if row["label"] == "video/ah"
    }
    # Three raters and two values: there is always a majority.
    assert consensus == {name: max(set(given), key=given.count) for name, given in answers.items()}
    assert {len(given) for given in answers.values()} == {3}

    arms: dict[str, set[str]] = {}
    for row in table(first.release, "submissions"):
        arms.setdefault(row["recording"], set()).add(row["arm"])
    shown = {name for name, found in arms.items() if "prelabel" in found}
    assert shown, "no recording was labelled with pre-labels in sight"
    assert not shown & {row["recording"] for row in table(first.release, "consensus")}


@pytest.mark.parametrize(("kind", "words"), [("pause", "pauses"), ("head_turn", "head turns")])
def test_the_planted_truth_is_compared_with_what_was_found(
    installation: Installation, first: Run, kind: str, words: str
) -> None:
    truth = json.loads((installation.var / "demo" / "samples" / "truth.json").read_text())
    events = [event for file in truth["files"].values() for event in file["events"]]
    pattern = rf"(\d+) of (\d+) planted {words} were found; (\d+) of (\d+) candidates"
    found, planted, right, candidates = map(int, re.findall(pattern, first.said)[0])
    assert planted == sum(event["kind"] == kind for event in events) > 0
    # A run whose pre-labeller finds much less, or marks much else, is broken.
    assert found >= 0.8 * planted
    assert right >= 0.8 * candidates


def test_scripted_raters_are_called_synthetic_wherever_they_show(first: Run) -> None:
    assert "SYNTHETIC: three scripted raters" in first.step(7)
    raters = table(first.release, "raters")
    assert [row["is_synthetic"] for row in raters] == [True] * 3
    assert "SYNTHETIC." in (first.release / "README.md").read_text(encoding="utf-8")


def test_one_disputed_item_is_decided_by_a_script_and_marked_so(first: Run) -> None:
    assert "is decided by a script" in first.step(8)
    (decided,) = table(first.release, "adjudications")
    assert decided["is_synthetic"] is True
    assert "Adjudicated consensus, initial alpha = " in (first.release / "README.md").read_text()


def test_a_second_run_does_nothing_again_and_says_so(first: Run, second: Run) -> None:
    assert "0 participants registered with their consent, 12 were there." in second.step(3)
    assert "0 recordings imported, 16 were there already, 0 refused." in second.step(4)
    for step in (5, 6, 7, 9):
        assert "Nothing to do: " in second.step(step), step
    assert second.facts == first.facts
    assert second.release == first.release
    assert second.verdicts == first.verdicts


@pytest.mark.slow
def test_ones_own_videos_become_a_release(
    installation: Installation, second: Run, shared_media: Path
) -> None:
    own = installation.demo("--media", shared_media)
    assert own.release != second.release
    assert installation.manage("verify_release", own.release)[0] == 0
    assert "no planted truth" in own.step(5)
    assert "a seeded rule, not from what they see" in own.step(7)
    before = {code: found for code, found in own.facts.shares.items() if code.startswith("P")}
    assert before == second.facts.shares


def test_nothing_is_left_running(installation: Installation, second: Run) -> None:
    assert installation.processes() == []
    assert not is_locked(installation.var)
    assert read_status(installation.var) is None
    assert list((installation.var / "scratch").iterdir()) == []
    assert not (installation.var / "tmp").exists()

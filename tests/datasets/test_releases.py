"""Releases: what is in them, what must never be, and that a withdrawal reaches them."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from tests.datasets.worlds import World, label, policy_text, with_media, world
from tests.factories import AssetFactory, CueCandidateFactory, ModelRunFactory, stored_blob
from waver.consent import services as consent
from waver.consent import withdrawal
from waver.consent.models import Purpose
from waver.core import storage
from waver.core.clock import frame_us
from waver.core.errors import BadInput, Conflict, IntegrityProblem
from waver.core.models import Job
from waver.datasets import gate, policies, redaction, releases, snapshots
from waver.datasets.exporters import tables
from waver.datasets.models import (
    Container,
    GateRun,
    Leaf,
    Release,
    ReleaseCode,
    SplitAssignment,
)
from waver.datasets.verify import verify
from waver.recordings import pipeline
from waver.recordings.models import Stage

pytestmark = [
    pytest.mark.programs,
    pytest.mark.django_db,
    pytest.mark.usefixtures("storage_folder"),
]


def _gate(made: World, text: str | None = None) -> GateRun:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=text or policy_text(), actor="lead")
    return gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


def _build(run: GateRun, version: str = "1.0", purpose: str = "research", **more) -> Release:
    return releases.build(gate_run=run, version=version, purpose=purpose, actor="lead", **more)


@pytest.fixture
def made() -> World:
    found = world(participants=7, consented=True)
    label(found)
    with_media(found)
    return found


def _table(folder: Path, name: str) -> list[dict]:
    return pq.read_table(folder / "tables" / f"{name}.parquet").to_pylist()


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".json", ".yaml", ".yml", ".csv", ".txt"):
            yield path, path.read_text(encoding="utf-8")


def _names(text: str, code: str) -> bool:
    """Tell whether a code stands in a text; its five digits may stand in a hash by chance."""
    return re.search(rf"(?<![0-9A-Za-z]){code}(?![0-9A-Za-z])", text) is not None


# A release


def test_a_release_is_built_verifies_and_is_recorded(made):
    release = _build(_gate(made))
    folder = releases.path_of(release)
    assert folder.name == f"{made.study.code}-1.0-research"
    assert verify(folder, root=release.root, seal=release.figures["seal"]) == []
    assert release.state == Release.State.PUBLISHED
    assert release.leaves.count() == 7 * 4  # video, crops, transcript, frame map
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["root"] == release.root
    assert {row.path for row in release.containers.all()} == {
        entry["path"] for entry in manifest["containers"]
    }
    assert list(folder.parent.glob(".*")) == []
    readme = (folder / "README.md").read_text()
    assert "**segments/ah**" in readme
    assert "**video/certainty** is left out. For these raters, “video/certainty” fails" in readme
    assert "DEMONSTRATION" in readme
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["receipt"] == release.gate_run.receipt
    assert receipt["signature"]["value"] == release.gate_run.signature


def test_building_it_again_changes_nothing(made):
    run = _gate(made)
    first = _build(run)
    before = {p: p.stat().st_mtime_ns for p in releases.path_of(first).rglob("*")}
    assert releases.existing(gate_run=run, version="1.0", purpose="research") == first
    assert _build(run) == first
    assert {p: p.stat().st_mtime_ns for p in releases.path_of(first).rglob("*")} == before
    assert Release.objects.count() == 1


def test_names_inside_never_leave(made):
    run = _gate(made)
    folder = releases.path_of(_build(run))
    secrets = {str(row.pk) for row in [*made.recordings, *made.participants, *made.raters]}
    secrets |= {person.code for person in made.participants}
    secrets |= {recording.original_name for recording in made.recordings}
    secrets |= {rater.username for rater in made.raters}
    for path, text in _texts(folder):
        assert not [secret for secret in secrets if secret in text], path
    names = {path.name for path in folder.rglob("*")}
    assert not names & secrets
    again = releases.path_of(_build(run, version="1.1"))
    assert {row["participant"] for row in _table(again, "participants")} == {
        row["participant"] for row in _table(folder, "participants")
    }


def test_the_tables_hold_the_same_rows_in_both_forms(made):
    candidate = CueCandidateFactory(
        run=ModelRunFactory(recording=made.recordings[0]), detail="=1+1"
    )
    folder = releases.path_of(_build(_gate(made)))
    for name, (columns, _) in tables.TABLES.items():
        rows = _table(folder, name)
        with (folder / f"tables/{name}.csv").open(newline="", encoding="utf-8") as lines:
            read = list(csv.DictReader(lines))
        assert [list(row) for row in rows[:1]] == [list(columns)] * min(1, len(rows)), name
        shown = [
            {k: "" if v is None else str(tables.harmless(v)) for k, v in row.items()}
            for row in rows
        ]
        assert read == shown, name
        assert rows or name == "adjudications", name  # nobody decided anything here
    assert _table(folder, "cue_candidates")[0]["detail"] == "=1+1"
    assert "'=1+1" in (folder / "tables/cue_candidates.csv").read_text()
    assert candidate.score == _table(folder, "cue_candidates")[0]["score"]
    assert len(_table(folder, "submissions")) == 7 * 3 * 2
    assert {row["label"] for row in _table(folder, "clip_labels")} == {"video/ah"}
    assert {row["label"] for row in _table(folder, "consensus")} == {"video/ah", "segments/ah"}


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
def test_a_cell_cannot_run_in_a_spreadsheet(cell):
    assert tables.harmless(cell) == f"'{cell}"
    assert tables.harmless("x" + cell) == "x" + cell
    assert tables.harmless(-1.5) == -1.5


# The BAH layout


def test_the_bah_layout_is_exact(made):
    folder = releases.path_of(_build(_gate(made)))
    bah = folder / "bah"
    assert (bah / "class_id.yaml").read_bytes() == b"With A-H: 1\nNo A-H: 0"
    assert len((bah / "class_id.yaml").read_bytes()) == 21
    videos = sorted(p.relative_to(bah).as_posix() for p in bah.glob("Videos/*/*/*.mp4"))
    assert len(videos) == 7
    form = r"Videos/(\d{5})/Visite_1/\1_Question_1_2024-03-01_10-00-00_Video\.mp4"
    assert all(re.fullmatch(form, video) for video in videos)
    listed = (bah / "bah-video.csv").read_text().splitlines()
    assert listed == ["video-path", *videos]
    seen = []
    for fold in ("train", "val", "test"):
        raw = (bah / f"split/{fold}.txt").read_bytes()
        assert raw.endswith(b"\n")
        assert b"\r" not in raw
        for line in raw.decode().splitlines():
            assert re.fullmatch(rf"{form},[01],", line)
            seen.append(line.split(",")[0])
    assert sorted(seen) == videos
    for video in videos:
        crops = bah / "cropped-aligned-faces" / video
        assert sorted(p.name for p in crops.iterdir()) == [
            "frame-0.jpg", "frame-1.jpg", "frame-299.jpg", "frame-7.jpg",
        ]  # fmt: skip
        assert (crops / "frame-7.jpg").read_bytes()[:2] == b"\xff\xd8"
        name = Path(video).stem
        said = yaml.safe_load((bah / "transcription" / video / f"{name}.yml").read_text())
        assert said == {"chunks": [], "text": None}
    people = yaml.safe_load((bah / "meta_data.yml").read_text())
    assert {video.split("/")[1] for video in videos} == set(people)
    assert all(isinstance(key, str) for key in people)
    assert {row["Use in challenges"] for row in people.values()} == {"Yes"}


def test_frames_follow_from_the_segments(made):
    folder = releases.path_of(_build(_gate(made)))
    bah = folder / "bah"
    answers = yaml.safe_load((bah / "video_annotation_transcript.yaml").read_text())
    spans = {row["recording"]: [] for row in _table(folder, "recordings")}
    for row in _table(folder, "consensus"):
        if row["label"] == "segments/ah" and row["value"]:
            spans[row["recording"]].append((row["start_us"], row["end_us"]))
    assert any(spans.values())
    lines = {}
    for fold in ("train", "val", "test"):
        for line in (bah / f"split-frames/{fold}.txt").read_text().splitlines():
            path, value = line.split(",")
            lines[path] = int(value)
    for row in _table(folder, "recordings"):
        entry = answers[row["video_id"]]
        assert list(entry) == sorted(entry)
        own = spans[row["recording"]]
        wanted = [
            [
                f"{row['video_id']}/frame-{n}.jpg",
                int(any(start <= frame_us(n, 30) < end for start, end in own)),
            ]
            for n in range(300)
        ]
        assert entry["frame_annotation"] == wanted
        assert dict(map(tuple, wanted)).items() <= lines.items()
        assert entry["global_ah"] == int(bool(own))
        assert entry["certainty_ah"] is None  # blocked by the gate
        assert entry["transcript"] is None
        assert entry["annotator_id"].count("+") == 2
        marked = [n for n, (_, value) in enumerate(wanted) if value]
        assert entry["fr_detailed_ah"] == ([[marked[0], marked[-1]]] if marked else [])
        for start, end in entry["time_detailed_ah"]:
            assert re.fullmatch(r"00:00:0[12]\.\d{3}", start)
            assert re.fullmatch(r"00:00:0[45]\.\d{3}", end)
        assert [cue["audio"] for cue in entry["all_cues"]] == ["Pause"] * len(own)
    assert len(lines) == 7 * 300


def test_a_cue_needs_more_than_half_of_those_who_marked_the_stretch():
    made = world(participants=7, consented=True)
    with_media(made)
    label(made, raters=made.raters[:1])
    label(made, raters=made.raters[1:], with_cues=False)
    folder = releases.path_of(_build(_gate(made)))
    answers = yaml.safe_load((folder / "bah/video_annotation_transcript.yaml").read_text())
    cues = [cue for entry in answers.values() for cue in entry["all_cues"]]
    assert cues
    assert {cue["audio"] for cue in cues} == {None}


def test_a_video_the_raters_are_split_on_gets_no_label():
    made = world(participants=7, consented=True)
    with_media(made)
    label(made, raters=made.raters[:1])
    first = made.recordings[0]
    made.truth[first] = []
    label(made, raters=made.raters[1:2])
    text = policy_text().replace("min: 3", "min: 2")
    run = _gate(made, text)
    for key in ("segments/ah", "video/ah"):
        gate.waive(
            gate_run=run,
            label=key,
            who=made.lead,
            why="The raters' disagreement is what the study is about.",
            until=timezone.now() + timedelta(days=1),
        )
    folder = releases.path_of(_build(run))
    undecided = [row for row in _table(folder, "consensus") if row["value"] is None]
    assert {row["label"] for row in undecided} == {"segments/ah", "video/ah"}
    codes = {row["recording"] for row in undecided}
    assert len(codes) >= 1
    lines = "".join((folder / f"bah/split/{f}.txt").read_text() for f in ("train", "val", "test"))
    video = next(row for row in undecided if row["label"] == "video/ah")["recording"]
    assert video not in lines
    assert "in no split file" in (folder / "README.md").read_text()


def test_pre_labelled_recordings_carry_their_arm_and_no_consensus():
    made = world(participants=8, consented=True)
    with_media(made)
    label(made, recordings=made.recordings[:7])
    label(made, recordings=made.recordings[7:], arm="prelabel")
    folder = releases.path_of(_build(_gate(made)))
    arms = {row["recording"]: row["arm"] for row in _table(folder, "submissions")}
    shown = [code for code, arm in arms.items() if arm == "prelabel"]
    assert len(shown) == 1
    assert shown[0] not in {row["recording"] for row in _table(folder, "consensus")}


# What the gate and consent say


def test_nothing_is_built_on_a_gate_that_lets_nothing_out(made):
    run = _gate(made, policy_text(clusters=30, demonstration=False))
    with pytest.raises(Conflict, match="The gate lets nothing out: Undetermined"):
        _build(run)
    assert not list(Path(releases.settings.WAVER_RELEASES).glob("*"))


def test_a_waived_label_is_released_and_stamped(made):
    run = _gate(made)
    gate.waive(
        gate_run=run,
        label="video/certainty",
        who=made.lead,
        why="Certainty is released for a methods study only.",
        until=timezone.now() + timedelta(days=10),
    )
    folder = releases.path_of(_build(run))
    rows = [r for r in _table(folder, "consensus") if r["label"] == "video/certainty"]
    assert {row["verdict"] for row in rows} == {"waived"}
    assert {r["value"] for r in _table(folder, "clip_labels")} >= {"1", "2", "3", "present"}
    assert "WAIVED. video/certainty did not pass" in (folder / "README.md").read_text()
    assert json.loads((folder / "receipt.json").read_text())["release"]["waivers"][
        "video/certainty"
    ]
    answers = yaml.safe_load((folder / "bah/video_annotation_transcript.yaml").read_text())
    assert all(
        entry["certainty_ah"] is None or entry["certainty_ah"][0] in (1, 2, 3)
        for entry in answers.values()
    )
    assert any(entry["certainty_ah"] for entry in answers.values())


def test_who_did_not_agree_to_the_purpose_stays_out_and_is_counted(made):
    gone = made.participants[0]
    consent.withdraw(participant=gone, actor="manager", purpose=Purpose.CHALLENGE)
    run = _gate(made)
    research, challenge = _build(run), _build(run, purpose="challenge")
    assert research.figures["participants"] == 7
    assert challenge.figures["participants"] == 6
    assert challenge.figures["left_out"] == [
        {
            "reason": "the participant withdrew the consent for this use",
            "recordings": 1,
            "participants": 1,
        }
    ]
    code = ReleaseCode.objects.get(participant=gone).code
    folder = releases.path_of(challenge)
    assert not [path for path, text in _texts(folder) if _names(text, code)]
    assert (
        "1 recording of 1 participant: the participant withdrew"
        in (folder / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("version", "purpose", "said"),
    [("latest", "research", "is no version"), ("1.0", "infer", "is no purpose of a release")],
)
def test_odd_requests_are_refused(made, version, purpose, said):
    with pytest.raises(BadInput, match=said):
        _build(_gate(made), version=version, purpose=purpose)


def test_a_version_never_changes(made):
    first = _build(_gate(made))
    other = _gate(made, policy_text(clusters=7))
    with pytest.raises(Conflict, match="never changes"):
        _build(other)
    assert _build(other, version="1.1") != first


def test_a_withdrawal_during_the_build_leaves_nothing_behind(made):
    run = _gate(made)

    @contextmanager
    def commit() -> Iterator[None]:
        consent.withdraw(participant=made.participants[0], actor="manager", purpose="research")
        with transaction.atomic():
            yield

    with pytest.raises(releases.ConsentChanged):
        _build(run, commit=commit)
    assert not Release.objects.exists()
    assert not Leaf.objects.exists()
    assert not list(Path(releases.settings.WAVER_RELEASES).glob("*"))
    assert _build(run).figures["participants"] == 6


def test_a_folder_left_by_a_crash_is_replaced(made):
    run = _gate(made)
    orphan = Path(releases.settings.WAVER_RELEASES) / f"{made.study.code}-1.0-research"
    orphan.mkdir(parents=True)
    (orphan / "half").write_text("half")
    assert verify(releases.path_of(_build(run))) == []


def test_a_damaged_stored_file_stops_the_build(made):
    run = _gate(made)
    blob = made.recordings[0].assets.get(kind="proxy").blob
    path = storage.backend()._path(blob.sha256)
    path.chmod(0o600)
    path.write_bytes(b"x" * blob.size)
    with pytest.raises(IntegrityProblem, match="damaged"):
        _build(run)
    assert not Release.objects.exists()


def test_synthetic_people_are_marked_everywhere():
    made = world(participants=6, consented=True, synthetic=True)
    label(made)
    with_media(made)
    folder = releases.path_of(_build(_gate(made)))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["dataset"]["synthetic"] is True
    assert "3 of 3 raters are computer-made" in (folder / "README.md").read_text()
    assert "- synthetic" in (folder / "DATASET_CARD.md").read_text()
    assert all(row["is_synthetic"] for row in _table(folder, "raters"))
    assert all(row["is_synthetic"] for row in _table(folder, "recordings"))


# Withdrawal after publication


def test_a_redaction_keeps_the_root_and_forgets_the_person(made):
    release = _build(_gate(made))
    folder = releases.path_of(release)
    gone = made.participants[2]
    code = ReleaseCode.objects.get(participant=gone).code
    before = json.loads((folder / "manifest.json").read_bytes())
    salts = [leaf["salt"] for leaf in before["leaves"] if leaf["participant"] == code]
    kept = {
        path: (folder / path).read_bytes()
        for leaf in before["leaves"]
        if leaf["participant"] != code
        for path in [leaf["files"][0]["path"]]
    }
    root = release.root
    consent.withdraw(participant=gone, actor="manager", purpose=Purpose.RESEARCH)
    release.refresh_from_db()
    assert release.state == Release.State.HELD
    assert releases.is_held(release)
    assert redaction.redact_refused(release=release, actor="manager") == 1
    assert verify(folder, root=root, seal=release.figures["seal"]) == []
    after = json.loads((folder / "manifest.json").read_bytes())
    assert (after["root"], after["revision"]) == (root, 2)
    assert sum("tombstone" in leaf for leaf in after["leaves"]) == 4
    assert not [path for path, text in _texts(folder) if _names(text, code)]
    assert not list(folder.rglob(f"*{code}*"))
    assert not any(salt in (folder / "manifest.json").read_text() for salt in salts)
    assert {path: (folder / path).read_bytes() for path in kept} == kept
    assert code not in {row["participant"] for row in _table(folder, "participants")}
    assert len(_table(folder, "recordings")) == 6
    stones = release.leaves.filter(tombstone_at__isnull=False)
    assert {(leaf.salt, leaf.participant, leaf.logical_object) for leaf in stones} == {
        ("", None, "")
    }
    assert {row.sha256 for row in Container.objects.filter(release=release)} == {
        entry["sha256"] for entry in after["containers"]
    }
    assert release.state == Release.State.PUBLISHED
    assert redaction.redact(release=release, participant=gone, actor="manager") is False
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_redaction_lets_out_no_label_that_was_waived_since(made):
    run = _gate(made)
    release = _build(run)
    folder = releases.path_of(release)
    waiver = {"who": made.lead, "why": "For a methods study only.", "label": "video/certainty"}
    gate.waive(gate_run=run, until=timezone.now() + timedelta(days=1), **waiver)
    consent.withdraw(participant=made.participants[2], actor="manager", purpose=Purpose.RESEARCH)
    assert redaction.redact_refused(release=release, actor="manager") == 1
    assert "video/certainty" not in {row["label"] for row in _table(folder, "clip_labels")}
    assert json.loads((folder / "receipt.json").read_text())["release"]["waivers"] == {}


def test_a_redaction_keeps_a_label_whose_waiver_has_ended(made, monkeypatch):
    run = _gate(made)
    waiver = {"who": made.lead, "why": "For a methods study only.", "label": "video/certainty"}
    gate.waive(gate_run=run, until=timezone.now() + timedelta(days=1), **waiver)
    release = _build(run)
    later = timezone.now() + timedelta(days=2)
    monkeypatch.setattr(gate, "timezone", SimpleNamespace(now=lambda: later))
    assert not gate.standings(run)["video/certainty"].may_be_released
    consent.withdraw(participant=made.participants[2], actor="manager", purpose=Purpose.RESEARCH)
    assert redaction.redact_refused(release=release, actor="manager") == 1
    labels = {row["label"] for row in _table(releases.path_of(release), "clip_labels")}
    assert "video/certainty" in labels


def test_erasing_a_participant_reaches_every_release(made):
    run = _gate(made)
    built = [_build(run), _build(run, purpose="challenge")]
    gone = made.participants[0]
    from waver.datasets.holders import DatasetsHolder

    holder = DatasetsHolder()
    assert {held.kind for held in holder.list(gone.pk)} >= {"statistic", "share of a release"}
    holder.erase(gone.pk)
    assert holder.verify_absent(gone.pk) == []
    holder.erase(gone.pk)  # again, as after a crash
    for release in built:
        release.refresh_from_db()
        assert verify(releases.path_of(release), root=release.root) == []
    assert not SplitAssignment.objects.filter(participant=gone).exists()


def test_when_the_last_participant_goes_only_tombstones_stay():
    made = world(participants=6, consented=True)
    label(made)
    with_media(made)
    release = _build(_gate(made))
    for person in made.participants:
        redaction.redact(release=release, participant=person, actor="manager")
    folder = releases.path_of(release)
    assert verify(folder, root=release.root) == []
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "verify.py"]


# Commands and jobs


def test_the_command_finds_what_was_done_to_a_release(made, capsys):
    release = _build(_gate(made))
    folder = releases.path_of(release)
    call_command("verify_release", str(folder))
    assert "as it was published" in capsys.readouterr().out
    video = next(folder.glob("bah/Videos/*/*/*.mp4"))
    original = video.read_bytes()
    video.write_bytes(original[:-1] + b"?")
    (folder / "notes.txt").write_text("mine")
    (folder / "policy.yaml").unlink()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_release", str(folder))
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert f"“{video.relative_to(folder).as_posix()}” was changed" in said
    assert "“notes.txt” does not belong to the release" in said
    assert "“policy.yaml” is missing" in said
    assert "3 problems" in said


def test_the_command_knows_the_published_seal(made, capsys):
    release = _build(_gate(made))
    folder = releases.path_of(release)
    body = json.loads((folder / "manifest.json").read_bytes())
    body["dataset"]["title"] = "Another title"
    from waver.datasets import verify as verification

    body["seal"] = verification.seal_of(body)
    (folder / "manifest.json").write_bytes(verification.render(body))
    assert verify(folder) == []
    with pytest.raises(SystemExit):
        call_command("verify_release", str(folder))
    assert "The seal is not the publisher's" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_a_release_is_built_by_a_job(made):
    import workers.tasks  # noqa: F401
    from workers import runner

    run = _gate(made)
    job = releases.request(gate_run=run, version="1.0", purpose="research", actor="lead")
    runner.work(queues=("io",))
    job.refresh_from_db()
    assert (job.state, job.error) == (Job.State.DONE, "")
    release = Release.objects.get()
    assert verify(releases.path_of(release), root=release.root) == []


def test_stored_blobs_are_left_alone(made):
    before = stored_blob(b"another")
    _build(_gate(made))
    before.refresh_from_db()
    assert before.references == 1


def test_a_release_that_consent_left_comes_back_by_a_job(made):
    import workers.tasks  # noqa: F401
    from workers import runner

    release = _build(_gate(made), purpose="challenge")
    gone = made.participants[0]
    consent.withdraw(participant=gone, actor="manager", purpose=Purpose.CHALLENGE)
    release.refresh_from_db()
    assert release.state == Release.State.HELD
    folder = releases.path_of(release)
    left_behind = folder.with_name(f".{folder.name}.redaction-of-one-that-died")
    left_behind.mkdir()
    os.utime(left_behind, (0, 0))
    runner.work(queues=("io",))
    job = Job.objects.get(name="datasets.redact")
    assert (job.state, job.error) == (Job.State.DONE, "")
    release.refresh_from_db()
    assert release.state == Release.State.PUBLISHED
    assert not Leaf.objects.filter(release=release, participant=gone).exists()
    assert verify(folder, root=release.root, seal=release.figures["seal"]) == []
    assert release.figures["participants"] == 6
    assert not left_behind.exists()


# Masked previews


def _preview(recording, recall: float | None = 1.0, *, blank: tuple = ()) -> None:
    """Leave what the stage leaves; tests/recordings/test_masked.py makes real ones."""
    assets = {asset.kind: asset for asset in recording.assets.select_related("blob")}
    if "landmarks" not in assets:
        assets["landmarks"] = AssetFactory(
            recording=recording, kind="landmarks", data=f"faces {recording.pk}".encode()
        )
    AssetFactory(
        recording=recording,
        kind="masked_preview",
        data=f"masked {recording.pk}".encode(),
        made_by={
            "stage": "mask",
            "version": pipeline.MASK.version,
            "inputs": sorted(assets[kind].blob.sha256 for kind in ("proxy", "landmarks")),
            "parameters": {"blank": list(blank)},
        },
    )
    figures = {"frames": 300, "frames_checked": 30, "checked_by": "another", "recall": recall}
    figures |= {"faces_found": 30, "faces_covered": 30, "faces_still_seen": 0}
    Stage.objects.create(
        recording=recording, name="mask", version=1, state=Stage.State.DONE, figures=figures
    )


def test_masked_previews_go_out_where_they_are_good_and_are_asked_for_where_they_are_missing(
    made: World,
) -> None:
    run = _gate(made)
    good, poor, none = made.recordings[:5], made.recordings[5], made.recordings[6]
    for recording in good:
        _preview(recording)
    _preview(poor, recall=0.9)
    AssetFactory(recording=none, kind="landmarks", data=b"faces")
    wanted = {"gate_run": run, "version": "1.0", "purpose": "research", "actor": "lead"}
    with pytest.raises(Conflict, match="1 of the 7 recordings have no masked preview yet"):
        releases.request(**wanted, with_previews=True)
    (asked,) = Job.objects.filter(name="recordings.mask")
    assert asked.subject_id == str(none.pk)
    assert not Job.objects.filter(name="datasets.release").exists()
    asked.delete()
    Stage.objects.create(
        recording=none, name="mask", version=1, state=Stage.State.FAILED, error="It broke."
    )
    job = releases.request(**wanted, with_previews=True)  # one that cannot be made stays out
    assert job.payload["with_previews"] is True


def test_a_poor_preview_stays_out_and_a_withdrawal_takes_the_person_s_preview_along(
    made: World,
) -> None:
    run = _gate(made)
    for recording in made.recordings[:6]:
        _preview(recording)
    _preview(made.recordings[6], recall=0.9)
    release = _build(run, with_previews=True)
    folder = releases.path_of(release)
    videos = sorted(folder.glob("previews/*/*.mp4"))
    assert len(videos) == 6
    assert verify(folder) == []
    for video in videos:
        assert video.read_bytes().startswith(b"masked ")
        assert json.loads(video.with_suffix(".json").read_text())["recall"] == 1.0
    assert "every face under one grey" in (folder / "README.md").read_text(encoding="utf-8")
    assert release.figures["formats"][-1] == "previews"

    gone = made.participants[0]
    before = {video.parent.name for video in videos}
    withdrawal.withdraw(participant=gone, actor="tests")
    assert redaction.redact(release=release, participant=gone, actor="tests")
    after = {video.parent.name for video in folder.glob("previews/*/*.mp4")}
    assert len(before - after) == 1
    assert len(after) == 5
    assert verify(folder) == []
    assert "every face under one grey" in (folder / "README.md").read_text(encoding="utf-8")


def test_without_being_asked_for_no_preview_goes_out(made: World) -> None:
    for recording in made.recordings:
        _preview(recording)
    release = _build(_gate(made))
    assert not (releases.path_of(release) / "previews").exists()
    assert "previews" not in release.figures["formats"]

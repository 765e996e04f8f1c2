"""A release's manifest: every changed, missing or extra byte is found, and a withdrawal keeps
the root."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waver.datasets import manifest as manifests
from waver.datasets import verify as verification
from waver.datasets.manifest import BuiltFile, File, Share
from waver.datasets.verify import hash_file, leaf_hash, root_of, verify

NOW = datetime(2025, 2, 3, tzinfo=UTC)
FILES = {
    "media/P1/clip.mp4": b"first clip",
    "media/P2/clip.mp4": b"second clip",
    "media/P2/empty.txt": b"",
    "tables/all.csv": b"a,b\n1,2\n",
}


def _file(folder: Path, path: str, **more) -> File:
    size, sha256 = hash_file(folder / path)
    return (BuiltFile if "builder" in more else File)(path, size, sha256, **more)


def _release(folder: Path) -> manifests.Manifest:
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    crops = "media/P1/crops.sha256"
    (folder / "media/P1/crops").mkdir()
    lines = []
    for n in range(3):
        path = f"media/P1/crops/frame-{n}.jpg"
        (folder / path).write_bytes(bytes([n]) * 5)
        size, sha256 = hash_file(folder / path)
        lines.append(f"{sha256}  {size}  {path}\n")
    (folder / crops).write_text("".join(lines))
    shares = [
        Share("P1", "clip", (_file(folder, "media/P1/clip.mp4"),)).salted(),
        Share("P1", "crops", (_file(folder, crops, lists=True),)).salted(),
        Share(
            "P2",
            "clip",
            (_file(folder, "media/P2/clip.mp4"), _file(folder, "media/P2/empty.txt")),
        ).salted(),
    ]
    made = manifests.compose(
        dataset={"study": "s", "version": "1", "purpose": "research"},
        shares=shares,
        containers=[_file(folder, "tables/all.csv", builder="tables/1")],
    )
    made.write(folder)
    return made


@pytest.fixture
def release(tmp_path: Path) -> Path:
    _release(tmp_path / "release")
    return tmp_path / "release"


def _every_file(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_untouched_release_verifies(release):
    assert verify(release) == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_byte_is_found(release, data):
    file = data.draw(st.sampled_from([f for f in _every_file(release) if f.stat().st_size]))
    original = file.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    file.write_bytes(original[:at] + bytes([original[at] ^ flip]) + original[at + 1 :])
    try:
        problems = verify(release)
    finally:
        file.write_bytes(original)
    name = file.relative_to(release).as_posix()
    assert any(problem.path == name for problem in problems)
    assert all(problem.sentence.endswith(".") for problem in problems)


def test_every_missing_file_is_found(release):
    for file in _every_file(release):
        kept = file.read_bytes()
        file.unlink()
        kinds = {(p.kind, p.path) for p in verify(release)}
        name = file.relative_to(release).as_posix()
        assert kinds >= {("manifest" if name == "manifest.json" else "missing", name)}
        file.write_bytes(kept)
    assert verify(release) == []


@pytest.mark.parametrize(
    "path", ["extra.txt", ".hidden", "media/P1/crops/frame-3.jpg", "new/deep/file"]
)
def test_an_extra_file_is_found(release, path):
    (release / path).parent.mkdir(parents=True, exist_ok=True)
    (release / path).write_bytes(b"")
    assert [(p.kind, p.path) for p in verify(release)] == [("extra", path)]


def test_links_are_found(release, tmp_path):
    outside = tmp_path / "outside"
    shutil.copy(release / "tables/all.csv", outside)
    (release / "tables/all.csv").unlink()
    (release / "tables/all.csv").symlink_to(outside)
    (release / "folder").symlink_to(tmp_path)
    assert {(p.kind, p.path) for p in verify(release)} == {
        ("changed", "tables/all.csv"),
        ("extra", "folder"),
    }


def test_a_rewritten_manifest_is_found_by_the_published_root_and_seal(release):
    published = json.loads((release / "manifest.json").read_bytes())
    (release / "media/P2/clip.mp4").write_bytes(b"forged clip")
    shares = [
        Share("P2", "clip", (_file(release, "media/P2/clip.mp4"),)).salted(),
    ]
    shutil.rmtree(release / "media/P1")
    (release / "media/P2/empty.txt").unlink()
    manifests.compose(
        dataset=published["dataset"],
        shares=shares,
        containers=[_file(release, "tables/all.csv", builder="tables/1")],
    ).write(release)
    assert verify(release) == []  # whole in itself
    assert verify(release, root=published["root"])
    assert verify(release, seal=published["seal"])


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../b", "a\\b", ""])
def test_a_manifest_cannot_point_outside(tmp_path, path):
    made = manifests.compose(
        dataset={}, shares=[], containers=[BuiltFile(path, 0, "0" * 64, builder="x/1")]
    )
    made.write(tmp_path)
    assert [p.kind for p in verify(tmp_path)] == ["manifest"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["P1", "P2", "P3", "P4"]), st.text(max_size=5)),
        max_size=20,
    ),
    st.sampled_from(["P1", "P2", "P3", "P4"]),
)
def test_tombstones_keep_the_root(rows, gone):
    shares = [Share(who, f"{what}{n}", ()).salted() for n, (who, what) in enumerate(rows)]
    first = manifests.compose(dataset={"study": "s"}, shares=shares, containers=[])
    second = manifests.bury(first.body, participant=gone, at=NOW, containers=[])
    assert second.root == first.root
    assert second.seal != first.seal
    assert second.body["revision"] == 2
    for before, after in zip(first.body["leaves"], second.body["leaves"], strict=True):
        assert after["hash"] == before["hash"]
        if before["participant"] == gone:
            assert set(after) == {"hash", "tombstone"}
        else:
            assert after == before


def test_a_tombstone_verifies_once_the_files_are_gone(release):
    first = json.loads((release / "manifest.json").read_bytes())
    second = manifests.bury(
        first,
        participant="P1",
        at=NOW,
        containers=[_file(release, "tables/all.csv", builder="tables/1")],
    )
    second.write(release)
    assert {p.kind for p in verify(release)} == {"extra"}
    shutil.rmtree(release / "media/P1")
    assert verify(release, root=first["root"]) == []
    assert all(leaf["salt"] not in json.dumps(second.body) for leaf in first["leaves"][:2])


def test_a_tombstone_that_still_says_whose_it_was_is_found(release):
    body = json.loads((release / "manifest.json").read_bytes())
    body["leaves"][0]["tombstone"] = "2025-02-03"
    body["seal"] = verification.seal_of(body)
    (release / "manifest.json").write_bytes(verification.render(body))
    assert "is a tombstone and still has" in verify(release)[0].sentence


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=33))
def test_the_tree_is_that_of_rfc_6962_with_our_prefixes(leaves):
    def tree(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1
        while split * 2 < len(part):
            split *= 2
        prefix = b"waver.manifest/1 node\0"
        return hashlib.sha256(prefix + tree(part[:split]) + tree(part[split:])).digest()

    assert root_of(leaf.hex() for leaf in leaves) == tree(leaves).hex()


def test_a_leaf_cannot_be_guessed_without_its_salt():
    with pytest.raises(ValueError, match="salt"):
        _ = Share("P1", "clip", ()).hash
    one, other = (Share("P1", "clip", ()).salted() for _ in range(2))
    assert one.hash != other.hash
    assert one.hash == leaf_hash(one.salt, "P1", "clip", [])


def test_the_release_checks_itself_without_waver(release, tmp_path):
    script = tmp_path / "verify.py"
    shutil.copy(verification.__file__, script)
    run = [sys.executable, "-I", str(script), str(release)]
    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    (release / "tables/all.csv").write_bytes(b"a,b\n1,3\n")
    answer = subprocess.run(run, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "“tables/all.csv” was changed" in answer.stdout


def test_a_tombstone_that_the_publisher_did_not_make_is_found_by_the_seal(release):
    before = json.loads((release / "manifest.json").read_bytes())
    forged = manifests.bury(
        before,
        participant="P2",
        at=NOW,
        containers=[_file(release, "tables/all.csv", builder="tables/1")],
    )
    forged.write(release)
    shutil.rmtree(release / "media/P2")
    assert verify(release, root=before["root"]) == []
    assert [problem.kind for problem in verify(release, seal=before["seal"])] == ["manifest"]


def test_a_manifest_nested_too_deeply_is_damaged_and_not_a_crash(release):
    (release / "manifest.json").write_text("[" * 100_000)
    assert [problem.kind for problem in verify(release)] == ["manifest"]


def test_a_file_that_cannot_be_read_is_a_problem_and_not_a_crash(release, monkeypatch):
    def refuse(path: Path) -> tuple[int, str]:
        if path.name == "all.csv":
            raise PermissionError(13, "Permission denied")
        return hash_file(path)

    monkeypatch.setattr(verification, "hash_file", refuse)
    found = verify(release)
    assert [(problem.kind, problem.path) for problem in found] == [("missing", "tables/all.csv")]
    assert "cannot be read (Permission denied)" in found[0].sentence


def test_a_folder_that_cannot_be_looked_into_is_a_problem(release, monkeypatch):
    scandir = verification.os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (release / "closed").mkdir()
    monkeypatch.setattr(verification.os, "scandir", refuse)
    assert [(problem.kind, problem.path) for problem in verify(release)] == [("extra", "closed")]

"""Receipts: signed here, checked by anybody, with nothing of ours."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.worlds import label, policy_text, with_media, world
from waver.datasets import gate, policies, receipts, releases, snapshots
from waver.datasets.models import Release
from waver.datasets.verify import (
    RECEIPT,
    canonical,
    is_signed,
    render,
    seal_of,
    signed_bytes,
    verify,
)

RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
            "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
            "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
            "ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


# Signatures


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032, ids=["1", "2", "3"])
def test_the_published_vectors_hold(key, message, signature):
    from waver.datasets.verify import _is_ed25519

    assert _is_ed25519(bytes.fromhex(key), bytes.fromhex(message), signature)
    assert not _is_ed25519(bytes.fromhex(key), bytes.fromhex(message) + b"x", signature)


@given(
    seed=st.binary(min_size=32, max_size=32), place=st.integers(0, 63), value=st.integers(1, 255)
)
def test_what_the_library_signs_is_right_and_what_was_changed_is_not(seed, place, value):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw().hex()
    statement = {"label": "ah", "alpha": 0.7}
    signature = bytearray(key.sign(signed_bytes(RECEIPT, statement)))
    assert is_signed(RECEIPT, statement, signature.hex(), public)
    assert not is_signed(RECEIPT, {**statement, "alpha": 0.71}, signature.hex(), public)
    assert not is_signed("waver.other/1", statement, signature.hex(), public)
    signature[place] ^= value
    assert not is_signed(RECEIPT, statement, signature.hex(), public)


@pytest.mark.parametrize("wrong", ["", "no number", "00", "ff" * 32, "00" * 31])
def test_what_is_no_key_or_signature_is_refused_and_breaks_nothing(wrong):
    signature = receipts.sign({"a": 1})
    assert is_signed(RECEIPT, {"a": 1}, signature, receipts.public_key())
    assert not is_signed(RECEIPT, {"a": 1}, signature, wrong)
    assert not is_signed(RECEIPT, {"a": 1}, wrong, receipts.public_key())


def test_a_second_form_of_the_same_signature_is_refused():
    """S + the group's order fits the same equation; taking it would give receipts two names."""
    raw = bytes.fromhex(receipts.sign({"a": 1}))
    order = 2**252 + 27742317777372353535851937790883648493
    other = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert not is_signed(RECEIPT, {"a": 1}, other.hex(), receipts.public_key())


@pytest.mark.parametrize("key", ["", "tests-signing-key", "ab" * 31])
def test_a_setting_that_is_no_key_is_said_at_once(settings, key):
    settings.RELEASE_SIGNING_KEY = key
    with pytest.raises(ImproperlyConfigured, match="64 hexadecimal digits"):
        receipts.sign({})


@pytest.mark.slow
def test_production_starts_only_with_a_key(tmp_path):
    names = (
        "WAVER_SECRET_KEY", "WAVER_LABEL_STUDIO_SERVICE_TOKEN", "WAVER_BROKER_URL",
        "WAVER_LABEL_STUDIO_GUARD_SECRET", "WAVER_LABEL_STUDIO_WEBHOOK_SECRET", "WAVER_HOSTS",
        "POSTGRES_PASSWORD", "POSTGRES_HOST", "WAVER_OBJECT_STORE_URL",
        "WAVER_OBJECT_STORE_BUCKET", "WAVER_OBJECT_STORE_KEY", "WAVER_OBJECT_STORE_SECRET",
    )  # fmt: skip
    given_all = dict.fromkeys(names, "value")
    said = []
    for key in ("", "short", "cd" * 32):
        done = subprocess.run(
            [sys.executable, "-c", "import waver.config.settings.prod"],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "WAVER_VAR": str(tmp_path)}
            | given_all
            | {"WAVER_RELEASE_SIGNING_KEY": key},
            capture_output=True,
            text=True,
            check=False,
        )
        said.append((done.returncode, done.stderr))
    assert [code for code, _ in said] == [1, 1, 0], said
    assert "WAVER_RELEASE_SIGNING_KEY (or WAVER_RELEASE_SIGNING_KEY_FILE) is not set" in said[0][1]
    assert "must be 64 hexadecimal digits" in said[1][1]


# In a release


@pytest.fixture
def folder(db, storage_folder) -> Path:
    made = world(participants=7, consented=True)
    label(made, errors=0.02)
    with_media(made)
    rules = yaml.safe_load(policy_text())
    rules["labels"]["video/certainty"] |= {
        "pass": {"lower": 0.99},
        "tentative": {"lower": 0.98, "point": 0.98, "export_as": "soft"},
    }
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=yaml.safe_dump(rules), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    release = releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")
    return releases.path_of(release)


def _rewrite(folder: Path, change) -> None:
    """Change the receipt as somebody would who can write every file, the manifest included."""
    from waver.datasets.verify import hash_file

    path = folder / "receipt.json"
    evidence = json.loads(path.read_text())
    change(evidence)
    path.write_text(json.dumps(evidence, indent=1, sort_keys=True) + "\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    size, sha256 = hash_file(path)
    for entry in manifest["containers"]:
        if entry["path"] == "receipt.json":
            entry |= {"bytes": size, "sha256": sha256}
    manifest["seal"] = seal_of(manifest)
    (folder / "manifest.json").write_bytes(render(manifest))


def _sentences(folder: Path, **more) -> list[str]:
    return [problem.sentence for problem in verify(folder, **more)]


@pytest.mark.programs
def test_a_recipient_checks_the_receipt_with_the_release_alone(folder):
    assert verify(folder) == []
    done = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"It was made with the key\n{receipts.public_key()}" in done.stdout
    named = subprocess.run(
        [sys.executable, "-I", "verify.py", ".", "--key", receipts.public_key()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "signed by the publisher with this key" in named.stdout
    evidence = json.loads((folder / "receipt.json").read_text())
    receipt = evidence["receipt"]
    assert receipt["seed"] == 20261120
    assert re.fullmatch("[0-9a-f]{64}", receipt["versions"]["code_sha256"])
    assert {"numpy", "scipy", "krippendorff", "python"} <= set(receipt["versions"])
    for found in receipt["labels"].values():
        assert "For these raters" in found["sentence"]
        assert re.fullmatch("[0-9a-f]{64}", found["inputs_sha256"])
        assert {"interval", "without_one_rater", "n", "alpha", "lower"} <= set(found)
    assert receipts.public_key() in (folder / "README.md").read_text()


IMPROVED = [
    (lambda e: e["receipt"]["labels"]["video/ah"].update(alpha=0.99), "gate computed was changed"),
    (lambda e: e["receipt"].update(seed=4), "What the gate computed was changed"),
    (lambda e: e["release"].update(waivers={"video/ah": {}}), "responsibility, was changed"),
    (lambda e: e["release"].update(root="0" * 64), "belongs to another release"),
    (lambda e: e["signature"].update(algorithm="HMAC-SHA256"), "gate computed was changed"),
    (lambda e: e.pop("receipt"), "is no signed receipt"),
    (lambda e: e.pop("release_signature"), "is no signed receipt"),
]


def test_a_receipt_that_was_improved_is_found_though_every_hash_fits(folder, tmp_path):
    for number, (change, said) in enumerate(IMPROVED):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        _rewrite(copy, change)
        assert any(said in sentence for sentence in _sentences(copy)), (number, _sentences(copy))


def test_a_receipt_signed_by_somebody_else_is_found_with_the_publishers_key(folder):
    ours = receipts.public_key()
    thief = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
    theirs = thief.public_key().public_bytes_raw().hex()

    def sign_anew(evidence):
        evidence["receipt"]["labels"]["video/ah"]["alpha"] = 0.99
        digest = hashlib.sha256(canonical(evidence["receipt"]))
        evidence["release"]["receipt_sha256"] = digest.hexdigest()
        for part, kind, name in (
            ("receipt", RECEIPT, "signature"),
            ("release", "waver.release/1", "release_signature"),
        ):
            value = thief.sign(signed_bytes(kind, evidence[part])).hex()
            evidence[name] |= {"public_key": theirs, "value": value}

    _rewrite(folder, sign_anew)
    assert _sentences(folder) == []  # against itself alone, nothing can be found
    assert "not the publisher's" in " ".join(_sentences(folder, key=ours))
    with pytest.raises(SystemExit):
        call_command("verify_release", str(folder))


def test_the_key_of_this_installation_is_printed(capsys, settings):
    settings.RELEASE_EARLIER_KEYS = ["ee" * 32]
    call_command("signing_key")
    assert capsys.readouterr().out.split() == [receipts.public_key(), "ee" * 32]


# Soft labels


def test_a_tentative_label_leaves_as_votes_only(db, storage_folder):
    import pyarrow.parquet as pq

    made = world(participants=7, consented=True)
    label(made)
    with_media(made)
    rules = yaml.safe_load(policy_text())
    rules["labels"]["segments/ah"] |= {
        "pass": {"lower": 0.99},
        "tentative": {"lower": 0.6, "point": 0.6, "export_as": "soft"},
    }
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=yaml.safe_dump(rules), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    found = run.receipt["labels"]["segments/ah"]
    assert found["verdict"] == "tentative", found["sentence"]
    release = releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")
    folder = releases.path_of(release)
    assert verify(folder) == []
    assert Release.objects.get().figures["labels"]["segments/ah"] == "tentative"
    soft = pq.read_table(folder / "tables/soft_labels.parquet").to_pylist()
    assert {row["label"] for row in soft} == {"segments/ah"}
    assert {row["stamp"] for row in soft} == {"TENTATIVE"}
    assert all(row["share"] == row["votes"] / row["raters"] for row in soft)
    for name in ("consensus", "segments", "votes", "adjudications"):
        rows = pq.read_table(folder / f"tables/{name}.parquet").to_pylist()
        assert "segments/ah" not in {row.get("label") for row in rows}, name
    readme = (folder / "README.md").read_text()
    assert "**TENTATIVE. segments/ah came close and did not pass." in readme
    assert "only as soft labels. For these raters, “segments/ah” is tentative" in readme
    evidence = json.loads((folder / "receipt.json").read_text())
    assert evidence["release"]["soft_labels"] == {"segments/ah": "tentative"}
    bah = yaml.safe_load((folder / "bah/video_annotation_transcript.yaml").read_text())
    assert {entry["frame_annotation"] for entry in bah.values()} == {None}
    assert {row["share"] for row in soft} > {1.0}

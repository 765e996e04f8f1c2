"""Redactions that meet each other, or are killed, leave nobody behind in a release."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.datasets.worlds import World, label, policy_text, with_media, world
from waver.core.holders import all_holders
from waver.datasets import gate, policies, redaction, releases, snapshots
from waver.datasets.models import Release
from waver.datasets.verify import verify

pytestmark = [
    pytest.mark.programs,
    pytest.mark.django_db,
    pytest.mark.usefixtures("storage_folder"),
]


class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def made() -> World:
    found = world(participants=7, consented=True)
    label(found)
    with_media(found)
    return found


@pytest.fixture
def release(made) -> Release:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    return releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")


def _people_on_disk(folder: Path) -> int:
    leaves = json.loads((folder / "manifest.json").read_text())["leaves"]
    return len({leaf["participant"] for leaf in leaves if "tombstone" not in leaf})


def _redact(release: Release, person) -> bool:
    return redaction.redact(release=release, participant=person, actor="tests")


def test_two_people_who_are_taken_out_at_once_are_both_gone(made, release, monkeypatch):
    first, second = made.participants[:2]
    rebuild = redaction._rebuild

    def rebuild_and_be_overtaken(*args):
        figures = rebuild(*args)
        monkeypatch.setattr(redaction, "_rebuild", rebuild)
        assert _redact(Release.objects.get(pk=release.pk), second)
        return figures

    monkeypatch.setattr(redaction, "_rebuild", rebuild_and_be_overtaken)
    assert _redact(release, first)
    folder = releases.path_of(release)
    assert _people_on_disk(folder) == len(made.participants) - 2
    assert release.figures["revision"] == 3
    assert verify(folder) == []
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_redaction_killed_between_its_two_renames_is_done_again(made, release, monkeypatch):
    folder, replace = releases.path_of(release), os.replace

    def replace_once(source, target):
        replace(source, target)
        if Path(source) == folder:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_once)
        with pytest.raises(Killed):
            _redact(release, made.participants[0])
    assert not folder.exists()
    assert _redact(release, made.participants[0])
    assert _people_on_disk(folder) == len(made.participants) - 1
    assert verify(folder) == []


def test_a_redaction_killed_before_its_commit_is_done_again(made, release, monkeypatch):
    folder, replace = releases.path_of(release), os.replace

    def replace_and_die(source, target):
        replace(source, target)
        if Path(target) == folder:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_and_die)
        with pytest.raises(Killed):
            _redact(release, made.participants[0])
    assert release.leaves.filter(participant=made.participants[0]).exists()
    assert _redact(release, made.participants[0])
    assert not release.leaves.filter(participant=made.participants[0]).exists()
    assert _people_on_disk(folder) == len(made.participants) - 1
    assert verify(folder) == []


def test_an_erasure_removes_what_a_killed_redaction_left_on_the_disk(made, release):
    folder, person = releases.path_of(release), made.participants[0]
    assert _redact(release, person)
    # As it lies there between the commit and its removal.
    shutil.copytree(folder, folder.with_name(f".{folder.name}.replaced-2"))
    holder = next(each for each in all_holders() if each.name == "datasets")
    holder.erase(person.pk)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

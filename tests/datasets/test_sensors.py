"""Sensors in releases: with the clips that they were recorded beside, gone with their person."""

from __future__ import annotations

import json

import pytest

from tests.datasets.worlds import World, label, policy_text, with_media, world
from tests.factories import sensor_recording
from waver.consent.withdrawal import restrict
from waver.core.clock import Span
from waver.datasets import gate, policies, redaction, releases, snapshots
from waver.datasets.models import Release
from waver.datasets.verify import verify
from waver.recordings.models import Recording

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


@pytest.fixture
def made() -> World:
    found = world(participants=7, consented=True)
    label(found)
    with_media(found)
    return found


def build(made: World) -> Release:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    return releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")


def test_sensors_go_with_their_clip_and_leave_with_their_person(made):
    first, second = made.recordings[:2]
    sensor_recording(first.take, offset_us=-250_000, data=b"samples of the first", missing=2)
    sensor_recording(second.take, offset_us=-250_000, data=b"samples of the second", missing=2)
    release = build(made)
    folder = releases.path_of(release)
    assert verify(folder, root=release.root, seal=release.figures["seal"]) == []
    tables = sorted((folder / "sensors").rglob("*.parquet"))
    assert {path.read_bytes() for path in tables} == {
        b"samples of the first", b"samples of the second",
    }  # fmt: skip
    described = json.loads(tables[0].with_suffix(".json").read_text(encoding="utf-8"))
    assert described["offset_us"] == -250_000
    assert described["channels"] == [
        {"channel": 0, "name": "EDA", "unit": "µS", "rate": [4, 1], "samples": 40, "missing": 2}
    ]
    assert "sensors that were recorded beside 2 of 7 clips" in (folder / "README.md").read_text()
    assert release.leaves.filter(recording=first.pk).count() == 5

    # What comes later is no part of a release that is there, and what is being read again still is.
    sensor_recording(made.recordings[2].take, data=b"samples of the third")
    Recording.objects.filter(take=second.take, view="physiology").update(state="processing")
    assert redaction.redact(release=release, participant=first.participant, actor="tests")
    release.refresh_from_db()
    left = list((folder / "sensors").rglob("*.parquet"))
    assert [path.read_bytes() for path in left] == [b"samples of the second"]
    assert "sensors that were recorded beside 1 of 6 clips" in (folder / "README.md").read_text()
    assert verify(folder, root=release.root, seal=release.figures["seal"]) == []


def test_what_must_not_be_used_or_is_not_ready_stays_inside(made):
    first, second = made.recordings[:2]
    row = sensor_recording(first.take)
    restrict(participant=row.participant, recording_id=row.pk, reason="Taken off.",
             span=Span(0, 10), actor="tests")  # fmt: skip
    Recording.objects.filter(pk=sensor_recording(second.take).pk).update(
        state=Recording.State.FAILED
    )
    release = build(made)
    assert not (releases.path_of(release) / "sensors").exists()
    assert release.leaves.filter(recording=first.pk).exists()

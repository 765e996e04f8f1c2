"""The masked preview on a recording's page, and an hour on its timeline, in a real browser."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Visitor
from tests.factories import AssetFactory
from tests.website.conftest import House
from tests.website.material import Material
from waver.recordings import pipeline
from waver.recordings.models import Asset, Recording, Stage

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SHOTS = os.environ.get("WAVER_SHOTS", "")


def masked(recording: Recording, coded: Path) -> None:
    """Leave what the stage leaves; tests/recordings/test_masked.py makes a real one."""
    proxy = recording.assets.select_related("blob").get(kind="proxy")
    table = AssetFactory(recording=recording, kind=Asset.Kind.LANDMARKS, data=b"faces")
    AssetFactory(
        recording=recording, kind=Asset.Kind.MASKED_PREVIEW, media_type="video/mp4",
        data=(coded / "proxy.mp4").read_bytes(),
        made_by={
            "stage": "mask", "version": pipeline.MASK.version, "tools": {},
            "inputs": sorted([proxy.blob.sha256, table.blob.sha256]), "parameters": {"blank": []},
        },
    )  # fmt: skip
    Stage.objects.create(
        recording=recording, name="mask", version=1, state=Stage.State.DONE,
        figures={
            "frames": 300, "frames_checked": 30, "checked_by": "yunet", "recall": 1.0,
            "faces_found": 30, "faces_covered": 30, "faces_still_seen": 0, "frames_blank": 0,
        },
    )  # fmt: skip


def test_a_masked_preview_plays_beside_its_recall(
    visitor: Visitor, house: House, material: Material, coded: Path
) -> None:
    masked(material.recording, coded)
    visitor.sign_in(house.people["researcher"].username)
    visitor.open(f"/studies/voices/recordings/{material.recording.pk}/#masked")
    video = "document.querySelector('#masked video')"
    visitor.until(f"{video} && {video}.readyState >= 1")
    visitor.page.evaluate(f"() => {video}.play()")
    visitor.until(f"{video}.currentTime > 0.2")
    assert "100 % of the 30 faces" in visitor.page.inner_text("#masked")
    shot(visitor, "masked")
    assert visitor.problems == []


def test_an_hour_is_drawn_at_once(visitor: Visitor, house: House, material: Material) -> None:
    recording, seconds = material.recording, 3600
    Recording.objects.filter(pk=recording.pk).update(
        duration_us=seconds * 1_000_000, frame_count=seconds * 30
    )
    recording.assets.filter(kind__in=["waveform", "face_outline"]).delete()
    times = [n * 100_000 for n in range(seconds * 10)]
    for kind, body in (
        (
            "waveform",
            {"buckets_per_second": 20, "peaks": [n % 701 / 701 for n in range(seconds * 20)]},
        ),
        (
            "face_outline",
            {
                "runs": [[0, seconds * 1_000_000, "absent"]],
                "pose": {"time_us": times, "yaw": [n % 90 - 45 for n in range(len(times))],
                         "pitch": [0.0] * len(times), "roll": [0.0] * len(times)},
            },
        ),
    ):  # fmt: skip
        AssetFactory(
            recording=recording, kind=kind, media_type="application/json",
            data=json.dumps(body).encode(),
        )  # fmt: skip
    visitor.sign_in(house.people["researcher"].username)
    visitor.open(f"/studies/voices/recordings/{recording.pk}/")
    drawn = visitor.page.evaluate(
        """() => {
          const canvas = document.getElementById("timeline");
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(pixels.data).size;
        }"""
    )
    assert drawn > 8, "the timeline is empty"
    shot(visitor, "hour")
    assert visitor.problems == []


def shot(visitor: Visitor, name: str) -> None:
    if SHOTS:
        visitor.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

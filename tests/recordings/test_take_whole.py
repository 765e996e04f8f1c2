"""A take with every kind of view, from its folder to the page's data, with the real programs."""

from __future__ import annotations

import json

import pytest

from tests.factories import RECORDED_AT, consented_participant
from tests.media.test_depth import room, write_depth
from tests.recordings.clips import SIZE, face_clip, write_manifest
from tests.signals.files import Signal, write_edf
from waver.core import holders
from waver.core.models import Blob
from waver.recordings.import_folder import import_folder
from waver.recordings.models import Asset, Recording
from waver.recordings.timeline import timeline
from workers import runner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs, pytest.mark.slow]


def faceless_clip(path):
    import numpy as np

    from tests.faces.clips import write_video
    from tests.recordings.clips import RATE

    pictures = (np.full((SIZE[1], SIZE[0], 3), 60 + n, np.uint8) for n in range(15))
    return write_video(path, pictures, rate=RATE)


def test_every_view_becomes_what_it_is_and_one_bad_file_stops_no_other(study, stack, tmp_path):
    folder = tmp_path / "take"
    folder.mkdir()
    face_clip(folder / "front.mp4")
    faceless_clip(folder / "side.mp4")
    write_depth(folder / "depth.mkv", room(500, 3000))
    (folder / "wrist.csv").write_text("EDA [µS]\n" + "0.5\n" * 40, encoding="utf-8")
    write_edf(folder / "chest.edf", [Signal("ECG", "mV")], [[[1, 2, 3, 4]]] * 8)
    (folder / "broken.csv").write_text("time [s],x\n0,1\n1,oops\n", encoding="utf-8")
    consented_participant(study, code="P1")
    when = RECORDED_AT.isoformat()
    write_manifest(
        folder,
        *(
            f"{file},P1,1,{when},T,{view},{offset},{rate}"
            for file, view, offset, rate in (
                ("broken.csv", "physiology", "0", ""),
                ("chest.edf", "physiology", "125", ""),
                ("depth.mkv", "depth", "", ""),
                ("front.mp4", "webcam", "", ""),
                ("side.mp4", "second_camera", "-80", ""),
                ("wrist.csv", "physiology", "-1000", "4"),
            )
        ),
        header="file,participant,prompt,recorded_at,take,view,offset_ms,rate",
    )
    import_folder(study=study, folder=folder, actor="tests")
    runner.drain()

    rows = {row.original_name: row for row in Recording.objects.all()}
    assert {name: row.state for name, row in rows.items()} == {
        "front.mp4": "ready", "side.mp4": "ready", "depth.mkv": "ready", "wrist.csv": "ready",
        "chest.edf": "ready", "broken.csv": "failed",
    }, {name: row.error for name, row in rows.items()}  # fmt: skip
    assert "Line 3 of broken.csv, column “x”: “oops” is no number" in rows["broken.csv"].error
    kinds = {name: {a.kind for a in row.assets.all()} for name, row in rows.items()}
    assert kinds["broken.csv"] == {"original"}
    assert kinds["chest.edf"] == {"original", "signals", "signal_outline"}
    assert "landmarks" not in kinds["depth.mkv"]
    assert {"landmarks", "speech", "proxy"} <= kinds["side.mp4"]
    depth = rows["depth.mkv"].stages.get().figures
    assert (depth["depth_lowest"], depth["depth_highest"]) == (500, 3000)
    assert "placed as if it began together" in " ".join(rows["depth.mkv"].notes)
    drawn = timeline(rows["front.mp4"])
    json.dumps(drawn)
    assert {one["name"]: one["start_us"] for one in drawn["sensors"]} == {
        "EDA": -1_000_000, "ECG": 125_000,
    }  # fmt: skip
    assert sum(blob.references for blob in Blob.objects.all()) == Asset.objects.count()

    participant = study.participants.get(code="P1")
    for holder in holders.all_holders():
        holder.erase(participant.pk)
    assert not Asset.objects.exists()
    assert not any(path.is_file() for path in stack.rglob("*"))

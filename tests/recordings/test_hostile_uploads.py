"""Hostile files on the whole way in: received, stored beside a neighbour, given to a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.media import attacks, canary
from tests.media.attacks import Scene
from tests.recordings.clips import write_manifest
from tests.recordings.conftest import stored_bytes
from waver.core import storage
from waver.recordings.import_folder import Result, import_folder
from waver.recordings.models import Asset, Recording
from workers import runner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.programs]

REFUSED = {
    "ffconcat absolute": "is a text file, not a video",
    "HLS http": "is a text file, not a video",
    "webm flood, hidden": "12000 × 12000 pixels, over the limit",
    "mp4 of a day": "lasts 24 h 0 min",
    "jpeg and mp4": "is not a video that Waver can read",
}
#: These may show pictures of their own.
USED = ("mp4 data at a file address", "avi with a playlist of files")
SUFFIXES = {Asset.Kind.PROXY: ".mp4", Asset.Kind.AUDIO_16K: ".wav"}


def test_nothing_of_a_neighbour_comes_out_of_a_hostile_upload(
    receive, stack: Path, tmp_path: Path
) -> None:
    victim = receive(canary.write(tmp_path / "victim.mp4"), code="P0")
    assert canary.shows_canary(tmp_path / "victim.mp4")
    (stored,) = (path for path in stack.rglob(victim.original_sha256))
    with canary.listening() as (url, calls):
        scene = Scene(victim=stored, url=url)
        for number, name in enumerate((*REFUSED, *USED), start=1):
            make = attacks.text(name) if name in attacks.TEXTS else attacks.BINARIES[name][0]
            upload = tmp_path / f"{number}.mp4"
            make(scene, upload)
            receive(upload, code=f"P{number}", original_name=f"{name}.mp4")
        runner.drain()
        assert calls == []

    uploads = Recording.objects.exclude(pk=victim.pk)
    for recording in uploads:
        name = recording.original_name.removesuffix(".mp4")
        kinds = set(recording.assets.values_list("kind", flat=True))
        if name in REFUSED:
            assert (recording.state, kinds) == ("failed", {"original"})
            assert recording.error.startswith(f"{name}.mp4 ")
            assert REFUSED[name] in recording.error
        else:
            assert recording.state == "attention", recording.error  # there is no face in it
            assert _shown(recording) == []
    assert _shown(victim) == ["proxy", "audio_16k"]
    assert stored_bytes(stack) == set(Asset.objects.values_list("blob__sha256", flat=True))


def test_a_file_whose_name_is_no_text_stops_no_import(study, stack, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (b"\xff\xfe.mp4", b"line\nbreak.mp4"):
        (folder / os.fsdecode(name)).write_bytes(b"x")
    write_manifest(folder, "absent.mp4,P1,1,2024-03-01T10:00:00Z")
    outcomes = import_folder(study=study, folder=folder, actor="tests")
    assert {outcome.file for outcome in outcomes} == {"absent.mp4", "��.mp4", "line\nbreak.mp4"}
    assert {outcome.result for outcome in outcomes} == {Result.REFUSED}


def _shown(recording: Recording) -> list[str]:
    """Give the kinds of the recording's assets that show the canary."""
    shown = []
    for kind, suffix in SUFFIXES.items():
        asset = recording.assets.select_related("blob").get(kind=kind)
        with storage.materialise(asset.blob, suffix=suffix) as path:
            if canary.shows_canary(path):
                shown.append(kind.value)
    return shown

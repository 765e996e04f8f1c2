"""The proxy by byte range, and face crops from the middle of their tar file."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.factories import AssetFactory
from tests.website.conftest import House
from tests.website.material import VIDEO, Material, make_material
from waver.consent.models import Restriction
from waver.recordings.models import Asset


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    return make_material(house.study, house.people["annotator"])


@pytest.fixture
def path(material: Material) -> str:
    return reverse("website:recording-media", args=["voices", material.recording.pk, "proxy"])


def body(answer) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_whole_video(house: House, path: str):
    answer = house.client("researcher").get(path)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "video/mp4"
    assert answer["Accept-Ranges"] == "bytes"
    assert "no-store" in answer["Cache-Control"]
    assert body(answer) == VIDEO


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, len(VIDEO)),
        ("bytes=100-199", 100, 200),
        ("bytes=-10", len(VIDEO) - 10, len(VIDEO)),
        ("bytes=2000-99999", 2000, len(VIDEO)),
    ],
)
def test_a_range(house: House, path: str, asked: str, start: int, stop: int):
    answer = house.client("researcher").get(path, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer["Content-Range"] == f"bytes {start}-{stop - 1}/{len(VIDEO)}"
    assert int(answer["Content-Length"]) == stop - start
    assert body(answer) == VIDEO[start:stop]


def test_a_range_behind_the_end(house: House, path: str):
    answer = house.client("researcher").get(path, headers={"Range": f"bytes={len(VIDEO)}-"})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(VIDEO)}"
    assert body(answer) == b""


@pytest.fixture
def crops(material: Material, tmp_path) -> dict[int, bytes]:
    """Store crops of three frames, as workers.faces.crops writes them."""
    numpy = pytest.importorskip("numpy")
    from workers.faces.crops import CropReader, CropWriter

    tar, index = tmp_path / "crops.tar", tmp_path / "crops.parquet"
    with CropWriter(tar, index) as writer:
        for frame in (2, 3, 250):
            writer.add(frame, numpy.full((32, 32, 3), frame % 256, numpy.uint8))
    for kind, file in ((Asset.Kind.CROPS, tar), (Asset.Kind.CROP_INDEX, index)):
        AssetFactory(recording=material.recording, kind=kind, data=file.read_bytes())
    reader = CropReader(tar, index)
    return {frame: reader.jpeg(frame) for frame in (2, 3, 250)}


def test_a_crop_is_the_one_of_its_frame(house: House, material: Material, crops):
    client = house.client("researcher")
    for frame, jpeg in crops.items():
        address = reverse("website:recording-face", args=["voices", material.recording.pk, frame])
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/jpeg")
        assert answer.content == jpeg
        assert answer["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("frame", [0, 4, 300, 10**9])
def test_a_frame_without_a_crop(house: House, material: Material, crops, frame: int):
    address = reverse("website:recording-face", args=["voices", material.recording.pk, frame])
    assert house.client("researcher").get(address).status_code == 404


def test_a_restricted_stretch_shows_no_face(house: House, material: Material, crops):
    Restriction.objects.create(
        participant=material.participant, recording_id=material.recording.pk,
        start_us=0, end_us=90_000, reason="A name was said.", made_by="tests",
    )  # fmt: skip
    client = house.client("researcher")

    def status(frame: int) -> int:
        address = reverse("website:recording-face", args=["voices", material.recording.pk, frame])
        return client.get(address).status_code

    assert (status(2), status(250)) == (403, 200)

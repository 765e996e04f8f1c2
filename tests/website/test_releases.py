"""A release's page, and its download: the same bytes, consent asked once more, recorded."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from tests.factories import RecordingFactory, consented_participant
from tests.website.conftest import House
from tests.website.material import Material, make_material
from waver.consent.models import Purpose
from waver.consent.services import withdraw
from waver.core.errors import ConsentRefused
from waver.core.models import AuditEntry, Job
from waver.datasets.models import Leaf, Release

FILES = {
    "manifest.json": b'{"revision": 1}',
    "bah/Videos/12345/Visite_1/a clip.mp4": bytes(1300),
    "tables/segments.csv": b"recording,start_us\n",
    "empty.txt": b"",
}
FIGURES = {
    "participants": 12, "recordings": 24, "duration_us": 660_000_000, "frames": 19_800,
    "raters": 3, "splits": {"train": 8, "val": 1, "test": 3}, "revision": 1,
    "labels": {"segments/ah": "pass"}, "blocked": {"video/certainty": "fail"},
    "reasons": {"video/certainty": "For these raters, “video/certainty” fails."},
    "left_out": [
        {"reason": "the participant did not agree to this use", "recordings": 2, "participants": 1}
    ],
    "formats": ["bah", "tables"], "is_synthetic": True, "is_demonstration": True,
}  # fmt: skip


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    made = make_material(house.study, house.people["annotator"])
    Release.objects.filter(pk=made.release.pk).update(figures=FIGURES)
    made.release.refresh_from_db()
    return made


@pytest.fixture
def folder(material: Material) -> Path:
    home = Path(settings.WAVER_RELEASES) / material.release.folder
    for name, content in FILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return home


def address(material: Material, name: str = "release-download") -> str:
    return reverse(f"website:{name}", args=["voices", material.release.pk])


def test_the_page_tells_what_is_in_it_and_what_is_not(house: House, material: Material, folder):
    text = house.client("researcher").get(address(material, "release")).content.decode()
    for words in (
        "For these raters, 1 of 3 labels may be released",
        "2 recordings of 1 participant: the participant did not agree to this use.",
        "“video/certainty” fails",
        "python3 verify.py",
        f"manage.py verify_release var/releases/{material.release.folder}",
        material.release.root,
        "8 participants",
        "Demonstration:",
        "Synthetic:",
        "Layout of the BAH dataset",
    ):
        assert words in text


def test_the_download_is_the_folder_as_a_tar_archive(house: House, material: Material, folder):
    client = house.client("researcher")
    answer = client.get(address(material))
    assert answer.status_code == 200
    data = b"".join(answer.streaming_content)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}
    assert found == {f"{material.release.folder}/{name}": body for name, body in FILES.items()}
    assert data == b"".join(client.get(address(material)).streaming_content)
    entry = AuditEntry.objects.filter(verb="release.downloaded").first()
    assert entry.object_id == str(material.release.pk)
    assert entry.actor == house.people["researcher"].username


@pytest.mark.parametrize("purpose", [Purpose.RESEARCH, None])
def test_a_withdrawal_stops_the_download(house: House, material: Material, folder, purpose):
    participant = consented_participant(house.study)
    Leaf.objects.create(
        release=material.release, index=0, participant=participant, hash="aa" * 32,
        recording=RecordingFactory(participant=participant), logical_object="video",
    )  # fmt: skip
    assert house.client("researcher").get(address(material)).status_code == 200
    withdraw(participant=participant, purpose=purpose, actor="tests")
    answer = house.client("researcher").get(address(material))
    assert answer.status_code == 403
    assert "no longer covers" in answer.content.decode()
    assert AuditEntry.objects.filter(verb="release.download_refused").exists()


def test_a_withdrawal_breaks_off_a_download_that_goes_on(
    house: House, material: Material, folder, monkeypatch
):
    participant = consented_participant(house.study)
    Leaf.objects.create(
        release=material.release, index=0, participant=participant, hash="aa" * 32,
        recording=RecordingFactory(participant=participant), logical_object="video",
    )  # fmt: skip
    monkeypatch.setattr("waver.website.views.releases._ASK_AGAIN_SECONDS", -1.0)
    answer = house.client("researcher").get(address(material))
    parts = iter(answer.streaming_content)
    next(parts)
    withdraw(participant=participant, purpose=Purpose.RESEARCH, actor="tests")
    with pytest.raises(ConsentRefused):
        list(parts)
    assert AuditEntry.objects.filter(verb="release.download_refused").exists()


def test_a_held_release_is_not_downloaded(house: House, material: Material, folder):
    Release.objects.filter(pk=material.release.pk).update(state="held")
    assert house.client("lead").get(address(material)).status_code == 409


def test_a_lost_folder_is_told(house: House, material: Material):
    answer = house.client("lead").get(address(material))
    assert answer.status_code == 404
    assert "restore it" in answer.content.decode()
    page = house.client("lead").get(address(material, "release")).content.decode()
    assert "is not on this machine" in page


def test_an_odd_version_is_refused_with_a_sentence(house: House, material: Material):
    path = reverse("website:release-request", args=["voices", material.gate_run.pk])
    answer = house.client("lead").post(path, {"version": "one", "purpose": "research"})
    assert answer.status_code == 400
    assert "is no version" in answer.content.decode()
    assert not Job.objects.exists()

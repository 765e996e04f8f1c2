"""A disk that really is full: a sentence, nothing half-stored, and all goes on with room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from tests.factories import MembershipFactory
from tests.recordings.clips import face_clip, write_manifest
from tests.recordings.conftest import models_folder, receive, stack, stored_bytes, study
from tests.recordings.test_pipeline import until
from waver.core.models import Blob, Job
from waver.recordings import services
from waver.recordings.models import Asset, Recording, Stage, Take
from workers import runner

__all__ = ["models_folder", "receive", "stack", "study"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

_SIZE = 8_000_000


class Disk:
    """A disk of 8 MB, and a file on it that takes away the room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def leave(self, room: int) -> None:
        """Take away all room but this many bytes."""
        self._filler.unlink(missing_ok=True)
        self._filler.write_bytes(b"\1" * (shutil.disk_usage(self.folder).free - room))

    def free(self) -> None:
        """Give all room back."""
        self._filler.unlink(missing_ok=True)

    def files(self) -> set[str]:
        """Name every file on it but the one that takes the room."""
        return stored_bytes(self.folder) - {"filler"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small file system in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", folder],
        check=False, capture_output=True,
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip(
            "A small disk cannot be mounted here: run this test as root, with the right to mount."
        )
    yield Disk(folder)
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of different bytes."""
    folder = tmp_path_factory.mktemp("clips")
    face_clip(folder / "a.mp4")
    face_clip(folder / "b.mp4", shift=5)
    return folder


def run_out_of_attempts() -> Job:
    """Run the jobs that are due, and those held back for another attempt, to their end."""
    for _ in range(3):
        Job.objects.filter(state=Job.State.QUEUED).update(not_before=None)
        runner.drain()
    return Job.objects.get(state=Job.State.FAILED)


def assert_prepared_once() -> None:
    """Assert that every recording is ready with one set of assets, and no byte is left over."""
    assert set(Recording.objects.values_list("state", flat=True)) == {Recording.State.READY}
    assert set(Stage.objects.values_list("state", flat=True)) == {Stage.State.DONE}
    blobs = Blob.objects.all()
    assert {blob.sha256: blob.references for blob in blobs} == {
        blob.sha256: blob.assets.count() for blob in blobs
    }


def test_an_import_without_room_is_refused_and_can_be_repeated(
    disk: Disk, receive, study, clips: Path, tmp_path: Path, settings, capfd
):
    settings.WAVER_STORAGE = {"backend": "folder", "folder": disk.folder}
    folder = shutil.copytree(clips, tmp_path / "import")
    rows = [f"{name},P1,1,2024-03-01T10:00:00Z" for name in ("a.mp4", "b.mp4")]
    manifest = write_manifest(folder, *rows)
    receive(clips / "a.mp4")
    kept = disk.files()

    disk.leave(room=(clips / "b.mp4").stat().st_size // 2)
    call_command("import_recordings", "s", str(folder), manifest=manifest)
    said = capfd.readouterr().err
    assert "Line 3: b.mp4: The storage is full: it has no room for another" in said
    assert "free space on its disk, then try again" in said
    assert (disk.files(), Take.objects.count(), Blob.objects.count()) == (kept, 1, 1)

    disk.free()
    call_command("import_recordings", "s", str(folder), manifest=manifest)
    runner.drain()
    assert Recording.objects.count() == 2
    assert_prepared_once()
    assert disk.files() == set(Blob.objects.values_list("sha256", flat=True))


def test_a_command_that_could_import_nothing_fails(
    disk: Disk, study, stack, receive, clips: Path, tmp_path: Path, settings, capfd
):
    settings.WAVER_STORAGE = {"backend": "folder", "folder": disk.folder}
    folder = tmp_path / "import"
    folder.mkdir()
    shutil.copy(clips / "b.mp4", folder)
    receive(clips / "a.mp4")
    disk.leave(room=4096)
    manifest = write_manifest(folder, "b.mp4,P1,1,2024-03-01T10:00:00Z")
    with pytest.raises(CommandError, match="Nothing could be imported"):
        call_command("import_recordings", "s", str(folder), manifest=manifest)
    assert "The storage is full" in capfd.readouterr().err
    assert Recording.objects.count() == 1


def test_a_storage_that_fills_up_during_a_stage_keeps_no_half_of_it(
    disk: Disk, receive, study, clips: Path, settings, client: Client
):
    settings.WAVER_STORAGE = {"backend": "folder", "folder": disk.folder}
    first = receive(clips / "a.mp4")
    second = receive(clips / "b.mp4", code="P2")
    originals = disk.files()
    Job.objects.filter(subject_id=str(second.pk)).delete()

    # Room for the proxy, the first file that the stage stores, but not for the sounds.
    disk.leave(room=_proxy_size(clips, settings) + 3 * 4096)
    failed = run_out_of_attempts()
    assert (failed.name, failed.attempts) == ("recordings.normalise", 3)
    first.refresh_from_db()
    assert first.state == Recording.State.FAILED
    assert "The storage is full: it has no room for another" in first.error
    assert "This was attempt 3 of 3" in first.error
    assert disk.files() == originals
    assert set(Asset.objects.values_list("kind", flat=True)) == {"original"}
    client.force_login(MembershipFactory(study=study).user)
    page = client.get(f"/studies/s/recordings/{first.pk}/")
    assert "The storage is full" in page.content.decode()

    disk.free()
    for recording in (first, second):
        services.prepare(recording)
    runner.drain()
    assert_prepared_once()
    assert disk.files() == set(Blob.objects.values_list("sha256", flat=True))


@pytest.mark.parametrize(("stage", "room"), [("normalise", _SIZE // 200), ("faces", _SIZE // 100)])
def test_temporary_files_without_room_fail_in_a_sentence(
    disk: Disk, receive, clips: Path, settings, storage_folder: Path,
    stage: str, room: int,
):  # fmt: skip
    settings.WAVER_SCRATCH = disk.folder
    recording = receive(clips / "a.mp4")
    claimed = until(f"recordings.{stage}")
    stored = stored_bytes(storage_folder)
    disk.leave(room=room)
    runner.run(claimed, guarded=False)
    failed = run_out_of_attempts()
    recording.refresh_from_db()
    assert failed.pk == claimed.pk
    assert recording.state == Recording.State.FAILED
    assert "temporary files is full" in recording.error
    assert "free space" in recording.error
    assert disk.files() == set()
    assert stored <= stored_bytes(storage_folder)

    disk.free()
    services.prepare(recording)
    runner.drain()
    assert_prepared_once()
    assert disk.files() == set()


def _proxy_size(clips: Path, settings) -> int:
    from waver.core import clock
    from workers.media.normalise import normalise

    folder = clips / "made"
    folder.mkdir(exist_ok=True)
    return normalise(clips / "a.mp4", folder, frame_us=clock.frame_us).video.stat().st_size

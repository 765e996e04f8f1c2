from __future__ import annotations

import io
import math
import tarfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.faces.clips import RATE, Picture, moved, write_video
from workers.faces.align import similarity, template, warp
from workers.faces.crops import CropReader, read_crop
from workers.faces.cutting import judge, spoiled
from workers.faces.detectors import Detections, Detector
from workers.faces.errors import FaceError
from workers.faces.extract import FaceExtraction, extract_faces
from workers.faces.quality import FaceQuality, measure_quality
from workers.faces.table import COLUMNS, FaceStatus
from workers.faces.video import VideoShape, measure

pytestmark = pytest.mark.programs

SIZE = (320, 240)
FRAMES = 75
# The face is covered in these frames: too long to be interpolated, short enough to keep its id.
COVERED = range(30, 42)


def time_of(frame: int) -> int:
    return frame * 40_000


def extract(
    proxy: Path, out: Path, detector: Detector, rate: Fraction = RATE, every: int = 1
) -> FaceExtraction:
    return extract_faces(
        proxy,
        out,
        detector=detector,
        frame_us=lambda n: round(n * 1_000_000 / rate),
        rate=rate,
        every=every,
    )


def face_at(frame: int) -> tuple[float, float]:
    return 150 + 50 * math.sin(frame / 20), 110 + 20 * math.cos(frame / 11)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, face_picture: Picture) -> Path:
    """Three seconds of a real face that sways, and is covered for half a second."""
    pictures = []
    for frame in range(FRAMES):
        x, y = face_at(frame)
        picture = moved(face_picture, x=x, y=y, zoom=0.9, size=SIZE)
        pictures.append(np.full_like(picture, 90) if frame in COVERED else picture)
    return write_video(tmp_path_factory.mktemp("clip") / "proxy.mp4", pictures, rate=RATE)


@pytest.fixture(scope="module")
def extraction(
    clip: Path, detector: Detector, tmp_path_factory: pytest.TempPathFactory
) -> FaceExtraction:
    return extract(clip, tmp_path_factory.mktemp("faces"), detector)


def test_one_row_a_frame_and_the_covered_frames_are_absent(extraction: FaceExtraction) -> None:
    table = pq.read_table(extraction.table)
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert [row["time_us"] for row in rows] == [time_of(n) for n in range(FRAMES)]
    for row in rows:
        covered = row["frame"] in COVERED
        assert row["status"] == ("absent" if covered else "detected")
        assert (row["x0"] is None) == covered
        assert row["is_participant"]
        assert row["track_id"] == 1
    assert extraction.frame_count == FRAMES
    assert extraction.share_with_face == (FRAMES - len(COVERED)) / FRAMES
    assert extraction.people == 1
    assert extraction.notes == ("A face was found in only 84% of the frames.",)
    (track,) = extraction.tracks
    assert (track.first_frame, track.last_frame, track.frames) == (0, 74, 63)


def test_the_face_is_where_the_film_put_it(extraction: FaceExtraction) -> None:
    for row in pq.read_table(extraction.table).to_pylist():
        if row["status"] == "detected":
            x, y = face_at(row["frame"])
            # The tip of the nose lies just below the point that the film moves about.
            assert abs(row["lm2x"] - x) < 8
            assert abs(row["lm2y"] - 5 - y) < 8
            assert abs(row["yaw"]) < 35
            assert abs(row["roll"]) < 12


def test_crops_are_a_readable_tar_and_any_of_them_is_read_directly(
    extraction: FaceExtraction,
) -> None:
    with tarfile.open(extraction.crops) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]  # all are files
    frames = [n for n in range(FRAMES) if n not in COVERED]
    assert list(members) == [f"{n:06d}.jpg" for n in frames]
    reader = CropReader(extraction.crops, extraction.crop_index)
    for frame in reversed(frames):
        assert reader.jpeg(frame) == members[f"{frame:06d}.jpg"]
    assert read_crop(extraction.crops, extraction.crop_index, 7) == members["000007.jpg"]
    crop = cv2.imdecode(np.frombuffer(members["000007.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert crop.shape == (256, 256, 3)


def test_a_covered_face_has_no_crop(extraction: FaceExtraction) -> None:
    for frame in (COVERED[0], COVERED[-1], FRAMES, -1):
        with pytest.raises(FaceError, match="no face crop"):
            read_crop(extraction.crops, extraction.crop_index, frame)


def test_a_crops_eyes_and_mouth_stand_on_the_template(
    extraction: FaceExtraction, detector: Detector
) -> None:
    for frame in (0, 20, 60):
        jpeg = read_crop(extraction.crops, extraction.crop_index, frame)
        crop = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        found = detector.detect(crop)
        assert len(found) == 1
        assert np.abs(found.landmarks[0] - template(256)).mean() < 12


def test_the_contact_sheet_shows_twelve_crops(extraction: FaceExtraction) -> None:
    assert extraction.contact_sheet is not None
    sheet = cv2.imread(str(extraction.contact_sheet))
    assert sheet.shape == (2 * 146, 6 * 128, 3)


def test_extracting_again_gives_the_same_files(
    extraction: FaceExtraction, clip: Path, detector: Detector, tmp_path: Path
) -> None:
    again = extract(clip, tmp_path, detector)
    for name in ("table", "crops", "crop_index", "contact_sheet"):
        assert getattr(again, name).read_bytes() == getattr(extraction, name).read_bytes()
    assert again.pictures[0].film.read_bytes() == extraction.pictures[0].film.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "crops.parquet",
        "crops.tar",
        "faces.parquet",
        "film-1.mp4",
        "sheet-1.jpg",
    ]


def test_every_fifth_frame_loses_no_crop_and_stays_close(
    extraction: FaceExtraction, clip: Path, detector: Detector, tmp_path: Path
) -> None:
    fifth = extract(clip, tmp_path, detector, every=5)
    assert fifth.figures["frames_looked_at"] < FRAMES / 2
    full, sparse = (pq.read_table(e.table).to_pandas() for e in (extraction, fifth))
    assert ((full.status == "absent") == (sparse.status == "absent")).all()
    assert (sparse.status == "interpolated").sum() > FRAMES / 3
    marks = [name for name in COLUMNS if name.startswith("lm")]
    apart = np.abs(full[marks].to_numpy() - sparse[marks].to_numpy())
    assert np.nanmax(apart) < 4
    with pytest.raises(FaceError, match="every 10th frame"):
        extract(clip, tmp_path, detector, every=10)


def test_the_frame_count_must_be_the_proxys(clip: Path, detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="has 75 frames, but its record says 76"):
        extract_faces(
            clip, tmp_path, detector=detector, frame_us=time_of, rate=RATE, expected_frames=76
        )
    with pytest.raises(FaceError, match="cannot be opened as a video"):
        extract(Path(__file__), tmp_path, detector)
    assert list(tmp_path.iterdir()) == []


class Broken:
    """A detector that fails at its tenth picture."""

    def __init__(self, real: Detector) -> None:
        self.card, self.real, self.calls = real.card, real, 0

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        return self.real.working_size(width, height)

    def detect(self, bgr: Picture) -> Detections:
        self.calls += 1
        if self.calls == 10:
            raise FaceError("The tenth picture is too much.")
        return self.real.detect(bgr)


def test_a_failure_leaves_nothing_behind(clip: Path, detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="tenth"):
        extract(clip, tmp_path, Broken(detector))
    assert list(tmp_path.iterdir()) == []

    def stop(share: float) -> None:
        if share > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_faces(
            clip, tmp_path, detector=detector, frame_us=time_of, rate=RATE, on_progress=stop
        )
    assert list(tmp_path.iterdir()) == []


def test_a_face_becomes_blurred_small_and_cut_off_in_that_order_of_proof(
    detector: Detector, face_picture: Picture
) -> None:
    shape = VideoShape(512, 512, 1)
    landmarks = detector.detect(face_picture).landmarks[0]
    assert spoiled(landmarks[None], shape=shape) == [None]
    sharpness, statuses = [], []
    for sigma in (0.1, 2, 4, 8, 12):
        blurred = cv2.GaussianBlur(face_picture, (0, 0), sigma).astype(np.uint8)
        grey = cv2.cvtColor(blurred, cv2.COLOR_BGR2GRAY)
        quality = measure_quality(warp(grey, similarity(landmarks, 256), 256))
        sharpness.append(quality.sharpness)
        statuses.append(judge(None, quality, interpolated=False))
    assert sharpness == sorted(sharpness, reverse=True)
    assert statuses[:2] == [FaceStatus.DETECTED] * 2
    assert statuses[-2:] == [FaceStatus.BLURRED] * 2

    sharp = FaceQuality(100, 100)
    assert judge(None, sharp, interpolated=True) == FaceStatus.INTERPOLATED
    small = (landmarks / 5).astype(np.float32)
    cut = landmarks - np.float32(210)
    found = spoiled(np.stack([small, cut]), shape=shape)
    assert found == [FaceStatus.TOO_SMALL, FaceStatus.OFF_FRAME]
    assert judge(found[0], sharp, interpolated=False) == FaceStatus.TOO_SMALL


@pytest.mark.parametrize(
    "name",
    [
        "no_face",
        "two_people",
        "classroom",
        pytest.param("phone_vfr_hevc", marks=pytest.mark.slow),
    ],
)
def test_real_recordings(name: str, shared_media: Path, detector: Detector, tmp_path: Path) -> None:
    source = next(shared_media.glob(f"{name}.*"))
    proxy = constant_rate(source, tmp_path / "proxy.mp4")
    found = extract(proxy, tmp_path / "out", detector, rate=Fraction(15))
    table = pq.read_table(found.table).to_pandas()
    own = table[table.is_participant]
    assert own.frame.tolist() == list(range(measure(proxy).frame_count))
    with tarfile.open(fileobj=io.BytesIO(found.crops.read_bytes())) as tar:
        assert len(tar.getnames()) == found.figures["crops"]
    notes = " ".join(found.notes)
    if name == "no_face":
        assert found.share_with_face == 0
        assert found.contact_sheet is None
        assert own.status.eq("absent").all()
        assert "No face was found in any of the" in notes
    elif name == "two_people":
        assert found.people == 2
        assert found.figures["crops"] == len(own)
        assert set(table.track_id) == {1, 2}
        assert "2 people were seen" in notes
    elif name == "classroom":
        assert found.people >= 2
        assert found.figures["crops"] == 0
        assert "too small" in notes
    else:
        assert 0.3 < found.share_with_face < 0.5
        assert own.status.iloc[0] == "detected"
        assert own.status.iloc[-1] == "absent"
        assert "A face was found in only 3" in notes


def constant_rate(source: Path, target: Path) -> Path:
    """A stand-in for the proxy: at 15 frames a second, the latest frame before each instant."""
    import av

    pictures: list[Picture] = []
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            picture = frame.reformat(480, 270, format="bgr24").to_ndarray()
            while len(pictures) <= float(frame.time) * 15:
                pictures.append(picture)
    return write_video(target, pictures, rate=Fraction(15))

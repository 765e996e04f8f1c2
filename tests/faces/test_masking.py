from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.faces.clips import RATE, Picture, moved, write_video
from workers.faces.detectors import Detector, yunet
from workers.faces.errors import FaceError
from workers.faces.extract import extract_faces
from workers.faces.masking import cover, covers, mask_faces
from workers.faces.table import ROW, STATUSES, FaceStatus, FaceTable
from workers.faces.video import measure

pytestmark = pytest.mark.programs

FRAMES = 60
# The detector that made the table is blinded here, for less than a second.
BLIND = range(24, 36)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, face_picture: Picture) -> Path:
    pictures = (
        moved(face_picture, x=130 + n, y=110, zoom=0.9, size=(320, 240)) for n in range(FRAMES)
    )
    return write_video(tmp_path_factory.mktemp("mask") / "proxy.mp4", pictures, rate=RATE)


def table(path: Path, boxes: dict[int, list[float]]) -> Path:
    rows = np.zeros(len(boxes), dtype=ROW)
    for name in ("score", "landmarks", "yaw", "pitch", "roll", "sharpness", "brightness"):
        rows[name] = np.nan
    rows["frame"], rows["box"] = list(boxes), list(boxes.values())
    rows["track_id"], rows["status"] = 1, STATUSES.index(FaceStatus.DETECTED)
    with FaceTable(path, frame_us=lambda n: n * 40_000) as file:
        file.add(rows, participant=1, until=FRAMES)
    return path


@pytest.mark.parametrize("style", ["blur", "fill"])
def test_every_frame_stays_and_no_face_is_seen(
    clip: Path, detector: Detector, shared_media: Path, tmp_path: Path, style: str
) -> None:
    weights = shared_media.parent / "models" / "yunet_n_dynamic.onnx"
    if not weights.is_file():
        pytest.skip("YuNet's weights (../shared/models) are not on this machine")
    found = extract_faces(
        clip, tmp_path, detector=detector, frame_us=lambda n: n * 40_000, rate=RATE, every=5
    )
    seen = covers(found.table, frame_count=FRAMES, rate=RATE)
    boxes = {n: seen[n][0].tolist() for n in range(FRAMES) if n not in BLIND}
    holes = table(tmp_path / "holes.parquet", boxes)
    masked = mask_faces(
        clip, holes, tmp_path / "masked.mp4", rate=RATE, second=yunet(weights), style=style
    )
    assert masked.frame_count == measure(masked.video).frame_count == FRAMES
    assert masked.masked_frames == FRAMES
    assert masked.checked_frames == 10
    assert masked.found == masked.covered == 10
    assert masked.recall == 1
    assert masked.still_seen == 0
    with av.open(str(masked.video)) as container:
        assert not container.streams.audio
        for frame in container.decode(video=0):
            assert len(detector.detect(frame.to_ndarray(format="bgr24"))) == 0


def test_a_face_that_was_missed_is_reported(clip: Path, detector: Detector, tmp_path: Path) -> None:
    elsewhere = table(tmp_path / "t.parquet", {n: [0, 0, 20, 20] for n in range(FRAMES)})
    masked = mask_faces(clip, elsewhere, tmp_path / "m.mp4", rate=RATE, second=detector)
    assert (masked.covered, masked.recall) == (0, 0)
    assert masked.found == masked.still_seen == masked.checked_frames


def test_long_absences_are_not_bridged(tmp_path: Path) -> None:
    box = [100.0, 100, 140, 140]
    path = table(tmp_path / "t.parquet", dict.fromkeys((*range(10), *range(50, 60)), box))
    shown = [bool(boxes) for boxes in covers(path, frame_count=FRAMES, rate=RATE)]
    assert shown[:18] == [True] * 18
    assert shown[42:] == [True] * 18
    assert not any(shown[18:42])
    bridged = covers(path, frame_count=FRAMES, rate=Fraction(60))
    assert all(bridged)
    np.testing.assert_allclose(bridged[30][0], [90, 90, 150, 150])


def test_a_table_of_another_video_is_refused(
    clip: Path, detector: Detector, tmp_path: Path
) -> None:
    path = table(tmp_path / "t.parquet", {59: [0, 0, 9, 9]})
    with pytest.raises(FaceError, match="do not belong together"):
        covers(path, frame_count=59, rate=RATE)
    with pytest.raises(FaceError, match="cannot be opened"):
        mask_faces(path, path, tmp_path / "m.mp4", rate=RATE, second=detector)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_covering_beyond_the_edge_covers_what_is_there() -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    cover(picture, np.array([-10, -10, 20, 20], np.float32), "fill")
    assert (picture[:20, :20] == 60).all()
    assert (picture[20:] == 200).all()
    cover(picture, np.array([70, 50, 90, 60], np.float32), "blur")

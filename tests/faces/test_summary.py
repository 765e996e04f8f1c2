"""Figures of a whole recording, against tables whose content is set, and a real face's light."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.faces.clips import astronaut
from waver.core.clock import frame_us
from workers.faces.align import similarities, warp
from workers.faces.errors import FaceError
from workers.faces.quality import measure_quality
from workers.faces.summary import (
    BRIGHT_LEVEL,
    DARK_LEVEL,
    FaceSummary,
    frontal_frames,
    light_imbalance,
    median_imbalance,
    summarise,
)
from workers.faces.table import ROW, STATUSES, FaceStatus, FaceTable

POINTS = np.array([[0, 0], [40, 0], [20, 22], [4, 46], [36, 46]], dtype=np.float32) + 100


def write_table(
    path: Path, faces: list[dict[str, object]], *, frames: int, participant: int | None = 1
) -> Path:
    """Write a face table: each face is a row's fields, by default a good one of track 1."""
    rows = np.zeros(len(faces), dtype=ROW)
    for row, face in zip(rows, faces, strict=True):
        good = {
            "track_id": 1, "status": FaceStatus.DETECTED, "score": 0.9, "box": (90, 80, 150, 180),
            "landmarks": POINTS, "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "sharpness": 100.0,
            "brightness": 120.0,
        }  # fmt: skip
        for name, value in {**good, **face}.items():
            row[name] = STATUSES.index(value) if name == "status" else value
    with FaceTable(path, frame_us=lambda n: frame_us(n, Fraction(30))) as table:
        if len(rows):
            table.add(rows, participant=participant, until=int(rows["frame"][-1]) + 1)
        table.close(participant=participant, until=frames)
    return path


def test_figures_are_those_that_were_written(tmp_path: Path) -> None:
    faces = [
        {"frame": 0, "yaw": 31.0, "roll": -8.0, "brightness": 20.0, "sharpness": 50.0},
        {"frame": 0, "track_id": 2, "yaw": 80.0, "brightness": 250.0},  # somebody else
        {"frame": 1, "pitch": -40.0, "roll": 2.0, "brightness": 240.0},
        {"frame": 2, "roll": 4.0, "sharpness": 150.0, "status": FaceStatus.INTERPOLATED},
        {"frame": 3, "roll": 4.0, "status": FaceStatus.BLURRED},
    ]
    found = summarise(write_table(tmp_path / "t.parquet", faces, frames=10))
    assert (found.frames, found.seen, found.usable_share) == (10, 4, 0.3)
    assert found.eye_distance_px == pytest.approx(40.0)
    assert found.height_px == pytest.approx(100.0)
    assert found.turned_share == 0.5
    assert (found.roll_degrees, found.brightness, found.sharpness) == (4.0, 120.0, 100.0)
    assert (found.dark_share, found.bright_share) == (0.25, 0.25)


def test_without_a_face_only_the_share_of_usable_frames_is_known(tmp_path: Path) -> None:
    found = summarise(write_table(tmp_path / "t.parquet", [], frames=7, participant=None))
    unknown = {
        name: None
        for name in FaceSummary.__slots__
        if name not in ("frames", "seen", "usable_share")
    }
    assert found == FaceSummary(frames=7, seen=0, usable_share=0.0, **unknown)
    assert frontal_frames(tmp_path / "t.parquet", at_most=5) == []


@settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(STATUSES)), st.floats(-90, 90), st.floats(0, 255)),
        min_size=1,
        max_size=40,
    )
)
def test_shares_are_shares_of_what_they_say(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[FaceStatus, float, float]]
) -> None:
    faces = [
        {"frame": n, "status": status, "yaw": yaw, "brightness": light}
        for n, (status, yaw, light) in enumerate(rows)
        if status != FaceStatus.ABSENT
    ]
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    found = summarise(write_table(path, faces, frames=len(rows)))
    usable = [s for s, _, _ in rows if s in (FaceStatus.DETECTED, FaceStatus.INTERPOLATED)]
    seen = [row for row in rows if row[0] != FaceStatus.ABSENT]
    assert found.usable_share == len(usable) / len(rows)
    assert found.seen == len(seen)
    if seen:
        lights = np.array([light for _, _, light in seen], dtype=np.float32)
        turns = np.array([yaw for _, yaw, _ in seen], dtype=np.float32)
        assert found.turned_share == np.mean(np.abs(turns) > 30)
        assert found.dark_share == np.mean(lights < DARK_LEVEL)
        assert found.bright_share == np.mean(lights > BRIGHT_LEVEL)
        assert found.brightness == pytest.approx(float(np.median(lights)), abs=1e-3)


def test_frontal_frames_are_usable_and_spread_over_the_recording(tmp_path: Path) -> None:
    faces = [
        {"frame": n, "yaw": 20.0 if n % 2 else 3.0}
        | ({"status": FaceStatus.BLURRED} if n % 4 == 0 else {})
        for n in range(3000)  # more than one group of rows
    ]
    path = write_table(tmp_path / "t.parquet", faces, frames=3000)
    found = frontal_frames(path, at_most=5)
    assert found[0] == 2
    assert found[-1] == 2998
    assert len(found) == 5
    assert all(frame % 4 == 2 for frame in found)
    assert frontal_frames(path, at_most=10_000) == list(range(2, 3000, 4))


def face() -> np.ndarray:
    """The astronaut's aligned face, 256 x 256."""
    eyes_nose_mouth = np.array(
        [[[202, 110], [240, 108], [224, 130], [207, 153], [238, 152]]], dtype=np.float32
    )
    picture = astronaut()
    matrix = similarities(eyes_nose_mouth, 256)[0]
    return np.dstack([warp(np.ascontiguousarray(picture[:, :, c]), matrix, 256) for c in range(3)])


def test_light_from_one_side_shows_and_light_from_the_front_does_not() -> None:
    lit = face()
    front = light_imbalance(lit)
    assert front is not None
    assert front < 0.15
    shade = np.linspace(1.6, 0.2, 256)[None, :, None]
    side = light_imbalance(np.clip(lit * shade, 0, 255).astype(np.uint8))
    assert side is not None
    assert side > front + 0.2
    mirrored = light_imbalance(np.ascontiguousarray(lit[:, ::-1]))
    assert mirrored == pytest.approx(front, abs=1e-9)
    assert light_imbalance(np.zeros((256, 256, 3), np.uint8)) is None


def test_the_median_of_crops_is_taken_and_what_is_no_picture_is_refused() -> None:
    jpeg = cv2.imencode(".jpg", face())[1].tobytes()
    assert median_imbalance([]) is None
    assert median_imbalance([jpeg] * 3) == pytest.approx(light_imbalance(face()), abs=0.02)
    with pytest.raises(FaceError, match="no JPEG"):
        median_imbalance([b"not a picture"])


def test_beyond_the_limits_of_light_a_real_face_loses_its_shading() -> None:
    """What DARK_LEVEL and BRIGHT_LEVEL rest on: what exposure leaves of a real face's shading.

    Exposed to the dark limit, less than half of its contrast is left; to the bright one, more than
    a third of it is burnt out.
    """
    grey = cv2.cvtColor(face(), cv2.COLOR_BGR2GRAY).astype(np.float64)

    def exposed(level: float) -> np.ndarray:
        gains = np.linspace(0.05, 12, 2000)
        means = [np.minimum(grey * gain, 255).mean() for gain in gains]
        shown = np.minimum(grey * gains[int(np.argmin(np.abs(np.array(means) - level)))], 255)
        quality = measure_quality(shown.round().astype(np.uint8))
        assert quality.brightness == pytest.approx(level, abs=3)
        return shown

    assert exposed(DARK_LEVEL).std() < 0.5 * exposed(128).std()
    assert (exposed(BRIGHT_LEVEL) == 255).mean() > 1 / 3
    assert (exposed(128) == 255).mean() < 0.05


def test_a_file_that_is_no_face_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(FaceError, match="cannot be read as a face table"):
        summarise(path)

"""Things before a face, planted into real recordings, and the hands that are really there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.faces.clips import Picture, write_video
from workers.faces import occlusion
from workers.faces.detectors import Detector
from workers.faces.extract import extract_faces

SIDE = occlusion.SIDE


def statuses(video: Path, folder: Path, detector: Detector, rate: Fraction) -> list[str]:
    found = extract_faces(
        video,
        folder,
        detector=detector,
        frame_us=lambda n: round(n * 1_000_000 / rate),
        rate=rate,
        every=5,
    )
    rows = pq.read_table(found.table).to_pylist()
    return [row["status"] for row in rows if row["is_participant"]]


def share(found: list[str], frames: range) -> float:
    return sum(found[frame] == "occluded" for frame in frames) / len(frames)


def cup(picture: Picture, *, x: float, y: float) -> Picture:
    """A grey-green cup, shaded round, over the picture at a point."""
    shown = picture.copy()
    shade = (0.5 + 0.6 * np.sin(np.linspace(0, np.pi, 110)))[None, :, None]
    body = np.clip(np.array([96, 110, 70]) * np.repeat(shade, 150, axis=0), 0, 255)
    left, top = int(x) - 55, int(y) - 75
    inside = shown[max(0, top) : top + 150, max(0, left) : left + 110]
    inside[:] = body[150 - len(inside) :, 110 - inside.shape[1] :] if inside.size else inside
    return shown


@pytest.mark.programs
def test_a_cup_before_the_face_is_said_and_a_smile_is_not(
    shared_media: Path, detector: Detector, tmp_path: Path
) -> None:
    with av.open(str(shared_media / "single_face.mp4")) as container:
        real = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    # It rises to the mouth, stays for a second and goes down: wholly there in frames 30 to 49.
    shown = [
        cup(picture, x=300, y=250 + 12 * max(0, 30 - n, n - 49)) if 22 <= n < 58 else picture
        for n, picture in enumerate(real)
    ]
    rate = Fraction(30)
    plain = write_video(tmp_path / "plain.mp4", real, rate=rate)
    drinks = write_video(tmp_path / "drinks.mp4", shown, rate=rate)
    assert "occluded" not in statuses(plain, tmp_path / "a", detector, rate)
    found = statuses(drinks, tmp_path / "b", detector, rate)
    assert share(found, range(31, 49)) > 0.9
    assert share(found, range(20)) == share(found, range(62, 72)) == 0


@pytest.mark.slow
@pytest.mark.programs
def test_hands_over_a_real_face(shared_media: Path, detector: Detector, tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    with av.open(str(shared_media / "talking_head_20s.mp4")) as container:
        real = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    video = write_video(tmp_path / "proxy.mp4", real, rate=rate)
    found = statuses(video, tmp_path / "out", detector, rate)
    assert share(found, range(94, 139)) > 0.8  # both hands, as seen by eye
    assert share(found, range(56)) < 0.02
    assert share(found, range(228, len(found))) < 0.02  # she laughs, nods, and closes her eyes


@pytest.mark.slow
@pytest.mark.programs
@pytest.mark.parametrize(
    ("name", "rate"),
    [("head_pose", Fraction(12)), ("two_people", Fraction(12)), ("phone_vfr_hevc", Fraction(25))],
)
def test_turning_leaning_and_grinning_cover_nothing(
    name: str, rate: Fraction, shared_media: Path, detector: Detector, tmp_path: Path
) -> None:
    with av.open(str(next(shared_media.glob(f"{name}.*")))) as container:
        real = [
            frame.reformat(480, 270, format="bgr24").to_ndarray()
            for frame in container.decode(video=0)
        ]
    video = write_video(tmp_path / "proxy.mp4", real, rate=rate)
    assert "occluded" not in statuses(video, tmp_path / "out", detector, rate)


def faces(count: int, seed: int = 1) -> Picture:
    """Glimpses of something that changes a little from frame to frame."""
    chance = np.random.default_rng(seed)
    one = cv2.resize(chance.normal(120, 40, (7, 7)).astype(np.float32), (SIDE, SIDE))
    noise = chance.normal(0, 3, (count, SIDE, SIDE))
    return np.clip(one + noise, 0, 255).astype(np.uint8)


def test_light_and_contrast_do_not_change_what_is_seen() -> None:
    pictures = faces(20)
    darker = (pictures * 0.6 + 20).astype(np.uint8)
    plain, changed = occlusion.features(pictures), occlusion.features(darker)
    other = occlusion.features(faces(20, seed=2))
    assert occlusion.difference(changed, plain).max() < 0.6
    assert occlusion.difference(other, plain).min() > 2


def test_the_difference_is_that_of_the_most_unlike_neighbourhood() -> None:
    chance = np.random.default_rng(5)
    one, own = (chance.normal(size=(n, occlusion.FEATURES)).astype(np.float32) for n in (3, 7))
    scale = np.array([1.0] * 8 + [0.7] * 4)
    a, b = (x.reshape(-1, 6, 6, 12) * scale for x in (one, own))
    nearest = ((a[:, None] - b[None]) ** 2).sum(-1).min(1)
    expected = [
        max(nearest[n, i : i + 3, j : j + 3].mean() for i in range(4) for j in range(4))
        for n in range(3)
    ]
    np.testing.assert_allclose(occlusion.difference(one, own), expected, rtol=1e-4)


def test_a_track_of_a_few_frames_is_not_judged_and_short_flickers_are_none() -> None:
    assert not occlusion.covered(faces(occlusion.SHORTEST - 1), np.zeros(14, np.float32)).any()
    flags = np.array([0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1], dtype=bool)
    kept = occlusion.without_short_runs(flags)
    assert kept.tolist() == [False] * 6 + [True] * 6 + [False] * 5


def test_a_turned_head_and_one_of_unknown_pose_are_never_called_covered() -> None:
    pictures = np.concatenate([faces(60), faces(30, seed=2), faces(60)])
    # Far on the side of what looks covered, so that only the yaw can say no.
    likeness = occlusion.features(pictures)
    apart = likeness[60:90].mean(axis=0) - likeness[:60].mean(axis=0)
    how = (20 * apart / float(apart @ apart)).astype(np.float32), 0.0
    yaw = np.zeros(150, np.float32)
    assert np.flatnonzero(occlusion.covered(pictures, yaw, how)).tolist() == list(range(60, 90))
    for unsure in (occlusion.TURNED + 1, -occlusion.TURNED - 1, np.nan):
        yaw[70:90] = unsure
        found = np.flatnonzero(occlusion.covered(pictures, yaw, how))
        assert found.tolist() == list(range(60, 70))

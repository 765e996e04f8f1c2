"""Heads that lean: YuNet draws their landmarks upright, a second look does not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces.clips import Picture
from workers.faces.align import ARCFACE_TEMPLATE
from workers.faces.detectors import Detections, YuNet, best_of_overlapping, yunet
from workers.faces.upright import SIDE, straightened


def tilt(landmarks: np.ndarray) -> float:
    across = landmarks[1] - landmarks[0] + landmarks[4] - landmarks[3]
    return float(np.degrees(np.arctan2(across[1], across[0])))


@pytest.mark.parametrize("lean", [-40, 0, 40])
@pytest.mark.parametrize("zoom", [0.42, 0.6])
def test_a_leaning_head_has_leaning_landmarks(
    lean: int, zoom: float, shared_media: Path, face_picture: Picture
) -> None:
    path = shared_media.parent / "models" / "yunet_n_dynamic.onnx"
    if not path.exists():
        pytest.skip("The weights of YuNet are not beside the checkout.")
    detector = yunet(path)
    assert isinstance(detector, YuNet)
    matrix = cv2.getRotationMatrix2D((225, 120), -lean, zoom)
    matrix[:, 2] += [-65, 0]
    picture = cv2.warpAffine(face_picture, matrix, (320, 240)).astype(np.uint8)
    plain = best_of_overlapping(detector.find(picture))
    found = detector.detect(picture)
    upright = tilt(yunet(path).detect(face_picture).landmarks[0])
    error, before = (abs(tilt(x.landmarks[0]) - lean - upright) for x in (found, plain))
    assert error < 10
    assert error <= before + 1
    np.testing.assert_array_equal(found.scores, plain.scores)


def leaning(lean: float) -> tuple[Picture, Detections]:
    """A picture with bright points where a leaning head's landmarks are, and an upright guess."""
    picture = np.zeros((240, 320, 3), np.uint8)
    shape = (ARCFACE_TEMPLATE - 56) * 0.6
    turn = np.radians(lean)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for number, (x, y) in enumerate(shape @ matrix.T + [160, 120]):
        cv2.circle(
            picture, (round(x * 16), round(y * 16)), 32, (60 + 40 * number, 255, 255), -1, 0, 4
        )
    box = np.array([[120, 80, 200, 160]], np.float32)
    guess = (shape + np.array([160, 120])).astype(np.float32)[None]
    return picture, Detections(box, np.array([0.88], np.float32), guess)


def half_blind(picture: Picture) -> Detections:
    """Sees the points where they are, but only half of their tilt, and surer the less they lean."""
    where = []
    for number in range(5):
        near = np.abs(picture[:, :, 0].astype(int) - (60 + 40 * number)) < 12
        ys, xs = np.nonzero(near & (picture[:, :, 1] > 200))
        if not len(xs):
            return Detections(*(np.empty(shape, np.float32) for shape in ((0, 4), 0, (0, 5, 2))))
        where.append([xs.mean(), ys.mean()])
    marks = np.array(where)
    lean, middle = tilt(marks), marks.mean(axis=0)
    back = np.radians(-lean / 2)
    turned = np.array([[np.cos(back), -np.sin(back)], [np.sin(back), np.cos(back)]])
    seen = ((marks - middle) @ turned.T + middle).astype(np.float32)[None]
    return Detections(
        np.zeros((1, 4), np.float32), np.array([0.95 - abs(lean) / 400], np.float32), seen
    )


@pytest.mark.parametrize("lean", [-50.0, -25.0, 25.0, 50.0])
def test_the_face_is_turned_until_it_stands(lean: float) -> None:
    picture, guess = leaning(lean)
    marks = straightened(half_blind, picture, guess)
    assert abs(tilt(marks[0]) - lean) < 8
    turn = np.radians(lean)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    truth = (guess.landmarks[0] - [160, 120]) @ matrix.T + [160, 120]
    assert np.abs(marks[0] - truth).max() < 6


def test_who_is_sure_small_or_hardly_a_face_is_not_looked_at_again() -> None:
    picture, guess = leaning(40.0)
    looks: list[tuple[int, ...]] = []

    def find(some: Picture) -> Detections:
        looks.append(some.shape)
        return half_blind(some)

    for boxes, score in (
        (guess.boxes, 0.95),
        (guess.boxes, 0.4),
        (guess.boxes * np.float32(0.25), 0.88),
    ):
        other = Detections(boxes, np.array([score], np.float32), guess.landmarks)
        np.testing.assert_array_equal(straightened(find, picture, other), guess.landmarks)
    assert looks == []
    straightened(find, picture, guess)
    assert 2 <= len(looks) <= 4
    assert set(looks) == {(SIDE, SIDE, 3)}
    nobody = Detections(guess.boxes[:0], guess.scores[:0], guess.landmarks[:0])
    assert straightened(find, picture, nobody).shape == (0, 5, 2)

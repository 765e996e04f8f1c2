from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces.clips import Picture
from workers.faces.detectors import Detections, Detector, best_of_overlapping, load, yunet
from workers.faces.errors import FaceError
from workers.faces.models import DetectorCard, install, prepare_models, sha256_of
from workers.faces.models import cards as cards_in

# Where an eye sees the landmarks in the astronaut's photograph, to a few pixels.
BY_EYE = np.array([[205, 103], [246, 105], [223, 126], [206, 144], [242, 145]])


def test_the_astronauts_face_is_found_where_it_is(
    detector: Detector, face_picture: Picture
) -> None:
    found = detector.detect(face_picture)
    assert len(found) == 1
    assert found.scores[0] > 0.85
    assert np.abs(found.landmarks[0] - BY_EYE).max() < 8
    left, top, right, bottom = found.boxes[0]
    assert left < 200 < 250 < right
    assert top < 90 < 150 < bottom


@pytest.mark.parametrize("size", [(640, 360), (320, 240), (360, 640), (77, 123)])
def test_a_blank_picture_has_no_face(detector: Detector, size: tuple[int, int]) -> None:
    width, height = size
    for grey in (0, 128, 255):
        assert len(detector.detect(np.full((height, width, 3), grey, dtype=np.uint8))) == 0


def test_answers_are_in_the_pixels_of_the_picture_given(
    detector: Detector, face_picture: Picture
) -> None:
    twice = cv2.resize(face_picture, (1024, 1024)).astype(np.uint8)
    once, double = detector.detect(face_picture), detector.detect(twice)
    np.testing.assert_allclose(double.landmarks / 2, once.landmarks, atol=3)
    np.testing.assert_allclose(double.boxes / 2, once.boxes, atol=4)


def test_a_face_at_the_edge_keeps_its_landmarks(detector: Detector, face_picture: Picture) -> None:
    # The cut goes through the forehead: the box is clipped, the landmarks must not move along.
    cut = np.ascontiguousarray(face_picture[85:])
    found = detector.detect(cut)
    assert len(found) == 1
    assert found.boxes[0, 1] == 0
    assert np.abs(found.landmarks[0] + [0, 85] - BY_EYE).max() < 8


def test_yunet_and_centerface_agree(
    detector: Detector, face_picture: Picture, shared_media: Path
) -> None:
    path = shared_media.parent / "models" / "yunet_n_dynamic.onnx"
    if not path.is_file():
        pytest.skip("YuNet's weights (../shared/models) are not on this machine")
    other = yunet(path).detect(face_picture)
    assert len(other) == 1
    assert np.abs(other.landmarks - detector.detect(face_picture).landmarks).max() < 8
    assert len(yunet(path).detect(np.zeros((360, 640, 3), dtype=np.uint8))) == 0


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], dtype=np.float32)
    scores = np.array([0.5, 0.9, 0.4], dtype=np.float32)
    kept = best_of_overlapping(Detections(boxes, scores, np.zeros((3, 5, 2), dtype=np.float32)))
    assert kept.scores.tolist() == pytest.approx([0.9, 0.4])


def test_preparing_again_changes_nothing_and_repairs_damage(tmp_path: Path) -> None:
    first = prepare_models(tmp_path, names=["centerface"])["centerface"]
    assert first.sha256 == sha256_of(first.path)
    stamp = first.path.stat().st_mtime_ns
    assert prepare_models(tmp_path, names=["centerface"])["centerface"] == first
    assert first.path.stat().st_mtime_ns == stamp
    first.path.write_bytes(first.path.read_bytes()[:-100])
    assert (
        sha256_of(prepare_models(tmp_path, names=["centerface"])["centerface"].path) == first.sha256
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["centerface.onnx", "models.json"]


def test_weights_are_installed_by_their_hash_or_not_at_all(
    shared_media: Path, tmp_path: Path
) -> None:
    source = shared_media.parent / "models" / "yunet_n_dynamic.onnx"
    if not source.is_file():
        pytest.skip("YuNet's weights (../shared/models) are not on this machine")
    refused = [
        (str(source), "0" * 64, "has SHA-256"),
        (str(tmp_path / "gone.onnx"), "0" * 64, "There is no file"),
        ("http://example.org/yunet.onnx", "0" * 64, "is no https address"),
    ]
    for where, sha256, why in refused:
        with pytest.raises(FaceError, match=why):
            install(tmp_path, "yunet", where, sha256=sha256, licence="BSD-3-Clause")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FaceError, match="comes with Waver"):
        install(tmp_path, "centerface", str(source), sha256="", licence="MIT")
    card = install(tmp_path, "yunet", str(source), sha256=sha256_of(source), licence="BSD-3-Clause")
    assert cards_in(tmp_path) == {"yunet": card}
    assert len(load(card).detect(np.zeros((360, 640, 3), dtype=np.uint8))) == 0


def test_a_network_of_one_size_only_is_refused(shared_media: Path, tmp_path: Path) -> None:
    source = shared_media.parent / "models" / "yunet_n_320_320.onnx"
    if not source.is_file():
        pytest.skip("YuNet's weights (../shared/models) are not on this machine")
    card = install(tmp_path, "yunet", str(source), sha256=sha256_of(source), licence="BSD-3-Clause")
    with pytest.raises(FaceError, match="320 x 320 pixels only"):
        load(card)


@pytest.mark.slow
def test_eight_bits_find_the_same_face(
    detector: Detector, face_picture: Picture, tmp_path: Path
) -> None:
    made = prepare_models(tmp_path)["centerface-int8"]
    assert prepare_models(tmp_path)["centerface-int8"] == made
    full, small = detector.detect(face_picture), load(made).detect(face_picture)
    eyes = np.linalg.norm(full.landmarks[0, 1] - full.landmarks[0, 0])
    apart = np.linalg.norm(full.landmarks[0] - small.landmarks[0], axis=1).mean()
    assert apart < 0.06 * eyes
    assert len(load(made).detect(np.full((240, 320, 3), 90, dtype=np.uint8))) == 0


def test_a_file_that_is_not_the_cards_is_refused(cards: dict[str, DetectorCard]) -> None:
    card = cards["centerface"]
    with pytest.raises(FaceError, match="SHA-256"):
        load(dataclasses.replace(card, sha256="0" * 64))
    with pytest.raises(FaceError, match="no face detector called"):
        load(dataclasses.replace(card, name="retinaface"))
    with pytest.raises(FaceError, match="is missing"):
        load(dataclasses.replace(card, path=card.path.with_name("gone.onnx")))


def test_a_grey_picture_is_refused(detector: Detector) -> None:
    with pytest.raises(FaceError, match="colour picture"):
        detector.detect(np.zeros((100, 100), dtype=np.uint8))

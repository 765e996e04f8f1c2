from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.faces.align import (
    ARCFACE_TEMPLATE,
    is_mirrored,
    similarity,
    template,
    warp,
    windows,
    within,
)
from workers.faces.errors import FaceError


def test_matrices_equal_bah_wherever_bah_does_not_mirror(golden: dict[str, np.ndarray]) -> None:
    compared = 0
    for points, matrix, reflected in zip(
        golden["points"], golden["matrix"], golden["reflected"], strict=True
    ):
        if not reflected:
            ours = similarity(points.astype(np.float32), 256, fitted_in="frame")
            np.testing.assert_allclose(ours, matrix, rtol=0, atol=1e-6)
            compared += 1
    assert compared > 30


def test_no_face_is_ever_mirrored(golden: dict[str, np.ndarray]) -> None:
    for points in golden["points"]:
        ours = similarity(points, 256)
        assert np.linalg.det(ours[:, :2]) > 0


def test_swapped_and_mirrored_landmarks_are_recognised() -> None:
    upright = ARCFACE_TEMPLATE
    swapped = upright[[1, 0, 2, 4, 3]]
    assert not is_mirrored(upright)
    assert not is_mirrored(-upright)  # upside down, a rotation by half a turn
    assert is_mirrored(swapped)
    assert is_mirrored(upright * [-1, 1])
    assert is_mirrored(upright * [1, -1])


def test_the_warped_picture_equals_bah_up_to_two_grey_levels(
    golden: dict[str, np.ndarray],
) -> None:
    blocks = np.clip(128 + _drawn("input:face_align:image", (3, 30, 40)) * 40, 0, 255)
    picture = np.repeat(np.repeat(blocks, 16, axis=1), 16, axis=2).astype(np.uint8)
    matrix = similarity(golden["points"][4].astype(np.float32), 256, fitted_in="frame")
    crop = warp(np.ascontiguousarray(picture.transpose(1, 2, 0)), matrix, 256)
    difference = np.abs(crop.astype(int) - golden["warped_random_3"].astype(int))
    assert difference.max() <= 2


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 20),
    x=st.floats(-2000, 2000),
    y=st.floats(-2000, 2000),
    size=st.sampled_from([112, 224, 256]),
)
def test_any_turned_scaled_and_shifted_template_comes_back(
    angle: float, scale: float, x: float, y: float, size: int
) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ARCFACE_TEMPLATE @ turn.T * scale + [x, y]
    for fitted_in in ("crop", "frame"):
        matrix = similarity(points, size, fitted_in=fitted_in)  # type: ignore[arg-type]  # looped literal
        np.testing.assert_allclose(
            points @ matrix[:, :2].T + matrix[:, 2], template(size), atol=1e-4
        )


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((5, 2), np.nan), np.ones((4, 2))])
def test_landmarks_that_are_no_face_are_refused(points: np.ndarray) -> None:
    with pytest.raises(FaceError, match="landmarks"):
        similarity(points, 256)


def _drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    import hashlib

    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)


@given(
    turn=st.floats(-180, 180),
    zoom=st.floats(0.2, 5),
    x=st.floats(-80, 400),
    y=st.floats(-80, 300),
)
@settings(max_examples=30, deadline=None)
def test_a_crop_from_its_part_of_the_picture_is_the_same(
    turn: float, zoom: float, x: float, y: float
) -> None:
    width, height, size = 321, 241, 64
    picture = np.random.default_rng(3).integers(0, 255, (height, width), dtype=np.uint8)
    a = zoom * np.exp(1j * np.radians(turn))
    linear = np.array([[a.real, -a.imag], [a.imag, a.real]])
    shift = np.full(2, size / 2) - linear @ [x, y]
    matrices = np.column_stack([linear, shift])[None]
    parts = windows(matrices, size, width=width, height=height)
    left, top, right, bottom = parts[0]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert left % 2 == top % 2 == 0
    whole = warp(picture, matrices[0], size, border=16)
    part = warp(picture[top:bottom, left:right], within(matrices, parts)[0], size, border=16)
    np.testing.assert_array_equal(whole, part)

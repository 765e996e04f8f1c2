"""Aligning a face: a similarity transform from five landmarks to a template, and the warp.

Template: the five points of ArcFace's 112 x 112 crop (Deng and others 2019, arXiv:1801.07698),
scaled to the crop's size; at 256 this is the crop that BAH publishes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workers.faces.errors import FaceError

Doubles = NDArray[np.float64]
Picture = NDArray[np.uint8]

TEMPLATE_SIZE = 112
# Pixels around a crop's part of the picture.
MARGIN = 4
# Eye, eye, nose tip, mouth corner, mouth corner; left before right as seen in the picture.
ARCFACE_TEMPLATE: Doubles = np.array(
    [
        [38.29459953, 51.69630051],
        [73.53179932, 51.50139999],
        [56.02519989, 71.73660278],
        [41.54930115, 92.3655014],
        [70.72990036, 92.20410156],
    ]
)


def template(crop_size: int) -> Doubles:
    """The five points (5, 2) to which a face is moved in a square crop of `crop_size` pixels."""
    if crop_size < 16:
        raise FaceError(f"A crop of {crop_size} pixels is too small; ask for 16 or more.")
    scaled = ARCFACE_TEMPLATE * (crop_size / TEMPLATE_SIZE)
    # Single precision, because the published tools hold it so: our matrices then equal theirs.
    return scaled.astype(np.float32).astype(np.float64)


def similarity(
    landmarks: ArrayLike, crop_size: int, *, fitted_in: Literal["crop", "frame"] = "crop"
) -> Doubles:
    """The 2 x 3 matrix that takes picture pixels to crop pixels: rotation, one scale, shift.

    Closed form over the complex plane. With points z and template w, both less their means, the
    least-squares similarity w = a z has a = sum(conj(z) w) / sum(|z|^2); it can never mirror.
    `fitted_in` says where the squared error is measured: in crop pixels, as ArcFace's own tools do,
    or in the frame's pixels (template to frame, then inverted), as BAH's tools do. The two differ
    unless the fit is exact. Raises FaceError when the landmarks coincide or are not finite.
    """
    points = _complex(landmarks)
    goal = _complex(template(crop_size))
    z, w = points - points.mean(), goal - goal.mean()
    spread = float(np.sum(np.abs(z) ** 2))
    if not np.isfinite(spread) or spread < 1e-6:
        raise FaceError("A face cannot be aligned: its five landmarks are one point or missing.")
    if fitted_in == "crop":
        a = np.sum(np.conj(z) * w) / spread
    else:
        backwards = np.sum(np.conj(w) * z) / np.sum(np.abs(w) ** 2)
        if abs(backwards) < 1e-9:
            raise FaceError("A face cannot be aligned: its landmarks do not resemble a face.")
        a = 1 / backwards
    b = goal.mean() - a * points.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def similarities(landmarks: ArrayLike, crop_size: int) -> Doubles:
    """`similarity` of many faces (N, 5, 2) at once: (N, 2, 3), NaN where there is no face."""
    points = np.asarray(landmarks, dtype=np.float64)
    z, w = points[..., 0] + 1j * points[..., 1], _complex(template(crop_size))
    centre, goal = z.mean(axis=1), w.mean()
    z = z - centre[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        a = (np.conj(z) @ (w - goal)) / (z.real**2 + z.imag**2).sum(axis=1)
    b = goal - a * centre
    return np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=1).reshape(-1, 2, 3)


def is_mirrored(landmarks: ArrayLike) -> bool:
    """Whether the five landmarks (5, 2) are in mirror order: no rotation of a face looks so.

    True when the step from left eye to right eye and the step from eyes to mouth turn the wrong
    way, or the two mouth corners do. Such points come from a detector's slip; aligning them would
    give a crop that stands on its head or, in other software, a mirrored one.
    """
    one, other, _, left, right = np.asarray(landmarks, dtype=np.float64).tolist()
    down = left[0] + right[0] - one[0] - other[0], left[1] + right[1] - one[1] - other[1]
    return _turn(one, other, down) <= 0 or _turn(left, right, down) <= 0


def warp(plane: Picture, matrix: Doubles, crop_size: int, *, border: int = 0) -> Picture:
    """Cut a square of `crop_size` out of a plane or picture: bilinear, `border` outside it."""
    import cv2

    crop = cv2.warpAffine(
        plane,
        matrix,
        (crop_size, crop_size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border,) * 4,
    )
    return crop.astype(np.uint8, copy=False)


def windows(matrices: Doubles, crop_size: int, *, width: int, height: int) -> NDArray[np.int64]:
    """The parts of a picture (width, height) that crops are cut out of.

    For matrices (N, 2, 3): left, top, right, bottom (N, 4), the last two not included, with room
    for interpolating; left and top are even. At least two pixels each way, also where a crop lies
    outside the picture or is NaN.
    """
    corners = np.array([[0, 0], [crop_size, 0], [0, crop_size], [crop_size, crop_size]])
    known = np.where(np.isfinite(matrices), matrices, np.eye(2, 3))
    places = np.linalg.solve(known[:, :, :2], corners.T - known[:, :, 2:])  # (N, 2, 4)
    limits = np.array([width, height])
    first = np.floor(places.min(axis=2)).astype(np.int64) - MARGIN
    last = np.ceil(places.max(axis=2)).astype(np.int64) + MARGIN
    first = np.clip(first, 0, limits - 2) // 2 * 2
    return np.hstack([first, np.clip(last, first + 2, np.maximum(limits, first + 2))])


def within(matrices: Doubles, parts: NDArray[np.int64]) -> Doubles:
    """The matrices (N, 2, 3) for the parts of a picture that `windows` gives."""
    moved = matrices.copy()
    moved[:, :, 2] += (matrices[:, :, :2] @ parts[:, :2, None])[:, :, 0]
    return moved


def halved(matrices: Doubles) -> Doubles:
    """Matrices (…, 2, 3) for planes of half the size, cut to half the crop's size.

    A pixel of such a plane covers two by two: its place p stands for 2 p + 1/2 of the whole one.
    """
    smaller = matrices.copy()
    smaller[..., 2] = (matrices[..., :2].sum(axis=-1) / 2 + matrices[..., 2] - 0.5) / 2
    return smaller


def _turn(start: list[float], end: list[float], other: tuple[float, float]) -> float:
    """Above 0 where the step from start to end turns clockwise, as seen, to the other step."""
    return (end[0] - start[0]) * other[1] - (end[1] - start[1]) * other[0]


def _complex(points: ArrayLike) -> NDArray[np.complex128]:
    array = np.asarray(points, dtype=np.float64)
    if array.shape != (5, 2):
        raise FaceError(f"A face has five landmarks of two numbers, not shape {array.shape}.")
    result: NDArray[np.complex128] = array[:, 0] + 1j * array[:, 1]
    return result

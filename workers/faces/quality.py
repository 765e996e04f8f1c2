"""Sharpness and brightness of a face, measured on its aligned crop at one fixed size.

A fixed size makes faces of different distances comparable: a small face, enlarged, is less sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

MEASURING_SIZE = 112


@dataclass(frozen=True)
class FaceQuality:
    """sharpness: variance of the Laplacian of the grey levels (Pech-Pacheco and others 2000), in
    squared grey levels. brightness: mean grey level, 0 (black) to 255 (white)."""

    sharpness: float
    brightness: float


def measure_quality(crop: Picture, *, black: int = 0, span: int = 255) -> FaceQuality:
    """Quality of a face from the brightness plane of its aligned crop, square, of any size.

    `black` and `black + span` are the brightness of black and of white in the plane.
    """
    import cv2

    small = cv2.resize(crop, (MEASURING_SIZE, MEASURING_SIZE), interpolation=cv2.INTER_LINEAR)
    brightness = np.ravel(cv2.mean(small))[0] - black
    stretch = 255 / span
    return FaceQuality(
        sharpness=_variance_of_laplacian(small.astype(np.int16)) * stretch**2,
        brightness=float(min(255.0, max(0.0, brightness * stretch))),
    )


def _variance_of_laplacian(grey: NDArray[np.int16]) -> float:
    """Of the four neighbours of each pixel less four times itself, the edge left out.

    Taken along the picture as one line, in which neighbours lie side by side or one row apart:
    half the time of OpenCV's Laplacian and deviation.
    """
    width, line = grey.shape[1], grey.ravel()
    edges = line[width:-width] * np.int16(-4)
    edges += line[: -2 * width]
    edges += line[2 * width :]
    edges += line[width - 1 : -width - 1]
    edges += line[width + 1 : line.size - width + 1]
    inner = edges.reshape(-1, width)
    inner[:, 0] = inner[:, -1] = 0  # their neighbours are of other rows
    values, count = edges.astype(np.float32), edges.size - 2 * len(inner)
    mean = float(values.sum()) / count
    return float(values @ values) / count - mean**2

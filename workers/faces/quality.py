"""Sharpness and brightness of a face, measured on its aligned crop at one fixed size.

A fixed size makes faces of different distances comparable: a small face, enlarged, is less sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.faces.align import similarity, warp

Picture = NDArray[np.uint8]

MEASURING_SIZE = 112


@dataclass(frozen=True)
class FaceQuality:
    """sharpness: variance of the Laplacian of the grey levels (Pech-Pacheco and others 2000), in
    squared grey levels. brightness: mean grey level, 0 (black) to 255 (white)."""

    sharpness: float
    brightness: float


def measure_quality(bgr: Picture, landmarks: NDArray[np.float32]) -> FaceQuality:
    """Quality of the face at five landmarks (5, 2) of a picture (height, width, 3)."""
    import cv2

    crop = warp(bgr, similarity(landmarks, MEASURING_SIZE), MEASURING_SIZE)
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return FaceQuality(float(edges.var()), float(grey.mean()))

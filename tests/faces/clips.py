"""Small videos made on the spot from a real photograph of a face."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

RATE = Fraction(25)


def astronaut() -> Picture:
    """Scikit-image's photograph of an astronaut, 512 x 512, blue-green-red; the face is at its
    upper middle."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def moved(picture: Picture, *, x: float, y: float, zoom: float, size: tuple[int, int]) -> Picture:
    """The photograph zoomed, shifted so that its face (near 225, 120) stands at (x, y)."""
    matrix = np.array([[zoom, 0, x - 225 * zoom], [0, zoom, y - 120 * zoom]])
    return cast(Picture, cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE))


def write_video(path: Path, pictures: Iterable[Picture], *, rate: Fraction) -> Path:
    """Encode pictures as a constant-rate H.264 file like the platform's proxies."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16", "g": "25"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path

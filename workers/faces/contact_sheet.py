"""A picture of a few face crops in order of time, to see at a glance what was cropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from workers.faces.crops import CropReader
from workers.faces.errors import FaceError

MOST_CROPS = 12
PER_ROW = 6
CROP_SIDE = 128
CAPTION_HEIGHT = 18
GREY = 245


def write_contact_sheet(
    path: Path, crops: CropReader, frames: list[int], *, frame_us: Callable[[int], int]
) -> None:
    """Write a JPEG of at most MOST_CROPS crops, evenly spread over `frames`, captioned by time.

    `frames` are the frames to choose from, in rising order, each with a crop. Raises FaceError when
    there are none.
    """
    import cv2

    if not frames:
        raise FaceError("A contact sheet needs at least one face crop.")
    places = np.linspace(0, len(frames) - 1, min(MOST_CROPS, len(frames))).round().astype(int)
    chosen = [frames[place] for place in places]
    columns = min(PER_ROW, len(chosen))
    rows = -(-len(chosen) // columns)
    cell = CROP_SIDE + CAPTION_HEIGHT
    sheet = np.full((rows * cell, columns * CROP_SIDE, 3), GREY, dtype=np.uint8)
    for place, frame in enumerate(chosen):
        top, left = place // columns * cell, place % columns * CROP_SIDE
        crop = cv2.imdecode(np.frombuffer(crops.jpeg(frame), np.uint8), cv2.IMREAD_COLOR)
        if crop is None:
            raise FaceError(f"The crop of frame {frame} is not a readable JPEG.")
        small = cv2.resize(crop, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_AREA)
        sheet[top : top + CROP_SIDE, left : left + CROP_SIDE] = small
        seconds = frame_us(frame) / 1e6
        caption = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
        at = (left + 4, top + cell - 5)
        cv2.putText(
            sheet, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA
        )
    if not cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise FaceError(f"The contact sheet could not be written to {path}.")

"""A picture of a few faces of one track in order of time, to see at a glance who it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from workers.faces.errors import FaceError
from workers.faces.video import Picture

MOST_CROPS = 12
PER_ROW = 6
CROP_SIDE = 128
CAPTION_HEIGHT = 18
GREY = 245
_PLAIN, _LIMITED = (40, 40, 40), (20, 80, 180)  # blue, green, red


def spread(frames: Sequence[int]) -> list[int]:
    """At most MOST_CROPS of the frames, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(frames) - 1, min(MOST_CROPS, len(frames))).round().astype(int)
    return [frames[place] for place in places]


def write_contact_sheet(
    path: Path,
    faces: Sequence[tuple[int, Picture, str]],
    *,
    frame_us: Callable[[int], int],
) -> None:
    """Write a JPEG of faces, each with its time below.

    `faces` are (frame, aligned picture (CROP_SIDE, CROP_SIDE, 3), what limits it in a word or two,
    "" for nothing). Raises FaceError when there are none.
    """
    import cv2

    if not faces:
        raise FaceError("A contact sheet needs at least one face.")
    columns = min(PER_ROW, len(faces))
    rows = -(-len(faces) // columns)
    cell = CROP_SIDE + CAPTION_HEIGHT
    sheet = np.full((rows * cell, columns * CROP_SIDE, 3), GREY, dtype=np.uint8)
    for place, (frame, picture, limit) in enumerate(faces):
        top, left = place // columns * cell, place % columns * CROP_SIDE
        sheet[top : top + CROP_SIDE, left : left + CROP_SIDE] = picture
        seconds = frame_us(frame) / 1e6
        caption = f"{int(seconds // 60)}:{seconds % 60:04.1f} {limit}".rstrip()
        colour, at = _LIMITED if limit else _PLAIN, (left + 4, top + cell - 5)
        cv2.putText(sheet, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    if not cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise FaceError(f"The contact sheet could not be written to {path}.")

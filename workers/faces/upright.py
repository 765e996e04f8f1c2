"""A second look at tilted faces, for a detector that takes every head to be upright.

YuNet has seen few leaning heads: it finds them, less surely, but draws their landmarks nearly
upright. (Measured on two_people: 0 to 14 degrees of tilt where the heads lean by 30 to 40, and
landmarks off by up to half the distance between the eyes; upright faces score 0.91 and more, these
0.84 to 0.91.) So a face of which it is not SURE is cut out and turned, in steps, towards where it
leans, until it stands; the landmarks are taken from there. A look costs half a millisecond, and an
upright face none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from workers.faces.detectors import Detections

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
Find = Callable[[Picture], "Detections"]

SURE = 0.91
# What is less likely a face begins no track either, and may be none at all.
LEAST = 0.5
# The side of the square that is looked at, and how much of it the face's box fills.
SIDE, FILLED = 128, 0.55
# Smaller boxes, in pixels of the detector's picture, are too small for crops anyway.
SMALLEST = 24.0
MOST_FACES = 3
# Degrees: a face that leans less stands; of what has not been turned, half the tilt is not seen.
LEVEL, LEVEL_AT_FIRST = 7.0, 4.0
STEP = 20.0
MOST_LOOKS = 4
# A look that is by so much less sure than the best so far is not believed.
LESS_SURE = 0.03


def straightened(find: Find, picture: Picture, found: Detections) -> Floats:
    """Landmarks (N, 5, 2) of the faces found; of unsure ones, from the face turned upright.

    `find` gives the faces of a picture at its own size, best first; `picture` is that in which
    `found` were seen.
    """
    landmarks = found.landmarks.copy()
    sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    unsure = (found.scores >= LEAST) & (found.scores < SURE) & (sizes >= SMALLEST)
    for place in np.flatnonzero(unsure)[:MOST_FACES].tolist():
        better = _upright(find, picture, found.boxes[place])
        if better is not None:
            landmarks[place] = better
    return landmarks


def _upright(find: Find, picture: Picture, box: Floats) -> Floats | None:
    """The landmarks of the face in a box, None where turning it does not help."""
    turned, surest, least, marks = 0.0, 0.0, math.inf, None
    for number in range(MOST_LOOKS):
        look = _look(find, picture, box, turned)
        if look is None or look[0] < surest - LESS_SURE:
            break
        surest, lean = max(surest, look[0]), look[2]
        if abs(lean) < least:
            # The first look sees the face as it was seen already.
            least, marks = abs(lean), look[1] if number else None
        if abs(lean) < (LEVEL if number else LEVEL_AT_FIRST):
            break
        turned += math.copysign(STEP, lean)
    return marks


def _look(
    find: Find, picture: Picture, box: Floats, turned: float
) -> tuple[float, Floats, float] | None:
    """Score, landmarks in the picture, and the tilt left, of a face that is turned by degrees."""
    import cv2

    middle = (box[:2] + box[2:]) / 2
    scale = SIDE * FILLED / float((box[2:] - box[:2]).max())
    matrix: Doubles = np.array(cv2.getRotationMatrix2D(middle.tolist(), turned, scale))
    matrix[:, 2] += SIDE / 2 - middle
    seen = find(cv2.warpAffine(picture, matrix, (SIDE, SIDE)).astype(np.uint8, copy=False))
    if not len(seen):
        return None
    marks = seen.landmarks[0]
    across = marks[1] - marks[0] + marks[4] - marks[3]
    back = cv2.invertAffineTransform(matrix)
    there = marks @ back[:, :2].T + back[:, 2]
    lean = math.degrees(math.atan2(float(across[1]), float(across[0])))
    return float(seen.scores[0]), there.astype(np.float32), lean

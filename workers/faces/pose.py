"""Head pose and size from five landmarks.

Convention, as seen in the picture (not mirrored), in degrees, relative to the camera's axis:
yaw is positive when the nose points to the picture's right, pitch is positive when it points up,
roll is positive when the head is tilted clockwise. The turn is taken first, then the nod, then the
tilt. Five points of an average face under an assumed lens give these angles to a few degrees for a
real person: compare a person's angles with that person's own, not with another's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]

# Millimetres; x to the picture's right, y down, z away from the camera; origin between the eyes.
# Widths and heights follow the ArcFace template, scaled to an average distance of 63 mm between
# the pupils (Dodgson 2004, doi:10.1117/12.529999); the depths of nose and mouth are our average.
EYE_DISTANCE_MM = 63.0
AVERAGE_FACE: Doubles = np.array(
    [[-31.5, 0, 0], [31.5, 0, 0], [0, 36, -32], [-26, 72.7, -6], [26, 72.7, -6]]
)
EYES_TO_MOUTH_MM = float(AVERAGE_FACE[3, 1])


@dataclass(frozen=True)
class Pose:
    """Yaw, pitch and roll in degrees; the module says which way is positive."""

    yaw: float
    pitch: float
    roll: float


def estimate_pose(landmarks: ArrayLike, *, width: int, height: int) -> Pose:
    """Pose of a face from its five landmarks (5, 2) in a picture of width x height pixels.

    The perspective problem is solved by SQPnP (Terzakis and Lourakis 2020). The lens is unknown:
    its focal length is assumed to equal the picture's long side, which is a field of view of 53
    degrees, usual for webcams. Gives NaN angles when no pose puts the face before the camera.
    """
    import cv2

    focal = float(max(width, height))
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    points = np.ascontiguousarray(landmarks, dtype=np.float64).reshape(5, 2)
    solved, turn, shift = cv2.solvePnP(
        AVERAGE_FACE, points, lens, np.zeros(4), flags=cv2.SOLVEPNP_SQPNP
    )
    if not solved or float(shift[2, 0]) <= 0:
        return Pose(float("nan"), float("nan"), float("nan"))
    matrix = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
    return _angles(matrix)


def rotation(pose: Pose) -> Doubles:
    """The 3 x 3 matrix that turns AVERAGE_FACE into a pose; the inverse of `estimate_pose`."""
    yaw, pitch, roll = np.radians([-pose.yaw, -pose.pitch, pose.roll])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    matrix: Doubles = tilt @ nod @ turn
    return matrix


def eye_distances(landmarks: ArrayLike) -> Doubles:
    """Distance between the eyes in pixels, as if each face were frontal; (N, 5, 2) gives (N,).

    A turned head brings its eyes together but leaves eyes and mouth apart, a nodding head the
    other way round; so the larger of the two, the second scaled by the average face, is taken.
    """
    p = np.asarray(landmarks, dtype=np.float64)
    eyes = np.linalg.norm(p[..., 1, :] - p[..., 0, :], axis=-1)
    down = np.linalg.norm(p[..., 3, :] + p[..., 4, :] - p[..., 0, :] - p[..., 1, :], axis=-1) / 2
    return np.asarray(np.maximum(eyes, down * (EYE_DISTANCE_MM / EYES_TO_MOUTH_MM)))


def _angles(matrix: Doubles) -> Pose:
    pitch = -np.degrees(np.arcsin(np.clip(matrix[2, 1], -1, 1)))
    yaw = -np.degrees(np.arctan2(-matrix[2, 0], matrix[2, 2]))
    roll = np.degrees(np.arctan2(-matrix[0, 1], matrix[1, 1]))
    return Pose(float(yaw), float(pitch), float(roll))

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
STEPS = 8


@dataclass(frozen=True)
class Pose:
    """Yaw, pitch and roll in degrees; the module says which way is positive."""

    yaw: float
    pitch: float
    roll: float


def estimate_poses(landmarks: ArrayLike, *, width: int, height: int) -> Doubles:
    """Yaw, pitch and roll (N, 3) of faces from their landmarks (N, 5, 2) in a picture.

    Least squares of the projected points, by Gauss and Newton, all faces at once; it begins where
    the average face seen from afar would stand. The lens is unknown: its focal length is assumed
    to equal the picture's long side, which is a field of view of 53 degrees, usual for webcams.
    Gives NaN angles where no pose before the camera fits, and for landmarks that are not finite.
    """
    points = np.asarray(landmarks, dtype=np.float64).reshape(-1, 5, 2)
    angles = np.full((len(points), 3), np.nan)
    known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    seen = (points[known] - [width / 2, height / 2]) / float(max(width, height))
    turns, shifts = _from_afar(seen)
    for _ in range(STEPS):
        turns, shifts = _closer(seen, turns, shifts)
    fine = np.isfinite(turns).all(axis=(1, 2)) & (shifts[:, 2] > 0)
    angles[known[fine]] = _angles(turns[fine])
    return angles


def estimate_pose(landmarks: ArrayLike, *, width: int, height: int) -> Pose:
    """The pose of one face, see `estimate_poses`."""
    return Pose(*map(float, estimate_poses(landmarks, width=width, height=height)[0]))


def _from_afar(seen: Doubles) -> tuple[Doubles, Doubles]:
    """Poses (N, 3, 3) and (N, 3) by parallel projection (DeMenthon and Davis 1995, one step)."""
    middle = AVERAGE_FACE.mean(axis=0)
    rows = np.linalg.pinv(AVERAGE_FACE - middle) @ (seen - seen.mean(axis=1, keepdims=True))
    across, down = rows[:, :, 0], rows[:, :, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = (np.linalg.norm(across, axis=1) + np.linalg.norm(down, axis=1)) / 2
        across = across / np.linalg.norm(across, axis=1, keepdims=True)
        down = down - (across * down).sum(axis=1, keepdims=True) * across
        down = down / np.linalg.norm(down, axis=1, keepdims=True)
        turns = np.stack([across, down, np.cross(across, down)], axis=1)
        depth = 1 / scale
        shifts = np.column_stack([seen.mean(axis=1) * depth[:, None], depth])
    return turns, shifts - turns @ middle


def _closer(seen: Doubles, turns: Doubles, shifts: Doubles) -> tuple[Doubles, Doubles]:
    """One step of Gauss and Newton over three small turns and three shifts."""
    turned = AVERAGE_FACE @ turns.transpose(0, 2, 1)  # (N, 5, 3)
    placed = turned + shifts[:, None, :]
    depth = placed[:, :, 2]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shown = placed[:, :, :2] / depth[:, :, None]
        # How a shown point moves with a placed one: (N, 5, 2, 3).
        moves = np.zeros((*depth.shape, 2, 3))
        moves[:, :, 0, 0] = moves[:, :, 1, 1] = 1 / depth
        moves[:, :, :, 2] = -shown / depth[:, :, None]
        change = np.concatenate([-moves @ _crossing(turned), moves], axis=3).reshape(-1, 10, 6)
        missing = (seen - shown).reshape(-1, 10, 1)
        normal = change.transpose(0, 2, 1) @ change
    good = np.isfinite(normal).all(axis=(1, 2))
    normal[~good] = np.eye(6)
    # A trace of damping: a face seen exactly edge-on leaves a direction open.
    damping = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
    right = np.nan_to_num(change.transpose(0, 2, 1) @ missing)
    step = np.linalg.solve(normal + damping, right)[:, :, 0]
    step[~good] = np.nan
    return _small_turn(step[:, :3]) @ turns, shifts + step[:, 3:]


def _crossing(vectors: Doubles) -> Doubles:
    """The matrices (…, 3, 3) that multiply by a vector as the cross product does."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def _small_turn(vectors: Doubles) -> Doubles:
    """Rotation matrices (N, 3, 3) from axes times angles (N, 3), by Rodrigues's formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        axis = _crossing(np.where(angle[:, :, 0] > 0, vectors / angle[:, :, 0], 0.0))
    turned: Doubles = np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * (axis @ axis)
    return turned


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


def _angles(turns: Doubles) -> Doubles:
    pitch = -np.degrees(np.arcsin(np.clip(turns[:, 2, 1], -1, 1)))
    yaw = -np.degrees(np.arctan2(-turns[:, 2, 0], turns[:, 2, 2]))
    roll = np.degrees(np.arctan2(-turns[:, 0, 1], turns[:, 1, 1]))
    return np.column_stack([yaw, pitch, roll])

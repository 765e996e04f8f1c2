from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from workers.faces.align import ARCFACE_TEMPLATE
from workers.faces.pose import AVERAGE_FACE, Pose, estimate_pose, eye_distances, rotation

WIDTH, HEIGHT = 640, 360


def seen(pose: Pose, *, distance_mm: float = 600, aside_mm: float = 0) -> np.ndarray:
    """The average face in a pose, seen through the assumed lens."""
    points = (AVERAGE_FACE - AVERAGE_FACE.mean(axis=0)) @ rotation(pose).T
    points = points + np.array([aside_mm, 0, distance_mm])
    return points[:, :2] / points[:, 2:] * WIDTH + [WIDTH / 2, HEIGHT / 2]


@settings(max_examples=examples(60), deadline=None)
@given(
    yaw=st.floats(-60, 60),
    pitch=st.floats(-30, 30),
    roll=st.floats(-40, 40),
    distance=st.floats(300, 1500),
    aside=st.floats(-100, 100),
)
def test_a_known_pose_is_recovered(
    yaw: float, pitch: float, roll: float, distance: float, aside: float
) -> None:
    landmarks = seen(Pose(yaw, pitch, roll), distance_mm=distance, aside_mm=aside)
    found = estimate_pose(landmarks, width=WIDTH, height=HEIGHT)
    np.testing.assert_allclose([found.yaw, found.pitch, found.roll], [yaw, pitch, roll], atol=0.5)


def test_signs_are_as_stated() -> None:
    straight, right = seen(Pose(0, 0, 0)), seen(Pose(30, 0, 0))
    assert right[2, 0] - right[:2, 0].mean() > straight[2, 0] - straight[:2, 0].mean() + 5
    up = seen(Pose(0, 20, 0))
    assert up[2, 1] - up[:2, 1].mean() < straight[2, 1] - straight[:2, 1].mean() - 5
    clockwise = seen(Pose(0, 0, 20))
    assert clockwise[1, 1] > clockwise[0, 1] + 5  # the eye on the picture's right is lower


def test_the_template_looks_straight_ahead() -> None:
    found = estimate_pose(ARCFACE_TEMPLATE + np.array([264, 124]), width=WIDTH, height=HEIGHT)
    assert max(abs(found.yaw), abs(found.roll)) < 3
    assert abs(found.pitch) < 6


def test_the_eye_distance_hardly_shrinks_when_a_head_turns() -> None:
    faces = np.stack([seen(Pose(yaw, 0, 0)) for yaw in (0, 30, 60)])
    bare = np.linalg.norm(faces[:, 1] - faces[:, 0], axis=1)
    assert bare[2] < 0.6 * bare[0]
    distances = eye_distances(faces)
    assert distances.min() > 0.93 * distances.max()


def test_the_template_and_the_average_face_agree_in_proportion() -> None:
    eyes = ARCFACE_TEMPLATE[1, 0] - ARCFACE_TEMPLATE[0, 0]
    down = ARCFACE_TEMPLATE[3:, 1].mean() - ARCFACE_TEMPLATE[:2, 1].mean()
    average = AVERAGE_FACE[1, 0] - AVERAGE_FACE[0, 0]
    assert abs(eyes / down / (average / AVERAGE_FACE[3, 1]) - 1) < 0.01

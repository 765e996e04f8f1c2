"""People who leave for long and come back, planted into real recordings of several people."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.faces.clips import Picture, write_video
from workers.faces.detectors import Detector
from workers.faces.extract import FaceExtraction, extract_faces
from workers.faces.rejoin import Look, same_people

RATE = Fraction(12)
AWAY = 66  # frames: 5.5 seconds, more than a track waits


def pictures(shared_media: Path, name: str = "two_people.mp4") -> list[Picture]:
    with av.open(str(shared_media / name)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def extracted(shown: list[Picture], folder: Path, detector: Detector) -> FaceExtraction:
    video = write_video(folder / "proxy.mp4", shown, rate=RATE)
    return extract_faces(
        video,
        folder / "out",
        detector=detector,
        frame_us=lambda n: round(n * 1_000_000 / RATE),
        rate=RATE,
        every=5,
    )


def swapped(picture: Picture) -> Picture:
    """The left half on the right and the right half on the left."""
    half = picture.shape[1] // 2
    return np.ascontiguousarray(np.hstack([picture[:, half:], picture[:, :half]]))


def only(picture: Picture, side: str) -> Picture:
    shown, half = picture.copy(), picture.shape[1] // 2
    (shown[:, half:] if side == "left" else shown[:, :half])[:] = 150
    return shown


def sides(found: FaceExtraction) -> dict[int, tuple[bool, bool]]:
    """By track: whether its face is on the right at first, and at last."""
    rows = [row for row in pq.read_table(found.table).to_pylist() if row["x0"] is not None]
    tracks: dict[int, list[bool]] = {}
    for row in rows:
        tracks.setdefault(row["track_id"], []).append(row["lm2x"] > 240)
    return {track: (right[0], right[-1]) for track, right in tracks.items()}


@pytest.mark.programs
def test_two_people_who_come_back_in_each_others_places_keep_their_ids(
    shared_media: Path, detector: Detector, tmp_path: Path
) -> None:
    shown = pictures(shared_media)
    nobody = [np.full_like(shown[0], 150)] * AWAY
    again = [swapped(picture) for picture in shown[26:50]]
    found = extracted(shown[22:46] + nobody + again, tmp_path, detector)
    assert {track.track_id for track in found.tracks} == {1, 2}
    assert sides(found) == {1: (True, False), 2: (False, True)}
    assert found.people == 2
    (own,) = [track for track in found.tracks if track.is_participant]
    assert (own.first_frame, own.last_frame, own.frames) == (0, 113, 48)
    assert found.figures["crops"] == 48
    table = pq.read_table(found.table).to_pylist()
    assert sorted({row["status"] for row in table[60:70]}) == ["absent"]


@pytest.mark.programs
def test_somebody_else_in_the_same_place_is_somebody_else(
    shared_media: Path, detector: Detector, tmp_path: Path
) -> None:
    shown = pictures(shared_media)
    nobody = [np.full_like(shown[0], 150)] * AWAY
    first = [only(picture, "right") for picture in shown[22:46]]
    then = [only(swapped(picture), "right") for picture in shown[26:50]]
    found = extracted(first + nobody + then, tmp_path, detector)
    assert [(t.first_frame, t.last_frame) for t in found.tracks] == [(0, 23), (90, 113)]


def look(first: int, last: int, face: float, *, clothes: float = 100.0) -> Look:
    """A look whose faces differ as their numbers do."""
    return Look(
        first,
        last,
        np.full((5, 432), face, np.float32),
        np.full(3, 120, np.float32),
        np.full(3, clothes, np.float32),
    )


# A difference of 0.3 in every feature is a distance of about 0.9, one of 0.6 of about 3.6.
@pytest.mark.parametrize(
    ("looks", "joined"),
    [
        ({1: look(0, 50, 0.0), 2: look(300, 350, 0.1)}, {2: 1}),
        ({1: look(0, 50, 0.0), 2: look(300, 350, 0.8)}, {}),
        # All three are one person's, also when the last is most like the second.
        ({1: look(0, 50, 0.0), 2: look(300, 350, 0.1), 3: look(600, 650, 0.2)}, {2: 1, 3: 1}),
        # Seen at the same time: two people, however alike.
        ({1: look(0, 50, 0.0), 2: look(40, 90, 0.0)}, {}),
        # It could be either of two: nobody is guessed.
        ({1: look(0, 50, 0.0), 2: look(0, 50, 0.1), 3: look(300, 350, 0.05)}, {}),
        # Somebody alike stands beside them when they come back.
        ({1: look(0, 50, 0.0), 2: look(300, 350, 0.0), 3: look(300, 360, 0.1)}, {}),
        # In other clothes it is not taken for granted.
        ({1: look(0, 50, 0.0), 2: look(300, 350, 0.0, clothes=140.0)}, {}),
    ],
)
def test_who_continues_whom(looks: dict[int, Look], joined: dict[int, int]) -> None:
    assert same_people(looks) == joined

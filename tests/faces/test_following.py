"""Looking at every k-th frame, at every one where something happens; each crop is its frame's."""

from __future__ import annotations

import tarfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.faces.clips import Picture, moved, write_video
from tests.faces.test_tracks import faces
from workers.faces.crops import CropReader
from workers.faces.detectors import Detections, Detector
from workers.faces.extract import extract_faces
from workers.faces.following import Follower, Held
from workers.faces.models import DetectorCard
from workers.faces.tracks import Sightings
from workers.faces.video import VideoShape

SIZE = (320, 240)
FRAMES = 40
BITS = 6  # a frame's number stands in its picture, as black and white fields along the bottom


class Scripted:
    """A detector that finds in each frame what it is told, and notes which frames it was shown."""

    def __init__(self, script: dict[int, Detections]) -> None:
        self.card = DetectorCard("scripted", "1", Path("none"), "0" * 64, "none")
        self.script, self.shown = script, set[int]()

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def detect(self, bgr: Picture) -> Detections:
        fields = [bgr[-20, 20 + 40 * bit].mean() > 128 for bit in range(BITS)]
        number = sum(1 << bit for bit, is_white in enumerate(fields) if is_white)
        self.shown.add(number)
        return self.script.get(number, faces())


def followed(
    script: dict[int, Detections], *, cut: int | None = None
) -> tuple[set[int], list[Sightings]]:
    """Follow the script at every fifth frame; `cut` is the first frame of another scene."""
    detector = Scripted(script)
    shape = VideoShape(*SIZE, FRAMES)
    follower = Follower(detector, rate=Fraction(30), every=5, shape=shape)
    for number in range(FRAMES):
        light = 60 if cut is None or number < cut else 200
        picture = np.full((SIZE[1], SIZE[0], 3), light, np.uint8)
        for bit in range(BITS):
            picture[-40:, 40 * bit : 40 * bit + 40] = 255 if number >> bit & 1 else 0
        follower.take(Held(number, av.VideoFrame.from_ndarray(picture, format="bgr24")))
    return detector.shown, follower.tracker.everybody()


def test_a_still_face_is_looked_at_every_fifth_frame() -> None:
    here = faces((150, 100, 60))
    shown, (track,) = followed(dict.fromkeys(range(FRAMES), here))
    assert shown == {*range(0, FRAMES, 5), FRAMES - 1}
    assert set(track.frames) == shown


def test_where_a_face_comes_and_goes_every_frame_is_looked_at() -> None:
    shown, (track,) = followed(dict.fromkeys(range(8, 34), faces((150, 100, 60))))
    assert {5, 6, 7, 8, 9, 10} <= shown
    assert {30, 31, 32, 33, 34, 35} <= shown
    assert (track.frames[0], track.frames[-1]) == (8, 33)


@pytest.mark.parametrize("change", ["move", "turn"])
def test_where_a_face_moves_or_turns_fast_every_frame_is_looked_at(change: str) -> None:
    script = {}
    for n in range(FRAMES):
        far = max(0, min(5, n - 10))
        if change == "move":
            script[n] = faces((100 + 12 * far, 100, 60))
        else:
            still = faces((150, 100, 60))
            turned = still.landmarks + np.float32([2.4 * far, 0])
            script[n] = Detections(still.boxes, still.scores, turned)
    shown, (track,) = followed(script)
    assert set(range(10, 16)) <= shown
    assert set(range(10, 16)) <= set(track.frames)
    assert not {2, 3, 37, 38} & shown


def test_at_a_cut_every_frame_is_looked_at_and_nothing_is_drawn_across_it() -> None:
    shown, _ = followed(dict.fromkeys(range(FRAMES), faces((150, 100, 60))), cut=12)
    assert {10, 11, 12} <= shown


@pytest.mark.programs
def test_each_crop_shows_its_own_frame_and_never_another_or_the_whole(
    tmp_path: Path, face_picture: Picture, detector: Detector
) -> None:
    """The face darkens from frame to frame, goes, and comes back bright."""
    rate, gone = Fraction(25), range(25, 40)
    lit = [1.0 - 0.02 * n if n < 25 else 1.0 - 0.02 * (n - 40) for n in range(60)]
    pictures = []
    for n, light in enumerate(lit):
        face = moved(face_picture, x=150 + n / 3, y=110, zoom=0.9, size=SIZE)
        shown = np.full_like(face, 90) if n in gone else (face * light).astype(np.uint8)
        pictures.append(shown)
    video = write_video(tmp_path / "proxy.mp4", pictures, rate=rate)
    found = extract_faces(
        video, tmp_path / "out", detector=detector, frame_us=lambda n: n, rate=rate, every=5
    )
    reader = CropReader(found.crops, found.crop_index)
    assert reader.frames.tolist() == [n for n in range(60) if n not in gone]
    first = crop_of(reader, 0).mean()
    for n in reader.frames.tolist():
        crop = crop_of(reader, n)
        assert crop.shape == (256, 256, 3)
        assert crop.mean() / first == pytest.approx(lit[n], abs=0.012), n
        # As large a part of the crop as the template says is the face: eyes, not the room.
        assert abs(float(detector.detect(crop).landmarks[0][0][0]) - 87.5) < 20


def crop_of(reader: CropReader, frame: int) -> Picture:
    crop = cv2.imdecode(np.frombuffer(reader.jpeg(frame), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(crop, np.uint8)


@pytest.mark.programs
def test_the_crops_are_a_web_dataset_and_any_is_read_as_it_lies_in_order(
    tmp_path: Path, face_picture: Picture, detector: Detector
) -> None:
    """The format's rules: one sample's files stand together, key and kind are parted by a dot."""
    rate = Fraction(25)
    pictures = [moved(face_picture, x=150 + n, y=110, zoom=0.9, size=SIZE) for n in range(12)]
    video = write_video(tmp_path / "proxy.mp4", pictures, rate=rate)
    found = extract_faces(
        video, tmp_path / "out", detector=detector, frame_us=lambda n: n, rate=rate
    )
    reader = CropReader(found.crops, found.crop_index)
    in_order = []
    with tarfile.open(found.crops, "r|") as stream:  # as a stream, without going back
        for member in stream:
            assert member.isreg()
            key, dot, kind = member.name.partition(".")
            assert (len(key), dot, kind, "/" in key) == (6, ".", "jpg", False)
            file = stream.extractfile(member)
            assert file is not None
            in_order.append((int(key), file.read()))
    assert len({key for key, _ in in_order}) == len(in_order) == 12
    chance = np.random.default_rng(1)
    for place in chance.permutation(len(in_order)).tolist():
        frame, content = in_order[place]
        assert reader.jpeg(frame) == content
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None

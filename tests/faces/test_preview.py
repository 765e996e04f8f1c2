"""Contact sheets and short films of every track: sizes, what they show, and never a stale face."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.clips import Picture, moved, write_video
from workers.faces.crops import CropReader
from workers.faces.detectors import Detector
from workers.faces.extract import FaceExtraction, extract_faces
from workers.faces.preview import SIDE, sampling, stretches

RATE = Fraction(24)
SIZE = (320, 240)
GONE = range(36, 60)


def decoded(film: Path) -> list[Picture]:
    with av.open(str(film)) as container:
        assert not container.streams.audio
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, face_picture: Picture, detector: Detector
) -> FaceExtraction:
    """A large face that is hidden for a second, and beside it one too small for crops."""
    folder = tmp_path_factory.mktemp("two")
    pictures = []
    for n in range(96):
        large = moved(face_picture, x=110 + n / 4, y=110, zoom=0.8, size=(210, 240))
        if n in GONE:
            large[:] = 90
        small = moved(face_picture, x=60, y=110, zoom=0.24, size=(110, 240))
        small[:60], small[170:] = 90, 90
        pictures.append(np.hstack([large, small]))
    video = write_video(folder / "proxy.mp4", pictures, rate=RATE)
    return extract_faces(
        video,
        folder / "out",
        detector=detector,
        frame_us=lambda n: round(n * 1_000_000 / RATE),
        rate=RATE,
    )


@pytest.mark.programs
def test_each_track_has_a_sheet_and_a_short_film_and_only_one_has_crops(
    two: FaceExtraction,
) -> None:
    assert len(two.pictures) == len(two.tracks) == 2
    (own,) = [track for track in two.tracks if track.is_participant]
    assert two.contact_sheet in {made.sheet for made in two.pictures}
    assert two.figures["crops"] == own.frames == 96 - len(GONE)
    for made in two.pictures:
        sheet = cv2.imread(str(made.sheet))
        assert sheet.shape == (2 * (SIDE + 18), 6 * SIDE, 3)
        film = decoded(made.film)
        assert {picture.shape for picture in film} == {(SIDE, SIDE, 3)}
        assert made.film.stat().st_size < 150_000
    # The small one's face is shown although the dataset has no crop of it.
    (other,) = [track for track in two.tracks if not track.is_participant]
    assert other.usable_share == 0
    (film,) = [decoded(m.film) for m in two.pictures if m.track_id == other.track_id]
    assert len(film) == 96 / sampling(RATE)
    assert min(float(picture.std()) for picture in film) > 20


@pytest.mark.programs
def test_a_film_shows_the_crops_of_its_frames_and_grey_where_there_is_no_face(
    two: FaceExtraction,
) -> None:
    (own,) = [track for track in two.tracks if track.is_participant]
    (made,) = [m for m in two.pictures if m.track_id == own.track_id]
    reader, step = CropReader(two.crops, two.crop_index), sampling(RATE)
    there = [n for n in reader.frames.tolist() if n % step == 0]
    gap = 6  # half a second, at 12 pictures a second
    shown: list[int | None] = [n for n in there if n < GONE.start]
    shown += [None] * gap + [n for n in there if n >= GONE.stop]
    film = decoded(made.film)
    assert len(film) == len(shown)
    for picture, frame in zip(film, shown, strict=True):
        if frame is None:
            assert picture.std() < 2
        else:
            jpeg = np.frombuffer(reader.jpeg(frame), np.uint8)
            crop = cv2.resize(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), (SIDE, SIDE))
            assert np.abs(crop.astype(int) - picture.astype(int)).mean() < 8


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.sets(st.integers(0, 400), min_size=1, max_size=200).map(sorted),
    length=st.integers(10, 120),
)
def test_a_film_is_short_in_order_and_has_the_first_and_the_last(
    numbers: list[int], length: int
) -> None:
    shown = stretches(numbers, length=length, longest_gap=6)
    assert len(shown) <= length
    known = [number for number in shown if number is not None]
    assert known == sorted(known)
    assert set(known) <= set(numbers)
    assert (shown[0], shown[-1]) == (numbers[0], numbers[-1])

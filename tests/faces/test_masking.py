from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faces.clips import RATE, Picture, moved, write_video
from workers.faces.covering import Covers, add_followed
from workers.faces.detectors import Detections, Detector, load, yunet
from workers.faces.errors import FaceError
from workers.faces.extract import extract_faces
from workers.faces.masking import GREY, MaskedPreview, Mirrored, cover, mask_faces
from workers.faces.models import DetectorCard
from workers.faces.table import ROW, STATUSES, FaceStatus, FaceTable
from workers.faces.video import measure

pytestmark = pytest.mark.programs

FRAMES = 60
SIZE = (320, 240)
# The detector that made the table is blinded here, for less than a second.
BLIND = range(24, 36)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, face_picture: Picture) -> Path:
    pictures = (moved(face_picture, x=130 + n, y=110, zoom=0.9, size=SIZE) for n in range(FRAMES))
    return write_video(tmp_path_factory.mktemp("mask") / "proxy.mp4", pictures, rate=RATE)


@pytest.fixture(scope="module")
def second(cards: dict[str, DetectorCard]) -> Mirrored:
    return Mirrored(load(cards["centerface"], long_side=256))


class Blind:
    """A detector that finds nothing, so that only the table counts."""

    def __init__(self, card: DetectorCard) -> None:
        self.card = card

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def detect(self, bgr: Picture) -> Detections:
        return Detections(
            np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32)
        )


@pytest.fixture(scope="module")
def blind(cards: dict[str, DetectorCard]) -> Blind:
    return Blind(cards["centerface"])


def table(path: Path, boxes: dict[int, list[float]], *, frames: int = FRAMES) -> Path:
    rows = np.zeros(len(boxes), dtype=ROW)
    for name in ("score", "landmarks", "yaw", "pitch", "roll", "sharpness", "brightness"):
        rows[name] = np.nan
    rows["frame"] = list(boxes)
    if boxes:
        rows["box"] = list(boxes.values())
    rows["track_id"], rows["status"] = 1, STATUSES.index(FaceStatus.DETECTED)
    with FaceTable(path, frame_us=lambda n: n * 40_000) as file:
        file.add(rows, participant=1, until=frames)
    return path


def covers_of(path: Path, *, frame_count: int, rate: Fraction = RATE) -> Covers:
    covers = Covers(frame_count, rate)
    add_followed(covers, path)
    return covers


def pictures(path: Path) -> Iterator[Picture]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def test_the_face_that_was_followed_is_covered_in_every_frame_also_where_it_was_missed(
    clip: Path, detector: Detector, second: Mirrored, blind: Blind, tmp_path: Path
) -> None:
    found = extract_faces(
        clip, tmp_path, detector=detector, frame_us=lambda n: n * 40_000, rate=RATE, every=5
    )
    whole = covers_of(found.table, frame_count=FRAMES)
    holes = table(
        tmp_path / "holes.parquet",
        {n: _narrow(whole[n][0]) for n in range(FRAMES) if n not in BLIND},
    )
    masked = mask_faces(
        clip, holes, tmp_path / "masked.mp4", rate=RATE, finder=blind, second=second
    )
    assert masked.frame_count == measure(masked.video).frame_count == FRAMES
    assert masked.masked_frames == FRAMES
    assert masked.found == masked.covered == masked.checked_frames >= 6
    assert (masked.recall, masked.still_seen) == (1, 0)
    seen = [len(detector.detect(picture)) for picture in list(pictures(masked.video))[::5]]
    assert seen == [0] * (FRAMES // 5)


def _narrow(box: np.ndarray) -> list[float]:
    """The box before it was widened: each side by 0.3 of its size."""
    width, height = (box[2:] - box[:2]) / 1.6 * 0.3
    return [box[0] + width, box[1] + height, box[2] - width, box[3] - height]


def test_a_closer_look_covers_who_was_never_followed(
    clip: Path, detector: Detector, second: Mirrored, tmp_path: Path
) -> None:
    nobody = table(tmp_path / "nobody.parquet", {})
    masked = mask_faces(clip, nobody, tmp_path / "m.mp4", rate=RATE, finder=detector, second=second)
    assert (masked.masked_frames, masked.recall, masked.still_seen) == (FRAMES, 1, 0)
    assert masked.looks == 15
    found = [len(detector.detect(picture)) for picture in list(pictures(masked.video))[2::5]]
    assert found == [0] * (FRAMES // 5)


def test_a_face_that_was_missed_is_reported(
    clip: Path, blind: Blind, second: Mirrored, tmp_path: Path
) -> None:
    elsewhere = table(tmp_path / "t.parquet", {n: [0, 0, 20, 20] for n in range(FRAMES)})
    masked = mask_faces(clip, elsewhere, tmp_path / "m.mp4", rate=RATE, finder=blind, second=second)
    assert (masked.covered, masked.recall) == (0, 0)
    assert masked.found == masked.still_seen == masked.checked_frames


def test_where_nobody_is_seen_there_is_no_recall(
    tmp_path: Path, blind: Blind, second: Mirrored
) -> None:
    grey = (np.full((48, 64, 3), 120 + n, np.uint8) for n in range(10))
    empty = write_video(tmp_path / "empty.mp4", grey, rate=RATE)
    nobody = table(tmp_path / "n.parquet", {}, frames=10)
    masked = mask_faces(empty, nobody, tmp_path / "m.mp4", rate=RATE, finder=blind, second=second)
    assert (masked.recall, masked.masked_frames, masked.frame_count) == (None, 0, 10)
    assert abs(next(pictures(masked.video)).mean() - 120) < 3


def test_filled_boxes_keep_nothing_of_a_face_and_a_mosaic_still_tells_people_apart() -> None:
    """Which of eight pictures lies under the mask? The nearest one, by what is left of it."""
    chance = np.random.default_rng(5)
    people = [chance.integers(0, 256, (8, 8, 3)).astype(np.uint8) for _ in range(8)]
    import cv2

    def shown(person: int, style: str, brighter: int) -> np.ndarray:
        face = cv2.resize(people[person], (64, 64), interpolation=cv2.INTER_CUBIC)
        picture = np.full((96, 96, 3), 90, np.uint8)
        picture[16:80, 16:80] = np.clip(face.astype(int) + brighter, 0, 255)
        cover(picture, np.array([16, 16, 80, 80], np.float32), style)  # type: ignore[arg-type]
        return picture.astype(float)

    right = {}
    for style in ("fill", "blur"):
        gallery = [shown(person, style, 0) for person in range(8)]
        nearest = [
            int(np.argmin([np.abs(shown(person, style, 12) - known).sum() for known in gallery]))
            for person in range(8)
        ]
        right[style] = sum(nearest[person] == person for person in range(8))
        if style == "fill":
            assert all((known == gallery[0]).all() for known in gallery)
    assert right == {"fill": 1, "blur": 8}  # 1 of 8 is chance


def test_blanked_frames_are_grey_and_silent_and_the_rest_keeps_its_sound_if_asked(
    clip: Path, blind: Blind, second: Mirrored, tmp_path: Path
) -> None:
    proxy = _with_sound(clip, tmp_path)
    where = table(tmp_path / "t.parquet", {n: [90, 60, 190, 170] for n in range(FRAMES)})

    def make(name: str, *, sound: bool) -> MaskedPreview:
        return mask_faces(
            proxy, where, tmp_path / name, rate=RATE, finder=blind, second=second,
            blank=[(20, 40)], sound=sound,
        )  # fmt: skip

    silent, heard = make("silent.mp4", sound=False), make("heard.mp4", sound=True)
    assert (silent.has_sound, heard.has_sound) == (False, True)
    assert silent.blanked_frames == heard.blanked_frames == 20
    shown = [picture.std() for picture in pictures(heard.video)]
    assert len(shown) == FRAMES
    assert [n for n, spread in enumerate(shown) if spread < 2] == list(range(20, 40))
    with av.open(str(silent.video)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    with av.open(str(heard.video)) as container:
        times = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
    assert not [time for time in times if 0.8 <= time < 1.6]
    assert len([time for time in times if time < 0.75]) > 10
    assert len([time for time in times if time >= 1.6]) > 10


def _with_sound(clip: Path, folder: Path) -> Path:
    tone = folder / "tone.wav"
    with wave.open(str(tone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        times = np.arange(16_000 * 24 // 10) / 16_000
        file.writeframes((8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes())
    path = folder / "with-sound.mp4"
    with av.open(str(clip)) as video, av.open(str(tone)) as audio, av.open(str(path), "w") as out:
        out.metadata["title"] = "P001 at home"
        pictures = out.add_stream_from_template(video.streams.video[0])
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                out.mux(packet)
        for frame in audio.decode(audio=0):
            out.mux(sound.encode(frame))
        out.mux(sound.encode())
    return path


def test_nothing_of_the_source_but_its_pictures_is_in_the_file(
    clip: Path, blind: Blind, second: Mirrored, tmp_path: Path
) -> None:
    proxy = _with_sound(clip, tmp_path)
    where = table(tmp_path / "t.parquet", {0: [90, 60, 190, 170]})
    made = [
        mask_faces(proxy, where, tmp_path / f"{n}.mp4", rate=RATE, finder=blind, second=second)
        for n in range(2)
    ]
    content = made[0].video.read_bytes()
    assert b"P001" in proxy.read_bytes()
    assert b"P001" not in content
    assert content == made[1].video.read_bytes()


def test_long_absences_are_not_bridged(tmp_path: Path) -> None:
    box = [100.0, 100, 140, 140]
    path = table(tmp_path / "t.parquet", dict.fromkeys((*range(10), *range(50, 60)), box))
    covers = covers_of(path, frame_count=FRAMES)
    shown = [len(covers[n]) > 0 for n in range(FRAMES)]
    assert shown[:18] == [True] * 18
    assert shown[42:] == [True] * 18
    assert not any(shown[18:42])
    bridged = covers_of(path, frame_count=FRAMES, rate=Fraction(60))
    assert all(len(bridged[n]) == 1 for n in range(FRAMES))
    np.testing.assert_allclose(bridged[30][0], [88, 88, 152, 152])


@given(
    st.lists(
        st.tuples(st.integers(0, 199), st.floats(0, 300), st.floats(4, 80)),
        min_size=1, max_size=12, unique_by=lambda seen: seen[0],
    ),
    st.sampled_from([Fraction(12), Fraction(24000, 1001), Fraction(60)]),
)  # fmt: skip
def test_every_sighting_lies_under_its_own_frame_s_mask(
    seen: list[tuple[int, float, float]], rate: Fraction
) -> None:
    covers = Covers(200, rate)
    places = {frame: [left, left / 2, left + size, left / 2 + size] for frame, left, size in seen}
    frames = sorted(places)
    boxes = np.array([places[frame] for frame in frames], np.float32)
    covers.add(np.array(frames, np.int32), boxes)
    for frame, box in zip(frames, boxes, strict=True):
        (drawn,) = covers[frame]
        assert (drawn[:2] < box[:2]).all()
        assert (drawn[2:] > box[2:]).all()
    for frame in range(max(0, frames[0] - 2), min(200, frames[-1] + 3)):
        near = min(abs(frame - one) for one in frames)
        assert len(covers[frame]) == 1 or near > 0.3 * rate


def test_a_table_of_another_video_is_refused(
    clip: Path, blind: Blind, second: Mirrored, tmp_path: Path
) -> None:
    path = table(tmp_path / "t.parquet", {59: [0, 0, 9, 9]})
    with pytest.raises(FaceError, match="do not belong together"):
        covers_of(path, frame_count=59)
    with pytest.raises(FaceError, match="cannot be opened"):
        mask_faces(path, path, tmp_path / "m.mp4", rate=RATE, finder=blind, second=second)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_covering_beyond_the_edge_covers_what_is_there() -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    cover(picture, np.array([-10, -10, 20, 20], np.float32), "fill")
    assert (picture[:20, :20] == GREY).all()
    assert (picture[20:] == 200).all()
    cover(picture, np.array([70, 50, 90, 60], np.float32), "blur")
    assert (picture[20:] == 200).all()


def test_a_mirrored_detector_answers_in_the_picture_as_it_was_given(
    clip: Path, detector: Detector
) -> None:
    picture = next(pictures(clip))
    plain, mirrored = detector.detect(picture), Mirrored(detector).detect(picture)
    np.testing.assert_allclose(mirrored.boxes, plain.boxes, atol=6)
    np.testing.assert_allclose(mirrored.landmarks, plain.landmarks, atol=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("classroom.mp4", 4),
        ("two_people.mp4", 2),
        ("phone_vfr_hevc.mov", 1),
        ("talking_head_20s.mp4", 1),
        ("head_pose.mp4", 1),
        ("no_face.mp4", 0),
    ],
)
def test_real_recordings_lose_every_face_and_no_frame(
    name: str, faces: int, shared_media: Path, cards: dict[str, DetectorCard], tmp_path: Path
) -> None:
    from waver.core.clock import frame_us
    from workers.media.normalise import normalise

    weights = shared_media.parent / "models" / "yunet_n_dynamic.onnx"
    if not weights.is_file():
        pytest.skip("YuNet's weights (../shared/models) are not on this machine")
    proxy = normalise(shared_media / name, tmp_path, frame_us=frame_us)
    found = extract_faces(
        proxy.video, tmp_path, detector=load(cards["centerface"]), rate=proxy.rate,
        frame_us=lambda n: frame_us(n, proxy.rate),
    )  # fmt: skip
    masked = mask_faces(
        proxy.video, found.table, tmp_path / "masked.mp4", rate=proxy.rate,
        finder=load(cards["centerface"], long_side=640), second=yunet(weights, long_side=640),
    )  # fmt: skip
    assert masked.frame_count == measure(masked.video).frame_count == proxy.frame_count
    assert masked.still_seen == 0
    assert masked.recall == (1 if faces else None)
    assert masked.found <= faces * masked.checked_frames
    # Another network, in other frames, on the file as it was coded.
    third = load(cards["centerface"], long_side=640)
    left = [
        sum(third.detect(picture).scores >= 0.5)
        for number, picture in enumerate(pictures(masked.video))
        if number % 7 == 0
    ]
    assert sum(left) == 0

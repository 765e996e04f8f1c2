"""What other cameras write: AVI without times, JPEG's range of values, odd sounds, copies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from waver.core.clock import frame_us
from workers.media.errors import RefusedRecordingError
from workers.media.normalise import normalise
from workers.media.probe import probe

from . import clips, sounds

pytestmark = pytest.mark.programs

TICK = Fraction(1, 90_000)


@pytest.mark.parametrize("program", ["imageio-ffmpeg", "Debian"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_avi_is_frame_exact(
    codec: str, b_frames: int, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVI counts packets: with B-frames, pictures come later than the place of their packet."""
    if program == "Debian":
        debian = Path("/usr/bin/ffmpeg")
        if not debian.is_file():
            pytest.skip("Debian's ffmpeg is absent: install its package `ffmpeg` to run this test.")
        monkeypatch.setenv("WAVER_FFMPEG", str(debian))
    source = clips.write_clip(
        tmp_path / "clip.avi",
        range(30),
        time_base=Fraction(1, 30),
        container="avi",
        codec=codec,
        codec_options={"bf": str(b_frames), "preset": "veryfast"},
    )
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert clips.numbers_in(proxy.video) == list(range(30))
    assert pq.read_table(proxy.frame_map)["source_frame"].to_pylist() == list(range(30))
    assert proxy.figures["left_out_frames"] == proxy.figures["repeated_frames"] == 0


def test_the_full_range_of_jpeg_becomes_the_range_of_video(tmp_path: Path) -> None:
    """Webcams that write JPEG use 0 to 255 for black to white; H.264 players expect 16 to 235."""
    source = tmp_path / "webcam.avi"
    with av.open(str(source), "w", format="avi") as out:
        stream = out.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        halves = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(48, axis=0)
        white = np.full((24, 64), 128, np.uint8)
        for _ in range(3):
            planes = np.concatenate([halves, white])
            frame = av.VideoFrame.from_ndarray(planes, format="yuvj420p")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    with av.open(str(proxy.video)) as media:
        frame = next(media.decode(video=0))
        assert frame.format.name == "yuv420p"
        values = frame.to_ndarray()[:48]
    assert abs(float(values[:, 4:28].mean()) - 16) < 2
    assert abs(float(values[:, 36:60].mean()) - 235) < 2


def test_times_once_rounded_to_milliseconds_are_no_variable_rate(tmp_path: Path) -> None:
    """A browser's WebM counts milliseconds; copied into an MP4, its times keep that rounding."""
    rounded = [90 * round(n * 1000 / 30) for n in range(30)]
    assert not probe(clips.write_clip(tmp_path / "copy.mp4", rounded)).video.variable
    uneven = [time + (2700 if n % 5 == 0 else 0) for n, time in enumerate(rounded)]
    assert probe(clips.write_clip(tmp_path / "phone.mp4", uneven)).video.variable


def test_sound_that_nothing_decodes_is_named_as_such(tmp_path: Path) -> None:
    source = clips.write_clip(
        tmp_path / "clip.mkv",
        clips.constant_pts(Fraction(30), 10),
        container="matroska",
        audio_seconds=0.3,
    )
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    assert probe(source).unreadable_sound
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert not proxy.had_audio
    assert any("has a sound track that cannot be decoded" in note for note in proxy.notes)


def test_more_channels_than_can_be_kept_are_refused(tmp_path: Path) -> None:
    source = sounds.write_recording(
        tmp_path / "array.mov",
        seconds=1,
        container="mov",
        codec="pcm_s16le",
        samples=np.zeros((16, 48_000), np.int16),
        layout="hexadecagonal",
    )
    with pytest.raises(RefusedRecordingError, match="has 16 channels, and the sound that is kept"):
        normalise(source, tmp_path / "out", frame_us=frame_us)
    assert not (tmp_path / "out").exists()

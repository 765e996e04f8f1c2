"""The proxy of a real recording: what a player, a rater and every later step rely on."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import ffmpeg  # noqa: TID251 - composes a command that is to fail
import pyarrow.parquet as pq
import pytest

from waver.core.clock import frame_us
from workers.media import runner, sound
from workers.media.errors import MediaCancelledError, MediaToolError
from workers.media.normalise import Proxy, normalise
from workers.media.probe import probe
from workers.media.runner import Limits
from workers.media.waveform import peaks

from . import clips

pytestmark = pytest.mark.programs

EXPECTED = {  # rate, source frames, sound, a word that a note must hold
    "single_face.mp4": ("30", 72, True, "very quiet"),
    "talking_head_20s.mp4": ("24000/1001", 472, True, "completely silent"),
    "phone_vfr_hevc.mov": ("25", 169, True, "variable frame rate"),
    "no_face.mp4": ("24", 95, True, None),
    "mediarecorder_no_duration.webm": ("24000/1001", 192, True, "completely silent"),
    "two_people.mp4": ("12", 56, False, "no sound track"),
    "classroom.mp4": ("15", 45, False, "no sound track"),
    "head_pose.mp4": ("12", 23, False, "no sound track"),
}


SLOW = ("talking_head_20s.mp4", "no_face.mp4")  # long, and like others in what they ask of it


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in EXPECTED],
)
def test_real_recordings(name: str, shared_media: Path, tmp_path: Path) -> None:
    rate, frames, has_sound, note = EXPECTED[name]
    proxy = normalise(shared_media / name, tmp_path / "out", frame_us=frame_us)
    assert proxy.rate == Fraction(rate)
    assert proxy.figures["source_frames"] == frames
    assert proxy.had_audio is has_sound
    assert (proxy.audio_native is not None) is has_sound
    assert (note is None) == (proxy.notes == ())
    assert note is None or any(note in sentence for sentence in proxy.notes)
    assert all(name in sentence for sentence in proxy.notes)
    assert int(proxy.figures["largest_map_error_us"]) <= int(proxy.figures["half_frame_us"])
    assert proxy.duration_us == frame_us(proxy.frame_count, proxy.rate)
    json.dumps(proxy.figures, allow_nan=False)
    check_playable(proxy)


def check_playable(proxy: Proxy) -> None:
    """Hold the proxy to what its documentation promises."""
    with av.open(str(proxy.video)) as media:
        video, audio = media.streams.video[0], media.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.codec_context.width, video.codec_context.height) == (
            proxy.width,
            proxy.height,
        )
        assert proxy.width % 2 == proxy.height % 2 == 0
        assert video.start_time == 0
        assert media.start_time == 0
        assert set(media.metadata) <= {"major_brand", "minor_version", "compatible_brands"}
        times = [frame.pts * video.time_base for frame in media.decode(video)]
        assert times == [n / proxy.rate for n in range(proxy.frame_count)]
    data = proxy.video.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert pq.read_metadata(proxy.frame_map).num_rows == proxy.frame_count
    assert pq.read_schema(proxy.frame_map).names == [
        *("frame", "proxy_us", "source_us", "duplicated", "source_frame", "source_pts")
    ]
    outline = peaks(proxy.audio_16k)
    # ffmpeg 5.1 may leave the last frame out: the sound is then one frame longer
    assert abs(len(outline) - proxy.duration_us / 50_000) <= 1 + 20 / proxy.rate
    assert all(0 <= level <= 1 for level in outline)


def test_late_sound_is_placed_late(shared_media: Path, tmp_path: Path) -> None:
    """The phone's sound begins 2.43 s after its picture: the speech must not move forward."""
    proxy = normalise(shared_media / "phone_vfr_hevc.mov", tmp_path / "out", frame_us=frame_us)
    outline = peaks(proxy.audio_16k, buckets_per_second=10)
    assert max(outline[:23]) < 0.01
    assert max(outline[26:]) > 0.1
    assert any("begins 2.43 s after" in sentence for sentence in proxy.notes)


def test_rotation_is_applied(tmp_path: Path) -> None:
    """A phone held upright stores a lying picture and a turn; the proxy stands."""
    import numpy as np

    flat = clips.write_clip(tmp_path / "flat.mp4", clips.constant_pts(Fraction(30), 5))
    data = bytearray(flat.read_bytes())
    header = data.index(b"tkhd")
    matrix = header + 4 + 4 + 36  # the 3 x 3 matrix of a version 0 track header
    quarter_turn = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    data[matrix : matrix + 36] = quarter_turn
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    assert probe(turned).video.rotation in (90, 270)
    proxy = normalise(turned, tmp_path / "out", frame_us=frame_us)
    assert (proxy.width, proxy.height) == (clips.HEIGHT, clips.WIDTH)


def test_odd_sizes_become_even(tmp_path: Path) -> None:
    source = tmp_path / "odd.mkv"
    with av.open(str(source), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 81, 61, "yuv444p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame(81, 61, "yuv444p")))
        out.mux(stream.encode())
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert (proxy.width, proxy.height) == (80, 60)


def test_loudness_of_a_known_tone(tmp_path: Path) -> None:
    """A sine at a quarter of full scale has -15.05 dB; EBU R 128 weighs 440 Hz 0.7 dB down."""
    source = clips.write_clip(
        tmp_path / "tone.mp4", clips.constant_pts(Fraction(30), 90), audio_seconds=3.0
    )
    figures = normalise(source, tmp_path / "out", frame_us=frame_us).figures
    assert abs(float(figures["rms_dbfs"]) + 15.05) < 0.3
    assert abs(float(figures["loudness_lufs"]) + 15.8) < 0.5
    assert figures["digital_silence"] is False
    assert figures["clipped_share"] == 0.0


def test_a_missing_loudness_summary_is_an_error() -> None:
    with pytest.raises(MediaToolError, match="did not report the loudness"):
        sound.read_loudness("[error] Error initializing filter 'ebur128'")


def test_a_meter_that_fails_is_an_error_whatever_it_prints() -> None:
    """Some versions print "I: 0.0 LUFS" for an option that they refuse; the return code tells."""
    stream = ffmpeg.input("anullsrc=r=48000:cl=mono", format="lavfi", t=1)
    broken = stream.filter("ebur128", framelog="nonsense").output("-", format="null")
    with pytest.raises(MediaToolError, match="failed with code"):
        runner.run(broken, limits=Limits())


def test_cancelling_leaves_nothing(shared_media: Path, tmp_path: Path) -> None:
    """While the file is looked into, and while it is converted."""
    out, source = tmp_path / "out", shared_media / "talking_head_20s.mp4"
    with pytest.raises(MediaCancelledError):
        normalise(source, out, frame_us=frame_us, cancelled=lambda: True)
    assert not out.exists()
    with pytest.raises(MediaCancelledError):
        normalise(source, out, frame_us=frame_us, cancelled=out.exists)
    assert list(out.iterdir()) == []


def test_the_original_is_untouched(tmp_path: Path) -> None:
    source = clips.write_clip(tmp_path / "clip.mp4", clips.constant_pts(Fraction(30), 10))
    before = (source.read_bytes(), os.stat(source).st_mtime_ns)
    normalise(source, tmp_path / "out", frame_us=frame_us)
    assert (source.read_bytes(), os.stat(source).st_mtime_ns) == before
    assert os.stat(source).st_nlink == 1

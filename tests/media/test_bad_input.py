"""Files that are broken, or made to harm: each gets a sentence, nothing is kept or leaked."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from time import process_time

import av
import ffmpeg  # noqa: TID251 - these tests play the attacker
import numpy as np
import pytest

from waver.core.clock import frame_us
from workers.media import runner
from workers.media.errors import MediaError, RefusedRecordingError
from workers.media.normalise import normalise
from workers.media.probe import probe
from workers.media.runner import Limits

from . import clips

pytestmark = pytest.mark.programs


def refusal(source: Path, out: Path, **options: object) -> str:
    """Normalise, expecting a refusal that leaves nothing behind; give its sentence."""
    with pytest.raises(RefusedRecordingError) as refused:
        normalise(source, out, frame_us=frame_us, **options)
    assert not out.exists() or list(out.iterdir()) == []
    sentence = str(refused.value)
    assert sentence.startswith(source.name)
    assert sentence.endswith(".")
    return sentence


def small_clip(path: Path, **options: object) -> Path:
    return clips.write_clip(path, clips.constant_pts(Fraction(30), 60), **options)


def test_zero_bytes(tmp_path: Path) -> None:
    source = tmp_path / "empty.mp4"
    source.touch()
    sentence = refusal(source, tmp_path / "out")
    assert "is empty (0 bytes)" in sentence
    assert "Copy it again" in sentence


def test_noise(tmp_path: Path) -> None:
    source = tmp_path / "noise.mp4"
    source.write_bytes(np.random.default_rng(1).bytes(20_000))
    assert "not a video that Waver can read" in refusal(source, tmp_path / "out")


@pytest.mark.parametrize("container", ["mp4", "faststart", "avi", "matroska"])
def test_truncated_at_every_tenth(container: str, tmp_path: Path) -> None:
    options = {"movflags": "+faststart"} if container == "faststart" else {}
    form = "mp4" if container == "faststart" else container
    whole = tmp_path / "whole"
    if form == "avi":
        _avi(whole)
    else:
        small_clip(whole, container=form, options=options, audio_seconds=2.0)
    data = whole.read_bytes()
    for tenth in range(1, 10):
        source = tmp_path / f"cut{tenth}.{form}"
        source.write_bytes(data[: len(data) * tenth // 10])
        sentence = refusal(source, tmp_path / f"out{tenth}")
        assert "is cut off" in sentence
        assert "Copy it again" in sentence


def _avi(path: Path) -> Path:
    with av.open(str(path), "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(clips.numbered(index), format="gray")
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode())
    return path


def test_a_whole_avi_is_accepted(tmp_path: Path) -> None:
    proxy = normalise(_avi(tmp_path / "whole.avi"), tmp_path / "out", frame_us=frame_us)
    assert clips.numbers_in(proxy.video) == list(range(60))


def test_a_live_webm_cut_anywhere_is_used_or_refused_but_never_half(
    shared_media: Path, tmp_path: Path
) -> None:
    """Its own length is unknown, so what is there may be all there ever was."""
    data = (shared_media / "mediarecorder_no_duration.webm").read_bytes()
    for share in (0.001, 0.2, 0.55):
        source, out = tmp_path / f"cut{share}.webm", tmp_path / f"out{share}"
        source.write_bytes(data[: int(len(data) * share)])
        try:
            proxy = normalise(source, out, frame_us=frame_us)
        except MediaError:
            assert not out.exists() or list(out.iterdir()) == []
        else:
            assert 0 < proxy.frame_count < 192
            assert len(list(out.iterdir())) == 4


def test_no_picture(tmp_path: Path) -> None:
    source = tmp_path / "voice.mp4"
    with av.open(str(source), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        clips.write_tone(out, stream, 1.0, 0.0)
    assert "has no video stream" in refusal(source, tmp_path / "out")


def test_a_day_in_two_frames(tmp_path: Path) -> None:
    source = clips.write_clip(
        tmp_path / "day.mp4", [0, 24 * 3600 * 1000], time_base=Fraction(1, 1000)
    )
    assert source.stat().st_size < 10_000
    sentence = refusal(source, tmp_path / "out")
    assert "lasts 48 h" in sentence or "lasts 24 h" in sentence
    assert "over the limit of 4 h" in sentence


def test_pixel_flood(tmp_path: Path) -> None:
    source = tmp_path / "flood.mp4"
    with av.open(str(source), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 6400, 6000, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "51", "threads": "1"}
        black = av.VideoFrame(6400, 6000, "yuv420p")
        for plane in black.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux(stream.encode(black))
        out.mux(stream.encode())
    assert source.stat().st_size < 200_000
    assert "6400 × 6000 pixels, over the limit" in refusal(source, tmp_path / "out")
    # and the runner's own limit holds without the probe
    with runner.isolated(source, work_dir=tmp_path) as alone, pytest.raises(MediaError):
        runner.run(
            ffmpeg.input(str(alone)).output("-", format="null"), limits=Limits(wall_seconds=20)
        )


#: What a careless command line reads as options, patterns, protocols or several words.
NAMES = (
    "-i", "%03d.mp4", "concat:a|b.mp4", "file:x.mp4", "a b;c$(d)`e`&.mp4", "line\nbreak.mp4",
    "\u202e4pm.ü—名", "\udcff.mp4", "n" * 250 + ".mp4",
)  # fmt: skip
#: These too, where there is time.
MORE_NAMES = (
    "-y", "-f", "--help", "*.mp4", "subfile,,start,0,end,0,,:x.mp4", "async:x.mp4", "crypto:x.mp4",
    "cache:x.mp4", "data:video,x.mp4", "http:x.mp4", "pipe:0", "quote'\"s.mp4", "~", "#.mp4",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_NAMES)],
    ids=ascii,
)
def test_file_names_that_look_like_something_else(name: str, tmp_path: Path) -> None:
    plain = clips.write_clip(tmp_path / "plain", clips.constant_pts(Fraction(30), 6))
    source = tmp_path / "uploads" / name
    source.parent.mkdir()
    shutil.move(plain, source)
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert clips.numbers_in(proxy.video) == list(range(6))
    assert [entry.name for entry in source.parent.iterdir()] == [name]


def test_the_sentence_names_what_the_researcher_knows(tmp_path: Path) -> None:
    source = tmp_path / "9f86d081884c7d65"
    source.touch()
    with pytest.raises(RefusedRecordingError, match=r"^P004_1\.mp4 is empty"):
        probe(source, name="P004_1.mp4")


def test_millions_of_empty_elements_are_refused_at_once(tmp_path):
    path = tmp_path / "endless.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\xec\x80" * 2_000_000)
    began = process_time()
    with pytest.raises(RefusedRecordingError, match="cut off"):
        probe(path)
    assert process_time() - began < 1.0

"""The map from proxy frames to source times, as it is predicted; see also test_frame_identity."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waver.core.clock import frame_us
from workers.media import timing
from workers.media.errors import MediaToolError
from workers.media.normalise import normalise

from . import clips

pytestmark = pytest.mark.programs

TICK = Fraction(1, 90000)


def test_a_last_frame_too_short_to_be_seen_is_left_out_and_counted(tmp_path: Path) -> None:
    pts = clips.constant_pts(Fraction(25), 10)
    source = clips.write_clip(tmp_path / "clip.mp4", pts, last_ticks=900)
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert clips.numbers_in(proxy.video) == list(range(9))
    assert proxy.figures["left_out_frames"] == 1


def test_picture_and_sound_keep_their_distance(tmp_path: Path) -> None:
    """A tone that begins 0.5 s after the first frame does so in the proxy's sound too."""
    import wave

    import numpy as np

    pts = [time + 90000 for time in clips.constant_pts(Fraction(30), 60)]
    source = clips.write_clip(
        tmp_path / "clip.mkv", pts, container="matroska", audio_seconds=1.0, audio_starts=1.5
    )
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    with wave.open(str(proxy.audio_16k)) as stream:
        assert (stream.getframerate(), stream.getnchannels()) == (16000, 1)
        assert abs(stream.getnframes() / 16000 - proxy.duration_us / 1e6) < 0.001
        samples = np.frombuffer(stream.readframes(stream.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 2000) / 16000
    assert abs(loud[0] - 0.5) < 0.03
    assert abs(loud[-1] - 1.5) < 0.05


@given(
    gaps=st.lists(st.integers(1, 9000), min_size=1, max_size=200),
    rate=st.sampled_from(timing.STANDARD_RATES),
    start=st.integers(-90000, 90000),
)
def test_prediction_holds_its_bounds(gaps: list[int], rate: Fraction, start: int) -> None:
    pts = tuple(accumulate(gaps, initial=start))
    frames = timing.SourceFrames(pts=pts, end=pts[-1] + 3000, time_base=TICK)
    count = timing.wanted_count(pts[0], frames.end, time_base=TICK, rate=rate)
    frame_map = timing.map_frames(frames, rate=rate, count=count, wanted=count)
    assert len(frame_map.source_us) == count
    assert list(frame_map.source_index) == sorted(frame_map.source_index)
    proxy_us = [frame_us(n, rate) for n in range(count)]
    assert timing.largest_error_us(frame_map, proxy_us) <= 500_000 / rate + 1
    # going there and back, a source time that is shown lands on the frame that shows it
    for place, source_us in enumerate(frame_map.source_us):
        if not frame_map.duplicated[place]:
            assert timing.rescale(source_us, rate / 1_000_000) in (place - 1, place, place + 1)


def test_another_count_is_refused() -> None:
    frames = timing.SourceFrames(pts=(0, 3000, 6000), end=9000, time_base=TICK)
    for count in (2, 4):
        with pytest.raises(MediaToolError, match=f"{count} frames where 3 were expected"):
            timing.map_frames(frames, rate=Fraction(30), count=count, wanted=3)


@pytest.mark.parametrize(
    ("mean", "nearest"),
    [
        ("29.97", "30000/1001"),
        ("30", "30"),
        ("23.9", "24000/1001"),
        ("26.4", "25"),
        ("14.2", "15"),
        ("12.4", "25/2"),
        ("3", "10"),
        ("120", "60"),
        ("59.95", "60000/1001"),
    ],
)
def test_nearest_standard_rate(mean: str, nearest: str) -> None:
    assert timing.nearest_rate(Fraction(mean)) == Fraction(nearest)

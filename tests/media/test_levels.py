"""Levels, clipping and silence at the recording's own rate, against samples that are set."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waver.core.clock import frame_us
from workers.media import sound
from workers.media.normalise import normalise

from . import sounds

RATE = 44_100


def write_flac(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write 16-bit samples (channels x samples)."""
    with av.open(str(path), "w", format="flac") as out:
        stream = out.add_stream("flac", rate=rate, layout="mono" if len(samples) == 1 else "stereo")
        stream.codec_context.format = "s16"
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T.reshape(1, -1)),
            format="s16",
            layout=stream.codec_context.layout.name,
        )
        frame.sample_rate = rate
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def sine(seconds: float, amplitude: float, hertz: float = 200, rate: int = RATE) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    wave = amplitude * np.sin(2 * np.pi * hertz * times)
    return (wave.clip(-1, 32767 / 32768) * 32768).round().clip(-32768, 32767).astype(np.int16)


def test_a_clipped_sine_is_measured_where_it_was_cut(tmp_path: Path) -> None:
    """Cut at half its height, a sine is at full scale for 2/3 of the time, 400 times a second."""
    left, right = sine(2, 2.0), sine(2, 0.1)
    levels = sound.measure_levels(write_flac(tmp_path / "a.flac", np.stack([left, right])))
    assert levels.clipped_share == pytest.approx(1 / 3, abs=0.005)
    assert levels.clipped_stretches == 800
    assert levels.peak_dbfs == pytest.approx(0, abs=0.001)
    assert not levels.digital_silence


def test_a_peak_that_just_fits_is_no_clipping(tmp_path: Path) -> None:
    samples = sine(1, 0.5)
    samples[1000:1002] = 32767
    levels = sound.measure_levels(write_flac(tmp_path / "a.flac", samples.reshape(1, -1)))
    assert levels.clipped_stretches == 0
    assert levels.clipped_share == pytest.approx(2 / RATE)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(runs=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40_000)), min_size=1, max_size=12))
def test_stretches_are_counted_across_blocks(
    runs: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = [[32767] * high + [5] * low for high, low in runs]
    samples = np.array([value for piece in pieces for value in piece], np.int16).reshape(1, -1)
    path = write_flac(tmp_path_factory.mktemp("runs") / "a.flac", samples)
    levels = sound.measure_levels(path)
    assert levels.clipped_stretches == sum(high >= sound.CLIPPED_RUN for high, _ in runs)
    assert levels.clipped_share == pytest.approx(sum(high for high, _ in runs) / samples.size)


def test_silence_is_told_from_quiet_and_from_nothing(tmp_path: Path) -> None:
    """3 s of voice, 1 s of zeros, 1 s of voice, 2 s at -66 dB, 0.3 s of zeros, 0.7 s of voice."""
    nothing = np.zeros(RATE, np.int16)
    parts = [sine(3, 0.3), nothing, sine(1, 0.3), sine(2, 0.0007), nothing[: round(0.3 * RATE)]]
    samples = np.concatenate([*parts, sine(0.7, 0.3)]).reshape(1, -1)
    levels = sound.measure_levels(write_flac(tmp_path / "a.flac", samples))
    assert levels.zero_share == pytest.approx(1.3 / 8, abs=0.01)
    assert levels.silent_share == pytest.approx(3.3 / 8, abs=0.01)
    assert levels.silences == 2
    assert levels.longest_silence_us == pytest.approx(2_300_000, abs=60_000)
    assert not levels.digital_silence


def test_one_channel_that_speaks_is_no_silence(tmp_path: Path) -> None:
    both = np.stack([np.zeros(RATE, np.int16), sine(1, 0.3)])
    levels = sound.measure_levels(write_flac(tmp_path / "a.flac", both))
    assert (levels.silences, levels.silent_share) == (0, 0)


def test_only_the_asked_stretch_counts(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(RATE, np.int16), sine(1, 0.25), np.zeros(RATE, np.int16)])
    path = write_flac(tmp_path / "a.flac", samples.reshape(1, -1))
    levels = sound.measure_levels(path, start_us=1_000_000, end_us=2_000_000)
    assert levels.zero_share == 0
    assert levels.rms_dbfs == pytest.approx(-15.05, abs=0.02)
    whole = sound.measure_levels(path)
    assert whole.zero_share == pytest.approx(2 / 3, abs=0.02)
    none = sound.measure_levels(path, start_us=5_000_000)
    assert none.digital_silence
    assert (none.clipped_share, none.silences) == (0, 0)


@pytest.mark.programs
def test_clipping_that_resampling_would_hide_is_found(tmp_path: Path) -> None:
    """One of two channels is cut off: mixed to one at 16 kHz, no sample is at full scale."""
    rate = 48_000
    both = np.stack([sine(3, 4.0, rate=rate), sine(3, 0.05, 330, rate)])
    source = sounds.write_recording(
        tmp_path / "loud.mov",
        seconds=3,
        container="mov",
        codec="pcm_s16le",
        samples=both,
        layout="stereo",
        rate=rate,
    )
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    assert float(proxy.figures["clipped_share"]) > 0.4
    assert int(proxy.figures["clipped_stretches"]) == pytest.approx(1200, abs=2)
    assert any("is clipped 1" in sentence for sentence in proxy.notes)
    mixed, _ = sounds.decoded(proxy.audio_16k)
    assert np.abs(mixed.astype(np.int32)).max() < 30_000

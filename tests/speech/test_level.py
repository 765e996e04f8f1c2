"""The level of a voice and its distance to the noise, against sound whose levels are set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from workers.speech.errors import SpeechError
from workers.speech.level import HIGHEST_SNR_DB, VoiceLevel, voice_level
from workers.speech.spans import Span, Speech

from .spoken import RATE, write_wav


def speech(*spans: tuple[float, float], seconds: float) -> Speech:
    segments = tuple(Span(round(a * 1e6), round(b * 1e6)) for a, b in spans)
    return Speech(segments, (), round(seconds * 1e6), 0.0, (), {}, {})


def noise(seconds: float, dbfs: float, seed: int = 1) -> np.ndarray:
    deviation = 32768 * 10 ** (dbfs / 20)
    return np.random.default_rng(seed).normal(0, deviation, round(seconds * RATE))


def tone(seconds: float, dbfs: float) -> np.ndarray:
    """A sine whose mean power is `dbfs`, so its amplitude is 3 dB more."""
    times = np.arange(round(seconds * RATE)) / RATE
    return 32768 * 10 ** (dbfs / 20) * math.sqrt(2) * np.sin(2 * np.pi * 220 * times)


@pytest.mark.parametrize("floor", [-70.0, -50.0, -35.0, -26.0])
def test_level_noise_and_distance_are_those_that_were_set(floor: float, tmp_path: Path) -> None:
    samples = noise(6, floor)
    for start in (1, 4):
        samples[start * RATE : (start + 1) * RATE] += tone(1, -24)
    found = voice_level(
        write_wav(tmp_path / "a.wav", samples.round()), speech((1, 2), (4, 5), seconds=6)
    )
    assert found.level_dbfs == pytest.approx(-24, abs=0.3)
    assert found.noise_dbfs == pytest.approx(floor, abs=0.3)
    assert found.snr_db == pytest.approx(-24 - floor, abs=0.6)
    assert found.noise_seconds == pytest.approx(4 - 4 * 0.1, abs=0.05)


def test_a_bang_is_not_the_noise_of_the_room(tmp_path: Path) -> None:
    samples = noise(4, -60)
    samples[RATE : 2 * RATE] += tone(1, -20)
    samples[3 * RATE : 3 * RATE + 2000] = 30_000
    found = voice_level(write_wav(tmp_path / "a.wav", samples), speech((1, 2), seconds=4))
    assert found.noise_dbfs == pytest.approx(-60, abs=0.3)


def test_silence_that_was_filled_in_is_not_the_noise_of_the_room(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(4 * RATE), noise(3, -55)])
    samples[5 * RATE : 6 * RATE] += tone(1, -20)
    found = voice_level(write_wav(tmp_path / "a.wav", samples.round()), speech((5, 6), seconds=7))
    assert found.noise_dbfs == pytest.approx(-55, abs=0.3)
    only_gated = np.zeros(3 * RATE)
    only_gated[RATE : 2 * RATE] = tone(1, -20)
    found = voice_level(write_wav(tmp_path / "b.wav", only_gated), speech((1, 2), seconds=3))
    assert found.level_dbfs == pytest.approx(-20, abs=0.1)
    assert (found.noise_dbfs, found.snr_db) == (None, None)


def test_nothing_is_said_about_what_is_not_there(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", noise(2, -40))
    quiet = voice_level(wav, speech(seconds=2))
    assert quiet.level_dbfs is None
    assert quiet.snr_db is None
    assert quiet.noise_dbfs == pytest.approx(-40, abs=0.3)
    full = voice_level(wav, speech((0, 2), seconds=2))
    assert full.level_dbfs == pytest.approx(-40, abs=0.3)
    assert (full.noise_dbfs, full.snr_db) == (None, None)
    empty = voice_level(write_wav(tmp_path / "b.wav", np.zeros(0)), speech(seconds=0))
    assert empty == VoiceLevel(None, None, None, 0.0)


def test_the_distance_is_bounded(tmp_path: Path) -> None:
    samples = np.zeros(3 * RATE)
    samples[::400] = 1  # every frame holds one least bit
    samples[RATE : 2 * RATE] = tone(1, -3.1)
    found = voice_level(write_wav(tmp_path / "a.wav", samples), speech((1, 2), seconds=3))
    assert found.snr_db == HIGHEST_SNR_DB


def test_only_16_bit_mono_is_read(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "stereo.wav", np.zeros(RATE), channels=2)
    with pytest.raises(SpeechError, match="2 channels"):
        voice_level(wav, speech(seconds=1))
    with pytest.raises(SpeechError, match="cannot be read"):
        voice_level(tmp_path / "missing.wav", speech(seconds=1))

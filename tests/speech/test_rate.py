"""Syllables and pauses, against speech whose syllables were counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workers.speech import rate
from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech
from workers.speech.vad import find_speech

from . import spoken
from .spoken import RATE, write_wav

pytestmark = pytest.mark.programs

#: Syllables of spoken.SENTENCES: "I have been think-ing a-bout chang-ing my rou-tine …"
SYLLABLES = 17 + 18 + 18
#: Voice, pitch, words a minute, and by how much the count may be off. Fast speech hides syllables.
SPOKEN = [
    (("f1", 50, 120), 0.05),
    (("m7", 45, 150), 0.08),
    (("f1", 50, 160), 0.05),
    (("linda", 60, 175), 0.05),
    (("m3", 40, 185), 0.12),
    (("m1", 50, 220), 0.20),
]


def heard_from(path: Path, voice: tuple[str, int, int], noise: int | None) -> tuple[Path, Speech]:
    whole = spoken.put_together(spoken.sentences(*voice), spoken.SILENCES)
    write_wav(path, spoken.with_noise(whole, noise).samples)
    return path, find_speech(path)


@pytest.mark.parametrize(
    "noise", [10, *(pytest.param(n, marks=pytest.mark.slow) for n in (None, 20))]
)
@pytest.mark.parametrize(("voice", "bound"), SPOKEN, ids=lambda value: str(value))
def test_syllables_are_counted(
    voice: tuple[str, int, int], bound: float, noise: int | None, tmp_path: Path
) -> None:
    path, speech = heard_from(tmp_path / "a.wav", voice, noise)
    counted = rate.speaking_rate(path, speech)
    assert abs(counted.syllables / SYLLABLES - 1) <= bound
    spoken_seconds = sum(map(len, spoken.sentences(*voice))) / RATE
    assert counted.articulation == pytest.approx(SYLLABLES / spoken_seconds, rel=bound + 0.06)
    assert counted.per_second is not None
    assert counted.per_second < (counted.articulation or 0)


def test_faster_speech_has_a_higher_rate(tmp_path: Path) -> None:
    rates = []
    for pace in (120, 150, 185, 220):
        path, speech = heard_from(tmp_path / "a.wav", ("m3", 40, pace), None)
        rates.append(rate.speaking_rate(path, speech).articulation)
    assert rates == sorted(rates)
    assert rates[-1] > 1.3 * rates[0]


def bursts(count: int, *, voiced: bool) -> np.ndarray:
    """So many bursts of 120 ms, 100 ms apart, of a buzz at 140 Hz or of noise."""
    times = np.arange(round(0.12 * RATE)) / RATE
    rise = np.hanning(times.size)
    noise = np.random.default_rng(4).normal(0, 1, (count, times.size))
    buzz = sum(np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12))
    parts = [rise * (buzz if voiced else noise[n]) for n in range(count)]
    gap = np.zeros(round(0.1 * RATE))
    return np.concatenate([np.concatenate([part, gap]) for part in parts]) * 6000


def all_speech(samples: np.ndarray) -> Speech:
    end_us = round(samples.size / RATE * 1e6)
    return Speech((Span(0, end_us),), (), end_us, 1.0, (), {}, {})


def test_voiced_bursts_are_syllables_and_coughs_are_not(tmp_path: Path) -> None:
    buzz, cough = bursts(9, voiced=True), bursts(9, voiced=False)
    path = write_wav(tmp_path / "a.wav", buzz)
    assert rate.speaking_rate(path, all_speech(buzz)).syllables == 9
    both = np.concatenate([buzz, cough])
    path = write_wav(tmp_path / "b.wav", both)
    assert rate.speaking_rate(path, all_speech(both)).syllables == 9
    path = write_wav(tmp_path / "c.wav", cough)
    assert rate.speaking_rate(path, all_speech(cough)).syllables == 0


def test_a_long_segment_is_read_in_pieces(tmp_path: Path) -> None:
    """Where it is cut, no more than a syllable is lost or doubled: 300 in 66 s, cut twice."""
    buzz = bursts(300, voiced=True)
    path = write_wav(tmp_path / "a.wav", buzz)
    assert abs(rate.speaking_rate(path, all_speech(buzz)).syllables - 300) <= 2


def test_nothing_is_said_where_nobody_speaks(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(RATE))
    silent = Speech((), (), 1_000_000, 0.0, (), {}, {})
    counted = rate.speaking_rate(path, silent)
    assert counted == rate.SpeakingRate(0, None, None)
    assert rate.figures(counted, silent) == {"syllables": 0, "pauses": 0}


def test_only_the_expected_kind_of_wav_is_read(tmp_path: Path) -> None:
    wrong = write_wav(tmp_path / "a.wav", np.zeros(8000), rate=8000)
    with pytest.raises(SpeechError, match="16000 Hz"):
        rate.speaking_rate(wrong, all_speech(np.zeros(8000)))
    with pytest.raises(SpeechError, match="cannot be read"):
        rate.speaking_rate(tmp_path / "missing.wav", all_speech(np.zeros(8000)))


def test_pauses_are_summed_up(tmp_path: Path) -> None:
    """Two pauses were put there, of 0.4 s and 1.5 s; what is found is a little shorter."""
    path, speech = heard_from(tmp_path / "a.wav", ("f1", 50, 160), None)
    found = rate.with_rate(path, speech).figures
    assert found["syllables_per_second"] == rate.speaking_rate(path, speech).per_second
    assert found["pauses"] == len(speech.pauses) == 2
    assert found["pause_longest_ms"] == pytest.approx(1500, abs=170)
    assert found["pause_mean_ms"] == pytest.approx(950, abs=170)
    assert found["pause_median_ms"] == found["pause_mean_ms"]
    whole = (speech.segments[-1].end_us - speech.segments[0].start_us) / 1e6
    assert found["pause_share"] == pytest.approx(1.9 / whole, abs=0.03)
    assert found["pauses_per_minute"] == pytest.approx(2 / whole * 60, rel=0.01)

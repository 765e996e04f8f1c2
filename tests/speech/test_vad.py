from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech
from workers.speech.vad import PAUSE_MIN_US, WINDOW, find_speech, pauses_between, speech_spans

from . import spoken
from .spoken import RATE, write_wav


@pytest.fixture(scope="module")
def sentences() -> list[np.ndarray]:
    """Three sentences spoken by a synthesiser, at 16 kHz, without silence around them."""
    return list(spoken.sentences(*spoken.VOICES[0]))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def with_noise(samples: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, level, len(samples))
    return (samples + noise).clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize("noise", [0, 60])
def test_a_planted_pause_is_found_within_a_fifth_of_a_second(
    sentences: list[np.ndarray], tmp_path: Path, noise: float
) -> None:
    first, second, third = sentences
    parts = [silence(1), first, silence(0.4), second, silence(1.5), third, silence(0.7)]
    begins = (len(first) + len(second)) / RATE + 1.4
    heard = find_speech(
        write_wav(tmp_path / "answer.wav", with_noise(np.concatenate(parts), noise))
    )
    long = [pause for pause in heard.pauses if pause.duration_us > 1_000_000]
    assert len(long) == 1
    assert abs(long[0].start_us / 1e6 - begins) < 0.2
    assert abs(long[0].end_us / 1e6 - (begins + 1.5)) < 0.2
    assert heard.segments[0].start_us == pytest.approx(1_000_000, abs=200_000)
    assert heard.segments[-1].end_us == pytest.approx(heard.duration_us - 700_000, abs=200_000)
    assert heard.duration_us == round(sum(map(len, parts)) / RATE * 1e6)
    spoken_us = sum(map(len, sentences)) / RATE * 1e6
    assert heard.share == pytest.approx(spoken_us / heard.duration_us, abs=0.12)
    assert heard.notes == ()


def test_digital_silence_is_no_speech_and_is_called_so(tmp_path: Path) -> None:
    heard = find_speech(write_wav(tmp_path / "silent.wav", silence(3)))
    assert heard.segments == heard.pauses == ()
    assert heard.share == 0
    assert "digital silence" in heard.notes[0]
    assert heard.figures["peak_dbfs"] == -120


def test_noise_and_an_empty_file_are_no_speech(tmp_path: Path) -> None:
    noise = find_speech(write_wav(tmp_path / "noise.wav", with_noise(silence(3), 500)))
    assert noise.segments == ()
    assert noise.notes == ("No speech was found in the sound track.",)
    empty = find_speech(write_wav(tmp_path / "empty.wav", silence(0)))
    assert empty.duration_us == 0
    assert "no sound" in empty.notes[0]


def test_the_silent_recording(shared_media: Path, tmp_path: Path) -> None:
    import av

    pieces = []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(shared_media / "talking_head_20s.mp4")) as container:
        for frame in container.decode(audio=0):
            pieces += [f.to_ndarray()[0] for f in resampler.resample(frame)]
    heard = find_speech(write_wav(tmp_path / "head.wav", np.concatenate(pieces)))
    assert heard.segments == ()
    assert "digital silence" in heard.notes[0]


def test_only_the_expected_kind_of_wav_is_read(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="2 channels"):
        find_speech(write_wav(tmp_path / "stereo.wav", silence(1), channels=2))
    with pytest.raises(SpeechError, match="48000 Hz"):
        find_speech(write_wav(tmp_path / "fast.wav", silence(1), rate=48_000))
    with pytest.raises(SpeechError, match=r"test_vad.py cannot be read as a WAV"):
        find_speech(Path(__file__))
    with pytest.raises(SpeechError, match="cannot be read"):
        find_speech(tmp_path / "missing.wav")


def test_json_gives_the_same_value_back(sentences: list[np.ndarray], tmp_path: Path) -> None:
    heard = find_speech(write_wav(tmp_path / "a.wav", sentences[0]))
    assert heard.segments
    assert Speech.from_json(heard.to_json()) == heard
    for text in ("", "[]", "{}", '{"segments": [{"begin": 1}]}'):
        with pytest.raises(SpeechError, match="not a record of speech"):
            Speech.from_json(text)


@pytest.fixture(scope="module")
def packages_own_rule() -> Any:
    """The package's function, taken from its source because importing it needs torch."""
    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / "utils_vad.py").read_text())
    name = "get_speech_timestamps_from_probs"
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    names: dict[str, Any] = {"List": list}
    exec(compile(tree, name, "exec"), names)
    return names[name]


PROBABILITY = st.one_of(st.sampled_from([0.0, 0.34, 0.35, 0.4, 0.5, 0.9]), st.floats(0, 1))
# Runs of one probability make the long spans and silences that single draws hardly ever make.
RUNS = st.lists(st.tuples(PROBABILITY, st.integers(1, 14)), max_size=25)


@settings(max_examples=examples(400), deadline=None)
@given(runs=RUNS, missing=st.integers(0, WINDOW - 1))
def test_spans_equal_the_packages_own(
    packages_own_rule: Any, runs: list[tuple[float, int]], missing: int
) -> None:
    probabilities = [p for p, count in runs for _ in range(count)]
    samples = max(0, len(probabilities) * WINDOW - missing)
    expected = packages_own_rule(probabilities, audio_length_samples=samples)
    ours = speech_spans(probabilities, samples=samples)
    assert ours == [(span["start"], span["end"]) for span in expected]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 2_000_000), max_size=20))
def test_pauses_lie_between_segments_and_last_long_enough(steps: list[int]) -> None:
    edges = np.cumsum([0, *steps]).tolist()
    segments = [Span(a, b) for a, b in zip(edges[0::2], edges[1::2], strict=False)]
    pauses = list(pauses_between(segments))
    silences = [Span(a, b) for a, b in zip(edges[1::2], edges[2::2], strict=False)]
    inner = [s for s in silences if any(g.start_us == s.end_us for g in segments)]
    assert pauses == [s for s in inner if s.duration_us >= PAUSE_MIN_US]

"""Speech whose every beginning and end is known: synthesised, with set pauses and noise.

`python -m tests.speech.spoken FOLDER` writes all of it as WAV files.
"""

from __future__ import annotations

import sys
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from workers.samples.voice import speak

RATE = 16_000
SENTENCES = (
    "I have been thinking about changing my routine for quite some time now.",
    "Sometimes it works, and sometimes it is really much too difficult for me.",
    "But next week I will try it again, because I think that it does me good.",
)
#: Seconds of silence before, between and after the sentences.
SILENCES = (1.0, 0.4, 1.5, 0.7)
NOISES = (None, 30, 20, 10, 5)
# Variants without breath, which espeak-ng would draw by the wall clock: always the same samples.
VOICES = (("f1", 50, 160), ("m3", 40, 185))


@dataclass(frozen=True, slots=True)
class Heard:
    """Samples at 16 kHz (int16) and where in them each sentence begins and ends, in samples."""

    samples: np.ndarray
    spans: tuple[tuple[int, int], ...]


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.astype("<i2").tobytes())
    return path


@lru_cache(maxsize=16)
def sentences(
    voice: str, pitch: int, words_per_minute: int, texts: tuple[str, ...] = SENTENCES
) -> tuple[np.ndarray, ...]:
    """Sentences at 16 kHz, without silence around them."""
    spoken = speak(texts, voice=voice, pitch=pitch, words_per_minute=words_per_minute)
    down = [resample_poly(s.astype(float), RATE, spoken.sample_rate) for s in spoken.sentences]
    return tuple(s.round().clip(-32768, 32767).astype(np.int16) for s in down)


def put_together(parts: tuple[np.ndarray, ...], silences: tuple[float, ...]) -> Heard:
    """Silence, sentence, silence … silence; `silences` are seconds, one more than sentences."""
    pieces, spans, at = [], [], 0
    for seconds, part in zip(silences, (*parts, np.zeros(0, np.int16)), strict=True):
        at += round(seconds * RATE)
        pieces += [np.zeros(round(seconds * RATE), np.int16), part]
        if part.size:
            spans.append((at, at + part.size))
        at += part.size
    return Heard(np.concatenate(pieces), tuple(spans))


def with_noise(heard: Heard, snr_db: float | None, *, seed: int = 5) -> Heard:
    """Add white noise so far below the voice's mean power."""
    if snr_db is None:
        return heard
    voiced = np.concatenate([heard.samples[a:b] for a, b in heard.spans]).astype(float)
    deviation = np.sqrt(np.mean(voiced**2)) / 10 ** (snr_db / 20)
    noise = np.random.default_rng(seed).normal(0, deviation, heard.samples.size)
    return Heard((heard.samples + noise).round().clip(-32768, 32767).astype(np.int16), heard.spans)


def recordings() -> dict[str, np.ndarray]:
    """Everything that our detector and the package's own are both given, by name."""
    found: dict[str, np.ndarray] = {}
    for voice in VOICES:
        whole = put_together(sentences(*voice), SILENCES)
        for noise in NOISES:
            name = f"{voice[0]}_{'clean' if noise is None else f'{noise}_db'}"
            found[name] = with_noise(whole, noise).samples
    long = np.concatenate([found["f1_20_db"], found["m3_clean"]])
    # windows are 512 samples; we read 500 of them at a time, which is 256,000 samples
    for length in (0, 1, 511, 512, 513, 3999, 4000, 4001, 4608, 16_000):
        found[f"length_{length}"] = found["f1_clean"][20_000 : 20_000 + length]
    for length in (255_999, 256_000, 256_001, 256_512):
        found[f"length_{length}"] = long[:length]
    found["loud"] = (found["f1_clean"].astype(np.int32) * 6).clip(-32768, 32767).astype(np.int16)
    found["faint"] = (found["f1_20_db"] // 64).astype(np.int16)
    found["silence"] = np.zeros(3 * RATE, np.int16)
    found["noise"] = np.random.default_rng(8).normal(0, 800, 3 * RATE).round().astype(np.int16)
    return found


def write_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in recordings().items():
        write_wav(folder / f"{name}.wav", samples)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))

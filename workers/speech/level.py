"""How loud a voice is, and how far it stands above the noise of its own pauses."""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech

#: Power is taken over frames of this length, in milliseconds.
FRAME_MS = 20
# Voices fade and rooms echo: what stands this near to speech is neither voice nor noise.
GUARD_US = 100_000
#: Fewer frames of noise than this (0.2 s) are no measurement.
FEWEST_NOISE_FRAMES = 10
# 16-bit sound holds nothing between silence and -90 dB; anything better is only called better.
HIGHEST_SNR_DB = 80.0
_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class VoiceLevel:
    """Levels in dB of full scale (a full-scale sine has -3.01); None where there is nothing to say.

    level_dbfs: mean power while somebody speaks, the room's noise taken off. noise_dbfs: the noise
    floor, the median power of frames without speech. snr_db: the one above the other, at most
    HIGHEST_SNR_DB. noise_seconds: how much sound without speech the floor was measured on.
    """

    level_dbfs: float | None
    noise_dbfs: float | None
    snr_db: float | None
    noise_seconds: float


def voice_level(audio_16k: Path, speech: Speech) -> VoiceLevel:
    """Measure the voice in a 16-bit mono WAV, knowing where somebody speaks in it.

    1. Cut the sound into frames of FRAME_MS and take each one's mean power.
    2. Voice: the mean power of the frames inside the segments. Noise: the median power of the
       frames at least GUARD_US away from every segment, so that a door that falls shut does not
       count. Frames of digital silence are left out: they were filled in, or gated by the
       recorder's software, and say nothing about the room.
    3. The voice was recorded together with the noise, so its power is the difference of the two.

    `level_dbfs` is None without speech; `noise_dbfs` and `snr_db` are None where less than 0.2 s
    without speech is left to measure. `snr_db` is None, too, where the voice does not stand out of
    the noise. Memory: one number per frame. Raises SpeechError for another kind of file.
    """
    powers, rate, frame = _powers(audio_16k)
    inside, near = _cover(speech.segments, len(powers), rate=rate, frame=frame)
    voiced = powers[inside]
    quiet = powers[~near]
    quiet = quiet[quiet > 0]
    heard = float(voiced.mean()) if voiced.size else 0.0
    noise = float(np.median(quiet)) if quiet.size >= FEWEST_NOISE_FRAMES else None
    alone = heard - (noise or 0.0)
    return VoiceLevel(
        level_dbfs=_decibels(alone if alone > 0 else heard),
        noise_dbfs=None if noise is None else _decibels(noise),
        snr_db=(
            min(HIGHEST_SNR_DB, round(10 * math.log10(alone / noise), 2))
            if noise is not None and alone > 0
            else None
        ),
        noise_seconds=round(quiet.size * frame / rate, 3),
    )


def _powers(path: Path) -> tuple[NDArray[np.float64], int, int]:
    """Each frame's mean power, the sample rate, and the samples in a frame."""
    try:
        with wave.open(str(path), "rb") as sound:
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
                raise SpeechError(
                    f"{path.name} must be mono with 16 bits, but it has {sound.getnchannels()} "
                    f"channels with {8 * sound.getsampwidth()} bits."
                )
            rate = sound.getframerate()
            frame = rate * FRAME_MS // 1000
            parts = [
                np.square(piece.astype(np.float64)).reshape(-1, frame).mean(axis=1)
                for piece in _whole_frames(sound, frame)
            ]
    except (wave.Error, EOFError, OSError) as error:
        raise SpeechError(f"{path.name} cannot be read as a WAV file: {error}.") from error
    return (np.concatenate(parts) if parts else np.zeros(0)), rate, frame


def _whole_frames(sound: wave.Wave_read, frame: int) -> Iterator[NDArray[np.int16]]:
    """The samples, ten seconds at a time; what is left of the last frame is dropped."""
    while data := sound.readframes(frame * 500):
        samples = np.frombuffer(data, dtype="<i2")
        yield samples[: samples.size // frame * frame]


def _cover(
    segments: tuple[Span, ...], frames: int, *, rate: int, frame: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which frames lie wholly inside a segment, and which touch one or its surroundings."""
    inside, near = np.zeros(frames, bool), np.zeros(frames, bool)
    frame_us = frame * 1_000_000 / rate
    for span in segments:
        inside[math.ceil(span.start_us / frame_us) : int(span.end_us / frame_us)] = True
        first = max(0, int((span.start_us - GUARD_US) / frame_us))
        near[first : math.ceil((span.end_us + GUARD_US) / frame_us)] = True
    return inside, near


def _decibels(power: float) -> float | None:
    if power <= 0:
        return None
    return round(10 * math.log10(power / _FULL_SCALE**2), 2)

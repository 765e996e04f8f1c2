"""The outline of a recording's sound, for drawing it on a page."""

from __future__ import annotations

import wave
from pathlib import Path

from workers.media.sound import blocks


def peaks(wav_16k: Path, *, buckets_per_second: int = 20) -> list[float]:
    """Return the largest magnitude in each bucket, 0 to 1 of full scale.

    `wav_16k` is 16-bit mono, as `normalise` writes it; memory does not grow with its length beyond
    the list itself. Raises ValueError for a bucket shorter than one sample, MediaToolError for
    another kind of WAV.
    """
    import numpy as np

    with wave.open(str(wav_16k), "rb") as stream:
        bucket = stream.getframerate() // buckets_per_second
    if bucket < 1:
        raise ValueError(f"{buckets_per_second} buckets a second are more than samples a second")
    found: list[float] = []
    for block in blocks(wav_16k, size=bucket * 256):
        magnitude = np.abs(block.astype(np.int32)) / 32768.0
        starts = np.arange(0, magnitude.size, bucket)
        found.extend(float(value) for value in np.maximum.reduceat(magnitude, starts))
    return found

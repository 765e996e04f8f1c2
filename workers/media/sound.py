"""How loud a recording's sound is: figures from ffmpeg's EBU R 128 meter and from the samples."""

from __future__ import annotations

import math
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workers.media.errors import MediaToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 65536
#: Full scale of 16-bit samples.
_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class Loudness:
    """EBU R 128 figures: integrated loudness in LUFS (-70 is the meter's floor), range in LU."""

    integrated_lufs: float
    range_lu: float


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of a 16-bit recording in dB of full scale; -inf for digital silence."""

    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    digital_silence: bool


def read_loudness(stderr_tail: str) -> Loudness:
    """Read the summary that the `ebur128` filter printed at the end of a run that succeeded.

    Raises MediaToolError where it is missing: a run that failed prints figures too, so the caller
    must have checked the return code (the runner does).
    """
    integrated = re.findall(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS", stderr_tail)
    spread = re.findall(r"\bLRA:\s+(-?[\d.]+|-?inf|nan) LU\b", stderr_tail)
    if not integrated or not spread:
        raise MediaToolError(
            "ffmpeg did not report the loudness of the sound. Report this to the administrator."
        )
    return Loudness(integrated_lufs=float(integrated[-1]), range_lu=float(spread[-1]))


def measure_levels(wav: Path) -> Levels:
    """Measure a 16-bit mono WAV, block by block."""
    import numpy as np

    peak, energy, samples, clipped = 0, 0.0, 0, 0
    for block in blocks(wav):
        magnitude = np.abs(block.astype(np.int32))
        peak = max(peak, int(magnitude.max()))
        energy += float(np.square(magnitude, dtype=np.float64).sum())
        clipped += int((magnitude >= _FULL_SCALE - 1).sum())
        samples += block.size
    rms = math.sqrt(energy / samples) if samples else 0.0
    return Levels(
        peak_dbfs=_decibels(peak),
        rms_dbfs=_decibels(rms),
        clipped_share=clipped / samples if samples else 0.0,
        digital_silence=peak == 0,
    )


def blocks(wav: Path, *, size: int = _BLOCK) -> Iterator[NDArray[np.int16]]:
    """Yield the samples of a 16-bit mono WAV, `size` at a time.

    Raises MediaToolError for any other kind of WAV.
    """
    import numpy as np

    with wave.open(str(wav), "rb") as stream:
        if stream.getsampwidth() != 2 or stream.getnchannels() != 1:
            raise MediaToolError(
                f"{wav.name} is not 16-bit mono sound, which this step needs. Make it with "
                "workers.media.normalise."
            )
        while data := stream.readframes(size):
            yield np.frombuffer(data, dtype="<i2")


def _decibels(level: float) -> float:
    return 20 * math.log10(level / _FULL_SCALE) if level > 0 else -math.inf

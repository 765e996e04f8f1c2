"""How loud a recording's sound is: figures from ffmpeg's EBU R 128 meter and from the samples."""

from __future__ import annotations

import math
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.media.errors import MediaToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 65536
#: Samples from here on are at full scale: 32767 of 32768, the highest that 16 bits can hold.
CLIPPED_FROM = 32767 / 32768
#: So many samples on end at full scale are a cut-off wave; fewer may be a peak that just fits.
CLIPPED_RUN = 3
FRAME_MS = 20
#: A frame is silent below this mean power (dB of full scale), and a silence lasts at least so long.
SILENT_BELOW_DBFS = -60.0
SILENCE_MIN_MS = 500


@dataclass(frozen=True, slots=True)
class Loudness:
    """EBU R 128 figures: integrated loudness in LUFS (-70 is the meter's floor), range in LU."""

    integrated_lufs: float
    range_lu: float


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of a sound in dB of full scale, over all channels; -inf for digital silence.

    `clipped_share` is the share of samples at full scale, `clipped_stretches` how often at least
    CLIPPED_RUN of a channel stand on end. `zero_share` is the share of frames (FRAME_MS) of which
    every sample is zero, `silent_share` of those below SILENT_BELOW_DBFS; `silences` counts
    stretches of such frames of at least SILENCE_MIN_MS, of which the longest lasts
    `longest_silence_us`.
    """

    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    clipped_stretches: int
    digital_silence: bool
    zero_share: float
    silent_share: float
    silences: int
    longest_silence_us: int


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


def measure_levels(sound: Path, *, start_us: int = 0, end_us: int | None = None) -> Levels:
    """Measure a sound that `normalise` wrote, at its own rate and in all its channels.

    Only [start_us, end_us) counts: what lies outside was filled in. Clipping has to be measured
    here: resampling rounds the cut tops off, and mixing channels hides them. Memory: one number for
    each FRAME_MS.
    """
    import numpy as np

    tally = _Tally()
    powers: list[NDArray[np.float64]] = []
    rate, left = 0, None
    for block, rate in _samples(sound, start_us=start_us, end_us=end_us):
        tally.add(block)
        whole = block if left is None else np.concatenate([left, block], axis=1)
        frame = max(1, rate * FRAME_MS // 1000)
        count = whole.shape[1] // frame
        used, left = whole[:, : count * frame], whole[:, count * frame :]
        # the loudest channel decides whether a frame is silent
        squares = np.square(used, dtype=np.float64).reshape(used.shape[0], count, frame)
        powers.append(squares.mean(axis=2).max(axis=0))
    power = np.concatenate(powers) if powers else np.zeros(0)
    silent = power < 10 ** (SILENT_BELOW_DBFS / 10)
    runs = _runs(silent)
    long_runs = runs[runs * FRAME_MS >= SILENCE_MIN_MS]
    return Levels(
        peak_dbfs=_decibels(tally.peak),
        rms_dbfs=_decibels(math.sqrt(tally.energy / tally.samples) if tally.samples else 0.0),
        clipped_share=tally.clipped / tally.samples if tally.samples else 0.0,
        clipped_stretches=tally.stretches,
        digital_silence=tally.peak == 0,
        zero_share=float((power == 0).mean()) if power.size else 0.0,
        silent_share=float(silent.mean()) if power.size else 0.0,
        silences=int(long_runs.size),
        longest_silence_us=int(long_runs.max(initial=0)) * FRAME_MS * 1000,
    )


class _Tally:
    """Sums over blocks of samples (channels x samples, full scale = 1)."""

    def __init__(self) -> None:
        self.peak = self.energy = 0.0
        self.samples = self.clipped = self.stretches = 0
        self._before: NDArray[np.bool_] | None = None

    def add(self, block: NDArray[np.float32]) -> None:
        """Count one block in; stretches at full scale may go on from the block before."""
        import numpy as np

        magnitude = np.abs(block)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        self.energy += float(np.square(magnitude, dtype=np.float64).sum())
        self.samples += block.size
        high = magnitude >= CLIPPED_FROM
        self.clipped += int(high.sum())
        if self._before is None:
            self._before = np.zeros((block.shape[0], CLIPPED_RUN), bool)
        seen = np.concatenate([self._before, high], axis=1)
        self._before = seen[:, -CLIPPED_RUN:]
        if self.peak < CLIPPED_FROM:
            return
        # a stretch is counted where its third sample stands: two high before it, none before those
        length = high.shape[1]
        third = ~seen[:, :length]
        for step in range(1, CLIPPED_RUN + 1):
            third = third & seen[:, step : step + length]
        self.stretches += int(third.sum())


def _samples(
    sound: Path, *, start_us: int, end_us: int | None
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield blocks (channels x samples, full scale = 1) of [start_us, end_us) and the rate."""
    import av
    import numpy as np

    with av.open(str(sound)) as source:
        stream = source.streams.audio[0]
        rate = int(stream.codec_context.sample_rate)
        first = start_us * rate // 1_000_000
        last = None if end_us is None else -(-end_us * rate // 1_000_000)
        position, waiting = 0, _Waiting()
        for frame in source.decode(stream):
            block: NDArray[Any] = frame.to_ndarray()
            full_scale = 2.0 ** (8 * block.itemsize - 1)
            if not frame.format.is_planar:
                block = block.reshape(-1, frame.layout.nb_channels).T
            end = block.shape[1] if last is None else last - position
            kept = block[:, max(0, first - position) : max(0, end)]
            position += block.shape[1]
            waiting.add((kept / full_scale).astype(np.float32))
            if waiting.size >= _BLOCK:
                yield waiting.take(), rate
        if waiting.size:
            yield waiting.take(), rate


class _Waiting:
    """Small blocks gathered into one large enough to be worth a pass."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float32]] = []
        self.size = 0

    def add(self, part: NDArray[np.float32]) -> None:
        if part.shape[1]:
            self._parts.append(part)
            self.size += part.shape[1]

    def take(self) -> NDArray[np.float32]:
        import numpy as np

        whole = np.concatenate(self._parts, axis=1)
        self._parts, self.size = [], 0
        return whole


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The lengths of the stretches that are true."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    lengths: NDArray[np.int64] = edges[1::2] - edges[0::2]
    return lengths


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
    return 20 * math.log10(level) if level > 0 else -math.inf

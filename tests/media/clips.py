"""Small clips for the tests: every frame carries its own number as light and dark bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

BITS = 10
BAR = 8
WIDTH, HEIGHT = BITS * BAR, 48


def numbered(index: int) -> np.ndarray:
    """Give a grey picture (48 x 80) whose bars spell `index` in binary."""
    bits = [(index >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 180 + 35, BAR)
    return np.tile(row, (HEIGHT, 1))


def number_of(picture: np.ndarray) -> int:
    """Read the number from a grey picture, whatever lossy coding did to it."""
    bars = picture[8:-8].mean(axis=0).reshape(BITS, BAR)[:, 2:-2].mean(axis=1)
    return sum(1 << bit for bit, level in enumerate(bars) if level > 125)


def write_clip(
    path: Path,
    pts: Sequence[int],
    *,
    time_base: Fraction = Fraction(1, 90000),
    container: str = "mp4",
    codec: str = "libx264",
    audio_seconds: float | None = None,
    audio_starts: float = 0.0,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    last_ticks: int | None = None,
) -> Path:
    """Write a clip whose frame n is presented at `pts[n]` ticks of `time_base`.

    The last frame lasts `last_ticks`, by default as long as the first.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        video = out.add_stream(codec, rate=30)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = time_base
        if codec == "libx264":
            video.options = {"preset": "ultrafast", "crf": "18"}
        video.options = {**video.options, **(codec_options or {})}
        audio = (
            None
            if audio_seconds is None
            else out.add_stream(
                "libopus" if container == "webm" else "aac", rate=48000, layout="mono"
            )
        )
        lasts = {time: after - time for time, after in pairwise(pts)}
        lasts[pts[-1]] = last_ticks or (pts[1] - pts[0] if len(pts) > 1 else 1)
        for index, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(numbered(index), format="gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = time, time_base
            out.mux(_timed(video.encode(frame), lasts))
        out.mux(_timed(video.encode(), lasts))
        if audio is not None and audio_seconds is not None:
            write_tone(out, audio, audio_seconds, audio_starts)
    return path


def _timed(packets: list[av.Packet], lasts: dict[int, int]) -> list[av.Packet]:
    for packet in packets:
        packet.duration = lasts[packet.pts]
    return packets


def write_tone(
    out: av.container.OutputContainer, audio, seconds: float, starts: float, *, hertz: int = 440
) -> None:
    """Write a tone at a quarter of full scale."""
    rate = 48000
    step = audio.codec_context.frame_size or 960
    offset = round(starts * rate)
    wanted = audio.codec_context.format.name
    for position in range(0, round(seconds * rate), step):
        times = np.arange(position, position + step) / rate
        tone = (0.25 * np.sin(2 * math.pi * hertz * times)).astype(np.float32).reshape(1, -1)
        if wanted in ("s16", "s16p"):
            tone = (tone * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone, format=wanted, layout="mono")
        frame.sample_rate, frame.pts = rate, position + offset
        frame.time_base = Fraction(1, rate)
        out.mux(audio.encode(frame))
    out.mux(audio.encode())


def constant_pts(
    rate: Fraction, count: int, *, time_base: Fraction = Fraction(1, 90000)
) -> list[int]:
    """Give the times of `count` frames at a constant rate, rounded to ticks."""
    return [round(n / rate / time_base) for n in range(count)]


def numbers_in(path: Path) -> list[int]:
    """Decode a video and read each frame's number."""
    with av.open(str(path)) as source:
        return [number_of(frame.to_ndarray(format="gray")) for frame in source.decode(video=0)]

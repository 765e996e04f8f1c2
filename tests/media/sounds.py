"""Recordings whose sound is known sample by sample: clicks on every second, clocks that drift."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from . import clips

RATE = 48_000
CLICK = 48  # samples: a millisecond


def write_recording(
    path: Path,
    *,
    seconds: int,
    container: str = "mp4",
    codec: str = "aac",
    time_of: Callable[[np.ndarray], np.ndarray] = lambda own: own,
    keep: Callable[[float], bool] = lambda own: True,
    samples: np.ndarray | None = None,
    length: float | None = None,
    layout: str = "mono",
    rate: int = RATE,
) -> Path:
    """Write `seconds` of numbered pictures (10 a second) and of sound.

    `time_of` tells at which time (seconds of the picture's clock) the sample is recorded that the
    microphone's own clock takes at a second. Without `samples` there is a click at every whole
    second of the picture's clock. Packets for which `keep(own seconds)` is false are lost.
    `length` is the sound's length in its own seconds.
    """
    with av.open(str(path), "w", format=container) as out:
        pictures = out.add_stream("libvpx" if container == "webm" else "libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        if container != "webm":
            pictures.options = {"preset": "ultrafast"}
        sound = out.add_stream(codec, rate=rate, layout=layout)
        for index in range(seconds * 10):
            picture = av.VideoFrame.from_ndarray(clips.numbered(index), format="gray")
            picture = picture.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 10)
            out.mux(pictures.encode(picture))
        out.mux(pictures.encode())
        if samples is None:
            samples = clicks(time_of, seconds=seconds, length=length or seconds)
        for packet in _packets(sound, samples, rate):
            own = float(packet.pts * packet.time_base)
            if keep(own):
                moved = float(time_of(np.array([own]))[0])
                packet.pts = packet.dts = round(moved / packet.time_base)
                out.mux(packet)
    return path


def clicks(
    time_of: Callable[[np.ndarray], np.ndarray], *, seconds: int, length: float
) -> np.ndarray:
    """Give silence (1 x samples, float) with a click at every whole second of the picture."""
    times = time_of(np.arange(round(length * RATE)) / RATE)
    found = np.zeros(times.size, np.float32)
    for second in range(1, seconds):
        at = int(np.searchsorted(times, second))
        found[at : at + CLICK] = 0.5
    return found.reshape(1, -1)


def _packets(sound, samples: np.ndarray, rate: int) -> list[av.Packet]:
    wanted = sound.codec_context.format.name
    step = sound.codec_context.frame_size or 960
    made = []
    for position in range(0, samples.shape[1], step):
        part = samples[:, position : position + step]
        if wanted in ("s16", "s16p") and part.dtype != np.int16:
            part = (part * 32767).astype(np.int16)
        if not wanted.endswith("p"):
            part = part.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(part), format=wanted, layout=sound.codec_context.layout.name
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        made += sound.encode(frame)
    return [packet for packet in made + sound.encode() if packet.pts is not None]


def decoded(path: Path) -> tuple[np.ndarray, int]:
    """Give a sound's samples (channels x samples, as they are stored) and its rate."""
    with av.open(str(path)) as source:
        stream = source.streams.audio[0]
        channels = stream.codec_context.layout.nb_channels
        parts = []
        for frame in source.decode(stream):
            block = frame.to_ndarray()
            parts.append(block if frame.format.is_planar else block.reshape(-1, channels).T)
        return np.concatenate(parts, axis=1), stream.codec_context.sample_rate


def click_times(path: Path) -> list[float]:
    """Give the seconds at which clicks begin, by counting samples from the start of the file."""
    samples, rate = decoded(path)
    level = np.abs(samples[0].astype(np.float64))
    high = np.flatnonzero(level > 0.4 * level.max())
    first = np.concatenate([[True], np.diff(high) > rate // 10])
    return (high[first] / rate).tolist()

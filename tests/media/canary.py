"""Another participant's recording, which must never appear in anything made of a hostile file."""

from __future__ import annotations

import socket
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from . import clips

WORDS = b"the canary's own words"
TONE = 3000  # Hz: no other recording here has it


def write(path: Path) -> Path:
    """Write it: of a colour, a tone and words that nothing else has."""
    picture = np.zeros((clips.HEIGHT, clips.WIDTH, 3), np.uint8)
    picture[:] = (255, 0, 255)
    with av.open(str(path), "w", format="mp4") as out:
        out.metadata["title"] = WORDS.decode()
        video = out.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        audio = out.add_stream("aac", rate=48000, layout="mono")
        for _ in range(15):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode())
        clips.write_tone(out, audio, 0.5, 0.0, hertz=TONE)
    return path


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Listen on the loopback until the block ends; give the address and who called."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    caller, address = server.accept()
                except OSError:
                    return  # closed at the end
                calls.append(str(address))
                caller.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls


def shows_canary(path: Path) -> bool:
    """Tell whether a file holds anything of the neighbour's: words, colour or tone."""
    if WORDS in path.read_bytes():
        return True
    if path.suffix == ".wav":
        with wave.open(str(path)) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
            return _has_tone(samples, sound.getframerate())
    if path.suffix in (".mp4", ".mkv"):
        with av.open(str(path)) as source:
            pictures = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        return any(_has_colour(picture.reshape(-1, 3).astype(int)) for picture in pictures)
    return False


def _has_colour(pixels: np.ndarray) -> bool:
    return bool(np.any((pixels[:, 0] > 180) & (pixels[:, 1] < 70) & (pixels[:, 2] > 180)))


def _has_tone(samples: np.ndarray, rate: int) -> bool:
    if samples.size == 0 or not samples.any():
        return False
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hertz = np.fft.rfftfreq(samples.size, 1 / rate)
    return bool(power[np.abs(hertz - TONE) < 50].sum() > 0.05 * power.sum())

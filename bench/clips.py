"""Talking-head clips made on the spot: the samples' own picture and voice, looped."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 25
SOUND_RATE = 16_000
_LOOP_SECONDS = 4
_SAID = (
    "I think about taking the train every morning, but my family would rather stay here.",
    "We talked about moving to the coast, and I might start again next week.",
)


def talking_head(
    path: Path, *, seconds: int, width: int, height: int, with_sound: bool = False
) -> Path:
    """Write an H.264 video of a moving head at 25 frames per second; the same every time.

    Four seconds of the sample recordings' portrait, swaying and turning, are drawn and repeated:
    every movement returns to its beginning, so that the seams cannot be seen. The sound is AAC.
    """
    import av

    loop = _pictures(width, height)
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "libx264", rate=RATE, options={"crf": "23", "preset": "veryfast", "g": str(RATE)}
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono") if with_sound else None
        for index in range(seconds * RATE):
            frame = av.VideoFrame.from_ndarray(loop[index % len(loop)], format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if audio is not None and index % RATE == 0:
                container.mux(audio.encode(_sound_frame(index // RATE)))
        container.mux(video.encode())
        if audio is not None:
            container.mux(audio.encode())
    return path


Codec = Literal["h264", "vp8", "vp9"]
_ENCODERS: dict[Codec, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "mp4", {"crf": "23", "preset": "veryfast", "g": "30"}),
    "vp8": ("libvpx", "webm", {"b": "1500k", "deadline": "realtime", "cpu-used": "8"}),
    "vp9": ("libvpx-vp9", "webm", {"b": "1500k", "deadline": "realtime", "cpu-used": "8"}),
}


def looped(source: Path, folder: Path, *, codec: Codec, height: int, seconds: int) -> Path:
    """Write a recording, repeated, at 30 frames a second and a height in pixels; without sound.

    The same file is made once for a folder.
    """
    import av

    encoder, suffix, options = _ENCODERS[codec]
    path = folder / f"{source.stem}-{height}-{seconds}-{codec}.{suffix}"
    if path.exists():
        return path
    with av.open(str(source)) as container:
        pictures = list(container.decode(video=0))
        rate = container.streams.video[0].average_rate or Fraction(30)
    width = round(pictures[0].width * height / pictures[0].height / 2) * 2
    small = [frame.reformat(width, height, format="yuv420p") for frame in pictures]
    with av.open(str(path), "w") as container:
        video = container.add_stream(encoder, rate=30, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for index in range(seconds * 30):
            frame = small[int(index * rate / 30) % len(small)]
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def speech(path: Path, *, seconds: int) -> Path:
    """Write synthesised speech, two sentences and pauses repeated, as 16 kHz mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        for second in range(seconds):
            file.writeframes(_second_of_speech(second).tobytes())
    return path


def _pictures(width: int, height: int) -> list[NDArray[np.uint8]]:
    """The four seconds that repeat, blue-green-red."""
    import cv2
    import numpy as np

    from workers.samples.picture import Portrait
    from workers.samples.plan import plan_recordings

    portrait = Portrait(plan_recordings(participants=1, seed=7)[0].look, seed=7)
    count = _LOOP_SECONDS * RATE

    def draw() -> Iterator[Any]:
        for index in range(count):
            turn = 2 * np.pi * index / count
            picture = portrait.draw(
                index=index,
                yaw=12 * float(np.sin(turn)),
                shift=(6 * float(np.sin(2 * turn)), 3 * float(np.cos(turn))),
                tilt=3 * float(np.sin(turn + 1)),
            )
            yield cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)

    return list(draw())


@lru_cache(maxsize=1)
def _said() -> NDArray[np.int16]:
    """Both sentences at 16 kHz, each with a second of near silence after it."""
    import numpy as np

    from workers.samples.voice import speak

    spoken = speak(_SAID, voice="f1", pitch=50, words_per_minute=180)
    parts = []
    for sentence in spoken.sentences:
        count = len(sentence) * SOUND_RATE // spoken.sample_rate
        at = np.arange(count) * spoken.sample_rate / SOUND_RATE
        parts.append(np.interp(at, np.arange(len(sentence)), sentence).astype(np.int16))
        parts.append(np.zeros(SOUND_RATE, np.int16))
    return np.concatenate(parts)


def _second_of_speech(second: int) -> NDArray[np.int16]:
    import numpy as np

    said = _said()
    samples: NDArray[np.int16] = said[(second * SOUND_RATE + np.arange(SOUND_RATE)) % len(said)]
    return samples


def _sound_frame(second: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(
        _second_of_speech(second).reshape(1, -1), format="s16", layout="mono"
    )
    frame.sample_rate, frame.pts = SOUND_RATE, second * SOUND_RATE
    frame.time_base = Fraction(1, SOUND_RATE)
    return frame

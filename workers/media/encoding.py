"""Writing pictures as an H.264 video: for what Waver draws itself, never for a recording."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet


class PictureWriter:
    """An MP4 of pictures at a constant rate, frame n at n / rate, as a context.

    One thread; a key frame at least every second; no frame waits for a later one, so that pictures
    come out as they go in. The file has no metadata of any source. `sound_of` is a file whose sound
    packets `add_sound` copies; without it the video is silent. Raises av.FFmpegError.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        rate: Fraction,
        quality: int = 23,
        sound_of: Path | None = None,
    ) -> None:
        import av

        self._container = av.open(
            str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
        )
        options = {"crf": str(quality), "preset": "veryfast", "bf": "0"}
        self._video = self._container.add_stream("libx264", rate=rate, options=options)
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.thread_count = 1
        self._video.codec_context.gop_size = max(1, int(rate))
        self._next, self._base = 0, 1 / rate
        self._sound: Any = None
        if sound_of is not None:
            with av.open(str(sound_of)) as source:
                if source.streams.audio:
                    self._sound = self._container.add_stream_from_template(source.streams.audio[0])

    @property
    def has_sound(self) -> bool:
        """Whether the file has a sound track."""
        return self._sound is not None

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture (height, width, 3), blue-green-red."""
        import av

        self.add_frame(av.VideoFrame.from_ndarray(picture, format="bgr24"))

    def add_frame(self, frame: VideoFrame) -> None:
        """Append a frame of any pixel format; its time is that of its place."""
        frame.pts, frame.time_base = self._next, self._base
        self._next += 1
        self._container.mux(self._video.encode(frame))

    def add_sound(self, packet: Packet[Any]) -> None:
        """Copy a packet of the sound track as it is."""
        packet.stream = self._sound
        self._container.mux(packet)

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._video.encode())
        finally:
            self._container.close()

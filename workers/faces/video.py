"""Reading a proxy video frame by frame, on one thread, without ever holding more than one frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.faces.errors import FaceError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

Picture = NDArray[np.uint8]

# A text file that calls itself a video can name other files; only real containers are opened.
OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
}


@dataclass(frozen=True)
class VideoShape:
    """A video's frame size in pixels and its number of frames (packets in the file)."""

    width: int
    height: int
    frame_count: int


def measure(path: Path) -> VideoShape:
    """Read a video's size and count its frames without decoding them; raises FaceError."""
    with _open(path) as container:
        stream = container.streams.video[0]
        count = sum(1 for packet in container.demux(stream) if packet.size)
        if count == 0:
            raise FaceError(f"The video {path.name} has no frames.")
        return VideoShape(stream.codec_context.width, stream.codec_context.height, count)


def frames(path: Path) -> Iterator[tuple[int, VideoFrame]]:
    """Decode a video in order of presentation, giving each frame's number, from 0, and the frame.

    Raises FaceError when the file cannot be decoded or asks for its pictures to be turned: in a
    proxy the rotation has been applied.
    """
    import av

    with _open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        try:
            for number, frame in enumerate(container.decode(stream)):
                if frame.rotation:
                    raise FaceError(
                        f"The video {path.name} asks to be turned by {frame.rotation} degrees. "
                        "Make its proxy first, which is stored upright."
                    )
                yield number, frame
        except av.FFmpegError as error:
            raise FaceError(f"The video {path.name} cannot be decoded: {error}.") from error


def check_count(proxy: Path, shape: VideoShape, decoded: int) -> None:
    """Raise FaceError unless exactly the proxy's frames were decoded."""
    if decoded != shape.frame_count:
        raise FaceError(
            f"The proxy {proxy.name} has {shape.frame_count} frames, but {decoded} could be "
            "decoded. Make the proxy again."
        )


class Converter:
    """Turns decoded frames into blue-green-red arrays; one conversion context for a whole video."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame, size: tuple[int, int] | None = None) -> Picture:
        """A frame as bytes of shape (height, width, 3), scaled to `size` (width, height) if given.

        Scaling happens on the way from the decoder's format, so that the full-size colour picture
        is never made for a frame of which only a small one is needed.
        """
        from av.video.reformatter import Interpolation

        width, height = size or (frame.width, frame.height)
        converted = self._reformatter.reformat(
            frame, width, height, format="bgr24", interpolation=Interpolation.BILINEAR, threads=1
        )
        return converted.to_ndarray().astype(np.uint8, copy=False)


def _open(path: Path) -> InputContainer:
    import av

    if not path.is_file():
        raise FaceError(f"There is no video at {path}.")
    try:
        container = av.open(str(path.absolute()), options=OPEN_OPTIONS)
    except av.FFmpegError as error:
        raise FaceError(f"{path.name} cannot be opened as a video: {error}.") from error
    if not container.streams.video:
        container.close()
        raise FaceError(f"{path.name} has no video track, so no face can be looked for in it.")
    return container

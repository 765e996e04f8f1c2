"""Reading a proxy video frame by frame, on one thread."""

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
    from av.video.plane import VideoPlane

Picture = NDArray[np.uint8]

# A text file that calls itself a video can name other files; only real containers are opened.
OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
}


_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_BT601 = {2, 5, 6}  # not stated (then it is taken for BT.601), BT.470, SMPTE 170M


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

    def picture(self, frame: VideoFrame, size: tuple[int, int]) -> Picture:
        """A frame as bytes of shape (height, width, 3), scaled to `size` (width, height).

        Scaling happens on the way from the decoder's format, so that the full-size colour picture
        is never made for a frame of which only a small one is needed.
        """
        from av.video.reformatter import Interpolation

        converted = self._reformatter.reformat(
            frame, *size, format="bgr24", interpolation=Interpolation.AREA, threads=1
        )
        return converted.to_ndarray().astype(np.uint8, copy=False)


class Planes:
    """A frame's brightness and its two colours at half the size, as the decoder left them.

    Faces are cut out of these planes, so that the whole picture is never converted.
    """

    def __init__(self, frame: VideoFrame) -> None:
        if frame.format.name not in ("yuv420p", "yuvj420p"):
            frame = frame.reformat(format="yuv420p", threads=1)
        full = frame.format.name == "yuvj420p" or int(frame.color_range) == _FULL_RANGE
        self._frame = frame
        self.luma, self.blue, self.red = (_view(plane) for plane in frame.planes)
        self.black, self.span = (0, 255) if full else (16, 219)
        """Brightness that stands for black, and its distance to that for white."""

    def colours(self, planes: Picture) -> Picture:
        """Blue-green-red (size, size, 3) of a square's three planes, (1.5 size, size) bytes."""
        import av
        import cv2

        if self.black and int(self._frame.colorspace) in _BT601:
            return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420).astype(np.uint8, copy=False)
        square = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        square.colorspace = self._frame.colorspace
        square.color_range = self._frame.color_range
        return square.to_ndarray(format="bgr24").astype(np.uint8, copy=False)


def _view(plane: VideoPlane) -> Picture:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


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

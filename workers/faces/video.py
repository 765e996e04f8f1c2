"""Reading a proxy video frame by frame, on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
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
        self.colorspace, self.color_range = frame.colorspace, frame.color_range
        self.luma, self.blue, self.red = (_view(plane) for plane in frame.planes)
        self.black, self.span = (0, 255) if full else (16, 219)
        """Brightness that stands for black, and its distance to that for white."""

    def inside(self, part: tuple[int, int, int, int]) -> Planes:
        """A copy of a part: left and top, which are even, and right and bottom, not included.

        Copying reads the memory in its order, which the processor foresees; a warp of the whole
        frame, long out of its cache, would wait for every row.
        """
        left, top, right, bottom = part
        smaller = object.__new__(Planes)
        smaller.__dict__.update(self.__dict__)  # copy.copy takes ten times as long
        smaller.luma = self.luma[top:bottom, left:right].copy()
        rows, columns = slice(top // 2, (bottom + 1) // 2), slice(left // 2, (right + 1) // 2)
        smaller.blue, smaller.red = self.blue[rows, columns], self.red[rows, columns]
        return smaller

    def small(self, size: tuple[int, int]) -> Picture | None:
        """The whole frame, shrunk to `size` (width, height), as blue-green-red for a detector.

        Each plane is halved as long as it stays large enough, and then interpolated: that takes a
        third of the time of scaling the picture in one piece. The colours are those of BT.601 also
        for other standards, whose hues differ by less than lamps do. None where a frame cannot be
        shrunk in this way; use Converter then.
        """
        import cv2

        width, height = size
        if not self.black or width % 4 or height % 4 or width > self.luma.shape[1]:
            return None
        rows = height * 3 // 2, height, height + height // 4
        square = np.empty((rows[0], width), dtype=np.uint8)
        square[:height] = _shrunk(self.luma, size)
        half = width // 2, height // 2
        square[rows[1] : rows[2]] = _shrunk(self.blue, half).reshape(-1, width)
        square[rows[2] :] = _shrunk(self.red, half).reshape(-1, width)
        return cv2.cvtColor(square, cv2.COLOR_YUV2BGR_I420).astype(np.uint8, copy=False)

    def stretched(self, luma: Picture, *colours: Picture) -> list[Picture] | None:
        """Brightness and colours of a part as a JPEG has them: BT.601 from 0 to 255.

        None where the frame's colours are of another standard; use `colours` then.
        """
        import cv2

        if int(self.colorspace) not in _BT601:
            return None
        if not self.black:
            return [luma, *colours]
        of_luma, of_colours = _to_full_range()
        pairs = (luma, of_luma), *((plane, of_colours) for plane in colours)
        return [cv2.LUT(plane, table).astype(np.uint8, copy=False) for plane, table in pairs]

    def colours(self, planes: Picture) -> Picture:
        """Blue-green-red (size, size, 3) of a square's three planes, (1.5 size, size) bytes."""
        import av
        import cv2

        if self.black and int(self.colorspace) in _BT601:
            return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420).astype(np.uint8, copy=False)
        square = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        square.colorspace, square.color_range = self.colorspace, self.color_range
        return square.to_ndarray(format="bgr24").astype(np.uint8, copy=False)


@cache
def _to_full_range() -> tuple[Picture, Picture]:
    """What 16 to 235 of brightness, and 16 to 240 of a colour, are between 0 and 255 (BT.601)."""
    level = np.arange(256)
    parts = (level - 16) * 255 / 219, (level - 128) * 255 / 224 + 128
    luma, colour = (np.clip(np.rint(part), 0, 255).astype(np.uint8) for part in parts)
    return luma, colour


def _shrunk(plane: Picture, size: tuple[int, int]) -> Picture:
    """A plane at a smaller size (width, height)."""
    import cv2

    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
        plane = cv2.resize(  # type: ignore[assignment]  # OpenCV's stubs widen the element type
            plane[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA
        )
    if plane.shape[::-1] == size:
        return plane
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


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

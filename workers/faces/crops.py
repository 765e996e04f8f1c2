"""Face crops in one tar file (a valid WebDataset) with an index for reading any of them directly.

A crop's name is its frame's number with six digits and .jpg. The index is a Parquet table with the
columns frame, offset and size: where in the tar file the JPEG's bytes begin and how many they are.
"""

from __future__ import annotations

import tarfile
from array import array
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from workers.faces.errors import FaceError
from workers.faces.table import column, numbers

Picture = NDArray[np.uint8]

JPEG_QUALITY = 90
BLOCK = tarfile.BLOCKSIZE
_BUFFER = 1 << 18  # some crops are written at once


class CropWriter:
    """Writes crops one after the other; memory does not grow but for three numbers a crop.

    The tar blocks are written here because tarfile keeps an object for every member.
    """

    def __init__(self, tar: Path, index: Path) -> None:
        self._tar_path, self._index_path = tar, index
        self._file: IO[bytes] = tar.open("xb", buffering=_BUFFER)
        self._end = 0
        self._frames, self._offsets, self._sizes = array("q"), array("q"), array("q")

    def add(self, frame: int, crop: Picture) -> None:
        """Append the crop (height, width, 3), blue-green-red, of a frame; see `append`."""
        self.append(frame, encode(crop))

    def append(self, frame: int, content: bytes) -> None:
        """Append the JPEG of a frame's crop; frames must come in rising order."""
        if self._frames and frame <= self._frames[-1]:
            raise FaceError(f"The crop of frame {frame} came after that of {self._frames[-1]}.")
        self._frames.append(frame)
        self._offsets.append(self._end + BLOCK)
        self._sizes.append(len(content))
        member = _header(f"{frame:06d}.jpg", len(content)) + content + bytes(-len(content) % BLOCK)
        self._file.write(member)
        self._end += len(member)

    @property
    def frames(self) -> list[int]:
        """The frames whose crops have been written."""
        return self._frames.tolist()

    def close(self) -> None:
        """End the tar file and write the index beside it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._file.closed:
            return
        self._file.write(bytes(2 * BLOCK))
        self._file.close()
        columns = {
            "frame": column(np.asarray(self._frames, np.int32)),
            "offset": column(np.asarray(self._offsets, np.int64)),
            "size": column(np.asarray(self._sizes, np.int32)),
        }
        pq.write_table(pa.table(columns), self._index_path)

    def move_to(self, other: CropWriter) -> None:
        """Append all crops to another's, which end earlier, and delete these."""
        self.close()
        reader = CropReader(self._tar_path, self._index_path)
        for frame in reader.frames.tolist():
            other.append(frame, reader.jpeg(frame))
        self._tar_path.unlink()
        self._index_path.unlink()

    def discard(self) -> None:
        """Let go of the tar file, which is of no use then; no index is written."""
        self._file.close()

    def __enter__(self) -> CropWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def encode(crop: Picture) -> bytes:
    """A picture (height, width, 3), blue-green-red, as JPEG."""
    import simplejpeg

    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(crop), JPEG_QUALITY, colorspace="BGR", colorsubsampling="420"
        )
    )


def encode_planes(luma: Picture, blue: Picture, red: Picture) -> bytes:
    """A square's brightness and its two colours at half the size, BT.601 from 0 to 255, as JPEG.

    A JPEG holds just these planes: to and from blue, green and red is a detour.
    """
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, JPEG_QUALITY))


@cache
def _blank() -> bytes:
    """The header of a file without name, size and checksum, as tarfile writes it."""
    header = bytearray(tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[148:156] = bytes(12), b" " * 8
    return bytes(header)


def _header(name: str, size: int) -> bytes:
    """A member's header block. tarfile's own takes a third of the time of encoding the JPEG."""
    header = bytearray(_blank())
    header[: len(name)] = name.encode()
    header[124:136] = b"%011o\0" % size
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


class CropReader:
    """Reads crops of one recording in any order."""

    def __init__(self, tar: Path, index: Path) -> None:
        import pyarrow.parquet as pq

        # ParquetFile, because read_table loads all of pyarrow.dataset for a table this small.
        with pq.ParquetFile(index) as file:
            table = file.read()
        self.tar = tar
        self.frames = numbers(table["frame"], np.int32)
        self._offsets = numbers(table["offset"], np.int64)
        self._sizes = numbers(table["size"], np.int32)

    def has(self, frame: int) -> bool:
        """Whether the frame has a crop."""
        row = int(np.searchsorted(self.frames, frame))
        return row < len(self.frames) and int(self.frames[row]) == frame

    def jpeg(self, frame: int) -> bytes:
        """The JPEG of a frame's crop; raises FaceError when that frame has none."""
        row = int(np.searchsorted(self.frames, frame))
        if not self.has(frame):
            raise FaceError(
                f"Frame {frame} has no face crop: in that frame the participant's face was not "
                "seen, was cut off by the picture's edge, or was too small."
            )
        with self.tar.open("rb") as file:
            file.seek(int(self._offsets[row]))
            content = file.read(int(self._sizes[row]))
        if len(content) != self._sizes[row]:
            raise FaceError(f"The crops in {self.tar.name} end before frame {frame}.")
        return content


def read_crop(tar: Path, index: Path, frame: int) -> bytes:
    """The JPEG of one frame's crop, read directly; raises FaceError when that frame has none."""
    return CropReader(tar, index).jpeg(frame)

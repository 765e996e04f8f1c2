"""Which container a file really is, from its first bytes, and whether its end is there.

A file's name says nothing: a text file named .mp4 can make a permissive reader open other people's
files. So the container is read from the bytes, and the reader is then forced to that format.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from workers.media.errors import RefusedRecordingError

Container = Literal["mp4", "webm", "avi"]

#: The demuxer that a container is forced to. The name of the family is what users see.
DEMUXERS: dict[Container, str] = {"mp4": "mov", "webm": "matroska", "avi": "avi"}

#: Every demuxer alias that may open an upload; everything else (concat, HLS, DASH…) is refused.
FORMAT_WHITELIST = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
PROTOCOL_WHITELIST = "file"

_MP4_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"}
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_SEGMENT_ID = 0x18538067
#: Four hours in pieces of one picture each, at 30 per second, are fewer.
_MOST_BOXES = 1_000_000
#: Before the Segment stand the EBML header and perhaps a Void or two; millions are an attack.
_MOST_ELEMENTS = 1000


@dataclass(frozen=True, slots=True)
class Extent:
    """How long the file says it is. `declared_bytes` is None where the container leaves it open."""

    actual_bytes: int
    declared_bytes: int | None
    has_index: bool

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends before the end that it declares."""
        return self.declared_bytes is not None and self.actual_bytes < self.declared_bytes


def require_plain_file(path: Path, *, name: str | None = None) -> None:
    """Raise RefusedRecordingError for a link, a folder, a pipe, a device, and where nothing is.

    Nothing is opened: a link leads to another's file, and reading from a pipe may never end.
    """
    shown = name or path.name
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise RefusedRecordingError(
            f"{shown} cannot be read ({(error.strerror or str(error)).lower()}). Check that the "
            "recording is where it should be."
        ) from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a link to another file", stat.S_IFDIR: "a folder"}
        kind = kinds.get(stat.S_IFMT(mode), "a device or a pipe")
        raise RefusedRecordingError(f"{shown} is {kind}, not a recording. Supply the file itself.")


def recognise(path: Path, *, name: str | None = None) -> Container:
    """Return the container that the first bytes of `path` name.

    Raises RefusedRecordingError for an empty file, a text file and any other kind of file.
    """
    shown = name or path.name
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        raise RefusedRecordingError(
            f"{shown} is empty (0 bytes): the copy or the upload failed. Copy it again from the "
            "device that recorded it."
        )
    if head[4:8] in _MP4_FIRST_BOXES:
        return "mp4"
    if head[:4] == _EBML_MAGIC:
        return "webm"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if _looks_like_text(head):
        raise RefusedRecordingError(
            f"{shown} is a text file, not a video, whatever its name says. Find the recording "
            "itself and supply that."
        )
    raise RefusedRecordingError(
        f"{shown} is not a video that Waver can read: its first bytes belong to none of MP4, MOV, "
        "Matroska, WebM and AVI. Convert it to MP4 and supply that."
    )


def extent(path: Path, container: Container, *, name: str | None = None) -> Extent:
    """Measure how many bytes the container says it has, reading its headers only.

    Raises RefusedRecordingError for a file of more parts than any camera or editor writes.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if container == "mp4":
            return _mp4_extent(stream, size, name or path.name)
        if container == "webm":
            return _matroska_extent(stream, size)
        return _riff_extent(stream, size)


def _looks_like_text(head: bytes) -> bool:
    printable = sum(byte in b"\t\r\n" or 32 <= byte < 127 or byte >= 0xC2 for byte in head)
    return b"\x00" not in head and printable >= 0.95 * len(head)


def _mp4_extent(stream: BinaryIO, size: int, shown: str) -> Extent:
    """Walk the top-level boxes (ISO/IEC 14496-12, 4.2): 32-bit size, type, optional 64-bit size."""
    position = boxes = 0
    has_index = False
    while position + 8 <= size:
        boxes += 1
        if boxes > _MOST_BOXES:
            raise RefusedRecordingError(
                f"{shown} consists of more than {_MOST_BOXES} parts, which no camera writes. "
                "Convert it to an ordinary MP4 and supply that."
            )
        stream.seek(position)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        has_index = has_index or header[4:8] in (b"moov", b"moof")
        if length == 0:  # the box reaches to the end of the file, by definition
            return Extent(size, None, has_index)
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            break
        position += length
    return Extent(size, position, has_index)


def _matroska_extent(stream: BinaryIO, size: int) -> Extent:
    """Read the EBML header and the Segment's size (RFC 8794); a live recording has none."""
    position = 0
    for _ in range(_MOST_ELEMENTS):
        if position >= size:
            break
        stream.seek(position)
        identifier, id_bytes = _ebml_number(stream, keep_marker=True)
        length, length_bytes = _ebml_number(stream, keep_marker=False)
        if identifier is None or length_bytes == 0:
            return Extent(size, size + 1, has_index=False)
        start = position + id_bytes + length_bytes
        if identifier == _SEGMENT_ID:
            return Extent(size, None if length is None else start + length, has_index=True)
        if length is None:
            break
        position = start + length
    return Extent(size, max(position, size) + 1, has_index=False)


def _ebml_number(stream: BinaryIO, *, keep_marker: bool) -> tuple[int | None, int]:
    """Read one variable-length number: (value, bytes read); value None means "unknown size"."""
    first = stream.read(1)
    if not first or first[0] == 0:
        return None, 0
    extra = 8 - first[0].bit_length()
    rest = stream.read(extra)
    if len(rest) < extra:
        return None, 0
    mask = 0xFF if keep_marker else (0xFF >> (extra + 1))
    value = int.from_bytes(bytes([first[0] & mask]) + rest, "big")
    if not keep_marker and value == (1 << (7 * (extra + 1))) - 1:
        return None, extra + 1
    return value, extra + 1


def _riff_extent(stream: BinaryIO, size: int) -> Extent:
    """Walk the RIFF chunks of an AVI (long ones have several)."""
    position = end = 0
    while position + 8 <= size:
        stream.seek(position)
        header = stream.read(8)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:8], "little")
        if length == 0:  # the recorder was stopped before it wrote the length
            return Extent(size, None, has_index=False)
        end = position + 8 + length
        position = end + (length & 1)
    return Extent(size, end, has_index=True)

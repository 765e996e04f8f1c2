"""Writes edit lists and turns into MP4 files, as recorders and phones do; bytes, no library."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PARENTS = {b"moov", b"trak", b"mdia", b"edts"}
#: The 3 x 3 matrices of a track header, for degrees clockwise.
_ONE, _UNIT = 1 << 16, 1 << 30
_TURNS = {
    0: (_ONE, 0, 0, 0, _ONE, 0, 0, 0, _UNIT),
    90: (0, _ONE, 0, -_ONE, 0, 0, 0, 0, _UNIT),
    180: (-_ONE, 0, 0, 0, -_ONE, 0, 0, 0, _UNIT),
    270: (0, -_ONE, 0, _ONE, 0, 0, 0, 0, _UNIT),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list: length in movie ticks, media time in track ticks (-1: empty)."""

    length: int
    media_time: int


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies: its kind, its start, where its content starts, its end."""

    kind: bytes
    start: int
    content: int
    end: int


def boxes(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Walk over the boxes, and into those that hold the track's description."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            size, content = struct.unpack_from(">Q", data, start + 8)[0], start + 16
        box = Box(kind, start, content, start + (size or end - start))
        yield box
        if kind in _PARENTS:
            yield from boxes(data, content, box.end)
        start = box.end


def _first(data: bytes | bytearray, kind: bytes) -> Box:
    return next(box for box in boxes(data) if box.kind == kind)


def movie_ticks(data: bytes) -> int:
    """Movie ticks a second (a version 0 header)."""
    return int(struct.unpack_from(">I", data, _first(data, b"mvhd").content + 12)[0])


def track_ticks(data: bytes) -> int:
    """Ticks a second of the first track (a version 0 header)."""
    return int(struct.unpack_from(">I", data, _first(data, b"mdhd").content + 12)[0])


def begin(data: bytes) -> int:
    """The track's time at which it begins to be shown: of the first edit that is not empty."""
    at = _first(data, b"elst").content
    count = struct.unpack_from(">I", data, at + 4)[0]
    entries = [Edit(*struct.unpack_from(">Ii", data, at + 8 + 12 * n)) for n in range(count)]
    return next(entry.media_time for entry in entries if entry.media_time >= 0)


def set_edits(path: Path, edits: list[Edit]) -> None:
    """Put `edits` in the place of the first track's edit list.

    The index must stand after the pictures (no faststart), so that no offset in it moves.
    """
    data = bytearray(path.read_bytes())
    found = list(boxes(data))
    assert next(box.start for box in found if box.kind == b"mdat") < _first(data, b"moov").start
    old = _first(data, b"edts")
    entries = b"".join(struct.pack(">Iihh", edit.length, edit.media_time, 1, 0) for edit in edits)
    elst = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    new = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    grown = len(new) - (old.end - old.start)
    for box in found:
        if box.kind in (b"moov", b"trak") and box.start < old.start < box.end:
            struct.pack_into(">I", data, box.start, box.end - box.start + grown)
    data[old.start : old.end] = new
    path.write_bytes(data)


def set_turn(path: Path, degrees: int) -> None:
    """Tell players to turn the picture of the first track clockwise."""
    data = bytearray(path.read_bytes())
    matrix = _first(data, b"tkhd").content + 40
    struct.pack_into(">9i", data, matrix, *_TURNS[degrees])
    path.write_bytes(data)

"""Sensor files for the tests, written byte by byte, so that they can also be wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Signal:
    """One signal of an EDF file: `samples` is how many it has in each record."""

    label: str
    unit: str = "uV"
    samples: int = 4
    physical: tuple[str, str] = ("-100", "100")
    digital: tuple[str, str] = ("-1000", "1000")


def write_edf(
    path: Path,
    signals: Sequence[Signal],
    records: Sequence[Sequence[Sequence[int]]],
    *,
    seconds: str = "1",
    kind: str = "",
    claimed: str | None = None,
    tals: Sequence[bytes] | None = None,
    tal_bytes: int = 60,
) -> Path:
    """Write an EDF file: `records[r][s]` are the numbers of signal s in record r.

    With `tals`, an annotation signal of `tal_bytes` bytes follows, one text for each record.
    """
    wanted = list(signals)
    if tals is not None:
        wanted.append(
            Signal("EDF Annotations", "", tal_bytes // 2, ("-1", "1"), ("-32768", "32767"))
        )
    count = len(wanted)

    def text(value: object, length: int) -> bytes:
        return str(value).ljust(length)[:length].encode("latin-1")

    head = (
        text("0", 8) + text("X X X X", 80) + text("Startdate X X X X", 80)
        + text("01.01.24", 8) + text("10.00.00", 8) + text(256 * (1 + count), 8) + text(kind, 44)
        + text(len(records) if claimed is None else claimed, 8) + text(seconds, 8) + text(count, 4)
    )  # fmt: skip
    fields = b"".join(text(s.label, 16) for s in wanted) + b"".join(text("", 80) for _ in wanted)
    fields += b"".join(text(s.unit, 8) for s in wanted)
    for place in (0, 1):
        fields += b"".join(text(s.physical[place], 8) for s in wanted)
    for place in (0, 1):
        fields += b"".join(text(s.digital[place], 8) for s in wanted)
    fields += b"".join(text("", 80) for _ in wanted)
    fields += b"".join(text(s.samples, 8) for s in wanted) + b"".join(text("", 32) for _ in wanted)
    body = b""
    for number, record in enumerate(records):
        for values in record:
            body += struct.pack(f"<{len(values)}h", *values)
        if tals is not None:
            body += tals[number].ljust(tal_bytes, b"\x00")
    path.write_bytes(head + fields + body)
    return path

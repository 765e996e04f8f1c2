"""From a sensor file to its samples on one clock, and an outline to draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from workers.signals.csv_file import CsvFile
from workers.signals.description import Description
from workers.signals.edf_file import MAGIC, EdfFile
from workers.signals.errors import SignalError
from workers.signals.samples import Source
from workers.signals.store import Store, Summary

_LARGEST = 8 * 2**30  # bytes
_BINARY = (b"\xffBIOSEMI", b"PK\x03\x04", b"\x1a\x45\xdf\xa3", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True, slots=True)
class Signals:
    """What was read: `table` (Parquet, every sample), `outline` (JSON, to draw), each channel."""

    table: Path
    outline: Path
    channels: tuple[Summary, ...]
    figures: dict[str, float | int | str]
    notes: tuple[str, ...]
    tools: dict[str, str]


def extract(
    source: Path,
    out_dir: Path,
    *,
    description: Description | None = None,
    name: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Signals:
    """Read a CSV, EDF or EDF+ file; times are integer microseconds on the file's own clock.

    That clock's 0 is the file's time 0 where its samples carry times, or else its first sample.
    `description` says what a CSV does not. Memory does not grow with the length of the file.
    Raises SignalError with a sentence for everything that cannot be used; `name` is what it calls
    the file.
    """
    shown = name or source.name
    size = source.stat().st_size
    tell = on_progress or (lambda _: None)
    opened, kind = _opened(source, description or Description(), shown, size, tell)
    table, outline = out_dir / "signals.parquet", out_dir / "signal_outline.json"
    with Store(table, opened.channels, shown=shown) as store:
        for piece in opened.pieces():
            store.add(piece)
    drawn = [summary.outline.as_json() for summary in store.summaries]
    outline.write_text(json.dumps({"channels": drawn}), encoding="utf-8")
    missing = sum(summary.missing for summary in store.summaries)
    notes = [*opened.notes, *_empty_channels(store.summaries)]
    return Signals(
        table=table,
        outline=outline,
        channels=tuple(store.summaries),
        figures={
            "format": kind,
            "channels": len(opened.channels),
            "samples": sum(summary.samples for summary in store.summaries),
            "missing_samples": missing,
        },
        notes=tuple(notes),
        tools={"pyarrow": version("pyarrow"), "numpy": version("numpy")},
    )


def _opened(
    source: Path, description: Description, shown: str, size: int, tell: Callable[[float], None]
) -> tuple[Source, str]:
    """Recognise a file by its first bytes; its name says nothing."""
    if not size:
        raise SignalError(
            f"{shown} is empty (0 bytes): the copy or the export failed. Export it again."
        )
    if size > _LARGEST:
        raise SignalError(f"{shown} is larger than {_LARGEST // 2**30} GiB. Cut it into parts.")
    with source.open("rb") as stream:
        head = stream.read(64)

    def on_bytes(read: int) -> None:
        tell(min(1.0, read / size))

    if head.startswith(MAGIC):
        return EdfFile(source, description, name=shown, on_bytes=on_bytes), "EDF"
    if b"\x00" in head or head.startswith(_BINARY):
        raise SignalError(
            f"{shown} is neither a CSV nor an EDF file, whatever its name says. Export what the "
            "sensor recorded as CSV (UTF-8) or EDF."
        )
    return CsvFile(source, description, name=shown, on_bytes=on_bytes), "CSV"


def _empty_channels(summaries: list[Summary]) -> list[str]:
    empty = [summary.channel.name for summary in summaries if summary.minimum is None]
    if not empty:
        return []
    return [f"Every sample of {', '.join(empty)} is missing."]

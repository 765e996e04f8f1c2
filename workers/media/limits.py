"""How much one program that reads an uploaded recording may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run may use.

    `wall_seconds` and `cpu_seconds` end the run, `output_bytes` bounds each file it writes,
    `memory_bytes` its address space, `max_pixels` the width times height of any decoded picture,
    `media_seconds` the longest recording accepted. `probe_seconds` and `probe_bytes` are the
    processor time and the address space for finding out what a recording holds.
    """

    wall_seconds: float = 7 * 3600.0
    cpu_seconds: int = 8 * 3600
    output_bytes: int = 8 * 1024**3
    memory_bytes: int = 4 * 1024**3
    max_pixels: int = 35_000_000
    media_seconds: float = 4 * 3600.0
    threads: int = 2
    probe_seconds: int = 60
    probe_bytes: int = 2 * 1024**3

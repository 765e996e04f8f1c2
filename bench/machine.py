"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def describe(packages: Iterable[str]) -> str:
    """One text of a few lines: processor, memory, system, Python, ffmpeg, packages."""
    from workers.media.runner import binary
    from workers.media.runner import version as ffmpeg_version

    names = sorted(set(packages))
    return "\n".join(
        [
            f"processor  {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB memory",
            f"system     {platform.system()} {platform.release()}, load {_load():.1f} at the start",
            f"python     {platform.python_version()}; ffmpeg {ffmpeg_version(binary())}",
            f"packages   {', '.join(f'{name} {version(name)}' for name in names)}",
        ]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _load() -> float:
    return os.getloadavg()[0]


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9

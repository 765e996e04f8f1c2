"""Which processes descend from which, read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the process ids whose parent is `pid`."""
    return [one for one, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    """Return the process ids below `pid`, parents before their children."""
    parents = _parents()
    found = [pid]
    for one in found:  # grows while it is read
        found.extend(other for other, parent in parents.items() if parent == one)
    return found[1:]


def kill_descendants(pid: int) -> None:
    """Kill every process below `pid`, whatever session it is in."""
    for one in descendants(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _parents() -> dict[int, int]:
    """Map each living process id to its parent's."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The second field is the name in brackets and may hold anything.
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended while we looked
            found[int(entry.name)] = int(after_name[1])
    return found

"""Temporary files of living processes, and those that a killed one left behind.

Whoever makes one holds a lock on it (flock). The kernel takes the lock back when the process
ends, however it ends: what nobody holds may be removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def new_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
    """Give an empty folder in `parent`, held and then removed by this process."""
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent, fcntl.LOCK_SH):  # nobody may think it abandoned before it is held
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def new_file(parent: Path, *, prefix: str) -> Iterator[tuple[IO[bytes], Path]]:
    """Give an empty file in `parent` to write, held by this process; removed unless renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent, fcntl.LOCK_SH):
        handle, name = tempfile.mkstemp(prefix=prefix, dir=parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out, path
    finally:
        path.unlink(missing_ok=True)


def remove_abandoned(parent: Path) -> int:
    """Remove the folders and files in `parent` that no process holds; give how many."""
    if not parent.is_dir():
        return 0
    with _locked(parent, fcntl.LOCK_EX):
        abandoned = [path for path in parent.iterdir() if not _is_held(path)]
        for path in abandoned:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return len(abandoned)


def _is_held(path: Path) -> bool:
    try:
        with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
    except (BlockingIOError, FileNotFoundError):  # in use, or just removed by its owner
        return True


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)

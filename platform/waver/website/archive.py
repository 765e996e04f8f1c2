"""A tar archive as a stream: nothing is written to the disk, and no file is held in memory."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 1 << 20


def stream(files: Iterable[tuple[Path, str]]) -> Iterator[bytes]:
    """Yield the bytes of a tar archive of `files`, each with its name in the archive.

    Owners and times are left out: two downloads of a release are the same bytes.
    """
    for path, name in files:
        size = path.stat().st_size
        entry = tarfile.TarInfo(name)
        entry.size = size
        entry.mode = 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        with path.open("rb") as data:
            left = size
            while left > 0 and (chunk := data.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError(f"{name} became shorter while it was being sent.")
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)

"""A release while it is being written: every byte is hashed on its way to the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID

from waver.core import storage
from waver.core.errors import IntegrityProblem
from waver.core.models import Blob
from waver.datasets.content import Clip
from waver.datasets.manifest import BuiltFile, File, Share
from waver.datasets.verify import hash_file


@dataclass(frozen=True)
class Owned:
    """A share, and the recording inside Waver that it came from."""

    share: Share
    recording: UUID


@dataclass
class Draft:
    """The folder of one attempt, and the list of what was written into it."""

    root: Path
    owned: list[Owned] = field(default_factory=list)
    containers: list[BuiltFile] = field(default_factory=list)
    on_share: Callable[[], None] = lambda: None

    def share(self, clip: Clip, what: str, *files: File) -> None:
        """Say that these files are a participant's share of one object of a recording."""
        share = Share(clip.participant, f"{clip.code}/{what}", files).salted()
        self.owned.append(Owned(share, clip.recording.pk))
        self.on_share()

    def copy(self, blob: Blob, path: str) -> File:
        """Copy stored bytes to `path` in pieces; never whole in memory.

        Raises IntegrityProblem when the stored bytes are not what their hash says.
        """
        with self._writer(path) as out:
            for chunk in storage.open_range(blob):
                out.write(chunk)
        made = out.file(path)
        if made.sha256 != blob.sha256:
            raise IntegrityProblem(
                f"The stored bytes {blob.sha256[:12]} are damaged: they do not have the hash under "
                "which they were stored. Restore them from a backup, then build the release again."
            )
        return made

    def write(self, path: str, data: bytes) -> File:
        """Write a small file."""
        with self._writer(path) as out:
            out.write(data)
        return out.file(path)

    def list_files(self, path: str, files: list[File]) -> File:
        """Write a listing of many files, which stands for them in the manifest."""
        with self._writer(path) as out:
            for file in files:
                out.write(f"{file.sha256}  {file.size}  {file.path}\n".encode())
        made = out.file(path)
        return File(made.path, made.size, made.sha256, lists=True)

    @contextmanager
    def container(self, path: str, builder: str) -> Iterator[Path]:
        """Lend the path of a container to write to; hash it when the block ends."""
        target = self._target(path)
        yield target
        size, sha256 = hash_file(target)
        self.containers.append(BuiltFile(path, size, sha256, builder=builder))

    @contextmanager
    def text_container(self, path: str, builder: str) -> Iterator[IO[str]]:
        """Lend an open text file (UTF-8, LF) for a container."""
        with (
            self.container(path, builder) as target,
            target.open("w", encoding="utf-8", newline="\n") as out,
        ):
            yield out

    def _target(self, path: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    @contextmanager
    def _writer(self, path: str) -> Iterator[_HashingFile]:
        with self._target(path).open("xb") as out:
            yield _HashingFile(out)


class _HashingFile:
    """Writes bytes and keeps their hash and number."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write and count."""
        self._out.write(data)
        self._hash.update(data)
        self._size += len(data)

    def file(self, path: str) -> File:
        """Give what the manifest needs to know."""
        return File(path, self._size, self._hash.hexdigest())

"""Where bytes live: the one interface that every caller uses.

`put`, `open_range`, `materialise`, `erase`. Bytes are addressed by their SHA-256. No caller ever
sees a path that it could keep: `materialise` lends one, inside a `with` block.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from waver.core import abandoned
from waver.core.errors import IntegrityProblem, Missing, TemporaryProblem
from waver.core.models import Blob

CHUNK = 1 << 20
_DRAFTS = ".drafts"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Far longer than any job takes from putting bytes to referring to them.
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class Stored:
    """What `put` stored: the SHA-256 (hex) and the size in bytes."""

    sha256: str
    size: int


class Backend(Protocol):
    """What a place for bytes must be able to do."""

    def put(self, source: Path, *, sha256: str) -> None:
        """Store the file whole or not at all; storing the same bytes again changes nothing."""

    def open_range(self, sha256: str, *, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from `start`."""

    def fetch(self, sha256: str, *, to: Path) -> None:
        """Make the file `to` hold the bytes."""

    def erase(self, sha256: str) -> None:
        """Remove the bytes; removing what is not there is no error."""

    def exists(self, sha256: str) -> bool:
        """Tell whether the bytes are there."""

    def tidy(self) -> int:
        """Remove what killed processes were storing; give how many drafts there were."""


class Folder:
    """Bytes in a folder of this machine: `ab/cd/<sha256>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def put(self, source: Path, *, sha256: str) -> None:
        """Copy to a draft of this attempt's own, flush it to the disk, rename it into place."""
        target = self._path(sha256)
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            abandoned.new_file(self.root / _DRAFTS, prefix="draft-") as (out, draft),
            source.open("rb") as data,
        ):
            shutil.copyfileobj(data, out, CHUNK)
            out.flush()
            os.fsync(out.fileno())
            os.chmod(draft, 0o400)
            os.replace(draft, target)

    def open_range(self, sha256: str, *, start: int, length: int) -> Iterator[bytes]:
        """Read in chunks of 1 MiB."""
        with self._path(sha256).open("rb") as data:
            data.seek(start)
            left = length
            while left > 0 and (chunk := data.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def fetch(self, sha256: str, *, to: Path) -> None:
        """Link where the file system can, copy elsewhere."""
        try:
            os.link(self._path(sha256), to)
        except OSError:
            shutil.copyfile(self._path(sha256), to)

    def erase(self, sha256: str) -> None:
        """Unlink the file."""
        self._path(sha256).unlink(missing_ok=True)

    def exists(self, sha256: str) -> bool:
        """Look for the file."""
        return self._path(sha256).exists()

    def tidy(self) -> int:
        """Remove drafts that no process writes any more."""
        return abandoned.remove_abandoned(self.root / _DRAFTS)


class ObjectStore:
    """Bytes in a bucket of an S3-compatible object store: `<sha256>`."""

    def __init__(self, *, endpoint: str, bucket: str, access_key: str, secret_key: str) -> None:
        import boto3

        self.bucket = bucket
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",  # what S3-compatible stores expect when they have no regions
        )
        self._make_bucket()

    def _make_bucket(self) -> None:
        """Make the bucket at the first use of a new store."""
        from botocore.exceptions import ClientError

        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
                raise
            self.client.create_bucket(Bucket=self.bucket)

    def put(self, source: Path, *, sha256: str) -> None:
        """Upload in parts; the store shows an object only when it is whole."""
        if not self.exists(sha256):
            self.client.upload_file(str(source), self.bucket, sha256)

    def open_range(self, sha256: str, *, start: int, length: int) -> Iterator[bytes]:
        """Ask for the range and read it in chunks of 1 MiB."""
        if length <= 0:
            return iter(())
        answer = self.client.get_object(
            Bucket=self.bucket, Key=sha256, Range=f"bytes={start}-{start + length - 1}"
        )
        return answer["Body"].iter_chunks(CHUNK)

    def fetch(self, sha256: str, *, to: Path) -> None:
        """Download to the path."""
        self.client.download_file(self.bucket, sha256, str(to))

    def erase(self, sha256: str) -> None:
        """Delete the object. The bucket must keep no versions, or the bytes would survive."""
        self.client.delete_object(Bucket=self.bucket, Key=sha256)

    def exists(self, sha256: str) -> bool:
        """Ask for the object's head."""
        from botocore.exceptions import ClientError

        try:
            self.client.head_object(Bucket=self.bucket, Key=sha256)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
                return False
            raise
        return True

    def tidy(self) -> int:
        """Do nothing: the store itself drops uploads that were never completed."""
        return 0


@lru_cache(maxsize=4)
def _object_store(endpoint: str, bucket: str, access_key: str, secret_key: str) -> ObjectStore:
    return ObjectStore(
        endpoint=endpoint, bucket=bucket, access_key=access_key, secret_key=secret_key
    )


def backend() -> Backend:
    """Give the place for bytes that the settings name: `folder` or `object_store`."""
    place: dict[str, Any] = settings.WAVER_STORAGE
    if place["backend"] == "object_store":
        return _object_store(
            place["endpoint"], place["bucket"], place["access_key"], place["secret_key"]
        )
    return Folder(Path(place["folder"]))


def digest(path: Path) -> Stored:
    """Read a file once and give its SHA-256 and size."""
    total = hashlib.sha256()
    size = 0
    with path.open("rb") as data:
        while chunk := data.read(CHUNK):
            total.update(chunk)
            size += len(chunk)
    return Stored(sha256=total.hexdigest(), size=size)


def put(source: Path) -> Stored:
    """Store a file's bytes. The caller takes a reference (`acquire`) in its own transaction.

    Stored whole or not at all. Raises TemporaryProblem when the storage is full.
    """
    stored = digest(source)
    _announce(stored)
    try:
        backend().put(source, sha256=stored.sha256)
    except OSError as error:
        _call_off(stored)
        if error.errno not in _FULL:
            raise
        raise TemporaryProblem(
            f"The storage is full: it has no room for another {stored.size / 1e6:.3g} MB. Ask an "
            "administrator to free space on its disk, then try again."
        ) from error
    return stored


def _announce(stored: Stored) -> None:
    """Write a row before the bytes, so that those of a killed process are found again."""
    Blob.objects.get_or_create(sha256=stored.sha256, defaults={"size": stored.size})
    # Waits for whoever is just erasing the same bytes, and puts off `remove_forgotten`.
    Blob.objects.filter(sha256=stored.sha256, references=0).update(created_at=timezone.now())


def _call_off(stored: Stored) -> None:
    """Take the row back of bytes that could not be stored, unless somebody else stored them."""
    if not backend().exists(stored.sha256):
        Blob.objects.filter(sha256=stored.sha256, references=0, erased_at__isnull=True).delete()


def acquire(stored: Stored) -> Blob:
    """Take a reference to stored bytes, inside the caller's transaction.

    Raises IntegrityProblem when the bytes are not there.
    """
    _lock(stored.sha256)
    if not backend().exists(stored.sha256):
        raise IntegrityProblem(
            f"The bytes {stored.sha256[:12]} are not in the storage, so nothing may refer to them. "
            "Store them again."
        )
    blob, _ = Blob.objects.get_or_create(sha256=stored.sha256, defaults={"size": stored.size})
    Blob.objects.filter(pk=blob.pk).update(references=F("references") + 1, erased_at=None)
    blob.refresh_from_db()
    return blob


def discard(stored: Stored) -> None:
    """Remove bytes that were put for work that was not committed, unless somebody has them."""
    with transaction.atomic():
        _lock(stored.sha256)
        Blob.objects.filter(sha256=stored.sha256, references=0).update(erased_at=timezone.now())
        if not Blob.objects.filter(sha256=stored.sha256, references__gt=0).exists():
            backend().erase(stored.sha256)


def release(blob: Blob) -> None:
    """Give a reference back; the last one erases the bytes at once.

    Who releases several in one transaction does so in the order of their SHA-256.
    """
    with transaction.atomic():
        _lock(blob.sha256)  # or somebody could take bytes that are about to go
        Blob.objects.filter(pk=blob.pk, references__gt=0).update(references=F("references") - 1)
        blob.refresh_from_db()
        if blob.references == 0:
            erase(blob)


def let_go(blob: Blob) -> None:
    """Give a reference back in the caller's transaction; the last one's bytes go after its commit.

    A rollback finds the bytes still there, and a process that is killed after the commit leaves
    them to `remove_forgotten`.
    """
    Blob.objects.filter(pk=blob.pk, references__gt=0).update(references=F("references") - 1)
    stored = Stored(sha256=blob.sha256, size=blob.size)
    transaction.on_commit(functools.partial(discard, stored), robust=True)


def remove_forgotten() -> int:
    """Erase bytes that nothing has referred to for a day; give how many there were.

    A process that is killed between `put` and its commit leaves them behind.
    """
    forgotten = Blob.objects.filter(
        Q(erased_at__isnull=True) | Q(erased_at__lt=F("created_at")),
        references=0,
        created_at__lt=timezone.now() - _FORGOTTEN,
    )
    removed = 0
    for pk, sha256 in list(forgotten.values_list("pk", "sha256")):
        with transaction.atomic():
            _lock(sha256)
            # Asked again with the row locked: its bytes may have been put or taken just now.
            if forgotten.filter(pk=pk).update(erased_at=timezone.now()) == 1:
                backend().erase(sha256)
                removed += 1
    return removed


def open_range(blob: Blob, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Yield the bytes from `start`, `length` of them or all that are left.

    Raises Missing when the bytes were erased or lost.
    """
    _require(blob)
    wanted = blob.size - start if length is None else min(length, blob.size - start)
    return backend().open_range(blob.sha256, start=start, length=max(0, wanted))


@contextmanager
def materialise(blob: Blob, *, suffix: str = "") -> Iterator[Path]:
    """Lend a read-only path to the bytes, alone in a folder of its own, until the block ends.

    Raises Missing when the bytes were erased or lost.
    """
    _require(blob)
    with workspace("lent") as folder:
        path = folder / f"input{suffix}"
        backend().fetch(blob.sha256, to=path)
        yield path


@contextmanager
def workspace(name: str) -> Iterator[Path]:
    """Give an empty folder named for one attempt, removed when the block ends."""
    with abandoned.new_folder(Path(settings.WAVER_SCRATCH), prefix=f"{name}-") as folder:
        yield folder


def tidy() -> int:
    """Remove what killed processes left on this machine: lent paths, workspaces, drafts.

    Gives how many there were. What a living process uses is left alone.
    """
    return abandoned.remove_abandoned(Path(settings.WAVER_SCRATCH)) + backend().tidy()


def erase(blob: Blob) -> None:
    """Remove the bytes for good and say so on the row; every reader gets Missing from then on."""
    Blob.objects.filter(pk=blob.pk).update(references=0, erased_at=timezone.now())
    backend().erase(blob.sha256)
    blob.refresh_from_db()


def verify_absent(blob: Blob) -> bool:
    """Tell whether the bytes are really gone."""
    return not backend().exists(blob.sha256)


def _lock(sha256: str) -> None:
    """Let nobody take or discard these bytes until the transaction ends."""
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [sha256])


def _require(blob: Blob) -> None:
    if blob.erased_at is not None or not backend().exists(blob.sha256):
        raise Missing(
            f"The stored bytes {blob.sha256[:12]} are no longer there: they were erased. "
            "Reload the page to see what is left."
        )

"""The manifest of a release: who is in which file, in a form that can forget.

The rules (hashes, tree, seal) stand in `verify`, which travels with every release; this module
builds manifests and turns leaves into tombstones.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from waver.datasets.verify import MANIFEST, SCHEMA, leaf_hash, render, root_of, seal_of

ABOUT = (
    "Each leaf is one participant's share of one logical object; its salted hash covers the "
    "participant's code, the object's name and its files. Containers mix participants and stand "
    "beside the tree. A tombstone stands for somebody who withdrew: the hash stays, so that the "
    "root still holds, and everything else is gone. `python3 verify.py` checks this folder; "
    "verify.py says exactly how every hash is computed."
)


@dataclass(frozen=True)
class File:
    """A file of a release: its path inside, size in bytes and SHA-256 (hex).

    `lists` marks a listing: a text file of lines `sha256  bytes  path`, for objects of many files.
    """

    path: str
    size: int
    sha256: str
    lists: bool = False

    def entry(self) -> dict[str, Any]:
        """Give the form that the manifest has."""
        entry: dict[str, Any] = {"path": self.path, "bytes": self.size, "sha256": self.sha256}
        return {**entry, "lists": True} if self.lists else entry


@dataclass(frozen=True)
class Share:
    """One participant's share of one logical object, before or after it has its salt."""

    participant: str  # the code in releases
    logical_object: str
    files: tuple[File, ...]
    salt: str = ""

    def salted(self) -> Share:
        """Draw a salt of 32 bytes."""
        return replace(self, salt=secrets.token_hex(32))

    @property
    def hash(self) -> str:
        """The leaf's hash (hex). Raises ValueError when there is no salt."""
        if not self.salt:
            raise ValueError("A leaf without a salt could be guessed; draw one first.")
        files = [(file.path, file.size, file.sha256) for file in self.files]
        return leaf_hash(self.salt, self.participant, self.logical_object, files)

    def entry(self) -> dict[str, Any]:
        """Give the form that the manifest has."""
        return {
            "participant": self.participant,
            "object": self.logical_object,
            "salt": self.salt,
            "files": [file.entry() for file in self.files],
            "hash": self.hash,
        }


@dataclass(frozen=True)
class BuiltFile(File):
    """A container and the builder (name and version) that can make it again."""

    builder: str = ""

    def entry(self) -> dict[str, Any]:
        """Give the form that the manifest has."""
        return {**super().entry(), "builder": self.builder}


@dataclass(frozen=True)
class Manifest:
    """A manifest as its dictionary, with its root and seal at hand."""

    body: dict[str, Any] = field(repr=False)

    @property
    def root(self) -> str:
        """The root of the hash tree; the same in every revision."""
        return str(self.body["root"])

    @property
    def seal(self) -> str:
        """The seal over the whole manifest; another one in every revision."""
        return str(self.body["seal"])

    def write(self, folder: Path) -> None:
        """Write manifest.json into the folder, flushed to the disk."""
        with (folder / MANIFEST).open("wb") as out:
            out.write(render(self.body))
            out.flush()
            os.fsync(out.fileno())


def compose(
    *, dataset: Mapping[str, Any], shares: Iterable[Share], containers: Iterable[BuiltFile]
) -> Manifest:
    """Make the first revision. `dataset` says which release it is; shares keep their order.

    Raises ValueError for a share without a salt.
    """
    body = {
        "schema": SCHEMA,
        "about": ABOUT,
        "revision": 1,
        "dataset": dict(dataset),
        "leaves": [share.entry() for share in shares],
        "containers": _sorted(containers),
    }
    return _sealed(body)


def bury(
    manifest: Mapping[str, Any],
    *,
    participant: str,
    at: datetime,
    containers: Iterable[BuiltFile],
) -> Manifest:
    """Make the next revision, with every leaf of the participant a tombstone.

    `participant` is the code in releases, `containers` the ones rebuilt without that person.
    The leaves' hashes and so the root stay.
    """
    stone = at.date().isoformat()
    leaves = [
        {"hash": leaf["hash"], "tombstone": stone}
        if leaf.get("participant") == participant
        else leaf
        for leaf in manifest["leaves"]
    ]
    body = {key: value for key, value in manifest.items() if key not in ("seal", "root")}
    body |= {
        "revision": manifest["revision"] + 1,
        "leaves": leaves,
        "containers": _sorted(containers),
    }
    return _sealed(body)


def _sorted(containers: Iterable[BuiltFile]) -> list[dict[str, Any]]:
    return [file.entry() for file in sorted(containers, key=lambda file: file.path)]


def _sealed(body: dict[str, Any]) -> Manifest:
    body["root"] = root_of(leaf["hash"] for leaf in body["leaves"])
    body["seal"] = seal_of(body)
    return Manifest(body)

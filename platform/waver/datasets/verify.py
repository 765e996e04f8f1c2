"""Check a Waver release: find every changed, missing or extra file.

Needs Python 3.10 or later and nothing else: this file is copied into every release.

    python3 verify.py            checks the folder that this file lies in
    python3 verify.py FOLDER     checks FOLDER

How a release is bound together (manifest.json, schema `waver.manifest/1`):

- A leaf is one participant's share of one logical object. Its hash is
  SHA-256("waver.manifest/1 leaf\\0" + canonical JSON of
  [salt, participant, object, [[path, bytes, sha256], ...]]).
- Two neighbours make a node: SHA-256("waver.manifest/1 node\\0" + left + right), with both hashes
  as 32 raw bytes; an odd one out goes up unchanged. The last one left is the root. The different
  prefixes keep a node from being passed off as a leaf.
- A tombstone keeps its leaf's hash and nothing else: the salt was destroyed, so nobody can tell
  from the hash what it stood for, and the root is still the same.
- Containers are files that mix participants (tables, this file). They stand beside the tree with
  their own hashes, because they are rebuilt whenever a participant withdraws.
- The seal is SHA-256("waver.manifest/1 seal\\0" + canonical JSON of the manifest without its
  seal). It covers containers too and changes with every revision; the root does not.
- Canonical JSON: sorted keys, no spaces, ASCII only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = "waver.manifest/1"
MANIFEST = "manifest.json"
_LEAF = f"{SCHEMA} leaf\0".encode()
_NODE = f"{SCHEMA} node\0".encode()
_SEAL = f"{SCHEMA} seal\0".encode()
_EMPTY = f"{SCHEMA} empty\0".encode()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its kind (manifest, changed, missing, extra), path and sentence."""

    kind: str
    path: str
    sentence: str


class _Unreadable(Exception):
    """The manifest does not have the form that it must have; the text says where."""


def canonical(value: Any) -> bytes:
    """Give the one way to write a JSON value: sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def leaf_hash(
    salt: str, participant: str, logical_object: str, files: Iterable[tuple[str, int, str]]
) -> str:
    """Give a leaf's hash (hex); `files` are (path, bytes, sha256), in any order."""
    body = [salt, participant, logical_object, sorted([path, n, sha] for path, n, sha in files)]
    return hashlib.sha256(_LEAF + canonical(body)).hexdigest()


def root_of(leaves: Iterable[str]) -> str:
    """Give the root (hex) over the leaves' hashes (hex), in order."""
    level = [bytes.fromhex(leaf) for leaf in leaves]
    if not level:
        return hashlib.sha256(_EMPTY).hexdigest()
    while len(level) > 1:
        above = [
            hashlib.sha256(_NODE + level[i] + level[i + 1]).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = above + level[len(above) * 2 :]
    return level[0].hex()


def seal_of(manifest: dict[str, Any]) -> str:
    """Give the seal (hex) over everything in the manifest but the seal itself."""
    body = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(_SEAL + canonical(body)).hexdigest()


def render(manifest: dict[str, Any]) -> bytes:
    """Write a manifest as it stands on disk. There is one way only, so that any byte counts."""
    return (json.dumps(manifest, sort_keys=True, ensure_ascii=True, indent=1) + "\n").encode()


def hash_file(path: Path) -> tuple[int, str]:
    """Read a file in pieces of 1 MiB; give its size in bytes and its SHA-256 (hex)."""
    total = hashlib.sha256()
    size = 0
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            total.update(chunk)
            size += len(chunk)
    return size, total.hexdigest()


def verify(folder: Path, *, root: str | None = None, seal: str | None = None) -> list[Problem]:
    """Check a release's folder; an empty list means that it is whole and unchanged.

    `root`, `seal`: what the publisher says they are, if you have it from elsewhere. Without them
    somebody who can rewrite every file *and* the manifest together would not be noticed. The root
    alone does not show that somebody else made a leaf a tombstone; the seal does.
    """
    try:
        manifest = _read(folder)
        problems = list(_check_tree(manifest, root=root, seal=seal))
        listed, more = _listed(folder, manifest)
    except _Unreadable as error:
        return [Problem("manifest", MANIFEST, str(error))]
    problems += more
    for path, (size, sha256) in sorted(listed.items()):
        try:
            problem = _check_file(folder, path, size, sha256)
        except OSError as error:
            sentence = f"“{path}” cannot be read ({error.strerror}), so it was not checked."
            problem = Problem("missing", path, sentence)
        if problem is not None:
            problems.append(problem)
    problems += [
        Problem("extra", path, f"“{path}” does not belong to the release: no list names it.")
        for path in sorted(_present(folder) - set(listed) - {MANIFEST})
    ]
    return problems


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise _Unreadable(f"There is no {MANIFEST} in {folder}: this is not a Waver release.")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"{MANIFEST} is damaged: it is not valid JSON ({error}).") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise _Unreadable(f"{MANIFEST} does not say that it follows {SCHEMA}.")
    if render(manifest) != raw:
        raise _Unreadable(f"{MANIFEST} was changed: it is not written as Waver writes it.")
    return manifest


def _check_tree(
    manifest: dict[str, Any], *, root: str | None, seal: str | None
) -> Iterator[Problem]:
    hashes = []
    for index, leaf in enumerate(_list_of(manifest, "leaves")):
        stored = _text(leaf, "hash", f"leaf {index}")
        hashes.append(stored)
        if "tombstone" in leaf:
            left = sorted(set(leaf) - {"hash", "tombstone"})
            if left:
                yield _bad(f"Leaf {index} is a tombstone and still has: {', '.join(left)}.")
            continue
        files = [_file(entry, f"leaf {index}") for entry in _list_of(leaf, "files")]
        salt = _text(leaf, "salt", f"leaf {index}")
        who = _text(leaf, "participant", f"leaf {index}")
        what = _text(leaf, "object", f"leaf {index}")
        if leaf_hash(salt, who, what, files) != stored:
            yield _bad(f"Leaf {index} ({who}, {what}) does not have the hash it claims.")
    try:
        computed = root_of(hashes)
    except ValueError as error:
        raise _Unreadable(f"A leaf's hash in {MANIFEST} is not a hexadecimal number.") from error
    if computed != manifest.get("root"):
        yield _bad("The leaves do not make the root that the manifest claims.")
    if seal_of(manifest) != manifest.get("seal"):
        yield _bad("The manifest was changed after it was sealed.")
    if root is not None and computed != root:
        yield _bad(f"The root is {computed}, but the publisher's is {root}: another release.")
    if seal is not None and manifest.get("seal") != seal:
        yield _bad("The seal is not the publisher's: the release was changed, or is another one.")


def _bad(sentence: str) -> Problem:
    return Problem("manifest", MANIFEST, sentence)


def _listed(
    folder: Path, manifest: dict[str, Any]
) -> tuple[dict[str, tuple[int, str]], list[Problem]]:
    """Every file that should be there: path -> (bytes, sha256), and double or unsafe entries."""
    listed: dict[str, tuple[int, str]] = {}
    problems: list[Problem] = []

    def add(path: str, size: int, sha256: str) -> None:
        parts = path.split("/")
        if not path or "\\" in path or path.startswith("/") or {"", ".", ".."} & set(parts):
            problems.append(_bad(f"The manifest lists “{path}”, which is not a path in here."))
        elif path in listed or path == MANIFEST:
            problems.append(_bad(f"The manifest lists “{path}” twice."))
        else:
            listed[path] = (size, sha256)

    for index, leaf in enumerate(_list_of(manifest, "leaves")):
        if "tombstone" in leaf:
            continue
        for entry in _list_of(leaf, "files"):
            path, size, sha256 = _file(entry, f"leaf {index}")
            add(path, size, sha256)
            if entry.get("lists"):
                for inner in _read_listing(folder / path, size, sha256):
                    add(*inner)
    for entry in _list_of(manifest, "containers"):
        add(*_file(entry, "a container"))
    return listed, problems


def _read_listing(path: Path, size: int, sha256: str) -> Iterator[tuple[str, int, str]]:
    """Read the lines `sha256  bytes  path` of a listing, if the listing itself is unchanged.

    A changed or missing listing is reported as a file; its lines then prove nothing.
    """
    if path.is_symlink() or not path.is_file() or hash_file(path) != (size, sha256):
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            parts = line.rstrip("\n").split("  ", 2)
            if len(parts) != 3 or not parts[1].isdigit():
                raise _Unreadable(f"“{path.name}” has a line that lists no file: {line!r}.")
            yield parts[2], int(parts[1]), parts[0]


def _check_file(folder: Path, path: str, size: int, sha256: str) -> Problem | None:
    file = folder / path
    if file.is_symlink():
        return Problem("changed", path, f"“{path}” was replaced by a link to another file.")
    if not file.is_file():
        return Problem("missing", path, f"“{path}” is missing.")
    found_size, found = hash_file(file)
    if found_size != size:
        return Problem(
            "changed", path, f"“{path}” was changed: it has {found_size} bytes instead of {size}."
        )
    if found != sha256:
        return Problem("changed", path, f"“{path}” was changed: its SHA-256 is not the one listed.")
    return None


def _present(folder: Path) -> set[str]:
    """Every file and link below the folder, with `/` between the parts.

    A folder that cannot be read counts as a file: nobody knows what is in it.
    """
    found = set()

    def unreadable(error: OSError) -> None:
        found.add(Path(str(error.filename)).relative_to(folder).as_posix())

    for base, folders, files in os.walk(folder, onerror=unreadable):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in files + links:
            found.add((Path(base) / name).relative_to(folder).as_posix())
    return found


def _list_of(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = holder.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _Unreadable(f"{MANIFEST} has no list “{key}” where there must be one.")
    return value


def _text(holder: dict[str, Any], key: str, where: str) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise _Unreadable(f"In {MANIFEST}, {where} has no text “{key}”.")
    return value


def _file(entry: dict[str, Any], where: str) -> tuple[str, int, str]:
    size = entry.get("bytes")
    if not isinstance(size, int):
        raise _Unreadable(f"In {MANIFEST}, a file of {where} has no number “bytes”.")
    return _text(entry, "path", where), size, _text(entry, "sha256", where)


def main(arguments: list[str]) -> int:
    """Check the folder named on the command line; 0 when all is well, 1 when not."""
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    problems = verify(folder)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot write every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    for problem in problems:
        sys.stdout.write(f"{problem.sentence}\n")
    if problems:
        sys.stdout.write(f"{len(problems)} problem(s). This is not the release as published.\n")
        return 1
    sys.stdout.write("Nothing is changed, missing or extra: the release is as it was published.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

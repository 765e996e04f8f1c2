"""Check a Waver release: find every changed, missing or extra file.

Needs Python 3.10 or later and nothing else: this file is copied into every release.

    python3 verify.py                   checks the folder that this file lies in
    python3 verify.py FOLDER            checks FOLDER
    python3 verify.py FOLDER --key HEX  also that the publisher with this public key signed it

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
- receipt.json says what the labels rest on. Its `receipt` (what the gate computed) and its
  `release` (waivers, soft labels, this release's root) are signed with the publisher's Ed25519 key
  (RFC 8032): over "waver.receipt/2" or "waver.release/1", a zero byte, and the canonical JSON. The
  public key stands beside the signature; whether it is the publisher's, only the publisher can
  say, so compare it with what they tell elsewhere.
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
EVIDENCE = "receipt.json"
ALGORITHM = "Ed25519"
RECEIPT = "waver.receipt/2"
STATEMENT = "waver.release/1"
_LEAF = f"{SCHEMA} leaf\0".encode()
_NODE = f"{SCHEMA} node\0".encode()
_SEAL = f"{SCHEMA} seal\0".encode()
_EMPTY = f"{SCHEMA} empty\0".encode()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, with its path and a sentence.

    Kinds: manifest, changed, missing, extra, receipt.
    """

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


def verify(
    folder: Path, *, root: str | None = None, seal: str | None = None, key: str | None = None
) -> list[Problem]:
    """Check a release's folder; an empty list means that it is whole and unchanged.

    `root`, `seal`: what the publisher says they are, if you have it from elsewhere. Without them
    somebody who can rewrite every file *and* the manifest together would not be noticed. The root
    alone does not show that somebody else made a leaf a tombstone; the seal does. `key`: the
    publisher's public key (64 hexadecimal digits); without it the receipt is checked against the
    key that stands beside it.
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
    problems += [
        Problem("receipt", EVIDENCE, sentence) for sentence in _receipt(folder, manifest, key)
    ]
    return problems


def signed_bytes(kind: str, statement: Any) -> bytes:
    """Give what is signed: the statement's kind, a zero byte, the statement as canonical JSON."""
    return kind.encode() + b"\0" + canonical(statement)


def is_signed(kind: str, statement: Any, signature: str, key: str) -> bool:
    """Tell whether the owner of a public key signed this statement; both are hexadecimal."""
    try:
        return _is_ed25519(bytes.fromhex(key), signed_bytes(kind, statement), signature)
    except ValueError:
        return False


def signing_key(folder: Path) -> str | None:
    """Give the public key that stands in a release's receipt; None where there is none."""
    try:
        key = json.loads((folder / EVIDENCE).read_bytes())["signature"]["public_key"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def _receipt(folder: Path, manifest: dict[str, Any], key: str | None) -> Iterator[str]:
    """What is wrong with the receipt: sentences. An emptied release needs none."""
    dataset = manifest.get("dataset")
    snapshot = dataset.get("snapshot") if isinstance(dataset, dict) else None
    if all("tombstone" in leaf for leaf in _list_of(manifest, "leaves")):
        return
    if snapshot is None and key is None:  # labels of no snapshot: nothing was judged
        return
    try:
        found = json.loads((folder / EVIDENCE).read_bytes())
        receipt, release = found["receipt"], found["release"]
        signatures = found["signature"], found["release_signature"]
        parts = [
            (str(one["algorithm"]), str(one["public_key"]), str(one["value"])) for one in signatures
        ]
        about = (receipt["snapshot"]["sha256"], release["root"], release["receipt_sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        yield f"{EVIDENCE} is missing or is no signed receipt, so nothing shows what the gate said."
        return
    for (algorithm, own, value), kind, statement, what in (
        (parts[0], RECEIPT, receipt, "What the gate computed"),
        (parts[1], STATEMENT, release, "What was released, and on whose responsibility,"),
    ):
        if algorithm != ALGORITHM or not is_signed(kind, statement, value, own):
            yield f"{what} was changed after it was signed: the signature in {EVIDENCE} is wrong."
        elif key is not None and own.lower() != key.strip().lower():
            yield f"{what} was signed with the key {own}, which is not the publisher's."
    digest = hashlib.sha256(canonical(receipt)).hexdigest()
    if about != (snapshot, manifest.get("root"), digest):
        yield f"{EVIDENCE} belongs to another release."


# Ed25519, checking only: RFC 8032, section 5.1.7. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z,
# xy = T/Z. Nothing here is secret, so that it need not take the same time for every input.
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Point = tuple[int, int, int, int]


def _added(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _added(total, point)
        point = _added(point, point)
        factor >>= 1
    return total


def _point(raw: bytes) -> _Point:
    """Read a point. Raises ValueError for 32 bytes that are none."""
    if len(raw) != 32:
        raise ValueError("A point has 32 bytes.")
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        raise ValueError("This is no point.")
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        raise ValueError("This is no point.")
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def _is_ed25519(key: bytes, message: bytes, signature: str) -> bool:
    """Check a signature (hexadecimal). Raises ValueError where something is no point or number."""
    raw = bytes.fromhex(signature)
    if len(raw) != 64:
        return False
    public, first = _point(key), _point(raw[:32])
    scalar = int.from_bytes(raw[32:], "little")
    if scalar >= _ORDER:
        return False
    digest = hashlib.sha512(raw[:32] + key + message).digest()
    left = _times(scalar, _BASE)
    right = _added(first, _times(int.from_bytes(digest, "little") % _ORDER, public))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % _P == 0


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
    key = None
    if "--key" in arguments:
        place = arguments.index("--key")
        key = (arguments[place + 1 : place + 2] or [""])[0]
        arguments = arguments[:place] + arguments[place + 2 :]
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    problems = verify(folder, key=key)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot write every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    for problem in problems:
        sys.stdout.write(f"{problem.sentence}\n")
    if problems:
        sys.stdout.write(f"{len(problems)} problem(s). This is not the release as published.\n")
        return 1
    sys.stdout.write("Nothing is changed, missing or extra: the release is as it was published.\n")
    own = signing_key(folder)
    if key is not None:
        sys.stdout.write("The receipt was signed by the publisher with this key.\n")
    elif own:
        sys.stdout.write(f"The receipt's signature is right. It was made with the key\n{own}\n")
        sys.stdout.write("Compare it with the publisher's, or give that one with --key.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Receipts: what the gate saw and computed, signed so that nobody can improve it afterwards.

Signatures are Ed25519 (RFC 8032): whoever has the public key can check them, and only this
installation can make them. `verify`, which travels with every release, checks them without any
library; this module makes them. What is signed is a name for the kind of statement, a zero byte,
and the statement as canonical JSON.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from waver.datasets.verify import ALGORITHM, RECEIPT, is_signed, signed_bytes

_LIBRARIES = ("numpy", "scipy", "krippendorff", "cryptography")
_SEED_BYTES = 32


def sign(statement: dict[str, Any], *, kind: str = RECEIPT) -> str:
    """Sign a statement with this installation's key; gives 128 hexadecimal digits."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(_seed())
    return key.sign(signed_bytes(kind, statement)).hex()


def public_key() -> str:
    """Give the public key (64 hexadecimal digits) that this installation's signatures fit."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_seed()).public_key().public_bytes_raw().hex()


def known_keys() -> list[str]:
    """Give the public keys that this installation signs or signed with, the present one first."""
    return [public_key(), *settings.RELEASE_EARLIER_KEYS]


def key_of(receipt: dict[str, Any], signature: str) -> str | None:
    """Give the public key of ours that the receipt's signature fits; None for no such key."""
    for key in known_keys():
        if is_signed(RECEIPT, receipt, signature, key):
            return key
    return None


def is_genuine(receipt: dict[str, Any], signature: str) -> bool:
    """Tell whether this receipt is the one that was signed here."""
    return key_of(receipt, signature) is not None


def signature_entry(value: str, key: str) -> dict[str, str]:
    """Give the form in which a signature stands in a release."""
    return {"algorithm": ALGORITHM, "public_key": key, "value": value}


@cache
def versions() -> dict[str, str]:
    """Give the versions that a result depends on, and a digest of the code that computed it."""
    found = {name: metadata.version(name) for name in _LIBRARIES}
    return {
        "waver": metadata.version("waver"),
        "code_sha256": _code_digest(),
        "python": platform.python_version(),
        **found,
    }


def _seed() -> bytes:
    """The private key's 32 bytes. Raises ImproperlyConfigured when the setting holds no key."""
    try:
        seed = bytes.fromhex(str(settings.RELEASE_SIGNING_KEY))
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise ImproperlyConfigured(
            "RELEASE_SIGNING_KEY must be 64 hexadecimal digits, an Ed25519 private key. "
            "`openssl rand -hex 32` makes one; docs/administrator.md says where it goes."
        )
    return seed


def _code_digest() -> str:
    """Hash the sources that turn annotations into a verdict."""
    total = hashlib.sha256()
    for name, path in sorted(_sources()):
        total.update(f"{name}\0".encode() + path.read_bytes())
    return total.hexdigest()


def _sources() -> Iterator[tuple[str, Path]]:
    import annotation.agreement

    for home in (Path(annotation.agreement.__file__).parent, Path(__file__).parent):
        for path in home.rglob("*"):
            if path.suffix in (".py", ".json") and "migrations" not in path.parts:
                yield f"{home.name}/{path.relative_to(home).as_posix()}", path

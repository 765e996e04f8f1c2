"""Receipts: what the gate saw and computed, signed so that nobody can improve it afterwards."""

from __future__ import annotations

import hashlib
import hmac
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings

from waver.datasets.verify import canonical

ALGORITHM = "HMAC-SHA256"
_LIBRARIES = ("numpy", "scipy", "krippendorff")


def sign(receipt: dict[str, Any]) -> str:
    """Sign a receipt with the key that the settings name; gives 64 hexadecimal digits."""
    key = str(settings.RELEASE_SIGNING_KEY).encode()
    return hmac.new(key, b"waver.receipt/1\0" + canonical(receipt), hashlib.sha256).hexdigest()


def is_genuine(receipt: dict[str, Any], signature: str) -> bool:
    """Tell whether this receipt is the one that was signed here."""
    return hmac.compare_digest(sign(receipt), signature)


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


def _code_digest() -> str:
    """Hash the sources that turn annotations into a verdict."""
    import annotation.agreement

    here = Path(__file__).parent
    sources = [*Path(annotation.agreement.__file__).parent.glob("*.py"), *here.glob("*.py")]
    total = hashlib.sha256()
    for path in sorted(sources, key=lambda source: (source.parent.name, source.name)):
        total.update(f"{path.parent.name}/{path.name}\0".encode() + path.read_bytes())
    return total.hexdigest()

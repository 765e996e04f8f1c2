"""Serving an asset's bytes by range, with consent asked for every single request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from waver.consent import policy
from waver.core import storage
from waver.recordings.models import Asset
from waver.recordings.subjects import subject_of

# No file needs more digits, and Python refuses to read numbers of thousands of them.
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


@dataclass(frozen=True)
class Served:
    """An HTTP answer: status 200, 206 or 416, headers, and the bytes in chunks."""

    status: int
    headers: dict[str, str]
    body: Iterator[bytes]


class _NotSatisfiable(Exception):
    """The range lies outside the asset."""


def serve(asset: Asset, range_header: str | None, *, actor: str, purpose: str) -> Served:
    """Answer a request for an asset's bytes (RFC 9110, section 14).

    One range gives 206, a range behind the end 416, no range or one that is not understood (other
    units, several ranges) the whole. Raises ConsentRefused, and Missing for erased bytes.
    """
    policy.require(purpose, subject_of(asset.recording, asset), actor=actor)
    size = asset.blob.size
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Type": asset.media_type,
        "X-Content-Type-Options": "nosniff",
    }
    try:
        wanted = parse_range(range_header, size=size)
    except _NotSatisfiable:
        headers |= {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
        return Served(416, headers, iter(()))
    if wanted is None:
        body = storage.open_range(asset.blob)
        return Served(200, headers | {"Content-Length": str(size)}, body)
    length = wanted.stop - wanted.start
    headers |= {
        "Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{size}",
        "Content-Length": str(length),
    }
    return Served(206, headers, storage.open_range(asset.blob, start=wanted.start, length=length))


def parse_range(header: str | None, *, size: int) -> range | None:
    """Give the bytes that a Range header asks for, or None for all of them.

    Raises _NotSatisfiable when none of them exists.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        wanted = range(max(0, size - int(suffix)), size)
    else:
        stop = min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None  # not a range at all, so it is ignored
        wanted = range(int(first), stop)
    if not wanted:
        raise _NotSatisfiable
    return wanted

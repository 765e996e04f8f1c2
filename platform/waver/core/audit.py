"""The audit chain: append-only, each entry holding the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from waver.core.models import AuditEntry

FIRST = "0" * 64
_CHAIN_LOCK = 0x57415645  # "WAVE": one writer at a time, or two entries would name one parent


def record(
    *,
    actor: str,
    verb: str,
    object_kind: str,
    object_id: object,
    detail: dict[str, Any] | None = None,
) -> AuditEntry:
    """Write one entry in the current transaction.

    `actor` is a user name or the name of a part of Waver; `detail` holds no personal data.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
        previous = AuditEntry.objects.order_by("-seq").values_list("hash", flat=True).first()
        entry = AuditEntry(
            at=timezone.now(),
            actor=actor,
            verb=verb,
            object_kind=object_kind,
            object_id=str(object_id),
            detail=detail or {},
            previous_hash=previous or FIRST,
        )
        entry.hash = _hash(entry)
        entry.save(force_insert=True)
    return entry


def first_broken() -> AuditEntry | None:
    """Walk the chain and give the first entry that was changed or lost its parent, or None."""
    expected = FIRST
    for entry in AuditEntry.objects.order_by("seq").iterator():
        if entry.previous_hash != expected or entry.hash != _hash(entry):
            return entry
        expected = entry.hash
    return None


def _hash(entry: AuditEntry) -> str:
    at: datetime = entry.at
    body = json.dumps(
        [
            at.isoformat(),
            entry.actor,
            entry.verb,
            entry.object_kind,
            entry.object_id,
            entry.detail,
            entry.previous_hash,
        ],
        sort_keys=True,
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(body.encode()).hexdigest()

"""Keys: UUID version 7, so that rows made later sort later."""

from __future__ import annotations

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """Give a new UUIDv7."""
    return uuid_utils.compat.uuid7()

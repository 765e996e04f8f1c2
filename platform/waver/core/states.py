"""State changes: one guarded UPDATE each. No row changed means that somebody else was faster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models

from waver.core.errors import Conflict


def move(row: models.Model, *, to: str, allowed_from: Iterable[str], **fields: Any) -> None:
    """Move `row.state` to `to` if the database still holds one of `allowed_from`.

    `fields` are written in the same UPDATE. The row in memory is brought up to date.
    Raises Conflict when the row is in another state, or gone.
    """
    allowed = list(allowed_from)
    manager = type(row)._default_manager
    changed = manager.filter(pk=row.pk, state__in=allowed).update(state=to, **fields)
    if changed != 1:
        now = manager.filter(pk=row.pk).values_list("state", flat=True).first()
        raise Conflict(
            f"{row._meta.verbose_name} {row.pk} could not become “{to}”: it is "
            f"“{now or 'gone'}”, not “{'” or “'.join(allowed)}”. Reload and look again."
        )
    for name, value in {"state": to, **fields}.items():
        setattr(row, name, value)

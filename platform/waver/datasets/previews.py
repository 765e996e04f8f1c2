"""Masked previews for a release: which there are, and having the missing ones made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from waver.core.errors import Conflict
from waver.recordings.masked import Masked, ask_for_masked_preview, masked_previews
from waver.recordings.models import Recording

_NOT_YET = ("none", "asked", "outdated")


def require(recordings: Sequence[Recording], *, actor: str) -> Mapping[UUID, Masked]:
    """Give every recording's masked preview, made, failed or not good enough.

    Raises Conflict when some are not made yet, after asking for them.
    """
    found = masked_previews(recordings)
    missing = [one for one in recordings if found[one.pk].state in _NOT_YET]
    for recording in missing:
        ask_for_masked_preview(recording, actor=actor)
    if missing:
        raise Conflict(
            f"{len(missing)} of the {len(recordings)} recordings have no masked preview yet. They "
            "are being made now: ask for the release again when the queue is empty, or ask for it "
            "without masked previews."
        )
    return found

"""The chain of a participant's consent events, and the state that follows from it.

The events are the truth. `ConsentState` is what folding them gives, kept in a table so that one
look-up answers a question; `rebuild_state` makes it again from the events at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from waver.consent.models import (
    ConsentEvent,
    ConsentRecord,
    ConsentState,
    Participant,
    Purpose,
)

FIRST = "0" * 64
_Type = ConsentEvent.Type
_ENDS_ONE = (_Type.REFUSED, _Type.WITHDRAWN_PURPOSE)
_ENDS_ALL = (_Type.WITHDRAWN_ALL, _Type.ERASED)


@dataclass(frozen=True)
class Standing:
    """Where a purpose stands: since when it is allowed, and until when it was (None: still is)."""

    given_at: datetime
    ended_at: datetime | None = None

    @property
    def allowed(self) -> bool:
        """Tell whether it is allowed now."""
        return self.ended_at is None


def fold(events: Iterable[ConsentEvent]) -> dict[Purpose, Standing]:
    """Give the standing of every purpose that was ever allowed, from events in their order.

    Consent that is given again while it holds keeps its first moment. Consent that is given again
    after it ended covers only what is recorded from the new moment on. A refusal or withdrawal
    without a purpose ends every purpose.
    """
    standings: dict[Purpose, Standing] = {}
    for event in events:
        if event.type == _Type.GIVEN:
            purpose = Purpose(event.purpose)
            if purpose not in standings or not standings[purpose].allowed:
                standings[purpose] = Standing(given_at=event.effective_at)
            continue
        if event.type in _ENDS_ONE and event.purpose:
            ended: list[Purpose] = [Purpose(event.purpose)]
        elif event.type in _ENDS_ONE or event.type in _ENDS_ALL:
            ended = list(standings)
        else:
            raise ValueError(f"“{event.type}” is no type of consent event.")
        for purpose in ended:
            standing = standings.get(purpose)
            if standing is not None and standing.allowed:
                standings[purpose] = Standing(standing.given_at, ended_at=event.effective_at)
    return standings


def append(
    *,
    participant: Participant,
    type: str,  # noqa: A002 - the name of the field
    effective_at: datetime,
    actor: str,
    record: ConsentRecord | None = None,
    purpose: str = "",
) -> ConsentEvent:
    """Add one event to the participant's chain. The caller holds the participant's row locked."""
    return append_all(
        [(type, purpose)],
        participant=participant,
        effective_at=effective_at,
        actor=actor,
        record=record,
    )[0]


def append_all(
    what: Iterable[tuple[str, str]],
    *,
    participant: Participant,
    effective_at: datetime,
    actor: str,
    record: ConsentRecord | None = None,
) -> list[ConsentEvent]:
    """Add an event to the participant's chain for each (type, purpose), in their order.

    The caller holds the participant's row locked.
    """
    last = participant.consent_events.order_by("-sequence").first()
    added: list[ConsentEvent] = []
    for kind, purpose in what:
        event = ConsentEvent(
            participant=participant,
            type=kind,
            record=record,
            purpose=purpose,
            effective_at=effective_at,
            actor=actor,
            sequence=last.sequence + 1 if last else 1,
            previous_hash=last.hash if last else FIRST,
        )
        event.hash = hash_of(event)
        added.append(event)
        last = event
    return ConsentEvent.objects.bulk_create(added)


def hash_of(event: ConsentEvent) -> str:
    """Give the SHA-256 (hex) over everything an event says and the hash of the one before."""
    body = json.dumps(
        [
            str(event.participant_id),
            event.sequence,
            str(event.type),
            str(event.record_id or ""),
            str(event.purpose),
            event.effective_at.isoformat(),
            event.actor,
            event.previous_hash,
        ],
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(body.encode()).hexdigest()


def first_broken(participant: Participant) -> ConsentEvent | None:
    """Walk the participant's chain and give the first event that does not fit, or None."""
    expected, sequence = FIRST, 1
    for event in participant.consent_events.order_by("sequence"):
        fits = event.previous_hash == expected and event.sequence == sequence
        if not fits or event.hash != hash_of(event):
            return event
        expected, sequence = event.hash, sequence + 1
    return None


@transaction.atomic
def rebuild_state(participant: Participant) -> dict[Purpose, Standing]:
    """Make the participant's ConsentState rows again from the events, and give the standings."""
    Participant.objects.select_for_update().get(pk=participant.pk)
    standings = fold(participant.consent_events.order_by("sequence"))
    participant.consent_states.exclude(purpose__in=standings).delete()
    ConsentState.objects.bulk_create(
        [
            ConsentState(
                participant=participant,
                purpose=purpose,
                allowed=standing.allowed,
                given_at=standing.given_at,
                ended_at=standing.ended_at,
            )
            for purpose, standing in standings.items()
        ],
        update_conflicts=True,
        unique_fields=["participant", "purpose"],
        update_fields=["allowed", "given_at", "ended_at"],
    )
    return standings

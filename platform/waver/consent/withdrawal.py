"""Taking consent back: for a purpose, altogether, with everything erased, or for a stretch."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from waver.consent.events import append, fold, rebuild_state
from waver.consent.models import ConsentEvent, Participant, Purpose, Restriction
from waver.core import audit, holders, states
from waver.core.clock import Span, format_us
from waver.core.errors import BadInput, Conflict


def withdraw(
    *,
    participant: Participant,
    actor: str,
    purpose: str | None = None,
    at: datetime | None = None,
) -> ConsentEvent:
    """Withdraw a participant's consent, for one purpose or (None) altogether. No reason is asked.

    The state changes at once, in one transaction; then every holder stops what is no longer
    covered. `at` may lie before now (a letter that came yesterday), but not before the newest
    event. Raises Conflict when there is nothing left to withdraw, BadInput for an unknown purpose
    or a time in the future.
    """
    if purpose is not None and purpose not in Purpose.values:
        raise BadInput(
            f"“{purpose}” is no purpose. Use one of: {', '.join(Purpose.values)}; or none, to "
            "withdraw altogether."
        )
    now = timezone.now()
    if at is not None and at > now:
        raise BadInput("A withdrawal takes effect at once. Give a time that has passed, or none.")
    event = _write_withdrawal(participant, actor=actor, purpose=purpose, at=at or now)
    participant.refresh_from_db()
    quarantine(participant)
    return event


def quarantine(participant: Participant) -> None:
    """Have every holder stop what the participant's consent no longer covers."""
    for holder in holders.all_holders():
        holder.quarantine(participant.pk)


@transaction.atomic
def _write_withdrawal(
    participant: Participant, *, actor: str, purpose: str | None, at: datetime
) -> ConsentEvent:
    locked = Participant.objects.select_for_update().get(pk=participant.pk)
    events = list(locked.consent_events.order_by("sequence"))
    if locked.state != Participant.State.ACTIVE:
        raise Conflict(f"{locked.code} has withdrawn already. Nothing more is to be done.")
    if purpose is not None:
        standing = fold(events).get(Purpose(purpose))
        if standing is None or not standing.allowed:
            raise Conflict(
                f"{locked.code} does not consent to “{Purpose(purpose).label}” in the first place. "
                "Nothing is to be withdrawn."
            )
    everything = purpose is None
    event = append(
        participant=locked,
        type=(
            ConsentEvent.Type.WITHDRAWN_ALL if everything else ConsentEvent.Type.WITHDRAWN_PURPOSE
        ),
        purpose=purpose or "",
        effective_at=max([at, *(earlier.effective_at for earlier in events)]),
        actor=actor,
    )
    if everything:
        states.move(locked, to=Participant.State.WITHDRAWN, allowed_from=[Participant.State.ACTIVE])
    rebuild_state(locked)
    audit.record(
        actor=actor,
        verb="consent.withdrawn",
        object_kind="participant",
        object_id=locked.pk,
        detail={"purpose": purpose or "all", "event": event.hash},
    )
    return event


def erase(*, participant: Participant, actor: str) -> list[holders.Held]:
    """Remove everything that is held about a participant, and look again whether it is gone.

    Withdraws first where that has not happened. Gives what is still there: empty when the erasure
    is complete; calling it again finishes the rest. The consent evidence stays, without the code
    under which the study knew the participant.
    """
    participant.refresh_from_db()
    if participant.state == Participant.State.ACTIVE:
        withdraw(participant=participant, actor=actor)
    for holder in holders.all_holders():
        holder.erase(participant.pk)
    left: list[holders.Held] = []
    for holder in holders.all_holders():
        left += holder.verify_absent(participant.pk)
    audit.record(
        actor=actor,
        verb="participant.erased",
        object_kind="participant",
        object_id=participant.pk,
        detail={"left": len(left)},
    )
    participant.refresh_from_db()
    return left


def restrict(
    *, participant: Participant, recording_id: UUID, span: Span, reason: str, actor: str
) -> Restriction:
    """Forbid every use of a stretch of a recording, from now on.

    Raises BadInput without a reason, Conflict when part of the stretch is restricted already.
    """
    if not reason.strip():
        raise BadInput("A restriction needs a reason that others will understand. Write one.")
    try:
        with transaction.atomic():
            restriction = Restriction.objects.create(
                participant=participant,
                recording_id=recording_id,
                start_us=span.start_us,
                end_us=span.end_us,
                reason=reason,
                made_by=actor,
            )
            audit.record(
                actor=actor,
                verb="consent.restricted",
                object_kind="recording",
                object_id=recording_id,
                detail={"span_us": [span.start_us, span.end_us]},
            )
    except IntegrityError as error:
        raise Conflict(
            f"Part of the stretch {format_us(span.start_us)} to {format_us(span.end_us)} is "
            "restricted already. Restrict only what lies before or after it."
        ) from error
    return restriction

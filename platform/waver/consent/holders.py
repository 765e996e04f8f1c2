"""What consent itself holds about a participant, and what stays of it after an erasure.

The evidence (documents, records, answers, events) stays: it shows that the recordings were made
with consent and when that ended. After an erasure nothing in it leads back to the person: the code
under which the study's own lists know them is replaced.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from waver.consent import events
from waver.consent.models import ConsentEvent, ConsentState, Participant, Restriction
from waver.core.holders import Held, HeldList

_ERASED = "erased-"


class ConsentHolder:
    """Holds participants, their evidence, the derived state and restrictions."""

    name = "consent"
    models: tuple[str, ...] = (
        "consent.Participant",
        "consent.ConsentRecord",
        "consent.ConsentAnswer",
        "consent.ConsentEvent",
        "consent.ConsentState",
        "consent.Restriction",
    )

    def list(self, participant_id: UUID) -> HeldList:
        """List the participant's row, evidence, state and restrictions."""
        participant = Participant.objects.filter(pk=participant_id).first()
        if participant is None:
            return []
        kept = [Held("participant", str(participant.pk), "PostgreSQL")]
        kept += [
            Held("consent record", str(pk), "PostgreSQL (evidence)")
            for pk in participant.consent_records.values_list("pk", flat=True)
        ]
        kept += [
            Held("consent event", str(pk), "PostgreSQL (evidence)")
            for pk in participant.consent_events.values_list("pk", flat=True)
        ]
        return kept + _derived(participant_id)

    def quarantine(self, participant_id: UUID) -> None:
        """Do nothing: the state, which every use asks, was changed by the withdrawal itself."""

    def erase(self, participant_id: UUID) -> None:
        """Remove what is derived and the study's code; the evidence stays, without the person."""
        with transaction.atomic():
            participant = Participant.objects.select_for_update().filter(pk=participant_id).first()
            if participant is None or participant.state == Participant.State.ERASED:
                return
            last = participant.consent_events.order_by("-sequence").first()
            now = timezone.now()
            events.append(
                participant=participant,
                type=ConsentEvent.Type.ERASED,
                effective_at=max(now, last.effective_at) if last else now,
                actor="erasure",
            )
            participant.state = Participant.State.ERASED
            participant.code = f"{_ERASED}{participant.pk.hex[-16:]}"
            participant.save(update_fields=["state", "code"])
            ConsentState.objects.filter(participant=participant).delete()
            Restriction.objects.filter(participant=participant).delete()

    def verify_absent(self, participant_id: UUID) -> HeldList:
        """List the row while it carries the study's code, and what is derived."""
        still = Participant.objects.filter(pk=participant_id).exclude(
            state=Participant.State.ERASED, code__startswith=_ERASED
        )
        left = [Held("participant", str(row.pk), "PostgreSQL") for row in still]
        return left + _derived(participant_id)


def _derived(participant_id: UUID) -> list[Held]:
    found = []
    for model, kind in ((ConsentState, "consent state"), (Restriction, "restriction")):
        keys = model._default_manager.filter(participant_id=participant_id)
        found += [Held(kind, str(pk), "PostgreSQL") for pk in keys.values_list("pk", flat=True)]
    return found

"""The demonstration's study: prompts, design, consent forms, participants with their answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from waver.consent.forms import publish_default
from waver.consent.models import ConsentDocument, Participant, Purpose
from waver.consent.services import record_consent, register_participant
from waver.studies.models import Study

ACTOR = "demonstration"
CONSENT_FROM = datetime(2026, 2, 1, 8, 0, tzinfo=UTC)
# The third participant does not agree to sharing, so the release must leave that person out.
DOES_NOT_SHARE = 3


def make_participants(study: Study, codes: list[str], *, is_synthetic: bool) -> int:
    """Register the missing participants and record their consent; give how many were new."""
    document = ConsentDocument.objects.filter(study=study).first() or publish_default(
        study=study, approved_by="demonstration, no ethics board", effective_from=CONSENT_FROM
    )
    known = set(study.participants.values_list("code", flat=True))
    new = [code for code in codes if code not in known]
    for number, code in enumerate(codes, start=1):
        if code in new:
            participant = register_participant(
                study=study, code=code, actor=ACTOR, is_synthetic=is_synthetic
            )
            _agree(participant, document, shares=number != DOES_NOT_SHARE or len(codes) < 10)
    return len(new)


def _agree(participant: Participant, document: ConsentDocument, *, shares: bool) -> None:
    """Answer every item with yes, except sharing for the participant who does not."""
    sharing = {Purpose.RESEARCH, Purpose.CHALLENGE, Purpose.PUBLICATION}
    answers = {item.code: shares or item.purpose not in sharing for item in document.items.all()}
    presented = CONSENT_FROM + timedelta(days=7)
    record_consent(
        participant=participant,
        document=document,
        answers=answers,
        presented_at=presented,
        given_at=presented + timedelta(minutes=10),
        entered_by=ACTOR,
        channel="paper",
    )

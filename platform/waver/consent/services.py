"""What can be done with consent: register, publish, record, withdraw, restrict."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from waver.consent.events import append_all, fold, rebuild_state
from waver.consent.models import (
    ConsentAnswer,
    ConsentDocument,
    ConsentEvent,
    ConsentItem,
    ConsentRecord,
    Participant,
    Purpose,
)
from waver.consent.withdrawal import erase, quarantine, restrict, withdraw
from waver.core import audit
from waver.core.errors import BadInput, Conflict
from waver.studies.models import Study

__all__ = [
    "ItemText",
    "document_hash",
    "erase",
    "publish_document",
    "rebuild_state",
    "record_consent",
    "register_participant",
    "restrict",
    "withdraw",
]

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class ItemText:
    """One thing that a document asks. `required`: without a yes, the person does not take part."""

    code: str
    text: str
    purpose: str
    required: bool = False


def register_participant(
    *, study: Study, code: str, actor: str, is_synthetic: bool = False
) -> Participant:
    """Register a participant by a pseudonymous code. No consent is implied.

    Raises BadInput for a code with other signs than letters, digits, dot, dash and underscore (a
    name or an e-mail address is no pseudonym), Conflict when the study has that code already.
    """
    if not _CODE.fullmatch(code):
        raise BadInput(
            f"“{code}” cannot be a participant's code. Use 1 to 40 letters, digits, dots, dashes "
            "or underscores, such as P012; never a name or an e-mail address."
        )
    try:
        with transaction.atomic():
            participant = Participant.objects.create(
                study=study, code=code, is_synthetic=is_synthetic
            )
    except IntegrityError as error:
        raise Conflict(
            f"The study “{study.title}” already has a participant {code}. Choose another code, or "
            "work with the participant who has it."
        ) from error
    audit.record(
        actor=actor,
        verb="participant.registered",
        object_kind="participant",
        object_id=participant.pk,
    )
    return participant


@transaction.atomic
def publish_document(
    *,
    study: Study,
    language: str,
    title: str,
    body: str,
    items: Sequence[ItemText],
    approved_by: str,
    effective_from: datetime | None = None,
) -> ConsentDocument:
    """Publish the next version of the study's consent document in one language.

    It can be answered from `effective_from` on (now, when None) and never changes afterwards.
    Raises BadInput for an empty text, an unknown purpose, a code used twice, no items, or no item
    that asks for storing the recording.
    """
    _check_document(title=title, body=body, items=items, approved_by=approved_by)
    Study.objects.select_for_update().get(pk=study.pk)
    previous = (
        ConsentDocument.objects.filter(study=study, language=language).order_by("-version").first()
    )
    document = ConsentDocument.objects.create(
        study=study,
        version=previous.version + 1 if previous else 1,
        language=language,
        title=title,
        body=body,
        approved_by=approved_by,
        effective_from=effective_from or timezone.now(),
        supersedes=previous,
        sha256=document_hash(title=title, body=body, items=items),
    )
    for order, item in enumerate(items, start=1):
        ConsentItem.objects.create(
            document=document,
            order=order,
            code=item.code,
            text=item.text,
            purpose=item.purpose,
            required=item.required,
        )
    audit.record(
        actor=approved_by,
        verb="consent.document_published",
        object_kind="consent_document",
        object_id=document.pk,
        detail={"version": document.version, "language": language, "sha256": document.sha256},
    )
    return document


def document_hash(*, title: str, body: str, items: Sequence[ItemText]) -> str:
    """Give the SHA-256 (hex) over a document's title, text and items, by which it is known."""
    content = json.dumps(
        [title, body, [asdict(item) for item in items]], ensure_ascii=True, sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()


def _check_document(*, title: str, body: str, items: Sequence[ItemText], approved_by: str) -> None:
    for name, value in (("title", title), ("text", body), ("approver", approved_by)):
        if not value.strip():
            raise BadInput(f"A consent document needs a {name}. Fill it in.")
    codes = [item.code for item in items]
    for item in items:
        if not item.text.strip():
            raise BadInput(f"The item “{item.code}” has no text. Say what it asks.")
        if item.purpose not in Purpose.values:
            raise BadInput(
                f"The item “{item.code}” asks for the unknown purpose “{item.purpose}”. "
                f"Use one of: {', '.join(Purpose.values)}."
            )
        if codes.count(item.code) > 1:
            raise BadInput(f"The item code “{item.code}” is used twice. Give each its own.")
    if Purpose.PROCESS not in {item.purpose for item in items}:
        raise BadInput(
            "No item asks whether the recording may be stored and prepared (purpose “process”). "
            "Add one: without it nothing can be done with a recording."
        )


@transaction.atomic
def record_consent(
    *,
    participant: Participant,
    document: ConsentDocument,
    answers: Mapping[str, bool],
    presented_at: datetime,
    given_at: datetime,
    entered_by: str,
    channel: str,
) -> ConsentRecord:
    """Record a participant's answers to every item of a document, and what follows from them.

    `answers` maps each item's code to yes or no; a missing answer is an error, never a default.
    A purpose is given when all its items are a yes. A no to a required item refuses everything.
    Raises BadInput for missing, unknown or half answers, for times in the wrong order or in the
    future, for another study's document or one not yet in force; Conflict for a participant who
    has withdrawn, or a form older than what is already recorded.
    """
    locked = Participant.objects.select_for_update().get(pk=participant.pk)
    items = list(document.items.all())
    _check_answers(items, answers)
    _check_form(locked, document, presented_at=presented_at, given_at=given_at)
    if channel not in ConsentRecord.Channel.values:
        raise BadInput(
            f"“{channel}” is no way of giving consent. "
            f"Use one of: {', '.join(ConsentRecord.Channel.values)}."
        )
    record = ConsentRecord.objects.create(
        participant=locked,
        document=document,
        channel=channel,
        presented_at=presented_at,
        given_at=given_at,
        entered_by=entered_by,
        sha256=_record_hash(document, answers, presented_at=presented_at, given_at=given_at),
    )
    ConsentAnswer.objects.bulk_create(
        ConsentAnswer(record=record, item=item, value=answers[item.code]) for item in items
    )
    before = fold(locked.consent_events.order_by("sequence"))
    _append_what_follows(record, items, answers, actor=entered_by)
    after = rebuild_state(locked)
    if any(standing.allowed and not after[purpose].allowed for purpose, standing in before.items()):
        # A later no is a withdrawal too. After the commit, because holders lock rows of their own.
        transaction.on_commit(functools.partial(quarantine, locked))
    audit.record(
        actor=entered_by,
        verb="consent.recorded",
        object_kind="participant",
        object_id=locked.pk,
        detail={"record": str(record.pk), "sha256": record.sha256},
    )
    return record


def _append_what_follows(
    record: ConsentRecord,
    items: Sequence[ConsentItem],
    answers: Mapping[str, bool],
    *,
    actor: str,
) -> None:
    """Add the events: one refusal of everything, or one event per purpose asked."""
    if any(item.required and not answers[item.code] for item in items):
        what = [(ConsentEvent.Type.REFUSED, "")]
    else:
        what = []
        for purpose in Purpose:
            asked = [item for item in items if item.purpose == purpose]
            if asked:
                yes = all(answers[item.code] for item in asked)
                kind = ConsentEvent.Type.GIVEN if yes else ConsentEvent.Type.REFUSED
                what.append((kind, purpose))
    append_all(
        what,
        participant=record.participant,
        record=record,
        effective_at=record.given_at,
        actor=actor,
    )


def _check_answers(items: Sequence[ConsentItem], answers: Mapping[str, bool]) -> None:
    missing = [item.code for item in items if item.code not in answers]
    if missing:
        raise BadInput(
            f"No answer was given to: {', '.join(missing)}. Every item needs a yes or a no; "
            "nothing is ticked beforehand."
        )
    unknown = sorted(set(answers) - {item.code for item in items})
    if unknown:
        raise BadInput(
            f"The document does not ask: {', '.join(unknown)}. Check that the answers belong to "
            "this version of the document."
        )
    for code, value in answers.items():
        if not isinstance(value, bool):
            raise BadInput(f"The answer to “{code}” is “{value}”. Every answer is a yes or a no.")


def _check_form(
    participant: Participant,
    document: ConsentDocument,
    *,
    presented_at: datetime,
    given_at: datetime,
) -> None:
    if document.study_id != participant.study_id:
        raise BadInput(
            f"The document “{document}” belongs to another study than {participant.code}. "
            "Choose a document of the participant's own study."
        )
    if participant.state != Participant.State.ACTIVE:
        raise Conflict(
            f"{participant.code} has withdrawn from the study. Somebody who wants to take part "
            "again is registered under a new code."
        )
    if given_at < presented_at:
        raise BadInput(
            f"The form of {participant.code} was answered at {given_at:%Y-%m-%d %H:%M} UTC, before "
            f"the document was presented at {presented_at:%Y-%m-%d %H:%M} UTC. "
            "Check both times on the form."
        )
    if given_at > timezone.now():
        raise BadInput(
            f"The form of {participant.code} is dated {given_at:%Y-%m-%d %H:%M} UTC, which is in "
            "the future. Check the date on the form."
        )
    if given_at < document.effective_from:
        raise BadInput(
            f"“{document}” is in force from {document.effective_from:%Y-%m-%d %H:%M} UTC, but "
            f"{participant.code} answered on {given_at:%Y-%m-%d %H:%M} UTC. Check the date, or "
            "choose the version that was in force then."
        )
    last = participant.consent_events.order_by("-sequence").first()
    if last is not None and given_at < last.effective_at:
        raise Conflict(
            f"The form of {participant.code} is dated {given_at:%Y-%m-%d %H:%M} UTC, before the "
            f"newest change of their consent on {last.effective_at:%Y-%m-%d %H:%M} UTC. An older "
            "form cannot undo a newer decision; leave it out."
        )


def _record_hash(
    document: ConsentDocument,
    answers: Mapping[str, bool],
    *,
    presented_at: datetime,
    given_at: datetime,
) -> str:
    body = json.dumps(
        [
            document.sha256,
            sorted(answers.items()),
            presented_at.isoformat(),
            given_at.isoformat(),
        ],
        ensure_ascii=True,
    )
    return hashlib.sha256(body.encode()).hexdigest()

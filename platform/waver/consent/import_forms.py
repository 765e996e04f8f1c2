"""Taking in a list of signed paper forms: one outcome per line, and one bad line stops no other.

A CSV file with the columns participant, presented_at and given_at, if the study has documents in
several languages also language, and one column per item of the document, each with yes or no.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from django.db import transaction

from waver.consent.models import ConsentDocument, ConsentRecord, Participant
from waver.consent.services import record_consent, register_participant
from waver.core.errors import BadInput, Conflict, WaverError
from waver.core.tables import Line, Table, read_moment, read_table
from waver.studies.models import Study

COLUMNS = ("participant", "presented_at", "given_at")
LANGUAGE = "language"
_ANSWERS = {"yes": True, "no": False}


class Result(StrEnum):
    """What became of a form."""

    RECORDED = "recorded"
    THERE_ALREADY = "there already"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What became of one line; `sentence` says why it was refused, and what to do."""

    result: Result
    line: int
    participant: str
    sentence: str = ""


def record_forms(
    *,
    study: Study,
    path: Path,
    actor: str,
    on_result: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Record every form of a list, each whole or not at all, and give one outcome per line.

    Registers participants whom the study does not have. The document is the version that was in
    force when it was presented. A form that was recorded before is “there already”, so that a list
    can grow and be given again. Raises BadInput when the list as a whole cannot be used.
    """
    documents = list(study.consent_documents.prefetch_related("items").order_by("effective_from"))
    if not documents:
        raise BadInput(
            f"The study “{study.title}” has no consent document, so nobody can have signed it. "
            "Publish one first, with the time from which it was used."
        )
    table = read_table(path, columns=COLUMNS, called="list of forms", one="signed form")
    _check_columns(table, documents)
    outcomes = []
    for line in table.lines:
        outcome = _record_line(study, documents, line, actor=actor)
        outcomes.append(outcome)
        if on_result is not None:
            on_result(outcome)
    return outcomes


def _check_columns(table: Table, documents: Sequence[ConsentDocument]) -> None:
    """Refuse columns that nobody asked about: a mistyped item would look like a missing answer."""
    known = {item.code for document in documents for item in document.items.all()}
    fitting = {*COLUMNS, LANGUAGE, *(code.lower() for code in known)}
    foreign = [name or "(without a name)" for name in table.columns if name not in fitting]
    if foreign:
        raise BadInput(
            f"The list has the column{'s' if len(foreign) > 1 else ''} {', '.join(foreign)}, which "
            f"no document of the study asks. The items are: {', '.join(sorted(known))}."
        )


def _record_line(
    study: Study, documents: Sequence[ConsentDocument], line: Line, *, actor: str
) -> Outcome:
    code = line.values.get("participant", "")
    try:
        form = _read_line(documents, line)
        with transaction.atomic():
            result = _record(study, code, form, actor=actor)
    except WaverError as error:
        return Outcome(Result.REFUSED, line.number, code, f"Line {line.number}: {error.sentence}")
    return Outcome(result, line.number, code)


@dataclass(frozen=True)
class _Form:
    document: ConsentDocument
    presented_at: datetime
    given_at: datetime
    answers: dict[str, bool]


def _read_line(documents: Sequence[ConsentDocument], line: Line) -> _Form:
    code = line.values.get("participant", "")
    if not code:
        raise BadInput("No participant is named. Fill in the column “participant”.")
    if line.surplus:
        raise BadInput(
            f"The line of {code} has more cells than the list has columns, so its answers may "
            "stand in the wrong places. Correct it."
        )
    moments = {}
    for name, called in (("presented_at", "presented"), ("given_at", "signed")):
        text = line.values.get(name, "")
        if not text:
            raise BadInput(f"Nobody says when {code}'s form was {called}. Fill in “{name}”.")
        moments[name] = read_moment(text, called=f"The time when {code}'s form was {called}")
    document = _document(documents, line.values.get(LANGUAGE, ""), code=code, **moments)
    return _Form(document, **moments, answers=_answers(document, line, code))


def _document(
    documents: Sequence[ConsentDocument],
    language: str,
    *,
    code: str,
    presented_at: datetime,
    given_at: datetime,
) -> ConsentDocument:
    """Choose the version that was in force when it was presented, or else when it was signed."""
    languages = sorted({document.language for document in documents})
    if not language and len(languages) > 1:
        raise BadInput(
            f"The study has documents in {', '.join(languages)}. Say in the column “language” "
            f"which of them {code} signed."
        )
    if language and language not in languages:
        raise BadInput(
            f"{code} signed in “{language}”, but the study has documents only in "
            f"{', '.join(languages)}. Correct the language, or publish the document first."
        )
    there = [document for document in documents if not language or document.language == language]
    for moment in (presented_at, given_at):
        in_force = [document for document in there if document.effective_from <= moment]
        if in_force:
            return in_force[-1]
    raise BadInput(
        f"{code} signed on {given_at.isoformat()}, before any version of the document was in force "
        f"(the first is from {there[0].effective_from.isoformat()}). Check the date on the form."
    )


def _answers(document: ConsentDocument, line: Line, code: str) -> dict[str, bool]:
    """Read yes or no to every item. An empty cell is no answer, and never becomes one."""
    asked = {item.code.lower(): item.code for item in document.items.all()}
    answers = {}
    for name, text in line.values.items():
        if name in (*COLUMNS, LANGUAGE) or not text:
            continue
        if name not in asked:
            raise BadInput(
                f"{code}'s line answers “{name}”, which “{document}” does not ask. Check which "
                "document was signed, or leave the cell empty."
            )
        if text.lower() not in _ANSWERS:
            raise BadInput(
                f"{code}'s answer to “{name}” is “{text}”. Write yes or no, as on the signed form."
            )
        answers[asked[name]] = _ANSWERS[text.lower()]
    missing = [item.code for item in document.items.all() if item.code not in answers]
    if missing:
        raise BadInput(
            f"{code}'s line has no answer to {', '.join(missing)}. An empty cell is neither a yes "
            "nor a no: write what stands on the signed form, and ask the participant where "
            "nothing does."
        )
    return answers


def _record(study: Study, code: str, form: _Form, *, actor: str) -> Result:
    participant = Participant.objects.filter(study=study, code=code).first()
    if participant is None:
        _refuse_the_erased(study, code, form)
        participant = register_participant(study=study, code=code, actor=actor)
    earlier = _same_form(participant, form)
    if earlier is not None:
        if _answers_of(earlier) == form.answers:
            return Result.THERE_ALREADY
        raise Conflict(
            f"The form that {code} signed on {form.given_at.isoformat()} is recorded with other "
            "answers. What was recorded never changes: if it was copied wrongly, let the "
            "participant sign again and record that form."
        )
    record_consent(
        participant=participant,
        document=form.document,
        answers=form.answers,
        presented_at=form.presented_at,
        given_at=form.given_at,
        entered_by=actor,
        channel=ConsentRecord.Channel.PAPER,
    )
    return Result.RECORDED


def _same_form(participant: Participant, form: _Form) -> ConsentRecord | None:
    return participant.consent_records.filter(
        document=form.document, presented_at=form.presented_at, given_at=form.given_at
    ).first()


def _answers_of(record: ConsentRecord) -> dict[str, bool]:
    return {answer.item.code: answer.value for answer in record.answers.select_related("item")}


def _refuse_the_erased(study: Study, code: str, form: _Form) -> None:
    """Keep an old list from bringing back somebody who was erased.

    An erasure removes the code, so only the evidence, which stays, can tell that this form was
    recorded before.
    """
    erased = Participant.objects.filter(study=study, state=Participant.State.ERASED)
    for participant in erased.filter(
        consent_records__document=form.document,
        consent_records__presented_at=form.presented_at,
        consent_records__given_at=form.given_at,
    ):
        earlier = _same_form(participant, form)
        if earlier is not None and _answers_of(earlier) == form.answers:
            raise Conflict(
                f"A form with the times and answers of {code}'s belonged to somebody who was "
                "erased at their own wish. If this is that person, remove the line from the list; "
                "if it is another, give the times to the second."
            )

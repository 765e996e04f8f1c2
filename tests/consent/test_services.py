from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import InternalError, connection, transaction
from django.db.utils import IntegrityError
from django.utils import timezone

from tests.factories import GIVEN_AT, ParticipantFactory, StudyFactory, consented_participant
from waver.consent import events, forms, services
from waver.consent.models import (
    ConsentAnswer,
    ConsentEvent,
    ConsentRecord,
    Participant,
    Purpose,
)
from waver.consent.services import ItemText
from waver.core.clock import Span
from waver.core.errors import BadInput, Conflict
from waver.core.ids import new_id

pytestmark = pytest.mark.django_db

BEFORE = GIVEN_AT - timedelta(days=30)


@pytest.fixture
def study():
    return StudyFactory(title="Hesitation")


@pytest.fixture
def document(study):
    return forms.publish_default(study=study, approved_by="REB", effective_from=BEFORE)


def answer(document, participant, **changes):
    answers = dict.fromkeys(document.items.values_list("code", flat=True), True)
    return services.record_consent(
        **{
            "participant": participant,
            "document": document,
            "answers": answers,
            "presented_at": GIVEN_AT,
            "given_at": GIVEN_AT + timedelta(minutes=5),
            "entered_by": "tests",
            "channel": "web",
            **changes,
        }
    )


def types_of(participant) -> list[tuple[str, str]]:
    return list(participant.consent_events.order_by("sequence").values_list("type", "purpose"))


def test_the_default_document_asks_for_every_purpose_and_ticks_nothing(document):
    assert {item.purpose for item in document.items.all()} == set(Purpose.values)
    assert not any(field.name == "default" for field in ConsentAnswer._meta.get_fields())
    assert not ConsentAnswer._meta.get_field("value").has_default()


def test_answers_become_a_record_chained_events_and_a_state(study, document):
    participant = services.register_participant(study=study, code="P1", actor="tests")
    codes = list(document.items.values_list("code", flat=True))
    answer(document, participant, answers={code: code != "share" for code in codes})

    assert participant.consent_records.get().answers.count() == len(codes)
    assert ("refused", "research") in types_of(participant)
    assert ("given", "annotate") in types_of(participant)
    allowed = participant.consent_states.filter(allowed=True).values_list("purpose", flat=True)
    assert set(allowed) == set(Purpose.values) - {"research"}
    assert events.first_broken(participant) is None


def test_a_missing_answer_is_an_error_and_nothing_is_stored(study, document):
    participant = ParticipantFactory(study=study)
    codes = set(document.items.values_list("code", flat=True)) - {"share"}
    with pytest.raises(BadInput, match="No answer was given to: share"):
        answer(document, participant, answers=dict.fromkeys(codes, True))
    assert not ConsentRecord.objects.exists()
    assert not ConsentEvent.objects.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers": "unknown"}, "does not ask: sing"),
        ({"answers": "half"}, "is a yes or a no"),
        ({"channel": "rumour"}, "no way of giving consent"),
        ({"given_at": GIVEN_AT - timedelta(hours=1)}, "before the document was presented"),
        ({"given_at": timezone.now() + timedelta(days=1)}, "in the future"),
        (
            {
                "presented_at": BEFORE - timedelta(days=2),
                "given_at": BEFORE - timedelta(days=1),
            },
            "is in force from",
        ),
    ],
)
def test_a_form_that_cannot_be_is_refused_with_a_sentence(study, document, changes, says):
    participant = ParticipantFactory(study=study)
    answers = dict.fromkeys(document.items.values_list("code", flat=True), True)
    if changes.get("answers") == "unknown":
        changes = {"answers": {**answers, "sing": True}}
    elif changes.get("answers") == "half":
        changes = {"answers": {**answers, "share": None}}
    with pytest.raises(BadInput, match=says):
        answer(document, participant, **changes)
    assert not ConsentEvent.objects.exists()


def test_a_document_of_another_study_is_refused(document):
    with pytest.raises(BadInput, match="belongs to another study"):
        answer(document, ParticipantFactory())


def test_no_to_a_required_item_refuses_everything(study, document):
    participant = ParticipantFactory(study=study)
    answer(document, participant)
    codes = document.items.values_list("code", flat=True)
    later = GIVEN_AT + timedelta(days=1)
    answer(
        document,
        participant,
        answers={code: code != "store" for code in codes},
        presented_at=later,
        given_at=later,
    )
    assert types_of(participant)[-1] == ("refused", "")
    assert not participant.consent_states.filter(allowed=True).exists()


def test_an_older_form_cannot_undo_a_newer_withdrawal(study, document):
    participant = ParticipantFactory(study=study)
    answer(document, participant)
    services.withdraw(participant=participant, purpose="research", actor="tests")
    with pytest.raises(Conflict, match="older form cannot undo"):
        answer(document, participant)
    services.withdraw(participant=participant, actor="tests")
    with pytest.raises(Conflict, match="registered under a new code"):
        answer(document, participant, given_at=timezone.now())


def test_versions_follow_each_other_and_keep_what_they_said(study, document):
    second = forms.publish_default(study=study, approved_by="REB", effective_from=BEFORE)
    assert (document.version, second.version) == (1, 2)
    assert second.supersedes == document
    assert second.sha256 == document.sha256


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "stored and prepared"),
        ([ItemText("a", "May we?", "process"), ItemText("a", "Too?", "infer")], "used twice"),
        ([ItemText("a", " ", "process")], "has no text"),
        ([ItemText("a", "May we?", "marketing")], "unknown purpose"),
    ],
)
def test_a_document_that_cannot_be_is_refused(study, items, says):
    with pytest.raises(BadInput, match=says):
        services.publish_document(
            study=study, language="en", title="T", body="B", items=items, approved_by="REB"
        )


def test_a_document_file_that_cannot_be_read_is_refused(study, tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text("language: en\ntitle: T\nbody: B\nitems:\n  - code: a\n    text: x\n")
    with pytest.raises(BadInput, match="lacks 'purpose'"):
        forms.publish_file(study=study, path=path, approved_by="REB")
    with pytest.raises(BadInput, match="only in: en"):
        forms.publish_default(study=study, approved_by="REB", language="tlh")


@pytest.mark.parametrize("code", ["", "Ada Lovelace", "ada@example.org", "../P1", "x" * 41])
def test_a_code_is_no_name(study, code):
    with pytest.raises(BadInput, match="cannot be a participant's code"):
        services.register_participant(study=study, code=code, actor="tests")


def test_a_code_is_taken_once_per_study(study):
    services.register_participant(study=study, code="P1", actor="tests")
    with pytest.raises(Conflict, match="already has a participant P1"):
        services.register_participant(study=study, code="P1", actor="tests")
    services.register_participant(study=StudyFactory(), code="P1", actor="tests")


def test_nothing_is_withdrawn_twice():
    participant = consented_participant(purposes=["process", "annotate"])
    with pytest.raises(Conflict, match="does not consent to"):
        services.withdraw(participant=participant, purpose="research", actor="tests")
    with pytest.raises(BadInput, match="no purpose"):
        services.withdraw(participant=participant, purpose="everything", actor="tests")
    services.withdraw(participant=participant, actor="tests")
    assert participant.state == Participant.State.WITHDRAWN
    with pytest.raises(Conflict, match="withdrawn already"):
        services.withdraw(participant=participant, actor="tests")


def test_restrictions_of_one_recording_never_overlap():
    participant, recording = consented_participant(), new_id()

    def restrict(start, end, about=recording, reason="a name is said"):
        return services.restrict(
            participant=participant,
            recording_id=about,
            span=Span(start, end),
            reason=reason,
            actor="tests",
        )

    restrict(0, 10)
    restrict(10, 20)
    restrict(5, 15, about=new_id())
    with pytest.raises(Conflict, match="restricted already"):
        restrict(5, 15)
    with pytest.raises(BadInput, match="needs a reason"):
        restrict(30, 40, reason=" ")


@pytest.mark.parametrize("table", ["record", "answer", "event", "document", "item"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET created_at=now()", "DELETE FROM {}"])
def test_the_database_refuses_to_change_evidence(table, statement):
    consented_participant()
    with (
        pytest.raises((InternalError, IntegrityError), match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(f"consent_consent{table}"))


def test_a_changed_event_is_noticed():
    participant = consented_participant()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE consent_consentevent DISABLE TRIGGER append_only")
        cursor.execute("UPDATE consent_consentevent SET actor='x' WHERE sequence=3")
        cursor.execute("ALTER TABLE consent_consentevent ENABLE TRIGGER append_only")
    broken = events.first_broken(participant)
    assert broken is not None
    assert broken.sequence == 3

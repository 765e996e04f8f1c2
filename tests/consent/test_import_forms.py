"""Signed paper forms from a list: each whole or not at all, nothing assumed, nobody revived."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.factories import StudyFactory
from waver.consent import forms, services
from waver.consent.import_forms import Result, record_forms
from waver.consent.models import ConsentRecord, Participant, Purpose
from waver.consent.services import ItemText
from waver.core.errors import BadInput

pytestmark = pytest.mark.django_db

HEADER = "participant,presented_at,given_at,store,share"
TIMES = "2026-03-01T09:00:00Z,2026-03-01T09:10:00Z"
ITEMS = [
    ItemText("store", "You may store it.", Purpose.PROCESS, required=True),
    ItemText("Share", "You may share it.", Purpose.RESEARCH),
]


def publish(study, *, month=2, language="en", items=ITEMS):
    return services.publish_document(
        study=study,
        language=language,
        title="Consent",
        body=f"The text of month {month}.",
        items=items,
        approved_by="REB",
        effective_from=datetime(2026, month, 1, tzinfo=UTC),
    )


@pytest.fixture
def study():
    made = StudyFactory(code="s", title="Hesitation")
    publish(made)
    return made


@pytest.fixture
def listed(study, tmp_path):
    """Record the forms of lines, and give the outcomes."""

    def record(*lines: str, header: str = HEADER):
        path = tmp_path / "forms.csv"
        path.write_text("\n".join([header, *lines]), encoding="utf-8")
        return record_forms(study=study, path=path, actor="hypatia")

    return record


def test_a_line_registers_its_participant_and_records_the_answers(study, listed):
    (outcome,) = listed(f"P1,{TIMES},yes,No")
    assert (outcome.result, outcome.line, outcome.participant) == (Result.RECORDED, 2, "P1")
    record = ConsentRecord.objects.get(participant__code="P1")
    assert (record.channel, record.entered_by) == ("paper", "hypatia")
    assert record.given_at == datetime(2026, 3, 1, 9, 10, tzinfo=UTC)
    allowed = record.participant.consent_states.filter(allowed=True)
    assert list(allowed.values_list("purpose", flat=True)) == ["process"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f",{TIMES},yes,yes", "No participant is named"),
        (f"P1,{TIMES},yes,", "has no answer to Share. An empty cell is neither a yes nor a no"),
        (f"P1,{TIMES},,", "has no answer to store, Share"),
        (f"P1,{TIMES}", "has no answer to store, Share"),
        (f"P1,{TIMES},yes,maybe", "P1's answer to “share” is “maybe”. Write yes or no"),
        (f"P1,{TIMES},yes,1", "is “1”. Write yes or no"),
        (f"P1,{TIMES},yes,no,yes", "more cells than the list has columns"),
        (f"ada@example.org,{TIMES},yes,no", "cannot be a participant's code"),
        ("P1,,2026-03-01T09:10:00Z,yes,no", "Fill in “presented_at”"),
        ("P1,2026-03-01T09:10:00Z,,yes,no", "Fill in “given_at”"),
        ("P1,2026-03-01T09:00:00Z,2026-03-01,yes,no", "was signed, “2026-03-01”, has no time zone"),
        ("P1,2026-03-01T09:10:00Z,2026-03-01T09:00:00Z,yes,no", "before the document was"),
        ("P1,2025-03-01T09:00:00Z,2025-03-01T09:10:00Z,yes,no", "before any version"),
        ("P1,2026-03-01T09:00:00Z,2226-03-01T09:10:00Z,yes,no", "in the future"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_whole_with_its_number_and_stops_no_other(listed, line, says):
    refused, good = listed(line, f"P2,{TIMES},yes,yes")
    assert refused.result is Result.REFUSED
    assert refused.sentence.startswith("Line 2: ")
    assert says in refused.sentence
    assert good.result is Result.RECORDED
    assert list(Participant.objects.values_list("code", flat=True)) == ["P2"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("participant,given_at,store,share", "lacks the column presented_at"),
        (f"{HEADER},shrae", "the column shrae, which no document of the study asks"),
        (f"{HEADER},", "the column (without a name)"),
        (f"{HEADER},store", "has two columns “store”"),
    ],
)
def test_a_list_with_wrong_columns_is_refused_as_a_whole(listed, header, says):
    with pytest.raises(BadInput, match=says.replace("(", r"\(").replace(")", r"\)")):
        listed(f"P1,{TIMES},yes,yes,yes", header=header)
    assert not Participant.objects.exists()


def test_a_study_without_a_document_takes_no_forms(tmp_path):
    with pytest.raises(BadInput, match="has no consent document"):
        record_forms(study=StudyFactory(), path=tmp_path / "forms.csv", actor="x")


def test_the_same_list_again_is_there_already_also_written_in_another_time_zone(listed):
    listed(f"P1,{TIMES},yes,no")
    elsewhere = "2026-03-01T10:00:00+01:00,2026-03-01T04:10:00-05:00"
    (again,) = listed(f"P1,{elsewhere},yes,no")
    assert again.result is Result.THERE_ALREADY
    assert ConsentRecord.objects.count() == 1


def test_other_answers_to_a_recorded_form_never_replace_it(listed):
    listed(f"P1,{TIMES},yes,no")
    (outcome,) = listed(f"P1,{TIMES},yes,yes")
    assert "is recorded with other answers" in outcome.sentence
    assert ConsentRecord.objects.get().answers.filter(value=False).count() == 1


def test_a_later_form_of_the_same_participant_is_recorded_and_an_older_one_is_not(listed):
    later = "2026-03-05T09:00:00Z,2026-03-05T09:10:00Z"
    first, second = listed(f"P1,{later},yes,no", f"P1,{TIMES},yes,yes")
    assert first.result is Result.RECORDED
    assert "An older form cannot undo a newer decision" in second.sentence


def test_each_form_belongs_to_the_version_that_was_presented(study, listed):
    publish(study, month=4, items=[*ITEMS, ItemText("label", "Raters.", Purpose.ANNOTATE)])
    header = f"{HEADER},label"
    april = "2026-04-01T09:00:00Z,2026-04-01T09:10:00Z"
    across = "2026-03-31T23:50:00Z,2026-04-01T00:10:00Z"
    outcomes = listed(
        f"P1,{TIMES},yes,yes,",
        f"P2,{april},yes,yes,no",
        f"P3,{across},yes,yes,",
        f"P4,{april},yes,yes,",
        f"P5,{TIMES},yes,yes,yes",
        header=header,
    )
    versions = dict(ConsentRecord.objects.values_list("participant__code", "document__version"))
    assert versions == {"P1": 1, "P2": 2, "P3": 1}
    assert "has no answer to label" in outcomes[3].sentence
    assert "does not ask" in outcomes[4].sentence


def test_with_several_languages_each_line_says_which(study, listed):
    publish(study, language="fr")
    outcomes = listed(
        f"P1,{TIMES},yes,yes,fr",
        f"P2,{TIMES},yes,yes,",
        f"P3,{TIMES},yes,yes,de",
        header=f"{HEADER},language",
    )
    assert ConsentRecord.objects.get().document.language == "fr"
    assert "which of them P2 signed" in outcomes[1].sentence
    assert "documents only in en, fr" in outcomes[2].sentence


def test_an_old_list_brings_nobody_back_who_was_erased(study, listed):
    listed(f"P1,{TIMES},yes,no")
    assert services.erase(participant=Participant.objects.get(code="P1"), actor="x") == []
    same, another = listed(f"P1,{TIMES},yes,no", f"P2,{TIMES},yes,yes")
    assert "somebody who was erased at their own wish" in same.sentence
    assert another.result is Result.RECORDED
    assert not Participant.objects.filter(code="P1").exists()


def test_who_withdrew_stays_withdrawn_whatever_the_list_says(listed):
    listed(f"P1,{TIMES},yes,no")
    participant = Participant.objects.get()
    services.withdraw(participant=participant, actor="x")
    later = "2026-03-05T09:00:00Z,2026-03-05T09:10:00Z"
    old, new = listed(f"P1,{TIMES},yes,no", f"P1,{later},yes,yes")
    assert old.result is Result.THERE_ALREADY
    assert "has withdrawn" in new.sentence
    participant.refresh_from_db()
    assert participant.state == Participant.State.WITHDRAWN


def run(*arguments) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("record_consents", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_records_tells_of_each_refusal_and_can_be_repeated(study, tmp_path):
    path = tmp_path / "forms.csv"
    path.write_text(f"{HEADER}\nP1,{TIMES},yes,no\nP2,{TIMES},yes,\n")
    out, err = run("s", path, "--actor", "hypatia")
    assert out == "1 recorded, 0 there already, 1 refused.\n"
    assert err.startswith("Refused: Line 3: P2's line has no answer to Share.")
    assert ConsentRecord.objects.get().entered_by == "hypatia"
    out, _ = run("s", path)
    assert out == "0 recorded, 1 there already, 1 refused.\n"


@pytest.mark.parametrize(
    ("code", "content", "says"),
    [
        ("other", HEADER, "There is no study “other”. Studies here: s."),
        ("s", None, "There is no list of forms"),
        ("s", HEADER, "names no signed form"),
        ("s", f"{HEADER}\nP1,{TIMES},yes,", "Nothing could be recorded"),
    ],
)
def test_the_command_fails_when_nothing_was_recorded(study, tmp_path, code, content, says):
    path = tmp_path / "forms.csv"
    if content:
        path.write_text(content)
    with pytest.raises(CommandError, match=says):
        run(code, path)


def test_the_guide_s_example_fits_the_guide_s_documents(study):
    folder = Path(__file__).resolve().parents[2] / "docs" / "examples"
    other = StudyFactory()
    start = datetime(2026, 2, 1, 5, tzinfo=UTC)
    forms.publish_default(study=other, approved_by="REB", effective_from=start)
    forms.publish_file(
        study=other, path=folder / "consent.fr.yaml", approved_by="REB", effective_from=start
    )
    outcomes = record_forms(study=other, path=folder / "forms.csv", actor="hypatia")
    assert [outcome.sentence for outcome in outcomes] == ["", "", ""]
    assert other.participants.count() == 3

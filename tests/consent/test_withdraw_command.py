"""`manage.py withdraw`: says what is held, asks, acts, and says what is left."""

from __future__ import annotations

import builtins
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import AssetFactory, RecordingFactory, StudyFactory, consented_participant
from waver.consent.models import ConsentEvent, Participant
from waver.core import holders
from waver.recordings.models import Asset, Recording

pytestmark = pytest.mark.django_db


@pytest.fixture
def participant(storage_folder):
    made = consented_participant(StudyFactory(code="s", title="Hesitation"), code="P1")
    AssetFactory(recording=RecordingFactory(participant=made))
    return made


@pytest.fixture
def answers(monkeypatch):
    """Answer the command's question; give the questions that were asked."""
    asked = []

    def answer(text: str | None) -> list[str]:
        def read(question: str = "") -> str:
            asked.append(question)
            if text is None:
                raise EOFError
            return text

        monkeypatch.setattr(builtins, "input", read)
        return asked

    return answer


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("withdraw", "s", *arguments, "--actor", "hypatia", stdout=out)
    return out.getvalue()


def test_an_erasure_says_what_was_held_and_that_nothing_is_left(participant, answers):
    asked = answers("yes")
    said = run("P1", "--erase")
    before, after = said.split("Left to remove:")
    assert "recordings: nothing" not in before
    for holder in holders.all_holders():
        assert f"  {holder.name}: nothing" in after
    assert "removes all of it for good" in asked[0]
    assert not Recording.objects.exists()
    assert not Asset.objects.exists()
    participant.refresh_from_db()
    assert participant.state == Participant.State.ERASED
    assert f"stays, as {participant.code}" in said


@pytest.mark.parametrize("answer", ["no", "", None, "y"])
def test_without_a_yes_nothing_changes(participant, answers, answer):
    answers(answer)
    with pytest.raises(CommandError, match="Nothing was changed"):
        run("P1", "--erase")
    participant.refresh_from_db()
    assert participant.state == Participant.State.ACTIVE
    assert Recording.objects.exists()


def test_a_withdrawal_keeps_what_is_held_and_says_so(participant):
    said = run("P1", "--yes")
    participant.refresh_from_db()
    assert participant.state == Participant.State.WITHDRAWN
    assert ConsentEvent.objects.get(type="withdrawn_all").actor == "hypatia"
    assert "consent: 1 × participant (PostgreSQL)" in said.split("Left to remove:")[1]
    assert "until --erase removes it" in said
    assert Recording.objects.exists()
    with pytest.raises(CommandError, match="has withdrawn already"):
        run("P1", "--yes")
    assert "is erased" in run("P1", "--erase", "--yes")


def test_one_purpose_can_be_withdrawn_and_the_others_stay(participant):
    assert "no longer consents to “Share the recording" in run(
        "P1", "--purpose", "research", "--yes"
    )
    allowed = participant.consent_states.filter(allowed=True).values_list("purpose", flat=True)
    assert "research" not in allowed
    assert "annotate" in allowed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("P9", "--yes"), "has no participant P9"),
        (("P1", "--purpose", "fun", "--yes"), "“fun” is no purpose"),
        (("P1", "--purpose", "research", "--erase"), "either --purpose or --erase"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(participant, arguments, says):
    with pytest.raises(CommandError, match=says):
        run(*arguments)
    participant.refresh_from_db()
    assert participant.state == Participant.State.ACTIVE


def test_an_erasure_that_leaves_something_says_so_and_fails(participant, monkeypatch):
    class Stuck:
        name = "stuck"
        models: tuple[str, ...] = ()

        def verify_absent(self, participant_id):
            return [holders.Held("tape", "1", "a cupboard")]

        quarantine = erase = lambda self, participant_id: None
        list = verify_absent

    there = holders.all_holders()
    monkeypatch.setattr(holders, "all_holders", lambda: (Stuck(), *there))
    out = StringIO()
    with pytest.raises(CommandError, match=r"is not complete\. Run the command again, for erased-"):
        call_command("withdraw", "s", "P1", "--erase", "--yes", stdout=out)
    assert "  stuck: 1 × tape (a cupboard)" in out.getvalue().split("Left to remove:")[1]

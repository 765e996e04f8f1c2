"""Consent decides: never before it was given, never after it ended, nor for what was not asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.factories import (
    GIVEN_AT,
    RECORDED_AT,
    ParticipantFactory,
    StudyFactory,
    consented_participant,
)
from waver.consent import events, policy, services
from waver.consent.models import ConsentEvent, ConsentState, Participant, Purpose
from waver.core import audit
from waver.core.clock import Span
from waver.core.errors import ConsentRefused, Missing
from waver.core.ids import new_id
from waver.core.models import AuditEntry
from waver.core.subjects import Subject

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def subject_of(participant, recorded_at=RECORDED_AT, **fields) -> Subject:
    return Subject(
        participant_id=participant.pk,
        **{"asset_id": new_id(), "kind": "proxy", "recorded_at": recorded_at, **fields},
    )


def test_consent_that_was_given_allows_every_purpose_asked():
    participant = consented_participant()
    for purpose in Purpose:
        decision = policy.may(purpose, subject_of(participant), actor="tests")
        assert decision.allowed
        assert decision.purpose is purpose
    assert not AuditEntry.objects.filter(verb="consent.refused").exists()


@pytest.mark.parametrize(
    ("purpose", "recorded_at", "rule", "says"),
    [
        ("research", RECORDED_AT, "not_given", "Record P7's consent first"),
        ("annotate", GIVEN_AT - HOUR, "recorded_before_consent", "before consent"),
        ("annotate", None, "undated", "Give the time of recording"),
    ],
)
def test_a_refusal_says_who_what_and_what_to_do_and_stands_in_the_audit_chain(
    purpose, recorded_at, rule, says
):
    participant = consented_participant(code="P7", purposes=["process", "annotate"])
    subject = subject_of(participant, recorded_at)

    decision = policy.may(purpose, subject, actor="a stage")

    assert not decision
    assert decision.rule == rule
    assert "P7" in decision.reason
    assert says in decision.reason
    entry = AuditEntry.objects.get(verb="consent.refused")
    assert (entry.actor, entry.object_id) == ("a stage", str(participant.pk))
    assert entry.detail["purpose"] == purpose
    assert "P7" not in str(entry.detail)
    assert audit.first_broken() is None


def test_nothing_is_allowed_without_leave_to_store_the_recording():
    participant = consented_participant(purposes=["annotate"])
    decision = policy.may("annotate", subject_of(participant), actor="tests")
    assert decision.rule == "not_given"
    assert Purpose.PROCESS.label in decision.reason


def test_withdrawal_ends_everything_at_once_and_require_raises():
    participant = consented_participant()
    services.withdraw(participant=participant, actor="tests")
    with pytest.raises(ConsentRefused, match="withdrawn") as caught:
        policy.require("process", subject_of(participant), actor="tests")
    assert caught.value.purpose == "process"
    assert caught.value.http_status == 403


def test_withdrawing_one_purpose_leaves_the_others():
    participant = consented_participant()
    services.withdraw(participant=participant, purpose="research", actor="tests")
    refused = policy.may("research", subject_of(participant), actor="tests")
    assert refused.rule == "ended"
    assert policy.may("annotate", subject_of(participant), actor="tests")


def test_the_past_can_be_asked_about():
    participant = consented_participant(given_at=GIVEN_AT)
    services.withdraw(
        participant=participant, purpose="research", actor="tests", at=GIVEN_AT + 10 * HOUR
    )
    subject = subject_of(participant)

    def allowed(at):
        return policy.decide("research", subject, at=at).allowed

    assert not allowed(GIVEN_AT - HOUR)
    assert allowed(GIVEN_AT + 5 * HOUR)
    assert not allowed(GIVEN_AT + 10 * HOUR)
    assert not allowed(None)


@pytest.mark.parametrize("setting", ["education", "workplace"])
def test_no_inference_in_education_or_at_work_without_an_exemption(setting):
    study = StudyFactory(setting=setting)
    subject = subject_of(consented_participant(study))
    refused = policy.may("infer", subject, actor="tests")
    assert refused.rule == "setting"
    assert "5(1)(f)" in refused.reason
    assert policy.may("annotate", subject, actor="tests")

    study.exemption, study.exemption_reviewed_by = "research_only", "A reviewer"
    study.save()
    assert policy.may("infer", subject, actor="tests")


def test_a_restricted_stretch_is_refused_and_its_neighbours_are_not():
    participant = consented_participant()
    recording_id = new_id()
    services.restrict(
        participant=participant,
        recording_id=recording_id,
        span=Span(2_000_000, 3_000_000),
        reason="a name is said",
        actor="tests",
    )
    subject = subject_of(participant, recording_id=recording_id)

    def allowed(span, about=subject, purpose="annotate"):
        return policy.decide(purpose, about, span=span).allowed

    assert allowed(Span(0, 2_000_000))
    assert allowed(Span(3_000_000, 4_000_000))
    assert not allowed(Span(2_999_999, 4_000_000))
    assert not allowed(None)  # the whole recording holds the stretch
    assert allowed(None, purpose="process")  # it may still be kept
    assert allowed(None, about=subject_of(participant, recording_id=new_id()))
    assert not allowed(None, about=subject_of(participant))  # which recording is not said


@pytest.mark.parametrize("purpose", ["process", "annotate", "infer"])
def test_many_are_decided_as_one_by_one_and_in_as_many_queries_as_few(
    purpose, django_assert_max_num_queries
):
    """Whoever has withdrawn, a purpose never given, a restricted stretch, a recording too early."""
    class_room = StudyFactory(setting="education")
    restricted, somewhere = consented_participant(), new_id()
    services.restrict(
        participant=restricted,
        recording_id=somewhere,
        span=Span(2_000_000, 3_000_000),
        reason="a name is said",
        actor="tests",
    )
    gone = consented_participant()
    services.withdraw(participant=gone, actor="tests")
    some = consented_participant(purposes=["process"])
    subjects = [
        subject_of(consented_participant()),
        subject_of(consented_participant(class_room)),
        subject_of(restricted, recording_id=somewhere),
        subject_of(restricted, recording_id=new_id()),
        subject_of(restricted),
        subject_of(gone),
        subject_of(some),
        subject_of(some, GIVEN_AT - HOUR),
        subject_of(some, None),
    ]
    one_by_one = [policy.decide(purpose, subject) for subject in subjects]
    assert {decision.allowed for decision in one_by_one} == {True, False}
    assert policy.may_each(purpose, subjects, actor="tests") == one_by_one
    refused = AuditEntry.objects.filter(verb="consent.refused").count()
    assert refused == sum(not decision.allowed for decision in one_by_one)
    allowed = [each for each, one in zip(subjects, one_by_one, strict=True) if one.allowed] * 50
    with django_assert_max_num_queries(4):
        assert all(policy.may_each(purpose, allowed, actor="tests"))
    with pytest.raises(Missing, match="nobody consented"):
        policy.may_each(purpose, [Subject(new_id(), None, "original", None)], actor="tests")


def test_an_unknown_participant_or_purpose_is_an_error_never_a_yes():
    with pytest.raises(Missing, match="nobody consented"):
        policy.may("process", Subject(new_id(), None, "original", None), actor="tests")
    with pytest.raises(ValueError, match="not a valid Purpose"):
        policy.may("everything", subject_of(consented_participant()), actor="tests")


START = datetime(2024, 1, 1, tzinfo=UTC)
# Few purposes and many givings, so that consent often holds and every rule gets to decide.
ASKED = [Purpose.PROCESS, Purpose.ANNOTATE]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [ConsentEvent.Type.GIVEN] * 4
            + [t for t in ConsentEvent.Type if t != ConsentEvent.Type.ERASED]
        ),
        st.sampled_from(ASKED),
        st.booleans(),
        st.integers(min_value=0, max_value=3),
    ),
    max_size=10,
)


def write(participant: Participant, steps) -> None:
    """Append events as the services would: giving names a purpose, a refusal may be of all."""
    at = START
    for type_, purpose, of_all, hours in steps:
        at += hours * HOUR
        everything = type_ == ConsentEvent.Type.WITHDRAWN_ALL or (
            type_ == ConsentEvent.Type.REFUSED and of_all
        )
        events.append(
            participant=participant,
            type=type_,
            purpose="" if everything else purpose,
            effective_at=at,
            actor="tests",
        )


@settings(
    max_examples=examples(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, recorded_after_hours=st.integers(-1, 15), purpose=st.sampled_from(ASKED))
def test_no_sequence_of_events_allows_what_was_not_given(db, steps, recorded_after_hours, purpose):
    participant = ParticipantFactory()
    write(participant, steps)
    events.rebuild_state(participant)
    recorded_at = START + recorded_after_hours * HOUR
    chain = list(participant.consent_events.order_by("sequence"))

    allowed = policy.decide(purpose, subject_of(participant, recorded_at)).allowed

    # An independent reading, backwards: the unbroken run of events since the last end of each
    # purpose must contain a GIVEN that is not later than the recording.
    def covered(wanted: Purpose) -> bool:
        givens = []
        for event in reversed(chain):
            if event.type == "given":
                givens += [event] if event.purpose == wanted else []
            elif event.purpose in ("", wanted):
                break
        return any(event.effective_at <= recorded_at for event in givens)

    assert allowed == (covered(Purpose.PROCESS) and covered(purpose))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_the_state_is_what_folding_the_events_gives_and_the_chain_holds(db, steps):
    participant = ParticipantFactory()
    write(participant, steps)
    standings = events.rebuild_state(participant)
    stored = {
        Purpose(row.purpose): (row.allowed, row.given_at, row.ended_at)
        for row in ConsentState.objects.filter(participant=participant)
    }
    folded = events.fold(participant.consent_events.order_by("sequence"))
    assert standings == folded
    assert stored == {p: (s.allowed, s.given_at, s.ended_at) for p, s in folded.items()}
    assert events.first_broken(participant) is None

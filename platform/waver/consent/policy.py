"""The one function that every use of a participant's data asks first: `may`.

Asked at ingest, when a stage starts and again when it commits, when a task is sent to a rater, at
every media byte range, when a release is built and when it is downloaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from waver.consent.events import Standing, fold
from waver.consent.models import Participant, Purpose, Restriction
from waver.core import audit
from waver.core.clock import Span, format_us
from waver.core.errors import ConsentRefused, Missing
from waver.core.subjects import Subject
from waver.studies.models import Study

# Each purpose in a sentence: “… does not allow us to <words>”.
_WORDS = {
    Purpose.PROCESS: "store and prepare the recording",
    Purpose.INFER: "let computer models mark possible cues",
    Purpose.ANNOTATE: "show the recording to raters",
    Purpose.RESEARCH: "share the recording with other research teams",
    Purpose.CHALLENGE: "use the recording in a research challenge",
    Purpose.PUBLICATION: "show pictures from the recording in publications",
}
_NO_INFERENCE = (Study.Setting.EDUCATION, Study.Setting.WORKPLACE)


@dataclass(frozen=True)
class Decision:
    """The answer to one question. `rule` names what decided; `reason` is a whole sentence."""

    allowed: bool
    reason: str
    purpose: Purpose
    rule: str

    def __bool__(self) -> bool:
        """Stand for the answer itself, so that a forgotten `.allowed` cannot mean yes."""
        return self.allowed


def may(
    purpose: str,
    subject: Subject,
    *,
    span: Span | None = None,
    actor: str,
    at: datetime | None = None,
    hold: bool = False,
) -> Decision:
    """Decide whether `subject` may be used for `purpose`; a refusal goes into the audit chain.

    `span` is the stretch that is wanted, in microseconds; None means the whole recording. `actor`
    is who wants it. `at` asks about another moment than now. `hold=True` locks the participant's
    row until the transaction ends, so that no withdrawal comes between the answer and the commit.
    Raises Missing for an unknown participant, ValueError for an unknown purpose.
    """
    decision = decide(purpose, subject, span=span, at=at, hold=hold)
    if not decision.allowed:
        _record_refusal(decision, subject, span, actor)
    return decision


def may_each(purpose: str, subjects: Sequence[Subject], *, actor: str) -> list[Decision]:
    """Decide as `may`, now and about whole recordings, for many subjects in a few queries."""
    decisions = decide_each(purpose, subjects)
    for subject, decision in zip(subjects, decisions, strict=True):
        if not decision.allowed:
            _record_refusal(decision, subject, None, actor)
    return decisions


def decide_each(purpose: str, subjects: Sequence[Subject]) -> list[Decision]:
    """Decide as `may_each` without recording refusals: for pages, never for a use."""
    wanted = Purpose(purpose)
    ids = {subject.participant_id for subject in subjects}
    participants = {
        row.pk: row
        for row in Participant.objects.filter(pk__in=ids)
        .select_related("study")
        .prefetch_related("consent_states")
    }
    restrictions: dict[UUID, list[Restriction]] = defaultdict(list)
    for restriction in Restriction.objects.filter(participant_id__in=ids).order_by("start_us"):
        restrictions[restriction.participant_id].append(restriction)
    decisions = []
    for subject in subjects:
        participant = participants.get(subject.participant_id) or _participant(subject, hold=False)
        found = (
            each
            for each in restrictions[participant.pk]
            if subject.recording_id in (None, each.recording_id)
        )
        standings = _standings(participant, None)
        decisions.append(_decide(wanted, participant, standings, subject, None, found))
    return decisions


def _record_refusal(decision: Decision, subject: Subject, span: Span | None, actor: str) -> None:
    audit.record(
        actor=actor,
        verb="consent.refused",
        object_kind="participant",
        object_id=subject.participant_id,
        detail={
            "purpose": decision.purpose.value,
            "rule": decision.rule,
            "kind": subject.kind,
            "asset": str(subject.asset_id or ""),
            "span_us": [span.start_us, span.end_us] if span else None,
        },
    )


def require(
    purpose: str,
    subject: Subject,
    *,
    span: Span | None = None,
    actor: str,
    at: datetime | None = None,
    hold: bool = False,
) -> Decision:
    """Like `may`, but raises ConsentRefused with the sentence when the answer is no.

    Call it before the transaction whose work it protects, or the refusal's audit entry is rolled
    back with it; inside a transaction that must commit, ask `may` and act on the answer.
    """
    decision = may(purpose, subject, span=span, actor=actor, at=at, hold=hold)
    if not decision.allowed:
        raise ConsentRefused(decision.reason, purpose=decision.purpose.value)
    return decision


def decide(
    purpose: str,
    subject: Subject,
    *,
    span: Span | None = None,
    at: datetime | None = None,
    hold: bool = False,
) -> Decision:
    """Decide without recording a refusal: for pages that show what is allowed, never for a use."""
    wanted = Purpose(purpose)
    participant = _participant(subject, hold=hold)
    restrictions = _restrictions(participant, subject, span)
    return _decide(wanted, participant, _standings(participant, at), subject, span, restrictions)


def _decide(
    wanted: Purpose,
    participant: Participant,
    standings: Mapping[Purpose, Standing],
    subject: Subject,
    span: Span | None,
    restrictions: Iterable[Restriction],
) -> Decision:
    """Apply the rules in their order. `restrictions` are those that the subject overlaps."""
    checks = (
        _check_participant(participant),
        _check_given(participant, standings, Purpose.PROCESS, subject),
        _check_given(participant, standings, wanted, subject),
        _check_setting(participant.study, wanted),
        _check_restrictions(participant, wanted, span, restrictions),
    )
    for refusal in checks:
        if refusal is not None:
            return Decision(False, refusal.sentence, wanted, refusal.rule)
    return Decision(
        True, f"{participant.code}'s consent allows us to {_WORDS[wanted]}.", wanted, "given"
    )


def decide_purposes(purposes: Sequence[str], subject: Subject) -> list[Decision]:
    """Decide as `decide`, now and about the whole, for several purposes: the rows are read once."""
    participant = _participant(subject, hold=False)
    standings = _standings(participant, None)
    restrictions = list(_restrictions(participant, subject, None))
    return [
        _decide(Purpose(purpose), participant, standings, subject, None, restrictions)
        for purpose in purposes
    ]


@dataclass(frozen=True)
class _Refusal:
    """Which rule refuses, and the sentence that says so."""

    rule: str
    sentence: str


def _participant(subject: Subject, *, hold: bool) -> Participant:
    rows = Participant.objects.select_related("study")
    if hold:
        rows = rows.select_for_update(of=("self",))
    found = rows.filter(pk=subject.participant_id).first()
    if found is None:
        raise Missing(
            f"There is no participant {subject.participant_id}, so nobody consented. "
            "Register the participant and record the consent first."
        )
    return found


def _standings(participant: Participant, at: datetime | None) -> Mapping[Purpose, Standing]:
    if at is not None:
        return fold(participant.consent_events.filter(effective_at__lte=at).order_by("sequence"))
    return {
        Purpose(state.purpose): Standing(state.given_at, state.ended_at)
        for state in participant.consent_states.all()
    }


def _check_participant(participant: Participant) -> _Refusal | None:
    if participant.state == Participant.State.ACTIVE:
        return None
    return _Refusal(
        "participant_not_active",
        f"{participant.code} has withdrawn from the study, so nothing of theirs may be used. "
        "Leave the recording out; a withdrawal cannot be overridden.",
    )


def _check_given(
    participant: Participant,
    standings: Mapping[Purpose, Standing],
    purpose: Purpose,
    subject: Subject,
) -> _Refusal | None:
    code, words = participant.code, _WORDS[purpose]
    standing = standings.get(purpose)
    if standing is None:
        return _Refusal(
            "not_given",
            f"{code} has not given consent for “{purpose.label}”, so we may not {words}. "
            f"Record {code}'s consent first, or leave the recording out.",
        )
    if standing.ended_at is not None:
        return _Refusal(
            "ended",
            f"{code} withdrew consent for “{purpose.label}” on {_day(standing.ended_at)}, so we "
            f"may not {words}. Leave the recording out; a withdrawal cannot be overridden.",
        )
    if subject.recorded_at is None:
        return _Refusal(
            "undated",
            f"A recording of {code} has no recording time, so nobody can tell whether consent "
            f"came first, and we may not {words}. Give the time of recording from the study's "
            "records.",
        )
    if subject.recorded_at < standing.given_at:
        return _Refusal(
            "recorded_before_consent",
            f"A recording of {code} was made on {_moment(subject.recorded_at)}, before consent "
            f"for “{purpose.label}” was given on {_moment(standing.given_at)}, so we may not "
            f"{words}. Check both times in the study's records; if they are right, leave it out.",
        )
    return None


def _check_setting(study: Study, purpose: Purpose) -> _Refusal | None:
    if (
        purpose is not Purpose.INFER
        or study.setting not in _NO_INFERENCE
        or study.exemption != Study.Exemption.NONE
    ):
        return None
    return _Refusal(
        "setting",
        f"The study “{study.title}” is set in “{study.get_setting_display()}” and has no recorded "
        "exemption, and the EU AI Act, Article 5(1)(f), forbids inferring emotions there: no "
        f"computer model may mark cues ({purpose.label}). People can still label the recordings; "
        "record an exemption with its reviewer if the study has one.",
    )


def _restrictions(
    participant: Participant, subject: Subject, span: Span | None
) -> QuerySet[Restriction]:
    found = Restriction.objects.filter(participant=participant)
    if subject.recording_id is not None:
        found = found.filter(recording_id=subject.recording_id)
    if span is not None:
        found = found.filter(Q(start_us__lt=span.end_us) & Q(end_us__gt=span.start_us))
    return found.order_by("start_us")[:1]


def _check_restrictions(
    participant: Participant,
    purpose: Purpose,
    span: Span | None,
    restrictions: Iterable[Restriction],
) -> _Refusal | None:
    """Refuse what overlaps a restricted stretch. Storing and preparing the whole stays possible."""
    if purpose is Purpose.PROCESS and span is None:
        return None
    restriction = next(iter(restrictions), None)
    if restriction is None:
        return None
    return _Refusal(
        "restricted",
        f"The stretch {format_us(restriction.start_us)} to {format_us(restriction.end_us)} of a "
        f"recording of {participant.code} must not be used ({restriction.reason}), so we may not "
        f"{_WORDS[purpose]} across it. Use the parts before or after it.",
    )


def _day(moment: datetime) -> str:
    return f"{moment:%d %B %Y}".lstrip("0")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

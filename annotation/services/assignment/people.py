"""Who may label which recording: languages, conflicts, absence, earlier work, the pass before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from annotation.models import Assignment, Batch, RaterProfile
from waver.accounts.models import User
from waver.consent.models import ConsentRecord
from waver.core.errors import BadInput
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study, StudyDesign

GONE = (Assignment.State.WITHDRAWN, Assignment.State.TAKEN_BACK)
_NAMED = 5


class Bar(Enum):
    """Why a rater may not label a recording, in words that a count stands before."""

    MET = "had it in this pass before"
    LANGUAGE = "without its language"
    CONFLICT = "with a conflict"
    NOT_BEFORE = "without it in the pass before"


def title(recording: Recording) -> str:
    """Name a recording for researchers: its participant and prompt. Never shown to raters."""
    prompt = recording.take.prompt
    code = recording.take.participant.code
    return f"{code}, prompt {prompt.order}" if prompt else code


def check_members(study: Study, raters: Sequence[User]) -> None:
    """Raise BadInput, naming them, for raters who are no annotators of the study."""
    known = set(
        Membership.objects.filter(study=study, role=Membership.Role.ANNOTATOR).values_list(
            "user_id", flat=True
        )
    )
    strangers = [rater.username for rater in raters if rater.pk not in known]
    if strangers:
        raise BadInput(
            f"{', '.join(strangers)} cannot label in “{study.title}”, not being annotators of it. "
            "Add them as annotators first."
        )


def away(study: Study, raters: Iterable[User], *, on: date | None = None) -> dict[UUID, str]:
    """Give the raters who are away on a day (today, if left out), each with a sentence."""
    day = on or timezone.localdate()
    rows = RaterProfile.objects.filter(
        Q(absent_from__isnull=False) | Q(absent_until__isnull=False),
        study=study,
        user__in=list(raters),
    ).select_related("user")
    found = {}
    for row in rows:
        begun = row.absent_from is None or row.absent_from <= day
        if begun and (row.absent_until is None or day <= row.absent_until):
            until = f"until {row.absent_until}" if row.absent_until else "without an end"
            found[row.user_id] = f"{row.user.username} is away {until} and gets nothing."
    return found


def spoken(study: Study, recordings: Collection[Recording]) -> dict[UUID, str]:
    """Give the language of each recording.

    What its take says; otherwise that of the consent form which the participant signed last;
    otherwise the study's first.
    """
    first = str(study.languages[0]) if study.languages else "en"
    if len(study.languages) < 2 and not any(each.take.language for each in recordings):
        return {each.pk: first for each in recordings}
    forms = ConsentRecord.objects.filter(
        participant__in={each.take.participant_id for each in recordings}
    ).order_by("given_at")
    of_form = dict(forms.values_list("participant_id", "document__language"))
    return {
        each.pk: each.take.language or of_form.get(each.take.participant_id, first)
        for each in recordings
    }


def pass_before(design: StudyDesign, pass_id: str) -> str:
    """Give the pass that comes before another one in the study's design, "" for none."""
    order = list(design.passes)
    at = order.index(pass_id) if pass_id in order else 0
    return str(order[at - 1]) if at else ""


@dataclass
class Rules:
    """What decides who may label what, read once for many recordings and raters.

    met        recording -> raters who had it in this pass in any batch, also in training.
    having     recording -> raters who have it in this pass as real work that still counts.
    before     recording -> raters who have it in the pass before; None where there is none.
    drawn      recording -> real work on it in this pass, or else in the pass before: its arm and
               its place in the sample are drawn already.
    """

    languages: dict[UUID, frozenset[str]] = field(default_factory=dict)
    conflicts: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    spoken: dict[UUID, str] = field(default_factory=dict)
    met: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    having: dict[UUID, dict[UUID, Assignment]] = field(default_factory=lambda: defaultdict(dict))
    before: dict[UUID, set[UUID]] | None = None
    drawn: dict[UUID, Assignment] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        study: Study,
        pass_id: str,
        raters: Collection[User],
        recordings: Collection[Recording],
        *,
        earlier_pass: str = "",
    ) -> Rules:
        """Read the rules for these raters and recordings."""
        rules = cls(spoken=spoken(study, recordings))
        profiles = RaterProfile.objects.filter(study=study, user__in=list(raters))
        for profile in profiles.prefetch_related("conflicts"):
            if profile.languages:
                rules.languages[profile.user_id] = frozenset(map(_language, profile.languages))
            rules.conflicts[profile.user_id] |= {
                each.participant_id for each in profile.conflicts.all()
            }
        here = Assignment.objects.filter(
            batch__study=study, recording__in=[each.pk for each in recordings]
        ).select_related("batch")
        for row in here.filter(batch__pass_id=pass_id):
            rules.met[row.recording_id].add(row.rater_id)
            if _is_work(row):
                rules.having[row.recording_id][row.rater_id] = row
        if earlier_pass:
            rules.before = defaultdict(set)
            for row in here.filter(batch__pass_id=earlier_pass):
                if _is_work(row):
                    rules.before[row.recording_id].add(row.rater_id)
                    rules.drawn[row.recording_id] = row
        rules.drawn |= {pk: next(iter(rows.values())) for pk, rows in rules.having.items() if rows}
        return rules

    def bar(self, recording: Recording, rater: User, *, free: bool = False) -> Bar | None:
        """Say why a rater may not label a recording, or None when they may.

        `free` leaves the pass before out of account.
        """
        if rater.pk in self.met[recording.pk]:
            return Bar.MET
        can = self.languages.get(rater.pk)
        if can is not None and _language(self.spoken[recording.pk]) not in can:
            return Bar.LANGUAGE
        if recording.take.participant_id in self.conflicts[rater.pk]:
            return Bar.CONFLICT
        if not free and self.before is not None and rater.pk not in self.before[recording.pk]:
            return Bar.NOT_BEFORE
        return None

    def may(
        self, recording: Recording, raters: Iterable[User], *, free: bool = False
    ) -> frozenset[UUID]:
        """Give the raters who may label a recording."""
        return frozenset(r.pk for r in raters if self.bar(recording, r, free=free) is None)

    def shortage(self, recordings: dict[Recording, int], raters: Sequence[User]) -> str:
        """Say which recordings lack raters (recording -> how many it needs), why, what to do."""
        lines = []
        for recording, need in list(recordings.items())[:_NAMED]:
            bars = Counter(
                bar for rater in raters if (bar := self.bar(recording, rater)) is not None
            )
            why = ", ".join(f"{count} {bar.value}" for bar, count in bars.most_common())
            lines.append(
                f"{title(recording)} (in {self.spoken[recording.pk]}) needs {need}, and "
                f"{len(raters) - sum(bars.values())} of the {len(raters)} named may label it"
                f"{f' ({why})' if why else ''}"
            )
        more = len(recordings) - _NAMED
        return (
            f"{len(recordings)} recording{'s lack' if len(recordings) > 1 else ' lacks'} raters: "
            f"{'; '.join(lines)}{f'; and {more} more' if more > 0 else ''}. Name more raters, "
            "change what the raters' pages say of languages and conflicts, or leave these "
            "recordings out."
        )


def _is_work(row: Assignment) -> bool:
    return (
        row.batch.kind == Batch.Kind.WORK
        and not row.is_gold
        and row.repeat == 0
        and row.state not in GONE
    )


def _language(code: str) -> str:
    """Give the language without its country: who understands “fr” understands “fr-CA”."""
    return str(code).split("-")[0].lower()

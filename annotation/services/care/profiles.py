"""What a study knows of a rater: languages, absence, and whom they must not judge.

Assignment reads these rows; the study's lead edits them on the rater's page.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from django.db import transaction

from annotation.models import Assignment, RaterConflict, RaterProfile
from waver.accounts.models import User
from waver.consent.models import Participant
from waver.core import audit
from waver.core.errors import BadInput, Missing
from waver.studies.models import Membership, Study


def is_rater_of(user: User, study: Study) -> bool:
    """Tell whether somebody is, or was, a rater of a study: an annotator, or with work in it."""
    return (
        Membership.objects.filter(study=study, user=user, role=Membership.Role.ANNOTATOR).exists()
        or Assignment.objects.filter(batch__study=study, rater=user).exists()
    )


def raters_of(study: Study) -> list[User]:
    """List everybody who is or was a rater of a study, by name."""
    members = Membership.objects.filter(study=study, role=Membership.Role.ANNOTATOR)
    working = Assignment.objects.filter(batch__study=study)
    ids = set(members.values_list("user_id", flat=True)) | set(
        working.values_list("rater_id", flat=True).distinct()
    )
    return list(User.objects.filter(pk__in=ids).order_by("username"))


def profile_of(*, user: User, study: Study) -> RaterProfile:
    """Give the rater's profile in the study, made empty when there is none yet.

    Raises Missing for somebody who is no rater of the study.
    """
    if not is_rater_of(user, study):
        raise Missing(f"“{study.title}” has no such rater. Its page of raters lists them all.")
    found, _ = RaterProfile.objects.get_or_create(user=user, study=study)
    return found


@transaction.atomic
def set_availability(
    *,
    profile: RaterProfile,
    languages: Iterable[str],
    absent_from: date | None,
    absent_until: date | None,
    actor: str,
) -> RaterProfile:
    """Set the languages that a rater understands, and when they are away (both days included).

    No language means every language of the study. Raises BadInput for a language that the study
    does not have, and for an absence that ends before it begins or has no beginning.
    """
    chosen = list(dict.fromkeys(languages))
    known = list(profile.study.languages) or ["en"]
    strange = [each for each in chosen if each not in known]
    if strange:
        raise BadInput(f"“{strange[0]}” is no language of this study. It has {', '.join(known)}.")
    if absent_until is not None and absent_from is None:
        raise BadInput("The absence has an end and no beginning. Give its first day.")
    if absent_from and absent_until and absent_until < absent_from:
        raise BadInput(
            f"The absence ends on {absent_until}, before it begins on {absent_from}. Correct it."
        )
    row = RaterProfile.objects.select_for_update().get(pk=profile.pk)
    row.languages, row.absent_from, row.absent_until = chosen, absent_from, absent_until
    row.save(update_fields=["languages", "absent_from", "absent_until"])
    audit.record(
        actor=actor, verb="rater.availability_set", object_kind="rater_profile", object_id=row.pk
    )
    profile.refresh_from_db()
    return profile


@transaction.atomic
def add_conflict(
    *, profile: RaterProfile, participant_code: str, reason: str, actor: str
) -> RaterConflict:
    """Record that a rater must not judge a participant of the study.

    A conflict that is there already keeps its row, with the new reason. Raises BadInput for a
    code that no participant of the study has.
    """
    code = participant_code.strip()
    participant = Participant.objects.filter(study=profile.study, code=code).first()
    if participant is None:
        raise BadInput(
            f"“{profile.study.title}” has no participant “{code}”. Write the code as it stands on "
            "the page of recordings."
        )
    made, _ = RaterConflict.objects.update_or_create(
        profile=profile, participant=participant, defaults={"reason": reason.strip()}
    )
    audit.record(
        actor=actor,
        verb="rater.conflict_set",
        object_kind="rater_profile",
        object_id=profile.pk,
        detail={"participant": str(participant.pk)},
    )
    return made


@transaction.atomic
def remove_conflict(*, profile: RaterProfile, conflict_id: UUID, actor: str) -> None:
    """Remove a conflict of a rater. Raises Missing when it is not there."""
    found = RaterConflict.objects.filter(profile=profile, pk=conflict_id).first()
    if found is None:
        raise Missing("This conflict is not there any more. The rater's page lists those that are.")
    participant = found.participant_id
    found.delete()
    audit.record(
        actor=actor,
        verb="rater.conflict_removed",
        object_kind="rater_profile",
        object_id=profile.pk,
        detail={"participant": str(participant)},
    )

"""Signs that two people use one account: their labels would pass for one rater's."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from annotation.models import Annotation, RemoteProject
from waver.accounts.models import LabelStudioSession, User
from waver.studies.models import Study

LOOK_BACK = timedelta(days=30)
# Pauses and two open pages of one person overlap a little; this much, this often, does not.
OVERLAP = timedelta(seconds=30)
FEWEST = 3


@dataclass(frozen=True)
class Doubt:
    """A rater whose account may be two people's, and why, in a sentence for the study's lead."""

    rater: User
    sentence: str


def doubts(study: Study) -> list[Doubt]:
    """Look for accounts in use at two places at once. They are no proof: ask the rater.

    - two stays in Label Studio that live at the same time and began in different sign-ins;
    - recordings that were worked on during the same time, by the times that Label Studio took.
    Scripted raters are left out: they are faster than people on purpose.
    """
    found = [*_by_stays(study), *_by_times(study)]
    return sorted(found, key=lambda doubt: (doubt.rater.username, doubt.sentence))


def _by_stays(study: Study) -> list[Doubt]:
    stays = LabelStudioSession.objects.filter(
        remote_project_id__in=RemoteProject.objects.filter(batch__study=study).values("remote_id"),
        redeemed_at__isnull=False,
        ended_at__isnull=True,
        expires_at__gt=timezone.now(),
        user__is_synthetic=False,
    ).select_related("user")
    begun: dict[User, dict[str, datetime]] = defaultdict(dict)
    for stay in stays.order_by("redeemed_at"):
        if stay.redeemed_at is not None:
            begun[stay.user][stay.web_session_hash] = stay.redeemed_at
    return [
        Doubt(
            rater,
            f"The account {rater.username} is in Label Studio from {len(times)} sign-ins at once, "
            f"begun {', '.join(f'{at:%d %B %H:%M}' for at in times.values())} (UTC). If two people "
            "use it, give each their own: labels count as independent only if they are. If it is "
            "one person in two places, ask them to sign out in the other.",
        )
        for rater, times in begun.items()
        if len(times) > 1
    ]


def _by_times(study: Study) -> list[Doubt]:
    rows = Annotation.objects.filter(
        assignment__batch__study=study,
        assignment__rater__is_synthetic=False,
        version=1,
        lead_time_us__isnull=False,
        remote_updated_at__gt=timezone.now() - LOOK_BACK,
    ).exclude(received_by=Annotation.Route.IMPORT)
    ends: dict[UUID, datetime] = {}
    often: dict[UUID, int] = defaultdict(int)
    for rater, until, us in rows.order_by("remote_updated_at").values_list(
        "assignment__rater", "remote_updated_at", "lead_time_us"
    ):
        began = until - timedelta(microseconds=us or 0)
        if rater in ends and ends[rater] - began > OVERLAP:
            often[rater] += 1
        ends[rater] = until
    users = User.objects.in_bulk(rater for rater, count in often.items() if count >= FEWEST)
    return [
        Doubt(
            user,
            f"{often[user.pk]} recordings of {user.username} were worked on while the one before "
            "was still open, in the last 30 days. One person with two pages does that too: ask "
            "whether somebody else uses the account.",
        )
        for user in users.values()
    ]

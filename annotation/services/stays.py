"""A rater's stay in Label Studio: begun by a ticket, checked at every request, ended at once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.signing import BadSignature, TimestampSigner
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from annotation.models import Assignment, Batch, RemoteProject
from annotation.services import opening, workload
from waver.accounts.models import LabelStudioSession, User
from waver.core.errors import Conflict, Missing, NotAllowed
from waver.studies.models import Membership

# While raters may work on a batch: it is open, or open and being sent once more.
GOING_ON = (Batch.State.OPEN, Batch.State.PUBLISHING)
TICKET_LIFE = timedelta(seconds=60)
_ENDED = "Your stay here has ended. Sign in to Waver and start labelling again."
_SALT = "waver.label-studio.ticket"


@dataclass(frozen=True)
class Stay:
    """A rater in one Label Studio project. `key` is known to the guard only."""

    user: User
    project: int
    key: str = ""


def begin(user: User, batch: Batch, web_session_key: str) -> str:
    """Give a one-time ticket that leads the rater into their own project of a batch.

    Raises Missing when the rater has nothing in the batch, NotAllowed when they are no annotator of
    its study any more, Conflict while it is not open, or not to this rater (see `opening`).
    """
    if not Assignment.objects.filter(batch=batch, rater=user).exists():
        raise Missing("You have no recordings in this batch. Your queue lists where you have some.")
    if not batch.study.memberships.filter(user=user, role=Membership.Role.ANNOTATOR).exists():
        raise NotAllowed(
            "You are no annotator of this study any more. Ask its lead if that is a mistake."
        )
    project = RemoteProject.objects.filter(batch=batch, rater=user).first()
    if batch.state == Batch.State.CLOSED:
        raise Conflict(
            "This batch is closed, so nothing in it can be labelled any more. Thank you for your "
            "work; your queue lists what else there is."
        )
    if batch.state != Batch.State.OPEN or project is None:
        raise Conflict(
            "This batch is not open for labelling. If it is new, it is being sent to Label Studio: "
            "wait a minute and start again."
        )
    not_yet = opening.refusal(user, batch)
    if not_yet:
        raise Conflict(not_yet)
    ticket = TimestampSigner(salt=_SALT).sign(secrets.token_urlsafe(32))
    now = timezone.now()
    # Once the Waver session has run out, nobody can sign out of it: the stay must not outlive it.
    web_session = Session.objects.filter(session_key=web_session_key).first()
    longest = now + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    LabelStudioSession.objects.create(
        user=user,
        remote_project_id=project.remote_id,
        web_session_hash=_hash(web_session_key),
        ticket_hash=_hash(ticket),
        ticket_expires_at=now + TICKET_LIFE,
        expires_at=min(web_session.expire_date, longest) if web_session else longest,
    )
    return ticket


def redeem(ticket: str) -> Stay:
    """Turn a ticket into a stay, once. Raises NotAllowed for a used, old or forged ticket."""
    refusal = NotAllowed(
        "This way in was used already or is too old. Go back to Waver and press “Start labelling”."
    )
    try:
        TimestampSigner(salt=_SALT).unsign(ticket, max_age=TICKET_LIFE)
    except BadSignature as error:
        raise refusal from error
    key, now = secrets.token_urlsafe(32), timezone.now()
    changed = LabelStudioSession.objects.filter(
        ticket_hash=_hash(ticket),
        redeemed_at__isnull=True,
        ended_at__isnull=True,
        ticket_expires_at__gt=now,
    ).update(redeemed_at=now, key_hash=_hash(key))
    if changed != 1:
        raise refusal
    stay = check(key)
    return Stay(user=stay.user, project=stay.project, key=key)


def check(key: str) -> Stay:
    """Give the stay that a key belongs to. Raises NotAllowed when it has ended.

    It also ends when the rater is taken out of the study, and when the batch is closed.
    """
    annotates = Membership.objects.filter(
        user=OuterRef("user"),
        role=Membership.Role.ANNOTATOR,
        study__batches__projects__remote_id=OuterRef("remote_project_id"),
        study__batches__state__in=GOING_ON,
    )
    row = (
        LabelStudioSession.objects.filter(
            _living(),
            Exists(annotates),
            key_hash=_hash(key),
            redeemed_at__isnull=False,
            user__is_active=True,
        )
        .select_related("user")
        .first()
    )
    if not key or row is None:
        raise NotAllowed(_ENDED)
    return Stay(user=row.user, project=row.remote_project_id, key=key)


def pause(stay: Stay) -> str:
    """Say why a rater gets no further recording for now; "" when they do.

    What they have open they may still submit.
    """
    batch = Batch.objects.filter(
        projects__remote_id=stay.project, study__design__daily_limit__isnull=False
    ).first()
    return workload.refusal(stay.user, batch) if batch else ""


def end(key: str) -> None:
    """End a stay, because the rater signed out in Label Studio."""
    LabelStudioSession.objects.filter(_living(), key_hash=_hash(key)).update(
        ended_at=timezone.now()
    )


def end_with_web_session(web_session_key: str | None) -> int:
    """End every stay, and every ticket, that began in a Waver session which ends now."""
    if not web_session_key:
        return 0
    return LabelStudioSession.objects.filter(
        ended_at__isnull=True, web_session_hash=_hash(web_session_key)
    ).update(ended_at=timezone.now())


def _living() -> Q:
    return Q(ended_at__isnull=True, expires_at__gt=timezone.now())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

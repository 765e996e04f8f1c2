"""The demonstration's people: one login per role, and scripted raters that are marked synthetic."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from waver.accounts.models import User
from waver.stack.secrets import secret
from waver.studies.models import Membership, Study

SCRIPTED_RATERS = ("scripted.rater.1", "scripted.rater.2", "scripted.rater.3")

SCRIPTED_ADJUDICATOR = "scripted.adjudicator"


@dataclass(frozen=True)
class Login:
    """A demo login: the role that it shows, the user name and the password."""

    role: str
    username: str
    password: str


def password() -> str:
    """Give this installation's demo password: random, made once, the same for every demo login."""
    return secret(settings.VAR, "demo-password")[:12]


def make_people() -> list[Login]:
    """Make the demo accounts that are missing, and give the logins to print, one per role."""
    roles = {
        "administrator": _user("administrator", is_superuser=True),
        "researcher": _user("researcher"),
        "consent manager": _user("consent.manager"),
        "annotator": _user("annotator"),
    }
    for name in SCRIPTED_RATERS:
        _user(name, is_synthetic=True)
    return [Login(role, user.username, password()) for role, user in roles.items()]


def scripted_raters() -> list[User]:
    """Give the scripted raters, in order."""
    return list(User.objects.filter(username__in=SCRIPTED_RATERS).order_by("username"))


def scripted_adjudicator(study: Study) -> User:
    """Give the synthetic researcher who decides one disputed item, as a member of the study."""
    user = _user(SCRIPTED_ADJUDICATOR, is_synthetic=True)
    Membership.objects.get_or_create(study=study, user=user, role=Membership.Role.RESEARCHER)
    return user


def join(study: Study) -> None:
    """Make the demo people members of the study, each in their role."""
    roles = Membership.Role
    wanted = {
        "researcher": roles.LEAD,
        "consent.manager": roles.CONSENT_MANAGER,
        "annotator": roles.ANNOTATOR,
    }
    wanted |= dict.fromkeys(SCRIPTED_RATERS, roles.ANNOTATOR)
    for username, role in wanted.items():
        user = User.objects.get(username=username)
        Membership.objects.get_or_create(study=study, user=user, role=role)


def _user(username: str, *, is_superuser: bool = False, is_synthetic: bool = False) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        user = User(
            username=username,
            is_superuser=is_superuser,
            is_staff=is_superuser,
            is_synthetic=is_synthetic,
        )
        user.set_password(password())
        user.save()
    return user

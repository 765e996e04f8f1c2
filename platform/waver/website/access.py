"""Who may open which page: one place, asked by every view that shows a study.

A study that somebody is no member of does not exist for them (404). A page of their own study that
their role does not cover is refused with a sentence (403).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase

from waver.accounts.models import User
from waver.core.errors import Missing, NotAllowed
from waver.studies.models import Membership, Study

P = ParamSpec("P")
Role = Membership.Role

# Research pages show people and their labels; the overview and the list show states and sentences.
RESEARCH: frozenset[str] = frozenset({Role.LEAD, Role.RESEARCHER})
CARE: frozenset[str] = RESEARCH | {Role.CONSENT_MANAGER}

_ROLE_WORDS = {
    Role.LEAD: "its lead",
    Role.RESEARCHER: "its researchers",
    Role.CONSENT_MANAGER: "its consent managers",
}


@dataclass(frozen=True)
class StudyAccess:
    """A study and the roles in which the signed-in person belongs to it."""

    study: Study
    user: User
    roles: frozenset[str]

    @property
    def is_lead(self) -> bool:
        """Tell whether the person leads the study (and so may know who the raters are)."""
        return Role.LEAD in self.roles

    @property
    def may_research(self) -> bool:
        """Tell whether recordings, agreement and releases are open to the person."""
        return bool(self.roles & RESEARCH)


def person(request: HttpRequest) -> User:
    """Give the signed-in user of a request that has passed `login_required`."""
    return cast(User, request.user)


def study_access(*, user: User, code: str, allowed: frozenset[str]) -> StudyAccess:
    """Find a study for somebody.

    Raises Missing when they are no member of it, NotAllowed when none of their roles is in
    `allowed`.
    """
    rows = list(Membership.objects.filter(study__code=code, user=user).select_related("study"))
    if not rows:
        raise Missing(
            f"There is no study “{code}” that you belong to. Ask the study's lead to add you, "
            "or go back to your own pages."
        )
    roles = frozenset(row.role for row in rows)
    if not roles & allowed:
        words = [word for role, word in _ROLE_WORDS.items() if role in allowed]
        raise NotAllowed(
            f"This page of “{rows[0].study.title}” is open to {' and '.join(words)}, and your "
            "role does not include it. Ask the study's lead if you need it."
        )
    return StudyAccess(study=rows[0].study, user=user, roles=roles)


def study_page(
    allowed: frozenset[str],
) -> Callable[
    [Callable[Concatenate[HttpRequest, StudyAccess, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, str, P], HttpResponseBase],
]:
    """Give a view of a study's page its `StudyAccess` in place of the study's code."""

    def decorate(
        view: Callable[Concatenate[HttpRequest, StudyAccess, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, str, P], HttpResponseBase]:
        @wraps(view)
        def wrapped(
            request: HttpRequest, code: str, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponseBase:
            access = study_access(user=person(request), code=code, allowed=allowed)
            return view(request, access, *args, **kwargs)

        return cast(
            Callable[Concatenate[HttpRequest, str, P], HttpResponseBase], login_required(wrapped)
        )

    return decorate


def administrator_page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Open a view to administrators only. Staff who may read evidence are not yet that."""
    return _only_if(
        view,
        lambda user: user.is_superuser,
        "This page is open to the administrators of this Waver. Ask one of them for what you need "
        "to know, or go back to your own pages.",
    )


def annotator_page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Open a view to those who annotate in at least one study."""
    return _only_if(
        view,
        lambda user: user.memberships.filter(role=Role.ANNOTATOR).exists(),
        "You are no annotator of any study, so there is no queue of yours. Ask the study's lead "
        "to add you as one.",
    )


def _only_if(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    allowed: Callable[[User], bool],
    refusal: str,
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    @wraps(view)
    def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not allowed(person(request)):
            raise NotAllowed(refusal)
        return view(request, *args, **kwargs)

    return cast(Callable[Concatenate[HttpRequest, P], HttpResponseBase], login_required(wrapped))

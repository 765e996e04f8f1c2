"""What stands in the menu: only pages that are open to the person."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from annotation.models import Assignment
from waver.accounts.models import User
from waver.studies.models import Membership


@dataclass(frozen=True)
class Item:
    """One entry: its title, its address, and the names of the pages that lie below it."""

    title: str
    url: str
    names: tuple[str, ...]


_PAGES = {
    "status": ("Status", ("status",)),
    "studies": (
        "My studies",
        (
            *("studies", "study", "recordings", "recording", "batches", "design", "quality"),
            *("agreement", "agreement-run", "releases", "release"),
            *("raters", "rater", "gold", "adjudication", "adjudication-item"),
        ),
    ),
    "queue": ("My queue", ("queue", "instructions", "training")),
    "my-figures": ("My figures", ("my-figures", "rater-notice")),
}


def menu_of(user: User) -> list[Item]:
    """List the pages that begin what somebody may do here, most important first."""
    roles = set(Membership.objects.filter(user=user).values_list("role", flat=True))
    found = []
    if user.is_superuser:
        found.append("status")
    if roles - {Membership.Role.ANNOTATOR}:
        found.append("studies")
    if Membership.Role.ANNOTATOR in roles:
        found += ["queue", "my-figures"]
    elif Assignment.objects.filter(rater=user).exists():
        found.append("my-figures")  # who left a study keeps the way to what is held about them
    items = [Item(_PAGES[name][0], reverse(f"website:{name}"), _PAGES[name][1]) for name in found]
    if user.is_staff:
        items.append(Item("Administration", reverse("admin:index"), ()))
    return items


def home_of(user: User) -> str | None:
    """Give the address of somebody's first page, or None when they belong to no study yet."""
    items = menu_of(user)
    return items[0].url if items else None

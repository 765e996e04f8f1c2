"""Who holds personal data: each app registers a holder, so that a withdrawal reaches them all.

`consent` stands below the apps that hold recordings and labels and cannot know them. Each of them
registers one holder here when Django starts.

Which models hold personal data is found, not listed by hand, so that nobody can forget one: the
model that sets `data_subject = True` (consent's Participant) and every model from which a chain of
foreign keys leads to it. A test fails for such a model that no holder names in `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID


@dataclass(frozen=True)
class Held:
    """One thing that is held about a participant: what it is, its id, and where it lies."""

    kind: str
    object_id: str
    where: str


# A holder's method `list` hides the built-in one inside its class, also from the type checker.
HeldList: TypeAlias = list[Held]


class Holder(Protocol):
    """What an app does with the data it holds about one participant."""

    @property
    def name(self) -> str:
        """The app's name."""

    @property
    def models(self) -> tuple[str, ...]:
        """Labels, `app.Model`, of the models with personal data."""

    def list(self, participant_id: UUID) -> HeldList:
        """List everything held about the participant."""

    def quarantine(self, participant_id: UUID) -> None:
        """Stop at once what consent no longer covers (ask its policy); nothing is lost yet.

        Called after every withdrawal, also one of a single purpose.
        """

    def erase(self, participant_id: UUID) -> None:
        """Remove it for good. May be called again after a crash and then finishes the rest."""

    def verify_absent(self, participant_id: UUID) -> HeldList:
        """Look again and list what is still there: empty when the erasure is complete."""


_holders: dict[str, Holder] = {}


def register(holder: Holder) -> None:
    """Register an app's holder, once, from its AppConfig.ready(). Raises ValueError when twice."""
    if holder.name in _holders and type(_holders[holder.name]) is not type(holder):
        raise ValueError(f"Two holders are called “{holder.name}”. Each app registers one.")
    _holders[holder.name] = holder


def all_holders() -> tuple[Holder, ...]:
    """Give every holder, the topmost app first: labels go before the media they point to."""
    return tuple(reversed(_holders.values()))


def models_with_holder() -> frozenset[str]:
    """Give the labels (`app.Model`) of the models that a holder says it is responsible for."""
    return frozenset(label for holder in _holders.values() for label in holder.models)


def personal_models() -> frozenset[str]:
    """Give the labels of the models whose rows are about a participant."""
    from django.apps import apps

    everyone = list(apps.get_models())
    personal: set[Any] = {model for model in everyone if getattr(model, "data_subject", False)}
    while True:
        found = {
            model
            for model in everyone
            if model not in personal
            and any(
                field.many_to_one or field.one_to_one
                for field in model._meta.concrete_fields
                if field.related_model in personal
            )
        }
        if not found:
            return frozenset(model._meta.label for model in personal)
        personal |= found

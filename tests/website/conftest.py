"""A study with one person in each role, and clients that are signed in as them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.test import Client

from tests.factories import MembershipFactory, StudyFactory, UserFactory
from waver.accounts.models import User
from waver.studies.models import Study

ROLES = ("lead", "researcher", "consent_manager", "annotator")


@dataclass(frozen=True)
class House:
    """A study, its people by role, an administrator and a researcher of another study."""

    study: Study
    people: dict[str, User]

    def client(self, role: str) -> Client:
        """Give a client that is signed in as somebody; `nobody` is signed out."""
        client = Client()
        if role != "nobody":
            client.force_login(self.people[role])
        return client


@pytest.fixture
def house(db) -> House:
    study = StudyFactory(code="voices", title="Voices")
    people = {role: MembershipFactory(study=study, role=role).user for role in ROLES}
    people["administrator"] = UserFactory(is_staff=True, is_superuser=True)
    people["stranger"] = MembershipFactory(study=StudyFactory(code="other")).user
    return House(study, people)

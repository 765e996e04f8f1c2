from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from tests.factories import PASSWORD, UserFactory
from waver.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(client):
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return client


def test_an_administrator_adds_a_person_who_can_sign_in(administrator, client):
    password = "a long and unusual password"
    answer = administrator.post(
        reverse("admin:accounts_user_add"),
        {
            "username": "ada",
            "usable_password": "true",
            "password1": password,
            "password2": password,
        },
    )
    assert answer.status_code == 302
    client.logout()
    assert client.login(username="ada", password=password)


def test_an_account_is_ended_and_not_deleted(administrator):
    person = UserFactory(username="bob")
    delete = reverse("admin:accounts_user_delete", args=[person.pk])
    assert administrator.post(delete, {"post": "yes"}).status_code == 403
    assert administrator.get(reverse("admin:accounts_user_changelist")).status_code == 200
    assert (
        administrator.get(reverse("admin:accounts_user_change", args=[person.pk])).status_code
        == 200
    )
    User.objects.filter(pk=person.pk).update(is_active=False)
    administrator.logout()
    assert not administrator.login(username="bob", password=PASSWORD)


def test_a_scripted_rater_is_never_an_administrator():
    with pytest.raises(IntegrityError, match="user_synthetic"), transaction.atomic():
        UserFactory(is_synthetic=True, is_superuser=True)

"""Signing in and out, and where each role begins."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import PASSWORD, UserFactory


@pytest.mark.parametrize(
    ("role", "home"),
    [
        ("administrator", "/status/"),
        ("lead", "/studies/"),
        ("researcher", "/studies/"),
        ("consent_manager", "/studies/"),
        ("annotator", "/queue/"),
    ],
)
def test_each_role_begins_on_its_own_page(house, role, home):
    client = house.client(role)
    answer = client.get("/", follow=True)
    assert answer.redirect_chain[-1][0] == home
    assert answer.status_code == 200


def test_staff_who_may_read_consent_evidence_are_no_administrators(house):
    person = house.people["consent_manager"]
    person.is_staff = True
    person.save()
    client = house.client("consent_manager")
    assert "/admin/" in client.get("/studies/").content.decode()
    assert client.get("/status/").status_code == 403


def test_who_belongs_to_no_study_is_told_what_to_do(db):
    client = Client()
    client.force_login(UserFactory(username="new.person"))
    answer = client.get("/")
    assert answer.status_code == 200
    assert "new.person" in answer.content.decode()


def test_signing_in_with_the_form(house):
    client = Client(enforce_csrf_checks=True)
    page = client.get("/sign-in/")
    token = page.context["csrf_token"]
    person = house.people["researcher"]
    fields = {"username": person.username, "password": PASSWORD, "csrfmiddlewaretoken": str(token)}
    assert client.post("/sign-in/", {**fields, "password": "wrong"}).status_code == 200
    answer = client.post("/sign-in/", fields)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/studies/").status_code == 200


def test_a_wrong_password_keeps_the_name_and_says_what_to_do(db):
    answer = Client().post("/sign-in/", {"username": "ada", "password": "wrong"})
    text = answer.content.decode()
    assert 'value="ada"' in text
    assert "do not belong together" in text
    assert "wrong" not in text.replace("are wrong", "")


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_the_next_address_never_leaves_the_site(house, target):
    person = house.people["researcher"]
    answer = Client().post(
        f"/sign-in/?next={target}",
        {"username": person.username, "password": PASSWORD, "next": target},
    )
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_the_next_address_of_this_site_is_followed(house):
    person = house.people["researcher"]
    page = Client().get("/studies/voices/")
    assert page["Location"] == "/sign-in/?next=/studies/voices/"
    answer = Client().post(
        page["Location"],
        {"username": person.username, "password": PASSWORD, "next": "/studies/voices/"},
    )
    assert answer["Location"] == "/studies/voices/"


def test_signing_out_needs_a_post(house):
    client = house.client("lead")
    assert client.get("/sign-out/").status_code == 405
    assert client.get("/studies/").status_code == 200
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/studies/")["Location"] == "/sign-in/?next=/studies/"


def test_signing_out_needs_the_forms_token(house):
    client = Client(enforce_csrf_checks=True)
    client.force_login(house.people["lead"])
    answer = client.post("/sign-out/")
    assert answer.status_code == 403
    assert "The form has expired" in answer.content.decode()


@pytest.mark.parametrize("path", ["/studies/", "/studies/voices/", "/no/such/page/", "/sign-in/"])
def test_no_page_is_stored_in_the_browser(house, path):
    said = house.client("researcher").get(path)["Cache-Control"]
    assert {"private", "no-store"} <= set(said.split(", "))

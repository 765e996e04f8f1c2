"""Signing in and out, and where each role begins."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from tests.factories import PASSWORD, UserFactory
from waver.accounts import signing_in
from waver.accounts.models import SignInAttempt


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


WRONG = {"username": "ada", "password": "wrong"}
OTHERS = {"username": "grace", "password": "wrong"}


def _from(address: str) -> Client:
    return Client(REMOTE_ADDR=address)


@pytest.mark.parametrize("page", ["/sign-in/", "/admin/login/"])
def test_too_many_wrong_tries_have_to_wait_whatever_comes_then(db, page):
    UserFactory(username="ada", is_staff=True, is_superuser=True)
    right = {"username": "ada", "password": PASSWORD}
    client = _from("192.0.2.1")
    for _ in range(5):
        assert "wrong tries" not in client.post(page, WRONG).content.decode()
    for fields in (WRONG, right, {**right, "username": " ADA "}):
        refused = client.post(page, fields)
        assert "Try again in 15 minutes" in refused.content.decode()
        assert "_auth_user_id" not in client.session
    # From elsewhere the person still comes in; and so does somebody else from here.
    assert _from("192.0.2.2").post(page, right).status_code == 302
    UserFactory(username="grace", is_staff=True, is_superuser=True)
    assert client.post(page, {**right, "username": "grace"}).status_code == 302


def test_the_wait_ends_and_trying_on_does_not_make_it_longer(db, monkeypatch):
    UserFactory(username="ada")
    client = _from("192.0.2.1")
    now = signing_in.timezone.now()
    for minute in (0, 0, 0, 0, 0, 5, 10, 14):
        at = now + timedelta(minutes=minute)
        monkeypatch.setattr("django.utils.timezone.now", lambda at=at: at)
        answer = client.post("/sign-in/", WRONG)
        assert (answer.status_code == 429) == (minute > 0)
    assert answer["Retry-After"] == "60"
    later = now + timedelta(minutes=15, seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    assert client.post("/sign-in/", {**WRONG, "password": PASSWORD}).status_code == 302
    assert not SignInAttempt.objects.exists()


def test_a_name_that_does_not_exist_is_answered_like_one_that_does(db):
    UserFactory(username="ada")
    said = []
    for name in ("ada", "nobody.at.all"):
        client = _from(f"192.0.2.{len(said) + 1}")
        answers = [client.post("/sign-in/", {**WRONG, "username": name}) for _ in range(7)]
        said.append([(a.status_code, a.content.decode().replace(name, "")) for a in answers])
    token = re.compile(r'name="csrfmiddlewaretoken" value="[^"]+"')
    one, other = ([(status, token.sub("", text)) for status, text in each] for each in said)
    assert one == other
    assert [status for status, _ in one] == [200] * 5 + [429] * 2


def test_one_name_from_many_addresses_and_one_address_with_many_names_are_stopped(db):
    for number in range(signing_in.PER_NAME):
        assert _from(f"198.51.100.{number}").post("/sign-in/", WRONG).status_code == 200
    assert _from("203.0.113.1").post("/sign-in/", WRONG).status_code == 429
    client = _from("2001:db8::1")
    for number in range(signing_in.PER_ADDRESS):
        fields = {**OTHERS, "username": f"grace-{number}"}
        assert client.post("/sign-in/", fields).status_code == 200
    assert _from("2001:db8::beef").post("/sign-in/", OTHERS).status_code == 429
    assert _from("2001:db8:1::1").post("/sign-in/", OTHERS).status_code == 200


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(db, settings):
    settings.WAVER_PROXIES = 1
    proxy = _from("10.0.0.1")

    def post(forwarded: str) -> int:
        return proxy.post("/sign-in/", WRONG, headers={"X-Forwarded-For": forwarded}).status_code

    # What stands before the last one was written by whoever asks.
    assert [post(f"9.9.9.{n}, 192.0.2.1") for n in range(6)] == [200] * 5 + [429]
    assert post("192.0.2.7") == 200


@pytest.mark.django_db(transaction=True)
def test_tries_at_the_same_moment_are_counted_too():
    UserFactory(username="ada")

    def once(_: int) -> int:
        try:
            return _from("192.0.2.1").post("/sign-in/", WRONG).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        codes = list(pool.map(once, range(16)))
    assert codes.count(200) <= 5
    assert SignInAttempt.objects.count() <= 5

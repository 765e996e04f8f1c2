"""Errors are sentences: as a page, as a fragment and as JSON, with the status of their class."""

from __future__ import annotations

import pytest
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import Client, RequestFactory, override_settings
from django.urls import path

from waver.core import errors
from waver.website.middleware import ErrorSentences

RAISED = [
    (errors.BadInput("The file is empty. Supply another one."), 400),
    (errors.NotAllowed("Only the lead may do this. Ask them."), 403),
    (errors.ConsentRefused("P1 did not agree to this.", purpose="research"), 403),
    (errors.Missing("There is no such thing. Go back."), 404),
    (errors.Conflict("Somebody was faster. Reload."), 409),
    (errors.TemporaryProblem("The storage does not answer. Try again."), 503),
    (errors.IntegrityProblem("The hash differs. Call an administrator."), 500),
]


def request_for(accept: str = "text/html", **headers: str) -> HttpRequest:
    request = RequestFactory().get("/x/", headers={"Accept": accept, **headers})
    request.htmx = headers.get("HX-Request") == "true"
    return request


@pytest.mark.parametrize(("error", "status"), RAISED)
def test_each_error_has_its_status_and_its_sentence(error, status):
    answer = ErrorSentences(lambda r: None).process_exception(request_for(), error)
    assert answer.status_code == status
    assert error.sentence in answer.content.decode()
    assert "<html" in answer.content.decode()


@pytest.mark.parametrize(("error", "status"), RAISED)
def test_a_fragment_gets_a_fragment(error, status):
    request = request_for(**{"HX-Request": "true"})
    answer = ErrorSentences(lambda r: None).process_exception(request, error)
    assert answer.status_code == status
    assert error.sentence in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_a_program_gets_json():
    request = request_for(accept="application/json")
    answer = ErrorSentences(lambda r: None).process_exception(request, RAISED[0][0])
    assert answer["Content-Type"] == "application/json"
    assert b"The file is empty." in answer.content


def test_other_errors_are_left_to_django():
    assert ErrorSentences(lambda r: None).process_exception(request_for(), KeyError("x")) is None


def breaks(request: HttpRequest) -> None:
    raise RuntimeError("a secret detail")


urlpatterns = [path("breaks/", breaks)]


@override_settings(ROOT_URLCONF=__name__)
def test_an_unexpected_error_gives_a_page_without_details():
    answer = Client(raise_request_exception=False).get("/breaks/")
    text = answer.content.decode()
    assert answer.status_code == 500
    assert "Something is wrong on our side" in text
    assert "a secret detail" not in text


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_djangos_own_errors_have_pages(name):
    text = render_to_string(f"{name}.html")
    assert "<h1>" in text
    assert "Go to my pages" in text


def test_a_page_that_does_not_exist(db):
    answer = Client().get("/no/such/page/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_pages_run_no_script_but_their_own(db):
    answer = Client().get("/sign-in/")
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    text = answer.content.decode()
    assert "<script>" not in text
    assert "onclick" not in text

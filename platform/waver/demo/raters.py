"""Scripted raters: they sign in and label over HTTP as a browser does, with cookies, no tokens.

Marked synthetic wherever their work shows. They address only what a rater's browser would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from waver.core.errors import TemporaryProblem

Answer = Callable[[str], list[dict[str, Any]]]
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Work:
    """One batch that a scripted rater labels: where to start, and what to say of an assignment.

    `notice_path` is the page of what is recorded about raters, which comes first. `answer` gets
    the opaque assignment id that the task shows and gives Label Studio's result. `wait` returns
    when the batch opens: a later pass does so when the rater's work in the earlier one has arrived.
    """

    notice_path: str
    start_path: str
    answer: Answer
    wait: Callable[[], None]


def label(
    *,
    waver_url: str,
    username: str,
    password: str,
    work: list[Work],
    on_submitted: Callable[[], None],
) -> int:
    """Sign in, work off every batch, sign out; give the number of submitted annotations.

    Raises TemporaryProblem when one of the two servers does not do what a rater's page needs.
    """
    submitted = 0
    with httpx.Client(base_url=waver_url, timeout=_PATIENCE_SECONDS) as waver:
        _sign_in(waver, username, password)
        for path in dict.fromkeys(batch.notice_path for batch in work):
            _read_notice(waver, path)
        for batch in work:
            batch.wait()
            submitted += _work_off(waver, batch, on_submitted)
        _post_form(waver, "/sign-out/", {})
    return submitted


def _sign_in(waver: httpx.Client, username: str, password: str) -> None:
    waver.get("/sign-in/")
    answer = _post_form(waver, "/sign-in/", {"username": username, "password": password})
    if answer.status_code != 302 or "waver_session" not in waver.cookies:
        raise TemporaryProblem(f"The scripted rater {username} could not sign in to Waver.")


def _read_notice(waver: httpx.Client, path: str) -> None:
    """Open the notice and say that it was read, unless that is recorded already."""
    page = waver.get(path)
    text = re.search(r'name="sha256" value="([0-9a-f]{64})"', page.text)
    if page.status_code == 200 and text is None:
        return
    read = _post_form(waver, path, {"sha256": text[1]}) if text else page
    if read.status_code != 302:
        raise TemporaryProblem(
            f"The notice for raters could not be read (status {read.status_code})."
        )


def _post_form(waver: httpx.Client, path: str, fields: dict[str, str]) -> httpx.Response:
    token = waver.cookies.get("waver_csrf") or ""
    return waver.post(
        path,
        data={**fields, "csrfmiddlewaretoken": token},
        headers={"Referer": str(waver.base_url)},
    )


def _work_off(waver: httpx.Client, batch: Work, on_submitted: Callable[[], None]) -> int:
    """Start labelling as the queue's button does, then take task after task until none is left."""
    hand_over = _post_form(waver, batch.start_path, {})
    location, fields = _way_in(hand_over)
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(location))
    submitted = 0
    with httpx.Client(headers={"Origin": origin}, timeout=_PATIENCE_SECONDS) as labels:
        came_from = "{0.scheme}://{0.netloc}".format(urlsplit(str(waver.base_url)))
        entered = labels.post(location, data=fields, headers={"Origin": came_from})
        project = _project(urljoin(location, entered.headers.get("location", "")))
        while task := _next_task(labels, origin, project):
            result = batch.answer(task["meta"]["assignment"])
            answer = labels.post(
                f"{origin}/api/tasks/{task['id']}/annotations/?project={project}",
                json={"result": result, "lead_time": 12.5, "project": project},
            )
            if answer.status_code != 201:
                raise TemporaryProblem(
                    f"Label Studio refused an annotation (status {answer.status_code}): "
                    f"{answer.text[:300]}"
                )
            submitted += 1
            on_submitted()
    return submitted


def _way_in(page: httpx.Response) -> tuple[str, dict[str, str]]:
    """Read where the page after “Start labelling” sends its form, and what the form holds."""
    address = re.search(r'<form method="post" action="(http[^"]+/waver/enter)"', page.text)
    if page.status_code != 200 or address is None:
        raise TemporaryProblem(
            f"“Start labelling” did not lead into Label Studio (status {page.status_code})."
        )
    fields = re.findall(r'<input type="hidden" name="(ticket|task)" value="([^"]*)"', page.text)
    return unescape(address[1]), {name: unescape(value) for name, value in fields}


def _project(landing: str) -> int:
    """Read the project's number from the page that the rater lands on: /projects/N/data."""
    parts = urlsplit(landing).path.split("/")
    if len(parts) < 3 or parts[1] != "projects" or not parts[2].isdigit():
        raise TemporaryProblem(f"Label Studio did not open a project but {landing}.")
    return int(parts[2])


def _next_task(labels: httpx.Client, origin: str, project: int) -> dict[str, Any] | None:
    answer = labels.get(f"{origin}/api/projects/{project}/next")
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise TemporaryProblem(
            f"Label Studio gave no next task (status {answer.status_code}): {answer.text[:300]}"
        )
    task: dict[str, Any] = answer.json()
    return task

"""Every route that Label Studio knows × who asks × every verb, with everybody's ids.

The routes come from the running server's own URL configuration, so a new version's new routes are
probed without anybody listing them.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from annotation.labelstudio import process
from annotation.services import care
from tests.factories import MembershipFactory
from tests.labelstudio.scene import Scene, post_form, segment, submit
from waver.accounts.models import User
from waver.studies.models import Membership

pytestmark = pytest.mark.labelstudio

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What anybody gets: the interface's files and health hold nobody's data.
FILES = (
    "^favicon", "^label-studio-frontend/", "^dm/", "^react-app/", "^static/", "health/",
    "waver/labelling.js",
)  # fmt: skip
# What a rater gets whatever is asked for: own account, or lists that the guard empties.
ABOUT_ONESELF = {
    "^api/current-user/whoami",
    "^api/current-user/hotkeys/",
    "^api/current-user/product-tour",
    "api/version/",
    "^api/users/$",
    "^api/ml/",
    "^api/label_links/$",
    "^api/projects/",
}
# Tables whose rows the probes must not change; a rater's own tour and last activity may.
WATCHED = (
    "project", "task", "task_completion", "tasks_annotationdraft", "prediction",
    "projects_projectmember", "data_manager_view", "webhook", "organization",
    "organizations_organizationmember", "authtoken_token", "jwt_auth_jwtsettings",
    "projects_projectsummary", "label", "labels_manager_label",
)  # fmt: skip


@dataclass
class Person:
    """A rater with work of every kind: an annotation, a draft, a view."""

    user: User
    browser: httpx.Client
    project: int
    task: int
    open_task: int
    annotation: int
    draft: int
    view: int
    remote_user: int
    marks: tuple[str, ...]


@pytest.fixture(scope="module")
def people(stage: Scene) -> dict[str, Person]:
    MembershipFactory(study=stage.study, role=Membership.Role.LEAD, user__username="lead")
    for rater in stage.raters:  # the notice names the lead
        care.read_present_notice(rater, stage.study)
    return {
        letter: _at_work(stage, rater) for letter, rater in zip("AB", stage.raters, strict=True)
    }


def _at_work(stage: Scene, rater: User) -> Person:
    labels = stage.start_labelling(stage.sign_in(rater))
    project = stage.project(rater)
    rows = stage.assignments(rater)
    task, open_task = stage.task(rows[0]), stage.task(rows[1])
    secret = f"only {rater.username} may read this"
    done = submit(labels, task, segment(1.0, 2.0, note=secret))
    assert done.status_code == 201, done.text
    body = {"result": segment(2.0, 3.0, note=secret), "lead_time": 1.0}
    draft = labels.post(f"/api/tasks/{open_task}/drafts", json=body)
    assert draft.status_code == 201, draft.text
    view = labels.post(
        "/api/dm/views/", params={"project": project}, json={"project": project, "data": {}}
    )
    assert view.status_code == 201, view.text
    whoami = labels.get("/api/current-user/whoami").json()
    return Person(
        user=rater,
        browser=labels,
        project=project,
        task=task,
        open_task=open_task,
        annotation=done.json()["id"],
        draft=draft.json()["id"],
        view=view.json()["id"],
        remote_user=whoami["id"],
        marks=(secret, whoami["email"], *(row.media_token for row in rows)),
    )


@pytest.fixture(scope="module")
def routes(stage: Scene, people: dict[str, Person]) -> list[dict[str, Any]]:
    found = httpx.get(
        f"{stage.running.label_studio_url}/waver/admin/routes", headers=_service()
    ).json()["routes"]
    assert len(found) > 300
    return [route for route in found if "logout" not in route["route"]]


def test_the_rules_name_routes_that_exist(routes):
    source = (process.SERVER_ROOT / "waver_guard" / "routes.py").read_text(encoding="utf-8")
    known = {route["route"] for route in routes} | {"^logout/?$"}
    ruled = set(re.findall(r'^ {4}"([^"]+)": \{', source, re.MULTILINE))
    assert len(ruled) > 20
    assert ruled <= known


@pytest.mark.parametrize(
    ("asker", "owner"),
    [
        ("A", "B"),
        ("B", "A"),
        ("nobody", "A"),
        ("lead", "A"),
        pytest.param("service from outside", "A", marks=pytest.mark.slow),
        pytest.param("service with a rater's session", "B", marks=pytest.mark.slow),
    ],
)
def test_nothing_of_another_rater_comes_back_or_changes(stage, people, routes, asker, owner):
    theirs = people[owner]
    before = _fingerprint(stage)
    with _client(stage, people, asker) as client:
        found = _probe(client, routes, theirs)
    leaks = [
        (verb, path, status)
        for verb, path, route, status, text in found
        if any(mark in text for mark in theirs.marks)
    ]
    assert leaks == []
    reached = [
        (verb, path, status)
        for verb, path, route, status, text in found
        if status < 400 and not _harmless(route, asker)
    ]
    assert reached == []
    assert [row for row in found if row[3] >= 500] == []
    assert _fingerprint(stage) == before


def test_ones_own_ids_open_only_what_labelling_needs(stage, people, routes):
    mine, other = people["A"], people["B"]
    before = _fingerprint(stage, project=other.project)
    readable = {
        route["route"] for route in routes if route["route"].startswith(("^projects", "^api"))
    }
    with _client(stage, people, "A") as client:
        found = _probe(client, routes, mine, verbs=("GET", "PUT"))
    assert not [row for row in found if any(mark in row[4] for mark in other.marks)]
    opened = {row[2] for row in found if row[3] < 400} & readable
    assert opened == {
        "^projects/<int:pk>/",
        "^projects/<int:pk>/data/",
        "^api/current-user/whoami",
        "^api/current-user/hotkeys/",
        "^api/users/$",
        "^api/ml/",
        "^api/label_links/$",
        "^api/projects/",
        "^api/projects/<int:pk>/",
        "^api/projects/<int:pk>/next/",
        "^api/projects/<int:pk>/label-stream-history/",
        "^api/dm/project/",
        "^api/dm/columns/",
        "^api/dm/actions/",
        "^api/dm/views/$",
        "^api/dm/views/(?P<pk>[^/.]+)/$",
        "^api/tasks/",
        "^api/tasks/<int:pk>/",
        "^api/tasks/<int:pk>/annotations/",
        "^api/tasks/<int:pk>/drafts",
        "^api/tasks/<int:pk>/annotations/<int:annotation_id>/drafts",
        "^api/annotations/<int:pk>/",
        "^api/drafts/<int:pk>/",
    }
    assert _fingerprint(stage, project=other.project) == before


def test_a_word_in_query_or_body_cannot_speak_for_another(people):
    mine, other = people["A"], people["B"]
    send = mine.browser.request
    result = segment(4.0, 5.0)
    refused = [
        send("GET", "/api/tasks/", params={"project": other.project}),
        send("GET", "/api/tasks/", params=[("project", mine.project), ("project", other.project)]),
        send("GET", "/api/tasks/", params={"view": other.view}),
        send("GET", "/api/tasks/", params={"project": mine.project, "query": '{"filters": {}}'}),
        send("GET", f"/api/tasks/{mine.task}/", params={"project": other.project}),
        send("GET", "/api/dm/project/", params={"project": mine.project}, json={"project": 1}),
        send("PATCH", f"/api/annotations/{mine.annotation}/", json={"completed_by": 1}),
        send("PATCH", f"/api/annotations/{mine.annotation}/", json={"ground_truth": True}),
        send("PATCH", f"/api/annotations/{mine.annotation}/", json={"task": other.task}),
        send("PATCH", f"/api/annotations/{mine.annotation}/", json={"project": other.project}),
        send(
            "PATCH",
            f"/api/annotations/{mine.annotation}/",
            json={"parent_annotation": other.annotation},
        ),
        send("PATCH", f"/api/annotations/{mine.annotation}/", data={"lead_time": "3"}),
        send(
            "PATCH",
            f"/api/annotations/{mine.annotation}/",
            content=b'{"task": %d, "task": %d}' % (mine.task, other.task),
            headers={"Content-Type": "application/json"},
        ),
        send(
            "POST",
            f"/api/tasks/{mine.open_task}/annotations/",
            json={"result": result, "draft_id": other.draft},
        ),
        send(
            "POST",
            f"/api/tasks/{mine.open_task}/annotations/",
            json={"result": result, "was_cancelled": True},
        ),
        send(
            "POST",
            "/api/dm/actions/",
            params={"project": mine.project, "id": "delete_tasks"},
            json={"project": mine.project},
        ),
        send(
            "POST",
            "/api/dm/actions/",
            params={"project": mine.project, "id": "next_task"},
            json={"project": other.project},
        ),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    for answer in refused:
        assert answer.json()["detail"].endswith(".")
    twice = send("POST", f"/api/tasks/{mine.task}/annotations/", json={"result": result})
    assert twice.status_code == 409


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X-Original-Method"]
)
def test_no_header_makes_one_verb_another(stage, people, header):
    mine, other = people["A"], people["B"]
    before = _fingerprint(stage)
    for owner in (mine, other):
        for path in (f"/api/tasks/{owner.task}/", f"/api/projects/{owner.project}/"):
            for wanted in ("DELETE", "PUT", "PATCH"):
                mine.browser.get(path, headers={header: wanted})
                mine.browser.post(path, headers={header: wanted}, json={"title": "changed"})
                mine.browser.get(path, params={"_method": wanted})
    for verb in ("OPTIONS", "TRACE", "CONNECT", "PROPFIND", "delete", "GETX"):
        answer = mine.browser.request(verb, f"/api/tasks/{other.task}/")
        assert answer.status_code >= 400
        assert not any(mark in answer.text for mark in other.marks)
    assert _fingerprint(stage) == before


def test_no_way_of_writing_an_address_leads_elsewhere(people):
    """Django judges what it resolved; here are the writings that a filter on text would miss."""
    mine, other = people["A"], people["B"]
    raw = [
        "//api/tasks/{t}/", "/api//tasks/{t}/", "/api/tasks/{t}", "/api/tasks/{t}//",
        "/api/tasks/{t}/;x=1", "/api/tasks;x/{t}/", "/api/tasks/{t}/.", "/./api/tasks/{t}/",
        "/health/../api/tasks/{t}/", "/static/../api/tasks/{t}/", "/static/%2e%2e/api/tasks/{t}/",
        "/static/..%2fapi/tasks/{t}/", "/%61pi/tasks/{t}/", "/api/tasks/{t}%2f",
        "/api/tasks/{t}%00",
        "/api/tasks/+{t}/", "/api/tasks/0{t}/", "/api/tasks/{t}.json",
        "/api/tasks/{t}/?format=json",
        "/API/tasks/{t}/", "/api/tasks/{t}/%20", "/waver/enter/../../api/tasks/{t}/",
        "/api/projects/{p}/next/", "/api/projects/{p}//next/", "/projects/{p}/data/;",
        "/data/upload/{p}/x.json", "/data/export/{p}/x.json", "/data/avatars/..%2f..%2fexport/x",
        "/static/..%2f..%2f..%2fexport/", "/react-app/..%2f..%2f..%2fetc/passwd",
        "/label-studio-frontend/..%2f..%2fcore/settings/base.py",
    ]  # fmt: skip
    address = urlsplit(str(mine.browser.base_url))
    cookies = "; ".join(f"{name}={value}" for name, value in mine.browser.cookies.items())
    for written in raw:
        path = written.format(t=other.task, p=other.project)
        # Not by a library: it would tidy the address up before sending it.
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.request("GET", path, headers={"Cookie": cookies, "X-Original-URL": path})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        # Health and files answer whatever is written behind them; they hold nobody's data.
        assert answer.status in (200, 301, 302, 400, 403, 404), (path, answer.status)
        assert answer.status != 200 or path.startswith(("/health/", "/static/")), path
        assert not any(mark in text for mark in (*other.marks, "SECRET_KEY", "root:")), path


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/JSON; charset=utf-8; charset=utf-7", "application/json+x", "application/xml",
        "", "application/json, text/plain",
    ],
)  # fmt: skip
def test_no_content_type_hides_a_body_from_the_guard(stage, people, content_type):
    mine, other = people["A"], people["B"]
    before = _fingerprint(stage)
    body = b'{"completed_by": %d, "task": %d, "ground_truth": true}' % (
        other.remote_user, other.task,
    )  # fmt: skip
    for verb, path in (
        ("PATCH", f"/api/annotations/{mine.annotation}/"),
        ("POST", f"/api/tasks/{mine.open_task}/annotations/"),
        ("POST", "/api/dm/views/"),
    ):
        headers = {"Content-Type": content_type}
        answer = mine.browser.request(verb, path, content=body, headers=headers)
        assert answer.status_code == 403, (verb, path, answer.status_code, answer.text)
    assert _fingerprint(stage) == before


def test_media_tokens_cannot_be_guessed_or_borrowed(stage, people):
    mine, other = people["A"], people["B"]
    own, theirs = mine.marks[-1], other.marks[-1]
    assert mine.browser.get(f"/waver/media/{own}", headers={"Range": "bytes=0-9"}).is_success
    guesses = [
        theirs, own[:-1], own + "0", own[:-1] + "~", own.upper(), own.swapcase(), "0", "%",
        "_" * 64, f"{own}%20", f"{own}%00", f"..%2f{theirs}", f"{own}/../{theirs}",
        f"{own}?token={theirs}x",
    ]  # fmt: skip
    for guess in guesses[:-1]:
        assert mine.browser.get(f"/waver/media/{guess}").status_code in (403, 404), guess
    # What stands behind the question mark is not read at all.
    assert mine.browser.get(f"/waver/media/{guesses[-1]}").status_code in (200, 403)


def test_after_signing_out_no_byte_range_is_given_any_more(stage, people):
    mine = people["A"]
    waver = stage.sign_in(mine.user)
    labels = stage.start_labelling(waver)
    path = f"/waver/media/{mine.marks[-1]}"
    assert labels.get(path, headers={"Range": "bytes=0-9"}).status_code == 206
    kept = httpx.Cookies(labels.cookies)
    post_form(waver, "/sign-out/", {})
    with httpx.Client(base_url=labels.base_url, cookies=kept) as stolen:
        for asked in ("bytes=0-9", "bytes=10-", "bytes=-5", ""):
            answer = stolen.get(path, headers={"Range": asked} if asked else {})
            assert answer.status_code == 403
            assert answer.headers["content-type"].startswith("application/json")


def test_of_submissions_at_the_same_moment_one_is_stored(stage, people):
    mine = people["A"]
    for row in stage.assignments(mine.user)[2:]:
        task = stage.task(row)
        start = Barrier(8)

        def ask(browser: httpx.Client, task: int = task, start: Barrier = start) -> int:
            start.wait(timeout=30)
            return submit(browser, task, segment(1.0, 2.0)).status_code

        with ExitStack() as stack, ThreadPoolExecutor(max_workers=8) as pool:
            browsers = [stack.enter_context(_client(stage, people, "A")) for _ in range(8)]
            assert all(each.get("/health/").status_code == 200 for each in browsers)
            codes = list(pool.map(ask, browsers))
        assert sorted(codes) == [201, *[409] * 7]


def test_the_lock_on_a_task_holds_between_processes(stage, people):
    """Another process's lock lies in the database; this test's connection plays that process."""
    mine = people["A"]
    other = httpx.Client(
        base_url=mine.browser.base_url, cookies=mine.browser.cookies,
        headers=dict(mine.browser.headers), timeout=httpx.Timeout(30, read=1.0),
    )  # fmt: skip
    held = "SELECT pg_advisory_lock(%s, %s)"
    with stage.running.connect() as connection, other:
        connection.execute(held, [0x57415645, mine.task])
        with pytest.raises(httpx.ReadTimeout):
            submit(other, mine.task, segment(1.0, 2.0))
        connection.execute("SELECT pg_advisory_unlock_all()")
    assert submit(mine.browser, mine.task, segment(1.0, 2.0)).status_code == 409


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "utf-8, utf-7", "latin-1"])
def test_a_body_cannot_say_one_thing_to_the_guard_and_another_to_the_view(people, charset):
    """In UTF-7, `+ACI-` is a quotation mark: what is one harmless word in UTF-8 is three fields."""
    mine, other = people["A"], people["B"]
    hidden = f"+ACI-, +ACI-completed_by+ACI-: {other.remote_user}, +ACI-state+ACI-: +ACI-"
    answer = mine.browser.patch(
        f"/api/annotations/{mine.annotation}/",
        content=f'{{"lead_time": 5, "type": "{hidden}"}}',
        headers={"Content-Type": f"application/json; charset={charset}"},
    )
    assert answer.status_code == 403, answer.text
    read = mine.browser.get(f"/api/annotations/{mine.annotation}/")
    assert read.json()["completed_by"] == mine.remote_user


@pytest.mark.parametrize(
    "content", [b'{"project": 1e999}', b'{"result": ' + b"[" * 200_000, b'"utf-8"', b"\xff{}"]
)
def test_a_body_that_cannot_be_judged_is_refused_with_a_sentence(people, content):
    mine = people["A"]
    answer = mine.browser.patch(
        f"/api/annotations/{mine.annotation}/",
        content=content,
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )
    assert answer.status_code == 403, answer.text
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize(
    "token", ["caf%C3%A9", "a%0D%0AX-Waver-Session:%20x", "a%3Fb%23c", "a%20b"]
)
def test_a_strange_media_token_is_only_an_unknown_one(people, token):
    answer = people["A"].browser.get(f"/waver/media/{token}")
    assert answer.status_code == 404, answer.text


def test_a_strange_byte_range_is_no_error(people):
    mine = people["A"]
    for asked in ("bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=-" + "9" * 5000):
        answer = mine.browser.get(f"/waver/media/{mine.marks[-1]}", headers={"Range": asked})
        assert answer.status_code in (200, 206, 416), asked[:12]


def test_another_sites_page_cannot_make_a_change(people):
    mine = people["A"]
    path = f"/api/annotations/{mine.annotation}/"
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = mine.browser.patch(path, json={"lead_time": 5}, headers={"Origin": origin})
        assert answer.status_code == 403, origin
    with httpx.Client(base_url=mine.browser.base_url, cookies=mine.browser.cookies) as bare:
        assert bare.patch(path, json={"lead_time": 5}).status_code == 403
        token = {"X-CSRFToken": mine.browser.cookies["waver_labels_csrf"]}
        assert bare.patch(path, json={"lead_time": 5}, headers=token).status_code == 200


def test_tokens_are_for_the_service_account_alone(stage, people):
    url = stage.running.label_studio_url
    rater_tokens = stage.running.sql(
        "SELECT count(*) FROM authtoken_token t JOIN htx_user u ON u.id = t.user_id "
        "WHERE NOT u.is_staff"
    )
    assert rater_tokens == [(0,)]
    ask = "/api/projects/"
    listed = httpx.get(f"{url}{ask}", headers=_service()).json()["results"]
    assert {project["id"] for project in listed} >= {each.project for each in people.values()}
    for headers in (
        {"Authorization": "Token " + "0" * 40},
        {"Authorization": f"Bearer {process.service_token()}"},
        {"X-Api-Key": process.service_token()},
        _service() | {"X-Forwarded-For": "203.0.113.9"},
    ):
        assert httpx.get(f"{url}{ask}", headers=headers).status_code == 403
    with_session = people["A"].browser.get(ask, headers=_service())
    assert with_session.status_code == 403


def _service() -> dict[str, str]:
    return {"Authorization": f"Token {process.service_token()}"}


def _client(stage: Scene, people: dict[str, Person], asker: str) -> httpx.Client:
    """Give what the asker's browser or program would send.

    A lead is signed in to Waver, and cookies ignore ports: the same host name means that the
    lead's reach Label Studio too. The service's token counts only from a private address that no
    proxy has passed on, and never beside somebody's session.
    """
    url = stage.running.label_studio_url
    more: dict[str, str] = {}
    cookies = people[asker].browser.cookies if asker in people else None
    if asker == "lead":
        cookies = stage.sign_in(User.objects.get(username="lead")).cookies
    if asker.startswith("service"):
        more = _service()
    if asker == "service from outside":
        more["X-Forwarded-For"] = "192.0.2.7"
    if asker == "service with a rater's session":
        cookies = people["A"].browser.cookies
    return httpx.Client(base_url=url, cookies=cookies, headers={"Origin": url, **more}, timeout=60)


def _harmless(route: str, asker: str) -> bool:
    return route.startswith(FILES) or (asker in ("A", "B") and route in ABOUT_ONESELF)


def _probe(
    client: httpx.Client,
    routes: Iterable[dict[str, Any]],
    owner: Person,
    *,
    verbs: Iterable[str] = VERBS,
) -> list[tuple[str, str, str, int, str]]:
    """Ask every route with the owner's ids; give (verb, path, route, status, text)."""
    body = {
        "project": owner.project,
        "task": owner.task,
        "completed_by": owner.remote_user,
        "result": [],
        "title": "changed",
        "rater": str(owner.user.pk),
    }

    def ask(question: tuple[str, str, str]) -> tuple[str, str, str, int, str]:
        verb, path, route = question
        more = {} if verb in ("GET", "DELETE") else {"json": body}
        needs = path.startswith(("/api/dm/", "/api/tasks/")) and verb in ("GET", "POST")
        params = {"project": owner.project} if needs else None
        answer = client.request(verb, path, params=params, **more)
        return verb, path, route, answer.status_code, answer.text

    questions = [
        (verb, path, route["route"])
        for route in routes
        for number, path in enumerate(_paths(route["route"], owner))
        for verb in verbs
        if number == 0 or verb == "GET"
    ]
    with ThreadPoolExecutor(max_workers=6) as pool:
        return list(pool.map(ask, questions))


def _paths(route: str, owner: Person) -> list[str]:
    """Write a route as addresses with the owner's ids, with and without the closing slash."""
    path = "/" + route.replace("^", "").replace("\\.", ".").replace("\\", "")
    path = re.sub(r"<int:user_pk>|<id>", str(owner.remote_user), path)
    path = re.sub(r"<int:annotation_id>", str(owner.annotation), path)
    path = re.sub(r"<int:task_id>", str(owner.task), path)
    path = re.sub(r"<int:project_id>", str(owner.project), path)
    path = re.sub(r"<str:token>", owner.marks[-1], path)
    path = re.sub(r"\(\?P<format>[^)]*\)|<drf_format_suffix:format>", "json", path)
    path = re.sub(r"<str:action_id>", "delete_tasks", path)
    path = re.sub(r"<str:entity_name>", "task", path)
    own = str(_own_id(route, owner))
    path = re.sub(r"\(\?P<\w+>(?:[^()]|\([^)]*\))*\)\??|<(?:\w+:)?\w+>", own, path)
    path = path.replace("/?$", "/").replace("$", "")
    bare = path.rstrip("/")
    return [path] if path == bare or not bare else [path, bare]


def _own_id(route: str, owner: Person) -> int:
    for words, number in (
        (("drafts/<int:pk>",), owner.draft),
        (("annotations/<int:pk>", "annotation/"), owner.annotation),
        (("views/",), owner.view),
        (("users", "user/"), owner.remote_user),
        (("tasks/<", "task/", "task_id"), owner.task),
    ):
        if any(word in route for word in words):
            return number
    return owner.project


def _fingerprint(stage: Scene, *, project: int | None = None) -> dict[str, str]:
    """Hash the content of the watched tables that exist, of one project where a table names it."""
    columns = stage.running.sql(
        "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
        "WHERE table_schema = 'public' GROUP BY table_name"
    )
    found = {}
    for table, names in columns:
        if table in WATCHED:
            named = project is not None and "project_id" in names
            where = f"WHERE project_id = {project}" if named else ""
            if project is not None and not named:
                continue
            (row,) = stage.running.sql(
                f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) "
                f"FROM {table} t {where}"
            )
            found[table] = row[0]
    assert len(found) >= 4
    return found

"""`kill -9` in the middle of 200 submissions: Waver ends with exactly what Label Studio holds."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from annotation.labelstudio import process
from tests.factories import PASSWORD
from tests.labelstudio.kill_world import RECORDINGS
from tests.labelstudio.scene import post_form, segment
from tests.stack.running import Running, running_stack, wait_for
from workers.processes import descendants

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.labelstudio]

_WORLD = "import django; django.setup(); from tests.labelstudio import kill_world as w; w.main()"
# Who is killed after how many of the 200 submissions: Label Studio itself; the worker that collects
# and the clock that has it look; the website, which receives the webhooks.
KILLS = {40: "label-studio", 80: "io", 110: "beat", 140: "web", 170: "label-studio"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    if not process.installed():
        pytest.skip("Label Studio is absent. `make up` installs it.")
    with running_stack(tmp_path / "var", label_studio=True) as one:
        one.stack.wait_until(label_studio=True, timeout=300)
        yield one


def ask(running: Running, *arguments: str) -> Any:
    return json.loads(running.run("-c", _WORLD, *arguments).splitlines()[-1])


@dataclass
class Killer:
    """Counts submissions and kills, while others go on, when the time has come."""

    running: Running
    killed: list[str] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def submitted(self) -> None:
        with self._lock:
            name = KILLS.get(next(self._count))
            if name is not None:
                pid = self.running.pid(name)
                for one in (pid, *descendants(pid)):
                    os.kill(one, signal.SIGKILL)
                self.killed.append(name)


class Rater:
    """A rater at a browser who, when a page does not answer, tries again until it does."""

    def __init__(self, running: Running, username: str, batch: str) -> None:
        port = running.environment["WAVER_PORT"]
        self.waver = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.waver.get("/sign-in/")
        fields = {"username": username, "password": PASSWORD}
        assert post_form(self.waver, "/sign-in/", fields).status_code == 302
        page = post_form(self.waver, f"/label/start/{batch}/", {})
        address = re.search(r'action="([^"]+)/waver/enter"', page.text)
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert address is not None
        assert ticket is not None
        self.labels = httpx.Client(base_url=address[1], headers={"Origin": address[1]}, timeout=30)
        entered = self.labels.post(
            "/waver/enter",
            data={"ticket": unescape(ticket[1])},
            headers={"Origin": str(self.waver.base_url).rstrip("/")},
        )
        assert entered.status_code == 302, entered.text
        self.project = int(entered.headers["Location"].split("/")[2])

    def until(self, statuses: set[int], verb: str, path: str, **more: Any) -> httpx.Response:
        """Ask until one of these statuses comes."""

        def once() -> httpx.Response | None:
            try:
                answer = self.labels.request(verb, path, **more)
            except httpx.TransportError:
                return None
            if answer.status_code >= 500:  # one of the two is not up again yet
                return None
            assert answer.status_code in statuses, f"{verb} {path}: {answer.text[:300]}"
            return answer

        return wait_for(once, seconds=90, what=f"{verb} {path}")

    def work(self, killer: Killer) -> None:
        """Submit every clip; change each tenth afterwards; delete each twenty-fifth, do it anew."""
        listed = self.until(
            {200}, "GET", "/api/tasks/",
            params={"project": self.project, "page_size": 200, "fields": "all"},
        ).json()["tasks"]  # fmt: skip
        assert len(listed) == RECORDINGS
        for number, task in enumerate(listed):
            path = f"/api/tasks/{task['id']}/annotations/"
            self._submit(path, number)
            killer.submitted()
            if number % 10 == 5:
                mine = f"/api/annotations/{self._mine(path)}/"
                body = {"result": segment(3.0, 4.0 + number / 100, name=f"c{number}")}
                self.until({200}, "PATCH", mine, json=body)
            if number % 25 == 7:
                self.until({204, 403}, "DELETE", f"/api/annotations/{self._mine(path)}/")
                self._submit(path, number + 1000)

    def _submit(self, path: str, number: int) -> None:
        # 409: it was stored, and only the answer was lost with the server.
        body = {"result": segment(1.0, 2.0 + number / 1000, name=f"r{number}"), "lead_time": 3.5}
        self.until({201, 409}, "POST", path, json=body)

    def _mine(self, path: str) -> int:
        return int(self.until({200}, "GET", path).json()[0]["id"])


def test_waver_holds_exactly_what_label_studio_holds_whoever_was_killed(running: Running) -> None:
    made = ask(running, "make")
    wait_for(lambda: ask(running, "is_open", made["batch"]), seconds=120, what="sent")
    raters = [Rater(running, name, made["batch"]) for name in made["raters"]]
    killer = Killer(running)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(rater.work, killer) for rater in raters]:
            done.result()
    assert killer.killed == list(KILLS.values())

    def same() -> Any:
        found = ask(running, "compare", made["batch"])
        return found if not found["differences"] else None

    found = wait_for(same, seconds=120, what="the same in Waver and in Label Studio")
    assert found["held"] == 2 * RECORDINGS
    assert found["stored"] == found["distinct"] >= found["held"]

"""A headless Chromium, and a study that it can look at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.moving import coded_video
from tests.factories import PASSWORD, AssetFactory
from tests.website.conftest import House, house
from tests.website.material import Material, make_material, second_rater
from waver.core import clock
from waver.recordings.models import Asset, FaceTrack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["house"]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Start Chromium once for all tests.

    From then on Playwright's event loop runs in this thread, and Django has to be told that its
    queries beside it are meant, also those that remove the database at the very end.
    """
    from playwright.sync_api import sync_playwright

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@dataclass
class Visitor:
    """Somebody's browser window, and everything that went wrong in it."""

    page: Page
    url: str
    problems: list[str]

    def open(self, path: str) -> None:
        """Open a page and wait until nothing is loading."""
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")

    def sign_in(self, username: str, password: str = PASSWORD) -> None:
        """Sign in with the form."""
        self.open("/sign-in/")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", password)
        self.page.click("button.button-main")
        self.page.wait_for_load_state("networkidle")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true, at most 10 seconds.

        Playwright's own wait_for_function needs eval, which our pages' policy forbids.
        """
        wait = """(resolve, reject) => {
          const end = performance.now() + 10000;
          const look = () => (CONDITION) ? resolve(true)
            : performance.now() > end ? reject(new Error("waited in vain")) : setTimeout(look, 10);
          look();
        }""".replace("CONDITION", condition)
        assert self.page.evaluate(f"() => new Promise({wait})"), condition


@pytest.fixture
def visitor(browser: Browser, live_server) -> Iterator[Visitor]:
    """Open a fresh window; anything that the browser complains about is written down."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda r: problems.append(r.url) if r.status >= 400 else None)
    yield Visitor(page, live_server.url, problems)
    context.close()


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a proxy whose every frame shows its own number, the way recordings are prepared."""
    return coded_video(tmp_path_factory.mktemp("coded"))


@pytest.fixture
def material(transactional_db, house: House, storage_folder, coded: Path) -> Material:
    """Give the study everything that a page can show, with the coded video as its recording."""
    made = make_material(house.study, house.people["annotator"])
    second_rater(made, is_synthetic=True)
    facts = json.loads((coded / "facts.json").read_text(encoding="utf-8"))
    rate = Fraction(facts["rate"])
    recording = made.recording
    recording.rate_numerator, recording.rate_denominator = rate.numerator, rate.denominator
    recording.frame_count = facts["frames"]
    recording.duration_us = clock.frame_us(facts["frames"], rate)
    recording.width, recording.height = facts["width"], facts["height"]
    recording.save()
    FaceTrack.objects.filter(recording=recording).update(end_us=recording.duration_us)
    Asset.objects.filter(pk=made.proxy.pk).delete()
    AssetFactory(recording=recording, data=(coded / "proxy.mp4").read_bytes())
    AssetFactory(
        recording=recording, kind=Asset.Kind.WAVEFORM, media_type="application/json",
        data=json.dumps({"buckets_per_second": 20, "peaks": [0.1, 0.8, 0.3, 0.0] * 40}).encode(),
    )  # fmt: skip
    return made

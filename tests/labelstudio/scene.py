"""A study on its way through Label Studio: two raters, one batch, real media, a rater's browser."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import imageio_ffmpeg
from django.core.management import call_command

from annotation.codebooks import shipped
from annotation.labelstudio.client import Client as LabelStudioClient
from annotation.models import Assignment, Batch, RemoteProject
from annotation.services import assign, care, codebooks, publish
from tests.factories import (
    PASSWORD,
    AssetFactory,
    CueCandidateFactory,
    MembershipFactory,
    ModelRunFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from tests.labelstudio.running import Running
from waver.accounts.models import User
from waver.recordings.models import Asset, Recording
from waver.studies.models import Membership, Study
from workers import tasks as tasks
from workers.runner import drain

SECONDS = 6


@dataclass
class Scene:
    """One study whose batch is open; `raters` are A and B, each with every recording."""

    running: Running
    study: Study
    batch: Batch
    raters: tuple[User, User]
    recordings: list[Recording]
    clip: bytes
    browsers: list[httpx.Client] = field(default_factory=list)

    def project(self, rater: User) -> int:
        """Give the Label Studio project of a rater."""
        return RemoteProject.objects.get(batch=self.batch, rater=rater).remote_id

    def assignments(self, rater: User) -> list[Assignment]:
        """Give a rater's assignments in their order."""
        return list(self.batch.assignments.filter(rater=rater).order_by("order"))

    def task(self, assignment: Assignment) -> int:
        """Give the Label Studio task of an assignment."""
        return Assignment.objects.get(pk=assignment.pk).remote_task.remote_id

    def sign_in(self, rater: User) -> httpx.Client:
        """Sign a rater in to Waver as a browser does."""
        waver = httpx.Client(base_url=self.running.waver_url, timeout=30)
        waver.get("/sign-in/")
        answer = post_form(waver, "/sign-in/", {"username": rater.username, "password": PASSWORD})
        assert answer.status_code == 302, answer.text
        self.browsers.append(waver)
        return waver

    def way_in(self, waver: httpx.Client, **form: str) -> tuple[str, dict[str, str]]:
        """Press “Start labelling”; give where the page that comes sends its form, and what."""
        page = post_form(waver, f"/label/start/{self.batch.pk}/", form)
        assert page.status_code == 200, page.text
        policy = page.headers["Content-Security-Policy"]
        assert f"form-action 'self' {self.running.label_studio_url}" in policy
        address = re.search(r'action="([^"]+/waver/enter)"', page.text)
        assert address is not None
        found = re.findall(r'name="(ticket|task)" value="([^"]*)"', page.text)
        return address[1], {name: unescape(value) for name, value in found}

    def start_labelling(self, waver: httpx.Client, **form: str) -> httpx.Client:
        """Press “Start labelling” and give the rater's browser in Label Studio."""
        address, fields = self.way_in(waver, **form)
        labels = httpx.Client(
            base_url=self.running.label_studio_url,
            headers={"Origin": self.running.label_studio_url},
            timeout=30,
        )
        entered = labels.post(address, data=fields, headers=self.from_waver)
        assert entered.status_code == 302, entered.text
        self.browsers.append(labels)
        return labels

    @property
    def from_waver(self) -> dict[str, str]:
        """What a browser adds to a form that Waver's page sends elsewhere."""
        return {"Origin": self.running.waver_url}


def post_form(waver: httpx.Client, path: str, fields: dict[str, str]) -> httpx.Response:
    """Send a form with the page's CSRF token, as a browser does."""
    token = waver.cookies.get("waver_csrf") or ""
    return waver.post(
        path,
        data={**fields, "csrfmiddlewaretoken": token},
        headers={"Referer": str(waver.base_url)},
    )


def submit(labels: httpx.Client, task: int, result: list[dict[str, Any]]) -> httpx.Response:
    """Submit a result for a task as the labelling interface does."""
    return labels.post(
        f"/api/tasks/{task}/annotations/", json={"result": result, "lead_time": 4.25}
    )


def segment(start: float, end: float, *, name: str = "r1", **answers: str) -> list[dict[str, Any]]:
    """Give Label Studio's result for one drawn segment with its certainty and a note."""
    stretch = {"start": start, "end": end, "channel": 0}
    where = {"id": name, "to_name": "audio", "original_length": float(SECONDS)}
    found = [
        {**where, "type": "labels", "from_name": "segment", "value": {**stretch, "labels": ["ah"]}},
        {
            **where,
            "type": "choices",
            "from_name": "certainty",
            "value": {**stretch, "choices": [answers.get("certainty", "3")]},
        },
    ]
    if "note" in answers:
        text = {**stretch, "text": [answers["note"]]}
        found.append({**where, "type": "textarea", "from_name": "note", "value": text})
    return found


def land(url: httpx.URL | str) -> str:
    """Give the path that an address leads to."""
    return urlsplit(str(url)).path


@contextmanager
def scene(
    running: Running,
    folder: Path,
    settings: Any,
    *,
    count: int = 4,
    prelabel_share: float = 0.5,
    codebook: str = "bah",
    pass_id: str = "segments",
    said: str = "",
) -> Iterator[Scene]:
    """Make the study, publish its batch and, at the end, leave Waver's tables empty again.

    With something `said`, each recording has a transcript of that one line.
    """
    before = settings.WAVER_STORAGE, settings.WAVER_SCRATCH
    settings.WAVER_STORAGE = {"backend": "folder", "folder": folder / "storage"}
    settings.WAVER_SCRATCH = folder / "scratch"
    clip = make_clip(folder / "clip.mp4")
    study = StudyFactory(
        design={"raters_per_recording": 2, "prelabel_share": prelabel_share, "seed": 3}
    )
    codebooks.install_codebook(study, shipped()[codebook].read_text(encoding="utf-8"), "tests")
    raters = tuple(
        MembershipFactory(
            study=study, role=Membership.Role.ANNOTATOR, user__username=f"rater-{letter}"
        ).user
        for letter in "ab"
    )
    for rater in raters:
        care.read_present_notice(rater, study)
    recordings = []
    for _ in range(count):
        recording = RecordingFactory(
            participant=consented_participant(study), duration_us=SECONDS * 1_000_000
        )
        AssetFactory(recording=recording, data=clip)
        if said:
            _transcribe(recording, said)
        run = ModelRunFactory(recording=recording)
        CueCandidateFactory(run=run, recording=recording, start_us=1_500_000, end_us=2_500_000)
        recordings.append(recording)
    batch = assign.plan_batch(study, pass_id, list(raters), "tests")
    publish.start(batch, "tests")
    jobs = drain(queues=["io"])
    assert [job.state for job in jobs] == ["done"], [job.error for job in jobs]
    batch.refresh_from_db()
    made = Scene(running, study, batch, raters, recordings, clip)
    try:
        yield made
    finally:
        for browser in made.browsers:
            browser.close()
        _clear()
        settings.WAVER_STORAGE, settings.WAVER_SCRATCH = before
        call_command("flush", verbosity=0, interactive=False)


def _clear() -> None:
    """Leave nothing in Label Studio that the next scene would not know."""
    client = LabelStudioClient()
    for project in RemoteProject.objects.all():
        client.forget_tasks(project.remote_id, [])
        client.delete_project(project.remote_id)


def _transcribe(recording: Recording, said: str) -> None:
    """Give a recording a transcript of one line."""
    line = {"start_us": 1_000_000, "end_us": 2_000_000, "text": said}
    AssetFactory(
        recording=recording,
        kind=Asset.Kind.TRANSCRIPT,
        media_type="application/json",
        data=json.dumps({"segments": [line]}).encode(),
    )


def make_clip(target: Path) -> bytes:
    """Make a short H.264/AAC clip with a moving picture and a tone."""
    source = f"testsrc2=duration={SECONDS}:size=320x240:rate=25"
    tone = f"sine=frequency=330:duration={SECONDS}:sample_rate=48000"
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *("-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", tone),
            *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-c:a", "aac"),
            *("-shortest", "-movflags", "+faststart", "-y", str(target)),
        ],
        check=True,
        timeout=60,
    )
    return target.read_bytes()

"""What bench.labelstudio measures, run in a process that belongs to its stack.

Everything is made through the doors that the application uses; only raters' work is put into Label
Studio by its bulk import, since three thousand clips labelled by hand would measure the hand.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from annotation.codebooks import Codebook
    from annotation.models import Assignment, Batch, RemoteProject
    from waver.studies.models import Study

SECONDS = 6
_RATERS = 3


def measure(**wanted: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Call the functions of these names, in this order; give what each found."""
    _set_up()
    doors: dict[str, Callable[..., dict[str, Any]]] = {
        "publish": publish,
        "collect": collect,
        "call_webhook": call_webhook,
    }
    return {name: doors[name](**arguments) for name, arguments in wanted.items()}


def publish(tasks: int, by_hand: int) -> dict[str, float]:
    """Seconds for our publishing of `tasks` tasks, and for the SDK's `by_hand` one by one.

    The SDK works in a project of its own, half of the time before ours and half after.
    """
    from annotation.labelstudio.client import Client
    from annotation.models import Batch
    from annotation.services import publish as publishing

    batch = _planned_batch(tasks, raters=1, arm="prelabel")
    Batch.objects.filter(pk=batch.pk).update(state=Batch.State.PUBLISHING)
    client = Client()
    slow_project = _empty_project(client)
    before = _one_by_one(client, slow_project, batch, by_hand // 2)
    began = time.monotonic()
    publishing.publish_batch(batch, client=Client())
    publishing.finish(batch)
    ours = time.monotonic() - began
    after = _one_by_one(client, slow_project, batch, by_hand - by_hand // 2)
    sent = batch.assignments.exclude(prelabels=None).filter(state="sent").count()
    if sent != tasks:
        raise RuntimeError(f"{sent} of {tasks} tasks were sent with their pre-label.")
    return {"ours": ours, "by_hand": before + after}


def collect(annotations: int) -> dict[str, Any]:
    """Seconds for our collecting of that many annotations, and for Label Studio's export of them.

    The export is made before and after ours, and its mean counts.
    """
    from annotation.labelstudio.client import Client
    from annotation.models import Batch, Segment, SegmentCue
    from annotation.services import collect as collecting
    from annotation.services import publish as publishing

    batch = _planned_batch(annotations // _RATERS, raters=_RATERS, arm="blind")
    # Not open while it is measured, so that the stack's own poller does not come first.
    Batch.objects.filter(pk=batch.pk).update(state=Batch.State.PUBLISHING)
    client = Client()
    send = client.import_tasks

    def send_labelled(project_id: int, tasks: Any) -> None:
        _import_labelled(client, project_id, tasks)

    client.import_tasks = send_labelled  # type: ignore[method-assign]
    publishing.publish_batch(batch, client=client)
    client.import_tasks = send  # type: ignore[method-assign]
    projects = list(batch.projects.order_by("pk"))
    before = _timed(lambda: _export_all(client, projects, annotations))
    began = time.monotonic()
    stored = sum(
        collecting.collect_project(project, client=Client()).stored for project in projects
    )
    ours = time.monotonic() - began
    after = _timed(lambda: _export_all(client, projects, annotations))
    submitted = batch.assignments.filter(state="submitted").count()
    if (stored, submitted) != (annotations, annotations):
        raise RuntimeError(f"{stored} annotations were stored and {submitted} are accepted.")
    about = {"assignment__batch": batch}
    segments = Segment.objects.filter(**{f"annotation__{k}": v for k, v in about.items()}).count()
    cues = SegmentCue.objects.filter(segment__annotation__assignment__batch=batch).count()
    return {
        "ours": ours,
        "export": (before + after) / 2,
        "projects": len(projects),
        "segments": segments,
        "cues": cues,
    }


def call_webhook(calls: int, at_once: int) -> dict[str, float]:
    """How long the web server takes to answer the webhook, with `at_once` calls in the air.

    Of a small open batch, so that what the worker collects meanwhile is what 60 clips hold.
    """
    from django.conf import settings

    from annotation.labelstudio.client import WEBHOOK_PATH, webhook_headers
    from annotation.models import Batch, RemoteProject
    from annotation.services import publish as publishing

    batch = _planned_batch(20, raters=_RATERS, arm="blind")
    Batch.objects.filter(pk=batch.pk).update(state=Batch.State.PUBLISHING)
    publishing.publish_batch(batch)
    publishing.finish(batch)
    body = '{"action": "ANNOTATION_CREATED", "project": {"id": %d}}'
    projects = list(RemoteProject.objects.values_list("remote_id", flat=True))
    address = urlsplit(settings.WAVER_URL)
    headers = {**webhook_headers(), "Content-Type": "application/json"}

    def ask(method: str, path: str, number: int) -> float:
        sent = (body % projects[number % len(projects)]).encode() if method == "POST" else None
        began = time.monotonic()
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        connection.request(method, path, sent, headers)
        status = connection.getresponse().status
        connection.close()
        took = time.monotonic() - began
        if status not in (200, 204):
            raise RuntimeError(f"{path} answered {status}.")
        return took

    # The web server imports Celery when it first queues a job, once in its life.
    first = max(ask("POST", WEBHOOK_PATH, number) for number in range(len(projects)))
    health = _in_the_air(lambda number: ask("GET", "/health/", number), calls, at_once)
    found = _in_the_air(lambda number: ask("POST", WEBHOOK_PATH, number), calls, at_once)
    return {
        "p95": quantiles(found, n=20)[-1],
        "median": median(found),
        "slowest": max(found),
        "first": first,
        "health_p95": quantiles(health, n=20)[-1],
    }


def _in_the_air(ask: Callable[[int], float], calls: int, at_once: int) -> list[float]:
    """Keep `at_once` calls going until `calls` have been made; give the time that each took."""
    start = threading.Barrier(at_once)
    each = calls // at_once

    def one_after_the_other(first: int) -> list[float]:
        start.wait()
        return [ask(first + number) for number in range(each)]

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return [took for some in pool.map(one_after_the_other, range(at_once)) for took in some]


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _set_up() -> None:
    import sys

    from bench.measure import ROOT

    sys.path.insert(0, str(ROOT / "platform"))
    import django

    django.setup()


def _planned_batch(recordings: int, *, raters: int, arm: str) -> Batch:
    """A batch of ready recordings with a cue candidate each, for each of some new raters."""
    from annotation.codebooks import shipped
    from annotation.services import codebooks
    from tests import factories

    study = factories.StudyFactory(design={"raters_per_recording": raters, "seed": 1})
    text = shipped()["bah"].read_text(encoding="utf-8")
    codebook = codebooks.install_codebook(study, text, "bench")
    batch = factories.BatchFactory(
        study=study, codebook=codebook, pass_id="segments", state="draft"
    )
    made = _recordings(study, recordings, with_candidates=arm == "prelabel")
    for _ in range(raters):
        rater = factories.MembershipFactory(study=study, role="annotator").user
        _assign(batch, rater, made, arm)
    return batch


def _recordings(study: Study, count: int, *, with_candidates: bool) -> list[Any]:
    """Recordings of a tenth as many participants, so that consent is asked about many people."""
    from tests import factories

    participants = [factories.consented_participant(study) for _ in range(max(1, count // 10))]
    made = []
    for number in range(count):
        participant = participants[number % len(participants)]
        recording = factories.RecordingFactory(
            participant=participant, duration_us=SECONDS * 1_000_000
        )
        if with_candidates:
            run = factories.ModelRunFactory(recording=recording)
            factories.CueCandidateFactory(
                run=run, recording=recording, start_us=1_500_000, end_us=2_500_000
            )
        made.append(recording)
    return made


def _assign(batch: Batch, rater: Any, recordings: list[Any], arm: str) -> None:
    import secrets

    from annotation.models import Assignment

    Assignment.objects.bulk_create(
        Assignment(
            batch=batch,
            recording=recording,
            rater=rater,
            arm=arm,
            order=order,
            media_token=secrets.token_urlsafe(24),
        )
        for order, recording in enumerate(recordings, start=1)
    )


def _codebook() -> Codebook:
    from annotation.codebooks import load, shipped

    return load(shipped()["bah"].read_text(encoding="utf-8"))


def _empty_project(client: Any) -> int:
    from annotation.codebooks import label_config

    codebook = _codebook()
    return int(
        client.create_project(
            title="One by one",
            label_config=label_config(codebook, "segments"),
            instructions="",
            prediction_version="bench",
        )
    )


def _one_by_one(client: Any, project: int, batch: Batch, count: int) -> float:
    """Seconds that the SDK takes for so many tasks and their predictions."""
    from annotation.services import prelabels

    codebook = _codebook()
    row: Assignment = batch.assignments.select_related("recording__take").first()  # type: ignore[assignment]
    result = prelabels.predictions_for([row], codebook, "segments")[row.pk]
    began = time.monotonic()
    for number in range(count):
        task = client._sdk.tasks.create(
            project=project, data={"video": f"/waver/media/{number}", "assignment": str(number)}
        )
        client._sdk.predictions.create(task=task.id, result=result, model_version=prelabels.VERSION)
    return time.monotonic() - began


def _import_labelled(client: Any, project_id: int, tasks: Any) -> None:
    """Import tasks as our client does, each with the work of a rater on it."""
    from annotation.labelstudio import client as ours

    codebook = _codebook()
    labelled = [
        {
            **ours._import_request(task),
            "annotations": [{"result": _work(codebook, number), "lead_time": 9.5}],
        }
        for number, task in enumerate(tasks)
    ]
    for start in range(0, len(labelled), ours.IMPORT_CHUNK):
        client._sdk.projects.import_tasks(
            id=project_id, request=labelled[start : start + ours.IMPORT_CHUNK]
        )


def _work(codebook: Codebook, number: int) -> list[dict[str, Any]]:
    """Two segments with certainty and cues, as the labelling interface sends them."""
    from annotation.codebooks import ParsedAnnotation, ParsedCue, ParsedSegment, to_result

    segments = tuple(
        ParsedSegment(
            start_us=start,
            end_us=start + 1_125_000,
            label="ah",
            certainty=2,
            cues=(ParsedCue("audio", "pause"), ParsedCue("facial", "gaze")),
        )
        for start in (500_000 + number % 7 * 10_000, 3_250_000)
    )
    parsed = ParsedAnnotation(segments=segments)
    return to_result(codebook, "segments", parsed, SECONDS * 1_000_000)


def _export_all(client: Any, projects: list[RemoteProject], annotations: int) -> None:
    found = 0
    for project in projects:
        tasks = client._sdk.projects.exports.as_json(project_id=project.remote_id)
        found += sum(len(task["annotations"]) for task in tasks)
    if found != annotations:
        raise RuntimeError(f"The export holds {found} of {annotations} annotations.")

"""An hour-long recording through every stage: time, memory, leases, and what its page costs.

WAVER_BENCH_MINUTES makes it shorter. It is measured by name only: with the detector that is set up
and every frame looked at, an hour of video takes about an hour.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from bench.clips import looped
from bench.measure import ROOT, in_child
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import megabytes

_MEDIA = ROOT.parent / "shared" / "media"
_PICTURE, _SOUND = _MEDIA / "talking_head_20s.mp4", _MEDIA / "mediarecorder_no_duration.webm"
_MINUTES = int(os.environ.get("WAVER_BENCH_MINUTES", "60"))
_HEIGHT, _RATE = 480, 30
_FACES_MEGABYTES, _TIMELINE_MEGABYTES = 250, 2
_CROPS_READ = 200
_STAGE = (
    "each job in a worker's process of its own, with its guard; ratio: wall-clock time over the "
    "recording's length; memory is the process's peak and that of the programs it starts"
)


def measure() -> Iterator[Line]:
    """Take the recording in, run its jobs one by one, look at its page."""
    if not _PICTURE.exists():
        yield NotMeasured("an hour", f"there is no file {_PICTURE.name} here.")
        return
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        where = Path(folder)
        clip = long_clip(where, seconds=60 * _MINUTES)
        with _database(where / "var") as environment:
            asked = {"clip": str(clip)}
            recording = in_child(
                "bench.hour:take_in", asked, environment=environment, timeout=900
            ).result
            yield from _stages(environment)
            in_child("bench.hour:ask", {"recording": recording}, environment=environment)
            yield from _stages(environment)
            found = in_child(
                "bench.hour:look", {"recording": recording}, environment=environment, timeout=900
            )
            yield from _looks(found.result)


def long_clip(folder: Path, *, seconds: int) -> Path:
    """Write the talking head with the sound of a real room, repeated without coding it again."""
    import av

    minute = _minute(folder)
    path = folder / "long.mp4"
    with av.open(str(path), "w") as target:
        streams: list[Any] = []
        for turn in range(-(-seconds // 60)):
            with av.open(str(minute)) as source:
                streams = streams or [target.add_stream_from_template(s) for s in source.streams]
                for packet in source.demux():
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    at = packet.pts * packet.time_base
                    if 0 <= at < min(60, seconds - 60 * turn):  # without a coder's lead-in
                        shift = round(60 * turn / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = streams[packet.stream_index]
                        target.mux(packet)
    return path


def _minute(folder: Path) -> Path:
    """One minute of picture and sound, without frames that wait for later ones."""
    import av

    pictures = looped(_PICTURE, folder, codec="h264", height=_HEIGHT, seconds=60)
    path = folder / "minute.mp4"
    with av.open(str(pictures)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("aac", rate=48_000, layout="stereo")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        done = 0
        while done < 60 * 48_000:
            with av.open(str(_SOUND)) as heard:
                resampler = av.AudioResampler("fltp", "stereo", 48_000, 1024)
                for frame in heard.decode(audio=0):
                    for part in resampler.resample(frame):
                        if done < 60 * 48_000:
                            part.pts, part.time_base = done, Fraction(1, 48_000)
                            done += part.samples
                            target.mux(audio.encode(part))
        target.mux(audio.encode())
    return path


@contextmanager
def _database(var: Path) -> Iterator[dict[str, str]]:
    """An embedded PostgreSQL with Waver's tables, and what a process needs to reach it."""
    from waver.stack.postgres import embedded_cluster

    var.mkdir()
    cluster = embedded_cluster(var)
    cluster.start()
    try:
        cluster.create_database("waver")
        yield {"WAVER_VAR": str(var), "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev"}
    finally:
        cluster.destroy()


def take_in(clip: str) -> str:
    """Make a study with one participant who agreed to everything, and take the recording in."""
    import django

    django.setup()
    from django.core.management import call_command

    from waver.demo.study import make_participants
    from waver.recordings.services import receive
    from waver.studies.services import create_study

    call_command("migrate", verbosity=0)
    study = create_study(code="hour", title="An hour", setting="lab", actor="bench")
    make_participants(study, ["P1"], is_synthetic=False)
    recording = receive(
        study=study,
        source=Path(clip),
        original_name="hour.mp4",
        participant_code="P1",
        prompt_order=None,
        recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
        actor="bench",
    )
    return str(recording.pk)


def ask(recording: str) -> None:
    """Ask for the recording's masked preview."""
    import django

    django.setup()
    from waver.recordings.masked import ask_for_masked_preview
    from waver.recordings.models import Recording

    ask_for_masked_preview(Recording.objects.get(pk=recording), actor="bench")


@dataclass
class _Watch:
    """What can be seen of the running job from outside, once a second."""

    shares: list[float] = field(default_factory=list)
    lease_left: list[float] = field(default_factory=list)


def next_job() -> dict[str, Any] | None:
    """Claim the next job and run it as a worker does; give how it ended, None where none is due."""
    import django

    django.setup()
    from django.db import connection

    from waver.core import jobs
    from waver.core.models import Job
    from workers import runner
    from workers import tasks as tasks

    job = jobs.claim_next(queues=list(Job.Queue))
    if job is None:
        return None
    watch, over = _Watch(), threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT progress, extract(epoch FROM lease_until - now()) FROM core_job "
                    "WHERE id = %s AND lease_until IS NOT NULL",
                    [job.pk],
                )
                for share, left in cursor.fetchall():
                    watch.shares.append(share)
                    watch.lease_left.append(float(left))
        connection.close()

    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.monotonic()
    try:
        runner.run(job, guarded=True)
    finally:
        over.set()
        watcher.join()
    job.refresh_from_db()
    return {
        "name": job.name,
        "state": job.state,
        "error": job.error,
        "seconds": time.monotonic() - began,
        "limit_seconds": job.limit_seconds,
        "shown": len(set(watch.shares)),
        "least_lease_left": min(watch.lease_left, default=job.lease_seconds),
    }


def _stages(environment: dict[str, str]) -> Iterator[Row]:
    while True:
        run = in_child("bench.hour:next_job", {}, environment=environment, timeout=6 * 3600)
        if run.result is None:
            return
        found = run.result
        if found["state"] != "done":
            raise RuntimeError(f"{found['name']} ended as {found['state']}: {found['error']}")
        name = found["name"].rpartition(".")[2]
        peak = run.peak_bytes / 1e6
        yield Row(
            case=f"{name}: {_MINUTES} min, {_HEIGHT}p",
            measured=(
                f"{found['seconds']:.0f} s, {run.cpu_seconds:.0f} s of processor, "
                f"{megabytes(run.peak_bytes)}; progress seen at {found['shown']} places, never "
                f"less than {found['least_lease_left']:.0f} s of lease left"
            ),
            ratio=found["seconds"] / (60 * _MINUTES),
            bound=Bound("at most", _FACES_MEGABYTES, "MB") if name == "faces" else None,
            figure=peak,
            note=_STAGE,
        )


def look(recording: str) -> dict[str, Any]:
    """Open the recording's timeline and random crops as the website does; give what it took."""
    import django

    django.setup()
    from django.test import Client

    from waver.recordings.models import Recording

    row = Recording.objects.select_related("study").get(pk=recording)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(_researcher(row.study))
    address = f"/studies/{row.study.code}/recordings/{row.pk}/"
    client.get(address)  # the first page of a process loads what all later ones use
    chance = random.Random(3)
    frames = [chance.randrange(row.frame_count or 1) for _ in range(_CROPS_READ)]
    page, timeline = _got(client, address), _got(client, f"{address}timeline.json")
    client.get(f"{address}faces/{frames[0]}.jpg")  # reads the index
    crops = [_got(client, f"{address}faces/{frame}.jpg") for frame in frames[1:]]
    return {
        "state": row.state,
        "frames": row.frame_count,
        "page": page,
        "timeline": timeline,
        "crops": [one for one in crops if one["status"] == 200],
    }


def _researcher(study: Any) -> Any:
    from waver.accounts.models import User
    from waver.studies.models import Membership

    user = User.objects.create_user(username="researcher")
    Membership.objects.create(study=study, user=user, role=Membership.Role.RESEARCHER)
    return user


def _got(client: Any, address: str) -> dict[str, float]:
    began = time.monotonic()
    answer = client.get(address)
    body = b"".join(answer) if answer.streaming else answer.content
    return {"status": answer.status_code, "bytes": len(body), "seconds": time.monotonic() - began}


def _looks(found: dict[str, Any]) -> Iterator[Row]:
    if found["state"] != "ready":
        raise RuntimeError(f"The recording is {found['state']}, not ready.")
    page, timeline, crops = found["page"], found["timeline"], found["crops"]
    yield Row(
        case="its page, without the timeline",
        measured=f"{1000 * page['seconds']:.0f} ms, {page['bytes'] / 1e3:.0f} kB",
        bound=Bound("at most", 1, "s"),
        figure=page["seconds"],
    )
    yield Row(
        case="its timeline",
        measured=f"{1000 * timeline['seconds']:.0f} ms, {megabytes(timeline['bytes'])}",
        bound=Bound("at most", _TIMELINE_MEGABYTES, "MB"),
        figure=timeline["bytes"] / 1e6,
    )
    slowest = sorted(one["seconds"] for one in crops)[int(0.95 * len(crops))]
    yield Row(
        case=f"{len(crops)} crops of its {found['frames']} frames, at random",
        measured=f"95 of 100 within {1000 * slowest:.0f} ms",
        bound=Bound("at most", 0.1, "s"),
        figure=slowest,
    )


SUBJECT = Subject(
    name="hour",
    title=f"a recording of {_MINUTES} minutes, {_HEIGHT}p, {_RATE} fps, from import to its page",
    rival="none: the bounds are the project's own",
    ratio="time taken over the recording's length",
    measure=measure,
    versions=("av", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow"),
    only_by_name=True,
)

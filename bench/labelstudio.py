"""Label Studio: sending tasks, fetching work back, and answering its webhook, on the real stack.

`python -m bench labelstudio` starts an embedded stack of its own, guarded Label Studio included.
What is measured runs in a process beside it (bench.labelling), which is given the stack's settings.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import ROOT, free_ports, watched
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import seconds
from waver.stack.client import Stack

_LABEL_STUDIO = ROOT / ".venv-label-studio" / "bin" / "python"
_TASKS, _BY_HAND, _ANNOTATIONS, _CALLS, _AT_ONCE = 1000, 50, 3000, 2000, 20


def measure() -> Iterator[Line]:
    """Send, fetch back, call the webhook: in one run, on one stack."""
    if not _LABEL_STUDIO.exists():
        yield NotMeasured("labelstudio", "Label Studio is not installed; `make up` installs it.")
        return
    with _stack() as environment:
        found = _beside(environment)
    yield _published(found["publish"])
    yield _collected(found["collect"])
    yield _answered(found["call_webhook"])


@contextmanager
def _stack() -> Iterator[dict[str, str]]:
    """A stack on a folder and ports of its own; gives what a process needs to belong to it."""
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        var = Path(folder) / "var"
        web_port, label_studio_port = free_ports(2)
        ports = {"WAVER_PORT": str(web_port), "WAVER_LABEL_STUDIO_PORT": str(label_studio_port)}
        stack = Stack(root=ROOT, var=var, environment=ports, label_studio=True)
        stack.start()
        try:
            stack.wait_until(web=True, label_studio=True, timeout=300)
            yield {
                "WAVER_VAR": str(var),
                "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev",
                **ports,
            }
        finally:
            stack.stop()


def _beside(environment: dict[str, str]) -> Any:
    """Measure in a process of the stack; give what it found, by the name of what was measured."""
    wanted = {
        "call_webhook": {"calls": _CALLS, "at_once": _AT_ONCE},
        "publish": {"tasks": _TASKS, "by_hand": _BY_HAND},
        "collect": {"annotations": _ANNOTATIONS},
    }
    command = [sys.executable, "-m", "bench.child", "bench.labelling:measure", json.dumps(wanted)]
    finished = watched(command, timeout=900, environment=environment)
    if finished.status != 0:
        raise RuntimeError(f"Measuring failed: {finished.stderr[-3000:]}")
    return json.loads(finished.stdout.splitlines()[-1])["result"]


def _published(found: dict[str, float]) -> Row:
    whole = found["by_hand"] * _TASKS / _BY_HAND
    return Row(
        case=f"publish {_TASKS:,} tasks with predictions",
        measured=seconds(found["ours"]),
        rival=seconds(whole),
        ratio=whole / found["ours"],
        bound=Bound("at least", 20),
        note=(
            f"ours: the whole publishing job with consent, rows, project and webhook; rival: the "
            f"SDK's tasks.create and predictions.create, {_BY_HAND} of each in "
            f"{found['by_hand']:.1f} s, half before and half after ours, times {_TASKS // _BY_HAND}"
        ),
    )


def _collected(found: dict[str, Any]) -> Row:
    return Row(
        case=f"collect {_ANNOTATIONS:,} annotations",
        measured=seconds(found["ours"]),
        rival=seconds(found["export"]),
        ratio=found["ours"] / found["export"],
        bound=Bound("at most", 2),
        note=(
            f"of {found['projects']} raters' projects; ours: read, checked against the codebook, "
            f"stored as {found['segments']:,} segments and {found['cues']:,} cues; rival: Label "
            "Studio's snapshot exports of the same projects, made and downloaded by the SDK"
        ),
    )


def _answered(found: dict[str, float]) -> Row:
    return Row(
        case=f"answer the webhook, {_AT_ONCE} calls at once: 95th percentile",
        measured=f"{found['p95'] * 1000:.1f} ms",
        rival=f"{found['health_p95'] * 1000:.1f} ms",
        ratio=found["p95"] / found["health_p95"],
        bound=Bound("at most", 50, "ms"),
        figure=found["p95"] * 1000,
        note=(
            f"{_CALLS:,} calls, each on a connection of its own, to the stack's web server while "
            f"its worker collects; median {found['median'] * 1000:.1f} ms, slowest "
            f"{found['slowest'] * 1000:.0f} ms; the first call, left out, took "
            f"{found['first'] * 1000:.0f} ms; rival: the same server's /health/, asked as often"
        ),
    )


SUBJECT = Subject(
    name="labelstudio",
    title="sending tasks to Label Studio and fetching raters' work back",
    rival="Label Studio's own ways: the SDK's calls one by one, and its snapshot export",
    ratio="publish: rival over ours; the others: ours over the rival",
    measure=measure,
    versions=("django", "label-studio-sdk", "gunicorn"),
)

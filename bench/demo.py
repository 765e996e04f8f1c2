"""The demonstration: a first run from an empty folder, and a second that finds its work done."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROOT, Watched, free_ports, watched
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import seconds

_FIRST_SECONDS, _SECOND_SECONDS = 240, 45
_NOTE = (
    "environments and models' packages are installed already; everything else is made anew; the "
    "release's folder is verified by `manage.py verify_release` after each run"
)


def measure() -> Iterator[Line]:
    """The same command twice on one folder."""
    if not (ROOT / ".venv-label-studio" / "bin" / "python").exists():
        yield NotMeasured("demo", "Label Studio is not installed; `make demo` installs it.")
        return
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        web_port, label_studio_port = free_ports(2)
        environment = {
            "WAVER_VAR": str(Path(folder) / "var"),
            "WAVER_PORT": str(web_port),
            "WAVER_LABEL_STUDIO_PORT": str(label_studio_port),
        }
        first = _run(environment)
        yield _row("first run", first, _FIRST_SECONDS)
        yield _row("second run", _run(environment), _SECOND_SECONDS, rival=first)


def _run(environment: dict[str, str]) -> float:
    """Run the demonstration once, verify its release, return the demonstration's seconds.

    Raises RuntimeError with its last words where either fails.
    """
    shown = _manage("demo", "--once", environment=environment)
    released = re.search(r"^release: (/.*)$", shown.stdout, flags=re.MULTILINE)
    if released is None:
        raise RuntimeError(f"The demonstration names no release: {shown.stdout[-2000:]}")
    _manage("verify_release", released[1].strip(), environment=environment)
    return shown.wall_seconds


def _manage(*arguments: str, environment: dict[str, str]) -> Watched:
    finished = watched(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        # so wide that the line with the release's path is not broken
        timeout=900,
        environment={"COLUMNS": "1000"} | environment,
    )
    if finished.status != 0:
        raise RuntimeError(
            f"manage.py {arguments[0]} ended with status {finished.status}: "
            f"{(finished.stdout + finished.stderr)[-3000:]}"
        )
    return finished


def _row(case: str, took: float, limit: float, *, rival: float | None = None) -> Row:
    return Row(
        case=f"{case}: manage.py demo --once",
        measured=seconds(took),
        rival="" if rival is None else seconds(rival),
        ratio=None if rival is None else took / rival,
        bound=Bound("at most", limit, "s"),
        figure=took,
        note=_NOTE,
    )


SUBJECT = Subject(
    name="demo",
    title="from made-up recordings to a verified release, and again",
    rival="for the second run, the first: what finding finished work again saves",
    ratio="the second run's time over the first's",
    measure=measure,
    versions=("django", "celery", "label-studio-sdk"),
    only_by_name=True,
)

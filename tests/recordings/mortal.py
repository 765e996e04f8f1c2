"""A worker for tests/recordings/test_kills.py: it is forked for each order, and may have to die.

Orders come as lines of JSON: `storage` and `scratch` (folders), and `die`, null or where to die of
`kill -9`: `{"stage": name, "at": point, "after": how often that point is passed unharmed}`. For
each the process id is printed, and when it has ended its wait status.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

# What the stages load when they run; every forked worker would load it again.
_PARTS = (
    *("av", "cv2", "onnxruntime", "pyarrow.parquet"),
    *("workers.media.normalise", "workers.media.waveform", "workers.speech.vad"),
    *("workers.faces.extract", "workers.faces.masking", "workers.faces.models"),
)
POINTS = ("draft", "put", "commit", "done")
_now: dict[str, str] = {"job": ""}


def main() -> None:
    """Get ready as a worker does, then fork one for every order."""
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = sys.argv[1]
    settings.WAVER_MODELS = sys.argv[2]
    django.setup()
    from workers import tasks as tasks

    for part in _PARTS:
        import_module(part)

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _work(json.loads(line))
            os._exit(0)
        _say(pid)
        _say(os.waitpid(pid, 0)[1])


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _work(order: dict[str, Any]) -> None:
    from django.conf import settings

    from waver.core import jobs, storage
    from waver.core.models import Job
    from workers import runner

    settings.WAVER_STORAGE = {"backend": "folder", "folder": order["storage"]}
    settings.WAVER_SCRATCH = order["scratch"]
    if order["die"]:
        _set_trap(**order["die"])
    storage.tidy()  # as a worker does when it starts
    while (job := jobs.claim_next(queues=list(Job.Queue))) is not None:
        _now["job"] = job.name
        runner.run(job, guarded=True)


def _set_trap(*, stage: str, at: str, after: int) -> None:
    """Replace the function at this point by one that dies there when its time has come."""
    from waver.core import storage
    from waver.recordings import pipeline

    left = [after]

    def due() -> bool:
        if _now["job"] != f"recordings.{stage}":
            return False
        left[0] -= 1
        return left[0] < 0

    places: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "draft": (shutil, "copyfileobj", _half_a_copy),
        "put": (storage, "put", _die_afterwards(storage.put)),
        "commit": (pipeline, "_advance", _die_afterwards(pipeline._advance)),
        "done": (pipeline, "finish", _die_afterwards(pipeline.finish)),
    }
    owner, name, deadly = places[at]
    harmless = getattr(owner, name)

    def trap(*given: Any, **named: Any) -> Any:
        return (deadly if due() else harmless)(*given, **named)

    setattr(owner, name, trap)


def _half_a_copy(source: Any, target: Any, length: int = 0) -> NoReturn:
    content = source.read()
    target.write(content[: len(content) // 2])
    target.flush()
    _die()


def _die_afterwards(function: Callable[..., Any]) -> Callable[..., Any]:
    def deadly(*given: Any, **named: Any) -> NoReturn:
        function(*given, **named)
        _die()

    return deadly


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("A process went on after kill -9.")


if __name__ == "__main__":
    main()

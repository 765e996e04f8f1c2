"""Replaces a worker whose pool lost a process by force.

The processes of a pool share one pipe and its lock. One that is killed while it holds the lock,
as every process that waits for work does in turn, takes the lock with it: the others, and their
replacements, wait for ever while the worker looks healthy. Celery does not notice, so a worker
that sees one of its processes end in disorder gives its jobs back and ends; its supervisor
starts a new one.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
# How a pool process ends in order: by itself, or because it has grown or done its share.
_ORDERLY = (0, 155)


def watch(pool: Any) -> None:
    """Watch `pool`, Celery's prefork pool, from a thread; other kinds share no lock."""
    processes = getattr(pool, "_pool", None)
    if processes is not None and hasattr(processes, "_pool"):
        threading.Thread(target=_watch, args=(processes,), name="pool-watch", daemon=True).start()


def _watch(processes: Any) -> None:
    known: dict[int, Any] = {}
    forever = threading.Event()
    while not forever.wait(_TICK_SECONDS):
        present = {one.pid: one for one in list(processes._pool)}
        for pid, one in (known | present).items():
            if one.exitcode is not None and one.exitcode not in _ORDERLY:
                log.error("The pool lost process %s (%s): starting afresh.", pid, one.exitcode)
                os.kill(os.getpid(), signal.SIGTERM)
                return
        known = present

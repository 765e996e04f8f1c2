"""The Celery application: one task that works off queues, one that puts them right.

Jobs are declared in `waver.core.jobs` and handled through `workers.runner`; nothing else is a
Celery task. Messages are acknowledged at once, because the rows of `core.Job` are the truth.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery import Celery, signals

from workers import pool_watch, stopping
from workers.processes import kill_descendants

log = logging.getLogger(__name__)

# Long enough for jobs to be given back; nothing else needs an orderly end.
_SECONDS_TO_STOP = 8.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waver.config.settings.dev")

app = Celery("waver")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ("workers.tasks",)


@signals.worker_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _tidy_up(**_: Any) -> None:
    """Remove what a killed worker left behind: a worker is started after each one."""
    from waver.core import storage

    left = storage.tidy()
    if left:
        log.info("Removed %s temporary files or folders that killed processes left behind.", left)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _listen_for_stop(**_: Any) -> None:
    stopping.listen()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _watch_pool(sender: Any, **_: Any) -> None:
    pool_watch.watch(sender.controller.pool)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _give_jobs_back(**_: Any) -> None:
    """Have running jobs go back to their queue, so that a stop takes seconds and not hours."""
    stopping.request()
    last_resort = threading.Timer(_SECONDS_TO_STOP, _end_by_force)
    last_resort.daemon = True
    last_resort.start()


def _end_by_force() -> None:
    """End what Celery's own shutdown does not, for example while the broker is away."""
    kill_descendants(os.getpid())
    os._exit(0)

"""The Celery application: one task that works off queues, one that puts them right.

Jobs are declared in `waver.core.jobs` and handled through `workers.runner`; nothing else is a
Celery task. Messages are acknowledged at once, because the rows of `core.Job` are the truth.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, signals

from workers import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waver.config.settings.dev")

app = Celery("waver")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ("workers.tasks",)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _listen_for_stop(**_: Any) -> None:
    stopping.listen()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _give_jobs_back(**_: Any) -> None:
    """Have running jobs go back to their queue, so that a stop takes seconds and not hours."""
    stopping.request()

"""Whatever is declared can be done, and whatever is scheduled exists."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.conf import settings

import workers.tasks
from waver.core import jobs
from workers import runner
from workers.celery import app


def test_every_declared_job_has_a_handler_and_the_other_way_round() -> None:
    for config in apps.get_app_configs():
        if find_spec(f"{config.name}.jobs") is not None:
            import_module(f"{config.name}.jobs")
    assert workers.tasks
    assert set(runner.handlers()) == set(jobs.declared())


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled <= set(app.tasks)
    assert "workers.reconcile" in scheduled


def test_what_is_scheduled_does_not_wait_behind_jobs_and_names_declared_ones() -> None:
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["options"]["queue"] == "upkeep"
        if entry["task"] == "workers.enqueue":
            assert entry["args"][0] in runner.handlers()


def test_no_other_celery_task_exists() -> None:
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == {"workers.wake", "workers.reconcile", "workers.enqueue"}

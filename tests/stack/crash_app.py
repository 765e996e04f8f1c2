"""The workers' Celery application, with the jobs of the crash tests added."""

from workers.celery import app

app.conf.imports = (*app.conf.imports, "tests.stack.crash_jobs")

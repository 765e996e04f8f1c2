"""The names of this app's jobs; their handlers are in workers.tasks."""

from __future__ import annotations

from waver.core.jobs import declare

RELEASE = declare("datasets.release", queue="io", lease_seconds=60, limit_seconds=7200)
REDACT = declare("datasets.redact", queue="io", lease_seconds=60, limit_seconds=7200)
JUDGE = declare("datasets.judge", queue="cpu", lease_seconds=60, limit_seconds=3600)
FIGURES = declare("datasets.figures", queue="cpu", lease_seconds=60, limit_seconds=3600)

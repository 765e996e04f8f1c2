"""The names of the jobs that prepare a recording; their handlers are in workers.tasks."""

from __future__ import annotations

from waver.core.jobs import declare

NORMALISE = declare("recordings.normalise", queue="cpu", lease_seconds=60, limit_seconds=7200)
FACES = declare("recordings.faces", queue="cpu", lease_seconds=60, limit_seconds=7200)
SPEECH = declare("recordings.speech", queue="cpu", lease_seconds=60, limit_seconds=3600)
CUES = declare("recordings.cues", queue="gpu", lease_seconds=60, limit_seconds=3600)

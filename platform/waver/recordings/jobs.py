"""The names of the jobs that prepare a recording; their handlers are in workers.tasks."""

from __future__ import annotations

from waver.core.jobs import declare

# An hour in 480p at 30 frames a second took 440 s of processor to normalise; the longest that is
# accepted, four hours in full HD at 60, then takes five hours of one core.
NORMALISE = declare("recordings.normalise", queue="cpu", lease_seconds=60, limit_seconds=8 * 3600)
FACES = declare("recordings.faces", queue="cpu", lease_seconds=60, limit_seconds=8 * 3600)
SPEECH = declare("recordings.speech", queue="cpu", lease_seconds=60, limit_seconds=3600)
SIGNALS = declare("recordings.signals", queue="cpu", lease_seconds=60, limit_seconds=7200)
CUES = declare("recordings.cues", queue="gpu", lease_seconds=60, limit_seconds=3600)
MASK = declare("recordings.mask", queue="cpu", lease_seconds=60, limit_seconds=6 * 3600)
QUALITY = declare("recordings.quality", queue="cpu", lease_seconds=60, limit_seconds=3600)
TRANSCRIBE = declare(
    "recordings.transcribe", queue="gpu", lease_seconds=120, limit_seconds=6 * 3600
)
# Of a study: all of its recordings by its newest thresholds.
JUDGE_QUALITY = declare(
    "recordings.judge_quality", queue="io", lease_seconds=60, limit_seconds=3600
)

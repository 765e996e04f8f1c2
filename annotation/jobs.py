"""The names of annotation's jobs; their handlers are in workers.tasks."""

from __future__ import annotations

from waver.core.jobs import declare

# Sends a batch to Label Studio. Subject: the batch.
PUBLISH = declare(
    "annotation.publish", queue="io", lease_seconds=60, limit_seconds=1800, max_attempts=6
)
# Fetches raters' work. Subject: one rater's project, or none for all that are open.
COLLECT = declare("annotation.collect", queue="io", lease_seconds=60, limit_seconds=900)
# Deletes withdrawn tasks in Label Studio. Subject: the participant.
REMOVE = declare(
    "annotation.remove", queue="io", lease_seconds=60, limit_seconds=900, max_attempts=12
)
# Removes what is kept about raters whose time is over. No subject: the clock asks once a day.
FORGET_RATERS = declare(
    "annotation.forget_raters", queue="io", lease_seconds=60, limit_seconds=1800
)

"""Jobs for the tests of crashes: they wait for a file to appear, and leave one countable row."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from django.utils import timezone

from waver.core import jobs
from waver.core.jobs import JobRun
from waver.core.models import AuditEntry
from workers.runner import handles

HOLD = jobs.declare("tests.hold", queue="cpu", lease_seconds=3, max_attempts=3)
HOLD_IO = jobs.declare("tests.hold_io", queue="io", lease_seconds=3, max_attempts=3)
SLEEP = jobs.declare("tests.sleep", queue="cpu", lease_seconds=6, limit_seconds=2, max_attempts=1)
NATIVE = jobs.declare("tests.native", queue="cpu", lease_seconds=6, limit_seconds=2, max_attempts=1)


@handles(HOLD)
@handles(HOLD_IO)
def hold(run: JobRun) -> None:
    """Wait for the file, as a long computation would, and then write one row."""
    gate = Path(run.job.payload["gate"])
    while not gate.exists():
        run.progress(0.5, "holding")
        time.sleep(0.05)
    with run.commit():
        AuditEntry.objects.create(
            at=timezone.now(),
            actor="crash test",
            verb="finished",
            object_kind="job",
            object_id=str(run.job.pk),
            previous_hash="",
            hash=f"{run.job.pk}:{run.job.attempts}",
        )


@handles(SLEEP)
def sleep(run: JobRun) -> None:
    """Take too long in Python, where it can be interrupted."""
    time.sleep(600)


@handles(NATIVE)
def compute_natively(run: JobRun) -> None:
    """Take too long in a library that does not listen."""
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)


def main() -> None:
    """Enqueue NUMBER jobs of kind NAME which wait for the file GATE, and print their ids."""
    name, number, gate = sys.argv[1:]
    for index in range(int(number)):
        job = jobs.enqueue(
            jobs.declared()[name],
            subject_kind="test",
            subject_id=str(index),
            payload={"gate": gate},
        )
        print(job.pk)  # noqa: T201 - the test reads it

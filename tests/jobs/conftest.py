"""Kinds of jobs that exist only for these tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from waver.core import jobs
from waver.core.jobs import JobName, JobRun, OnFailure
from workers import runner

Declare = Callable[..., JobName]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declare a kind of job, with a handler, for the length of one test."""
    monkeypatch.setattr(jobs, "_DECLARED", dict(jobs._DECLARED))
    monkeypatch.setattr(runner, "_HANDLERS", dict(runner._HANDLERS))
    monkeypatch.setattr(runner, "_ON_FAILURE", dict(runner._ON_FAILURE))

    def make(
        handler: Callable[[JobRun], None] = lambda run: None,
        *,
        name: str = "tests.job",
        on_failure: OnFailure | None = None,
        queue: str = "cpu",
        **policy: int,
    ) -> JobName:
        job_name = jobs.declare(name, queue=queue, **policy)
        runner.handles(job_name, on_failure=on_failure)(handler)
        return job_name

    return make

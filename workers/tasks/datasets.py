"""Building releases."""

from __future__ import annotations

from waver.core.errors import Missing
from waver.core.jobs import JobRun
from waver.datasets import jobs, releases
from waver.datasets.models import GateRun
from workers.runner import handles


@handles(jobs.RELEASE)
def build_release(run: JobRun) -> None:
    """Build the release that was asked for; its sealing transaction ends the job."""
    gate_run = (
        GateRun.objects.select_related("snapshot__study", "snapshot__codebook", "policy")
        .filter(pk=run.job.subject_id)
        .first()
    )
    if gate_run is None:
        raise Missing("The gate run that the release was to rest on is gone. Run the gate again.")
    releases.build(
        gate_run=gate_run,
        version=run.job.payload["version"],
        purpose=run.job.payload["purpose"],
        actor=run.job.payload["actor"],
        on_progress=run.progress,
        commit=run.commit,
    )

"""Judging a study's labels, and building releases."""

from __future__ import annotations

from waver.core.errors import Missing
from waver.core.jobs import JobRun
from waver.datasets import figures, gate, jobs, policies, redaction, releases, snapshots
from waver.datasets.labels import labels_of, read_codebook
from waver.datasets.models import GateRun, Release
from waver.studies.models import Study
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
        with_previews=run.job.payload.get("with_previews", False),
        on_progress=run.progress,
        commit=run.commit,
    )


@handles(jobs.REDACT)
def redact(run: JobRun) -> None:
    """Take everybody out of a release whose consent ended, so that it can be downloaded again."""
    release = Release.objects.select_related("study").filter(pk=run.job.subject_id).first()
    if release is None:
        raise Missing("The release that somebody was to be taken out of is gone. Nothing is to do.")
    redaction.redact_refused(release=release, actor="withdrawal")
    with run.commit():
        pass
    # Withdrawn while this ran, when asking for a second job gave this one.
    if redaction.refused_participants(release):
        redaction.redact_soon(release)


@handles(jobs.JUDGE)
def judge(run: JobRun) -> None:
    """Freeze a study's labels and let the gate look at them, under the study's newest policy."""
    study = Study.objects.filter(pk=run.job.subject_id).first()
    if study is None:
        raise Missing("The study whose labels were to be judged is gone. Nothing is to do.")
    actor = run.job.payload["actor"]
    run.progress(0.1, "Freezing the labels")
    snapshot = snapshots.freeze(study=study, actor=actor)
    known = labels_of(read_codebook(snapshot.codebook.text))
    policy = study.gate_policies.order_by("-created_at").first() or policies.install(
        study=study, text=policies.standard_for(known), actor=actor
    )
    run.progress(0.3, "Measuring agreement")
    # Both steps give what is there already when they are repeated, so the end needs no part in it.
    look = gate.evaluate(snapshot=snapshot, policy=policy, actor=actor)
    with run.commit():
        figures.ask(look)


@handles(jobs.FIGURES)
def draw(run: JobRun) -> None:
    """Compute what the pictures of a look show: who disagrees, where, and what both arms say."""
    look = (
        GateRun.objects.select_related("snapshot__study", "snapshot__codebook")
        .filter(pk=run.job.subject_id)
        .first()
    )
    if look is None:
        raise Missing("The look of the gate whose pictures were to be computed is gone.")
    run.progress(0.1, "Comparing raters")
    found = figures.compute(look)
    with run.commit():
        figures.store(look, found)

"""The end of the demonstration: the release, and where to look."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from waver.consent.models import Purpose
from waver.core.errors import Conflict, IntegrityProblem
from waver.core.models import Job
from waver.datasets import releases
from waver.datasets.content import counted
from waver.datasets.models import GateRun, Release
from waver.datasets.verify import verify
from waver.demo.people import Login
from waver.demo.report import Report
from waver.demo.steps import wait
from waver.demo.study import ACTOR
from waver.studies.models import Study

_OPEN = (Job.State.QUEUED, Job.State.RUNNING)
_LETS_OUT = (GateRun.Verdict.PASS, GateRun.Verdict.WAIVED)


def release(report: Report, run: GateRun) -> Path | None:
    """Build the release that the verdict allows and verify it; None when the gate blocks it.

    Raises IntegrityProblem when the release that was built does not verify.
    """
    if run.verdict not in _LETS_OUT:
        report.say(
            "No release: the gate blocks it, for the reasons above. More participants or another "
            "look at the codebook would be the next step."
        )
        return None
    study = run.snapshot.study
    there = Release.objects.filter(
        study=study, gate_run=run, purpose=Purpose.RESEARCH, state=Release.State.PUBLISHED
    ).first()
    if there is not None:
        report.say(f"Nothing to do: release {there.version} was built before.")
    else:
        there = _build(report, run)
        report.say(f"Release {there.version} built for the purpose “research”, root {there.root}.")
    for left_out in there.figures["left_out"]:
        report.say(
            f"Left out: {counted(left_out['recordings'], left_out['participants'])}, because "
            f"{left_out['reason']}."
        )
    folder = releases.path_of(there)
    problems = verify(folder)
    if problems:
        raise IntegrityProblem(
            "The release does not verify: " + " ".join(str(problem) for problem in problems[:5])
        )
    report.say("Verified: every file is there, unchanged, and none is extra.")
    return folder


def _build(report: Report, run: GateRun) -> Release:
    """Let a worker build the release, and wait for it."""
    study, version = run.snapshot.study, _next_version(run.snapshot.study)
    job = releases.request(gate_run=run, version=version, purpose=Purpose.RESEARCH, actor=ACTOR)
    with report.bar("building", total=100) as bar:

        def look() -> float:
            job.refresh_from_db()
            bar.update(
                bar.task_ids[0], completed=100 * job.progress, description=job.note or "building"
            )
            return job.progress + job.attempts

        wait(lambda: job.state not in _OPEN, look, "The release")
        bar.update(bar.task_ids[0], completed=100, description="built")
    if job.state != Job.State.DONE:
        raise Conflict(f"The release was not built: {job.error}")
    return Release.objects.get(study=study, version=version, purpose=Purpose.RESEARCH)


def _next_version(study: Study) -> str:
    """Give 1.0.0 for the first release, then 2.0.0 and so on: other labels, another dataset."""
    return f"{study.releases.count() + 1}.0.0"


def say_where(report: Report, study: Study, logins: list[Login], folder: Path | None) -> None:
    """Print the pages to open, one login per role, and the release's folder."""
    base = settings.WAVER_URL
    say = report.console.print
    say(f"\n[bold]Done in {report.seconds:.0f} s.[/bold] Open in a browser:")
    for title, path in (
        ("Sign in", "/sign-in/"),
        ("Study", f"/studies/{study.code}/"),
        ("Recordings", f"/studies/{study.code}/recordings/"),
        ("Agreement", f"/studies/{study.code}/agreement/"),
        ("Releases", f"/studies/{study.code}/releases/"),
    ):
        say(f"  {title:<12} {base}{path}", markup=False)
    say("Demo logins (this machine only):")
    for login in logins:
        say(f"  {login.role:<16} {login.username:<16} {login.password}", markup=False)
    if folder is not None:
        say(f"Check it again: .venv/bin/python manage.py verify_release {folder}", markup=False)
        say(f"release: {folder}", markup=False)

"""The main job, step by step: each says what it did, and does nothing that is done already."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection

from annotation.codebooks import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedSegment,
    shipped,
    to_result,
)
from annotation.models import Assignment, Batch
from annotation.services import codebooks, opening, publish
from annotation.services.assign import plan_batch
from waver.accounts.models import User
from waver.core.errors import Conflict
from waver.core.models import Job
from waver.datasets import figures, gate, policies, snapshots
from waver.datasets.models import GateRun
from waver.demo import curating, labels, people, raters
from waver.demo.material import Material
from waver.demo.report import Report
from waver.demo.study import ACTOR, make_participants
from waver.recordings.import_folder import Outcome, Result, import_folder
from waver.recordings.models import CueCandidate, Recording
from waver.recordings.services import accept
from waver.studies.models import Study, StudyDesign
from waver.studies.services import PromptText, add_prompts, create_study, set_design

CODEBOOK = "bah"
POLICY = "demonstration"
PASSES = ("video", "segments")
PRELABEL_SHARE = 0.25
FEW = 12
SEED = 20261120
# No silent waiting: a step in which nothing moves for so long is given up with a sentence.
STALLED_SECONDS = 180.0
_BUSY = (Recording.State.RECEIVED, Recording.State.PROCESSING)


class Stalled(Conflict):
    """A step of the demonstration stands still; the logs in var/log say why."""


def set_up_study(report: Report, material: Material) -> Study:
    """Make the study from the shipped codebook: prompts, design, people, participants, consent."""
    study = Study.objects.filter(code=material.study_code).first()
    new = study is None
    if study is None:
        study = create_study(
            code=material.study_code,
            title=material.title,
            setting=Study.Setting.LAB,
            actor=ACTOR,
            ethics_approval="demonstration, no approval",
            intended_use="To show how Waver works.",
            is_synthetic=bool(material.truth),
        )
        numbers = sorted({int(row["prompt"] or 1) for row in material.rows})
        add_prompts(
            study=study,
            actor=ACTOR,
            prompts=[
                PromptText(text={"en": f"Demonstration prompt {number}."}, order=number)
                for number in numbers
            ],
        )
        set_design(
            study=study,
            actor=ACTOR,
            raters_per_recording=len(people.SCRIPTED_RATERS),
            # A handful of videos is all needed blind: only blind work counts for the gate.
            prelabel_share=PRELABEL_SHARE if len(material.rows) >= FEW else 0.0,
            passes=list(PASSES),
            seed=SEED,
        )
    people.join(study)
    codebook = codebooks.install_codebook(
        study, shipped()[CODEBOOK].read_text(encoding="utf-8"), ACTOR
    )
    policies.install(study=study, text=policies.shipped(POLICY), actor=ACTOR)
    curating.set_thresholds(report, study)
    codes = sorted({row["participant"] for row in material.rows})
    added = make_participants(study, codes, is_synthetic=bool(material.truth))
    report.say(
        f"Study “{study.title}” {'made' if new else 'is there'}, with the codebook {codebook}."
    )
    report.say(
        f"{added} participants registered with their consent, {len(codes) - added} were there."
    )
    return study


def import_recordings(report: Report, study: Study, material: Material) -> None:
    """Import what the manifest names; refusals are sentences and stop nothing."""
    with report.bar("importing", total=len(material.rows)) as bar:

        def show(outcome: Outcome) -> None:
            bar.update(bar.task_ids[0], advance=1)
            if outcome.result is Result.REFUSED:
                report.say(f"{outcome.file}: {outcome.sentence}")

        outcomes = import_folder(
            study=study,
            folder=material.folder,
            manifest=material.manifest,
            actor=ACTOR,
            on_result=show,
        )
    count = {result: sum(o.result is result for o in outcomes) for result in Result}
    report.say(
        f"{count[Result.IMPORTED]} recordings imported, {count[Result.THERE_ALREADY]} were there "
        f"already, {count[Result.REFUSED]} refused."
    )


def prepare_recordings(report: Report, study: Study) -> None:
    """Wait while the workers normalise, find faces and speech, and mark cue candidates."""
    rows = study.recordings.all()
    busy = rows.filter(state__in=_BUSY)
    total, waiting = rows.count(), busy.count()
    if waiting == 0:
        report.say(f"Nothing to do: all {total} recordings were prepared before.")
    else:
        with report.bar("preparing", total=total) as bar:

            def look() -> float:
                jobs = Job.objects.filter(state=Job.State.RUNNING, subject_kind="recording")
                notes = ", ".join(sorted({job.name.split(".")[-1] for job in jobs}))
                done = total - busy.count()
                bar.update(bar.task_ids[0], completed=done, description=notes or "preparing")
                return done + sum(job.progress + 1e-6 * job.attempts for job in jobs)

            wait(lambda: not busy.exists(), look, "The preparation of the recordings")
            bar.update(bar.task_ids[0], completed=total, description="prepared")
    ready = rows.filter(state=Recording.State.READY).count()
    report.say(f"{ready} of {total} recordings are ready for annotation.")
    curating.say_quality(report, study)
    for recording in rows.exclude(state=Recording.State.READY).order_by("original_name"):
        reason = recording.error or " ".join(recording.notes)
        report.say(f"{recording.original_name}: {recording.get_state_display()}. {reason}")
        if recording.state == Recording.State.ATTENTION:
            accept(recording=recording, actor=ACTOR)
            report.say(
                "Accepted as it is: a researcher would decide, the demonstration always does."
            )


def compare_with_truth(report: Report, study: Study, material: Material) -> None:
    """Say how many of the planted pauses and head turns the cue candidates found."""
    if not material.truth:
        report.say("These recordings have no planted truth, so nothing is compared.")
        return
    for cue, event in (("long_pause", "pause"), ("head_turn", "head_turn")):
        planted = hit = right = found = 0
        for recording in study.recordings.all():
            events = material.truth[recording.original_name]["events"]
            spans = [(e["start_us"], e["end_us"]) for e in events if e["kind"] == event]
            candidates = list(
                CueCandidate.objects.filter(recording=recording, cue=cue).values_list(
                    "start_us", "end_us"
                )
            )
            one_hit, one_right, one_found = labels.share_found(spans, candidates)
            planted, hit = planted + len(spans), hit + one_hit
            right, found = right + one_right, found + one_found
        name = event.replace("_", " ")
        report.say(
            f"{hit} of {planted} planted {name}s were found; {right} of {found} candidates for a "
            f"{name} lie on one."
        )


def send_to_raters(report: Report, study: Study) -> None:
    """Plan both passes for the scripted raters, a small batch for the visitor, and publish."""
    scripted = people.scripted_raters()
    for pass_id in PASSES:
        _plan(study, pass_id, scripted)
    visitor = User.objects.get(username="annotator")
    if not Assignment.objects.filter(batch__study=study, rater=visitor).exists():
        first = study.recordings.filter(state=Recording.State.READY).order_by("created_at")[:3]
        plan_batch(study, PASSES[-1], [visitor], ACTOR, recordings=list(first))
    drafts = study.batches.filter(state=Batch.State.DRAFT)
    started = 0
    for batch in drafts:
        publish.start(batch, ACTOR)
        started += 1
    if started == 0:
        report.say("Nothing to do: all tasks were sent before.")
        return
    unsent = study.batches.exclude(state=Batch.State.OPEN)

    def look() -> float:
        failed = study.batches.filter(state=Batch.State.DRAFT).exclude(error="").first()
        if failed is not None:
            raise Conflict(f"Batch {failed.number} could not be sent: {failed.error}")
        return float(Assignment.objects.filter(batch__study=study, state="sent").count())

    wait(lambda: not unsent.exists(), look, "Sending the tasks to Label Studio")
    tasks = Assignment.objects.filter(batch__study=study)
    shown = tasks.filter(arm=StudyDesign.Arm.PRELABEL)
    report.say(
        f"{tasks.count()} tasks sent to Label Studio in bulk, one project per rater and batch. "
        f"{shown.count()} of them are in the pre-label arm and show cue candidates; the others "
        "show none."
    )
    people_of = "recording__take__participant"
    blind = tasks.exclude(arm=StudyDesign.Arm.PRELABEL).values(people_of)
    both = shown.filter(**{f"{people_of}__in": blind}).values(people_of).distinct().count()
    report.say(f"{both} participants have recordings in both arms.")


def _plan(study: Study, pass_id: str, scripted: list[User]) -> None:
    planned = Assignment.objects.filter(batch__study=study, batch__pass_id=pass_id)
    ready = study.recordings.filter(state=Recording.State.READY)
    missing = ready.exclude(pk__in=planned.filter(rater__in=scripted).values("recording_id"))
    if missing.exists():
        plan_batch(study, pass_id, scripted, ACTOR, recordings=list(missing))


def label_by_script(report: Report, study: Study, material: Material) -> None:
    """Let the scripted raters label what is open, and wait until their work is in Waver."""
    scripted = people.scripted_raters()
    open_work = Assignment.objects.filter(
        batch__study=study, rater__in=scripted, state=Assignment.State.SENT
    )
    total = open_work.count()
    source = "the planted truth" if material.truth else "a seeded rule, not from what they see"
    if total == 0:
        report.say("Nothing to do: the scripted raters have labelled everything before.")
        return
    report.say(f"SYNTHETIC: three scripted raters label from {source}, with seeded errors.")
    truths = _truths(study, material)
    with report.bar("labelling", total=total) as bar:
        threads = [
            _RaterThread(
                user, number, study, truths, lambda: bar.update(bar.task_ids[0], advance=1)
            )
            for number, user in enumerate(scripted)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for thread in threads:
        if thread.error is not None:
            raise thread.error
    wait(lambda: not open_work.exists(), lambda: -float(open_work.count()), "Collecting the labels")
    report.say(f"{total} annotations came back and fit the codebook.")


class _RaterThread(threading.Thread):
    """One scripted rater, working off their batches over HTTP."""

    def __init__(
        self,
        user: User,
        number: int,
        study: Study,
        truths: dict[str, labels.Truth],
        on_submitted: Callable[[], None],
    ) -> None:
        super().__init__(name=user.username, daemon=True)
        self.user = user
        self.error: Exception | None = None
        self.on_submitted = on_submitted
        open_work = Assignment.objects.filter(
            batch__study=study, rater=user, state=Assignment.State.SENT
        ).select_related("batch__codebook")
        said = {
            str(row.pk): _result(row, truths[str(row.recording_id)], number) for row in open_work
        }
        batches = {row.batch_id: row.batch for row in open_work}
        notice = f"/studies/{study.code}/raters/notice/"
        self.work = [
            raters.Work(
                notice, f"/label/start/{batch.pk}/", said.__getitem__, partial(self._open, batch)
            )
            for batch in sorted(batches.values(), key=lambda b: (PASSES.index(b.pass_id), b.number))
        ]

    def _open(self, batch: Batch) -> None:
        """Wait until the batch opens to this rater: what they submitted before has arrived."""
        wait(
            lambda: not opening.refusal(self.user, batch),
            lambda: float(
                Assignment.objects.filter(rater=self.user, state=Assignment.State.SUBMITTED).count()
            ),
            f"Opening batch {batch.number} of the pass {batch.pass_id} to {self.user.username}",
        )

    def run(self) -> None:
        try:
            raters.label(
                waver_url=settings.WAVER_URL,
                username=self.user.username,
                password=people.password(),
                work=self.work,
                on_submitted=self.on_submitted,
            )
        except Exception as error:  # noqa: BLE001 - handed over to the main thread, which raises it
            self.error = error
        finally:
            connection.close()


def _truths(study: Study, material: Material) -> dict[str, labels.Truth]:
    """Give what is true of each recording, by its id."""
    found = {}
    rows = study.recordings.filter(state=Recording.State.READY).order_by("original_name")
    for position, recording in enumerate(rows):
        name = recording.original_name
        found[str(recording.pk)] = (
            labels.planted(name, material.truth[name])
            if material.truth
            else labels.by_rule(name, position, recording.duration_us or 0)
        )
    return found


def _result(row: Assignment, truth: labels.Truth, number: int) -> list[dict[str, object]]:
    """Write what a scripted rater says in the form that Label Studio's interface would send."""
    codebook = codebooks.parsed(row.batch.codebook)
    part = codebook.pass_(row.batch.pass_id)
    scale = len(part.question("certainty").values)
    said = labels.labelled_by(truth, rater=number, seed=SEED, scale=scale)
    duration_us = row.recording.duration_us or truth.duration_us
    if part.unit == "segment":
        annotation = ParsedAnnotation(
            segments=tuple(
                ParsedSegment(start, min(end, duration_us), part.label_ids[0], certainty)
                for start, end, certainty in said.segments
            )
        )
    else:
        value = "present" if said.present else "absent"
        annotation = ParsedAnnotation(clip_labels=(ParsedClipLabel("ah", value, said.certainty),))
    return to_result(codebook, row.batch.pass_id, annotation, duration_us)


def judge(report: Report, study: Study) -> GateRun:
    """Freeze a snapshot and let the gate judge it; one verdict per label."""
    snapshot = snapshots.freeze(study=study, actor=ACTOR)
    policy = study.gate_policies.latest("created_at")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor=ACTOR)
    if not figures.are_there(run):
        figures.ask(run)
    report.say(
        f"Snapshot {snapshot.number} holds {snapshot.annotations.count()} annotations, frozen "
        f"(hash {snapshot.sha256[:12]})."
    )
    for key, standing in gate.standings(run).items():
        report.say(f"{standing.verdict.upper():<12} {key}: {standing.sentence}")
    report.say(run.sentence)
    return run


def wait(is_done: Callable[[], bool], look: Callable[[], float], what: str) -> None:
    """Wait until `is_done`; `look` gives a number that changes while work moves.

    Raises Stalled when it has not changed for STALLED_SECONDS.
    """
    last, since = None, time.monotonic()
    while not is_done():
        now = look()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            raise Stalled(
                f"{what} has not moved for {STALLED_SECONDS:.0f} seconds. The logs in "
                f"{Path(settings.VAR) / 'log'} say why; `make demo` goes on where this stopped."
            )
        time.sleep(0.3)
    look()

"""One disputed item, decided by a script and marked synthetic: releases then show what it does."""

from __future__ import annotations

from annotation.models import Adjudication
from annotation.services import adjudication
from annotation.services.adjudication import QueueItem, digest_of
from annotation.services.disputes import Item
from annotation.services.topics import ABSENT, PRESENT, Topic
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core.clock import format_us
from waver.datasets import gate
from waver.datasets.models import GateRun
from waver.demo import people
from waver.demo.report import Report
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of

RATIONALE = (
    "SYNTHETIC: decided by the demonstration's script, which watched nothing and follows the vote."
)


def decide_one(report: Report, run: GateRun) -> None:
    """Decide the most valuable item of the first label that may be released, once."""
    study = run.snapshot.study
    if not study.is_synthetic or Adjudication.objects.filter(recording__study=study).exists():
        return
    for key, standing in gate.standings(run).items():
        if standing.may_be_released:
            queue = adjudication.queue(study=study, topic_key=key)
            item = next((one for one in queue.found if _may_be_shared(one)), None)
            if item is not None:
                _decide(report, run, queue.topic, queue.with_decision(item))
                return
    report.say("The scripted raters differ about nothing that may be released: nothing to decide.")


def _may_be_shared(item: Item) -> bool:
    """Whether a release can show the decision."""
    recording = Recording.objects.select_related("take__participant").get(pk=item.recording)
    return policy.decide(Purpose.RESEARCH, subject_of(recording)).allowed


def _decide(report: Report, run: GateRun, topic: Topic, one: QueueItem) -> None:
    most = max(one.item.votes, key=lambda vote: vote[1])[0]
    value = most
    if topic.unit == "segment":
        value = PRESENT if most == topic.source else ABSENT
    adjudication.decide(
        study=run.snapshot.study,
        place=one.place,
        value=value,
        rationale=RATIONALE,
        who=people.scripted_adjudicator(run.snapshot.study),
        seen=None,
        looked_at=digest_of(one.item.looked_at),
    )
    where = "a whole recording"
    if one.item.start_us is not None and one.item.end_us is not None:
        where = f"{format_us(one.item.start_us)} to {format_us(one.item.end_us)}"
    report.say(
        f"SYNTHETIC: one disputed item of “{topic.title}” ({where}) is decided by a script: "
        f"{topic.title_of(value).lower()}. It changes consensus and the release, no verdict."
    )

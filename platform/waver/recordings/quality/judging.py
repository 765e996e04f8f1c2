"""Judging a study's recordings again when its thresholds change; nothing is measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, prefetch_related_objects

from waver.recordings import uses
from waver.recordings.decisions import follow_verdict
from waver.recordings.models import Quality, QualityRules, Recording
from waver.recordings.pipeline import stages_known
from waver.recordings.quality.limits import judge
from waver.recordings.quality.rules import hold_rules, newest
from waver.studies.models import Study

_AT_ONCE = 500
_DECIDED = (Recording.State.READY, Recording.State.ATTENTION)


def stale(study_id: UUID, rules: QualityRules) -> QuerySet[Quality]:
    """Give the verdicts of a study that do not rest on these thresholds."""
    return Quality.objects.filter(recording__study_id=study_id).exclude(rules=rules)


def judge_all(study: Study, *, on_progress: Callable[[float], None] | None = None) -> int:
    """Judge every recording of a study by its newest thresholds; give how many were judged.

    Some hundred at a time, each in a transaction of its own. A recording that nobody has accepted
    and nobody uses moves: ready to needing a decision when it falls short, and back when nothing is
    to decide any more. One that a person accepted, or that raters were given, stays as it is.
    """
    total = judged = 0
    while count := _judge_some(study):
        if not judged:
            rules = newest(study.pk)
            total = count + (stale(study.pk, rules).count() if rules else 0)
        judged += count
        if on_progress is not None:
            on_progress(min(1.0, judged / max(total, 1)))
    return judged


@transaction.atomic
def _judge_some(study: Study) -> int:
    # The study first, as planning a batch does: neither gives away what the other takes back.
    Study.objects.select_for_update(no_key=True).get(pk=study.pk)
    hold_rules(study.pk, shared=True)
    rules = newest(study.pk)
    if rules is None:
        return 0
    found = stale(study.pk, rules).order_by("pk").values_list("recording_id", flat=True)
    ids = list(found[:_AT_ONCE])
    recordings = list(
        Recording.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    )
    rows = Quality.objects.filter(recording__in=recordings).in_bulk(field_name="recording_id")
    changed = []
    for recording in recordings:
        row = rows[recording.pk]
        before = row.reasons
        row.verdict, row.reasons = judge(row.figures, rules.limits)
        row.rules = rules
        if row.reasons != before:
            changed.append((recording, row))
    Quality.objects.bulk_update(rows.values(), ["verdict", "reasons", "rules"])
    _move(changed)
    return len(recordings)


def _move(changed: Sequence[tuple[Recording, Quality]]) -> None:
    """Let states follow from verdicts that changed, where a person may still decide."""
    moving = [(one, row) for one, row in changed if one.state in _DECIDED]
    recordings = [recording for recording, _ in moving]
    used = uses.in_use([recording.pk for recording in recordings])
    prefetch_related_objects(recordings, "stages")
    for recording, row in moving:
        follow_verdict(recording, row, stages_known(recording), in_use=recording.pk in used)

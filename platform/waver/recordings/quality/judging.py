"""Judging a study's recordings again when its thresholds change; nothing is measured again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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
    rules = newest(study.pk)
    total = stale(study.pk, rules).count() if rules else 0
    judged, after = 0, None
    while True:
        count, last = _judge_some(study, after=after)
        if not count and after is None:
            return judged
        judged += count
        # From where the last ones lay; once more from the beginning when nothing is left behind.
        after = last
        if on_progress is not None and total:
            on_progress(min(1.0, judged / total))


@transaction.atomic
def _judge_some(study: Study, *, after: UUID | None) -> tuple[int, UUID | None]:
    """Judge the next recordings behind `after`; give how many, and the last (None for none)."""
    # The study first, as planning a batch does: neither gives away what the other takes back.
    Study.objects.select_for_update(no_key=True).get(pk=study.pk)
    hold_rules(study.pk, shared=True)
    rules = newest(study.pk)
    if rules is None:
        return 0, None
    found = stale(study.pk, rules).order_by("pk")
    behind = found.filter(pk__gt=after) if after is not None else found
    keys = list(behind.values_list("pk", "recording_id")[:_AT_ONCE])
    ids = [recording_id for _, recording_id in keys]
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
    _store(rows.values(), rules)
    _move(changed)
    return len(keys), keys[-1][0] if keys else None


def _store(rows: Collection[Quality], rules: QualityRules) -> None:
    """Keep verdicts: those without reasons, mostly by far, in one statement."""
    short = [row for row in rows if row.reasons]
    clear = [row for row in rows if not row.reasons]
    if clear:
        verdict = clear[0].verdict  # by one version of the rules, the same for all of them
        Quality.objects.filter(pk__in=[row.pk for row in clear]).update(
            verdict=verdict, reasons=[], rules=rules
        )
    Quality.objects.bulk_update(short, ["verdict", "reasons", "rules"])


def _move(changed: Sequence[tuple[Recording, Quality]]) -> None:
    """Let states follow from verdicts that changed, where a person may still decide."""
    moving = [(one, row) for one, row in changed if one.state in _DECIDED]
    recordings = [recording for recording, _ in moving]
    used = uses.in_use([recording.pk for recording in recordings])
    prefetch_related_objects(recordings, "stages")
    for recording, row in moving:
        follow_verdict(recording, row, stages_known(recording), in_use=recording.pk in used)

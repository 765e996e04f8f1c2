"""The demonstration's thresholds of quality, and what came of them."""

from __future__ import annotations

from waver.demo.report import Report
from waver.demo.study import ACTOR
from waver.recordings.models import Quality
from waver.recordings.quality import counting, rules
from waver.recordings.quality.catalogue import FIGURES
from waver.studies.models import Study

# What a study might ask for. One speaker of the samples is quieter than that, to show what happens.
THRESHOLDS = {
    "usable_face_share": {"at_least": 0.8},
    "turned_share": {"at_most": 0.25},
    "voice_level_dbfs": {"at_least": -31.0},
    "snr_db": {"at_least": 10.0},
}


def set_thresholds(report: Report, study: Study) -> None:
    """Set the thresholds, unless somebody set any before."""
    if rules.newest(study.pk) is not None:
        return
    made = rules.set_rules(study=study, limits=THRESHOLDS, actor=ACTOR)
    asked = ", ".join(
        f"{FIGURES[key].title.lower()} {FIGURES[key].write_limit(bound, number)}"
        for key, limit in made.limits.items()
        for bound, number in limit.items()
    )
    report.say(f"Quality thresholds: {asked}.")


def say_quality(report: Report, study: Study) -> None:
    """Say how many recordings meet the thresholds; the others say why not when they are decided."""
    rows = counting.measured(study)
    meet = rows.filter(verdict=Quality.Verdict.MEETS).count()
    report.say(f"{meet} of {rows.count()} recordings meet the study's quality thresholds.")

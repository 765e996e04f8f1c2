"""What the agreement page shows: read from the gate's signed receipt, never computed again."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from annotation.codebooks.model import CodebookError
from annotation.models import CodebookVersion
from waver.core.errors import IntegrityProblem, Missing
from waver.core.models import Job
from waver.datasets.jobs import FIGURES
from waver.datasets.models import GateRun, Waiver
from waver.datasets.receipts import is_genuine
from waver.studies.models import Study
from waver.website.plots import Caption, Estimate, forest

COEFFICIENT = "Krippendorff's α"
COLUMNS = (
    "label", "title", "verdict", "alpha", "low", "high", "level", "lower_that_counts", "needed",
    "without_one_rater_low", "without_one_rater_high", "prevalence", "participants", "recordings",
    "raters", "fleiss_kappa", "gwet_ac", "pabak", "percent_agreement", "independent_alpha",
    "sentence",
)  # fmt: skip


RELEASABLE = (GateRun.Verdict.PASS.value, GateRun.Verdict.WAIVED.value)


@dataclass(frozen=True)
class LabelLine:
    """One label's line. Numbers are None where they are undefined; `sentence` says why."""

    key: str
    title: str
    verdict: str
    sentence: str
    reasons: list[str]
    alpha: float | None
    low: float | None
    high: float | None
    level: float | None
    method: str
    lower: float | None
    needed: float | None
    least: float | None
    most: float | None
    prevalence: float | None
    n: dict[str, Any]
    report: dict[str, Any]
    independent: float | None
    difference: float | None

    @property
    def interval_text(self) -> str:
        """Write the interval, or a dash."""
        return _between(self.low, self.high)

    @property
    def left_out_text(self) -> str:
        """Write the range when one rater at a time is left out, or a dash."""
        return _between(self.least, self.most)

    def estimate(self) -> Estimate:
        """Give the line of the forest plot."""
        return Estimate(
            title=self.title,
            verdict=self.verdict,
            point=self.alpha,
            low=self.low,
            high=self.high,
            threshold=self.needed,
            least=self.least,
            most=self.most,
            words=" ".join(self.reasons),
            n=self.n_text,
            url=f"#{self.anchor}",
        )

    @property
    def anchor(self) -> str:
        """Give the name under which the label's sentence stands on the page."""
        return f"label-{self.key.replace('/', '-')}"

    @property
    def n_text(self) -> str:
        """Write what was counted."""
        parts = [(self.n.get(what), what) for what in ("participants", "recordings", "raters")]
        return ", ".join(f"{count} {what}" for count, what in parts if count is not None)

    def cells(self) -> list[Any]:
        """Give the line of the table that is downloaded, in the order of COLUMNS."""
        n, report = self.n, self.report
        return [
            self.key, self.title, self.verdict, self.alpha, self.low, self.high, self.level,
            self.lower, self.needed, self.least, self.most, self.prevalence,
            n.get("participants"), n.get("recordings"), n.get("raters"),
            number(report.get("fleiss")), number(report.get("gwet")),
            number(report.get("pabak")), number(report.get("percent")), self.independent,
            self.sentence,
        ]  # fmt: skip


@dataclass(frozen=True)
class AgreementPage:
    """One look of the gate at one snapshot."""

    run: GateRun
    lines: list[LabelLine]
    others: list[GateRun]
    is_genuine: bool
    is_demonstration: bool

    def draw(self, *, alone: bool) -> str:
        """Draw the forest plot."""
        caption = Caption(
            "Agreement on each label, against what is needed",
            [
                (
                    f"{COEFFICIENT}: 1 is full agreement, 0 what chance would give. "
                    f"{100 * self.level:g} % intervals, participants resampled. A label passes "
                    "when its whole interval lies above what is needed, after the chance of a "
                    "wrong pass was shared out over labels and looks; guards can block it too."
                ),
                "n stands under each label.",
            ],
            source(self.run, is_genuine=self.is_genuine),
        )
        lines = [line.estimate() for line in self.lines]
        return forest(
            lines, coefficient=COEFFICIENT, caption=caption, level=self.level, alone=alone
        )

    @property
    def blocked(self) -> list[LabelLine]:
        """Give the labels that neither passed nor are waived."""
        return [line for line in self.lines if line.verdict not in RELEASABLE]

    @property
    def hints(self) -> list[Hint]:
        """Give what the policy advises for each label that is blocked."""
        return hints(self.run, self.lines)

    @property
    def largest_difference(self) -> float | None:
        """Give the largest difference between the two computations of alpha."""
        found = [line.difference for line in self.lines if line.difference is not None]
        return max(found, default=None)

    @property
    def level(self) -> float:
        """Give the level of the intervals, 0 to 1."""
        return next((line.level for line in self.lines if line.level), 0.95)


def are_pictures_asked(run: GateRun) -> bool:
    """Tell whether a worker has been asked to compute the pictures of a look."""
    return Job.objects.filter(
        name=FIGURES.name,
        subject_id=str(run.pk),
        state__in=(Job.State.QUEUED, Job.State.RUNNING),
    ).exists()


@dataclass(frozen=True)
class Hint:
    """What the policy advises for a blocked label."""

    line: LabelLine
    sentences: list[str]


def hints(run: GateRun, lines: list[LabelLine]) -> list[Hint]:
    """Put the policy's `on_fail` of each blocked label into sentences."""
    # Here, because it loads the policy's schema.
    from waver.datasets.policies import read

    rules = read(run.policy.text)["labels"]
    return [
        Hint(line, [_advice(step) for step in rules.get(line.key, {}).get("on_fail", [])])
        for line in lines
        if line.verdict not in RELEASABLE
    ]


def _advice(step: Any) -> str:
    name: str = next(iter(step)) if isinstance(step, dict) else step
    value: Any = step[name] if isinstance(step, dict) else None
    if name == "adjudicate":
        return (
            f"Adjudicate the {value['top']:.0%} of items on which most is disputed. Decisions go "
            "into the consensus, never into agreement."
        )
    if name == "merge_into":
        if value:
            return f"Merge the label into “{value}” in the codebook's next version."
        return "Merge the label into another one in the codebook's next version."
    return {
        "retrain_and_recode": "Train the raters on the examples they part over, and label anew.",
        "drop_label": "Leave the label out of releases.",
        "block": "It stays blocked until raters agree.",
    }.get(name, name.replace("_", " "))


def source(run: GateRun, *, is_genuine: bool = True) -> str:
    """Say where a picture's numbers come from, so that it can be read without its page."""
    snapshot = run.snapshot
    study = snapshot.study
    said = (
        f"{study.title} ({study.code}), snapshot {snapshot.number} (SHA-256 "
        f"{snapshot.sha256[:16]}…), codebook {snapshot.codebook}, look {run.look}, gate run "
        f"{run.pk} of {run.created_at:%Y-%m-%d}. For these raters. Drawn "
        f"{timezone.now():%Y-%m-%d}."
    )
    if run.receipt.get("policy", {}).get("demonstration"):
        said += " The policy is for demonstration: no evidence about any label."
    if study.is_synthetic:
        said += " Synthetic data."
    return said if is_genuine else f"{said} THE RECEIPT WAS CHANGED: do not rely on this."


def find_run(study: Study, run_id: UUID | None) -> GateRun | None:
    """Give a look of the gate in this study, or its newest one; None when there is none yet.

    Raises Missing for an id that is not this study's.
    """
    rows = GateRun.objects.filter(snapshot__study=study).select_related(
        "snapshot__study", "snapshot__codebook", "policy"
    )
    if run_id is None:
        return rows.order_by("-created_at").first()
    found = rows.filter(pk=run_id).first()
    if found is None:
        raise Missing("This study has no such look of the gate. The agreement page lists them all.")
    return found


def page(run: GateRun) -> AgreementPage:
    """Read one look of the gate."""
    return AgreementPage(
        run=run,
        lines=label_lines(run),
        others=list(
            GateRun.objects.filter(snapshot__study_id=run.snapshot.study_id)
            .exclude(pk=run.pk)
            .select_related("snapshot")
            .order_by("-created_at")[:20]
        ),
        is_genuine=is_genuine(run.receipt, run.signature),
        is_demonstration=bool(run.receipt.get("policy", {}).get("demonstration")),
    )


def standing(page: AgreementPage) -> str:
    """Give the verdict on the whole at this moment, waivers included.

    Where the receipt was changed, nothing is released on it, so that is a fail.
    """
    # Here, because it loads numpy.
    from waver.datasets import gate

    try:
        return gate.standing_of_run(page.run)
    except IntegrityProblem:
        return GateRun.Verdict.FAIL.value


def waiver_days(run: GateRun) -> int:
    """Give for how many days the policy lets a lead waive a label, at most."""
    from waver.datasets.policies import read

    return int(read(run.policy.text)["waiver"]["max_days"])


def label_lines(run: GateRun) -> list[LabelLine]:
    """Give a line for each label of a receipt, in the codebook's order."""
    titles = titles_of(run.snapshot.codebook)
    waivers = {row.label: row for row in run.waivers.filter(until__gt=timezone.now())}
    # JSON in the database forgets the order of names; the codebook remembers it.
    order = {key: place for place, key in enumerate(titles)}
    found = sorted(run.receipt["labels"].items(), key=lambda item: order.get(item[0], len(order)))
    return [_line(key, titles.get(key, key), label, waivers.get(key)) for key, label in found]


def titles_of(version: CodebookVersion) -> dict[str, str]:
    """Give the titles of a codebook's labels by their keys; empty for an unreadable codebook."""
    # Here, because it loads numpy, and most web processes never show this page.
    from waver.datasets.labels import labels_of, read_codebook

    try:
        codebook = read_codebook(version.text)  # kept: reading it takes longer than the page
    except CodebookError:
        return {}
    passes = {part.id: part.title for part in codebook.passes}
    return {
        key: f"{label.title} ({passes[label.pass_id].lower()})"
        for key, label in labels_of(codebook).items()
    }


def table(lines: list[LabelLine]) -> str:
    """Write the table as CSV: one line for each label, empty cells where a value is undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(line.cells() for line in lines)
    return out.getvalue()


def number(value: Any) -> float | None:
    """Read a receipt's number; an undefined one is an object with its reason, and gives None."""
    return float(value) if isinstance(value, int | float) else None


def _line(key: str, title: str, found: dict[str, Any], waiver: Waiver | None) -> LabelLine:
    interval = found.get("interval") or {}
    ends = found.get("without_one_rater") or [None, None]
    check = found.get("cross_check") or {}
    return LabelLine(
        key=key,
        title=title,
        verdict=GateRun.Verdict.WAIVED.value if waiver else found["verdict"],
        sentence=found["sentence"] + _waived(waiver),
        reasons=list(found.get("reasons", [])),
        alpha=number(found.get("alpha")),
        low=number(interval.get("low")),
        high=number(interval.get("high")),
        level=number(interval.get("level")),
        method=str(interval.get("method", "")),
        lower=number(found.get("lower")),
        needed=number(found.get("required")),
        least=number(ends[0]),
        most=number(ends[1]),
        prevalence=number(found.get("prevalence")),
        n=found.get("n") or {},
        report=found.get("report") or {},
        independent=number(check.get("alpha")),
        difference=number(check.get("difference")),
    )


def _waived(waiver: Waiver | None) -> str:
    if waiver is None:
        return ""
    return f" Waived by {waiver.waived_by} until {waiver.until:%Y-%m-%d}: {waiver.reason}"


def _between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "–"
    return f"{low:.3f} to {high:.3f}".replace("-", "−")

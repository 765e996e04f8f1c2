"""The gate: a frozen snapshot and a policy in, a verdict with a signed receipt out.

Steps of `evaluate`:
1. The same snapshot under the same policy was judged before: that run is the answer.
2. The snapshot must be what was frozen, with nobody withdrawn since.
3. Looks at a study's data are counted: each uses up a part of the error that the policy allows.
4. Every label is measured on the blind arm, checked independently, and judged.
5. Statistics per participant, the verdicts and the receipt are stored in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from waver.accounts.models import User
from waver.core import audit
from waver.core.errors import BadInput, Conflict, IntegrityProblem, NotAllowed
from waver.datasets import looks, measures, migration, receipts, snapshots, verdicts
from waver.datasets.assessment import Assessment
from waver.datasets.labels import Label, named_labels, read_codebook
from waver.datasets.models import GatePolicy, GateRun, Snapshot, Waiver
from waver.datasets.policies import read
from waver.datasets.verify import RECEIPT
from waver.studies.models import Membership, Study, StudyDesign

EXCLUDED = (
    "withdrawn", "gold", "repeats", "training", "qualification", "adjudicated",
)  # fmt: skip
"""What never counts for agreement, whatever a policy says."""
RELEASABLE = (GateRun.Verdict.PASS, GateRun.Verdict.WAIVED)


@dataclass(frozen=True)
class Standing:
    """A label's verdict at this moment, waivers included."""

    verdict: str
    sentence: str
    reasons: tuple[str, ...]
    waiver: Waiver | None
    export_as: str | None = None  # hard, soft, or in no form

    @property
    def may_be_released(self) -> bool:
        """Only what passed, or was waived and still is."""
        return self.verdict in RELEASABLE

    @property
    def may_leave_softly(self) -> bool:
        """A tentative label whose policy lets it leave as the raters' votes and nothing else."""
        return self.verdict == GateRun.Verdict.TENTATIVE and self.export_as == "soft"


def evaluate(*, snapshot: Snapshot, policy: GatePolicy, actor: str) -> GateRun:
    """Judge every label that the policy names.

    A policy that asks for less than one used before in this study, or looks that are used up,
    make labels UNDETERMINED; nothing but a waiver lets them out then.

    Raises Conflict when participants withdrew since the snapshot was frozen, a later codebook
    version took the place of the snapshot's, or somebody else looked at the same moment,
    IntegrityProblem when the snapshot was tampered with, BadInput when the policy names a label
    that the codebook does not have.
    """
    known = snapshot.gate_runs.filter(policy=policy).first()
    if known is not None:
        return known
    if policy.study_id != snapshot.study_id:
        raise BadInput("The policy belongs to another study. Install it for this study first.")
    rules = read(policy.text)
    require_newest(snapshot)
    labels = named_labels(read_codebook(snapshot.codebook.text), rules)
    snapshots.require_whole(snapshot)
    look = looks.count(snapshot, policy, rules)
    assessments = {key: _assess(snapshot, labels[key], rules) for key in rules["labels"]}
    judged = verdicts.judge(assessments, rules, blocked=looks.blocked(look, rules))
    receipt = _receipt(snapshot, policy, rules, look, assessments, judged, actor)
    return _store(snapshot, policy, look, receipt, assessments, actor)


def require_newest(snapshot: Snapshot) -> None:
    """Make sure that no later codebook version has reopened the gate.

    Raises Conflict when there is one: what labels mean has changed, so that a verdict on the
    earlier meaning lets nothing new out.
    """
    newest = snapshots.newest_of(snapshot.codebook)
    if newest.pk != snapshot.codebook_id:
        raise Conflict(
            f"Snapshot {snapshot.number} is in terms of {snapshot.codebook}, and {newest} has "
            "taken its place: that reopens the gate. Freeze a new snapshot, which carries the "
            "earlier work over, and let the gate look at it. Releases that exist stay as they are."
        )


def waive(
    *,
    gate_run: GateRun,
    label: str,
    who: User,
    why: str,
    until: datetime,
    at: datetime | None = None,
) -> Waiver:
    """Let a blocked label out, on somebody's own responsibility, for a reason, for a while.

    The verdict itself stays as it is; releases carry the waiver, stamped.
    Raises BadInput for an unknown label, a missing reason or a date out of bounds, Conflict for a
    label that passed or was waived before, NotAllowed for anybody but a lead of the study.
    """
    now = at or timezone.now()
    study = gate_run.snapshot.study
    found = gate_run.receipt["labels"].get(label)
    rules = read(gate_run.policy.text)
    if found is None:
        raise BadInput(f"The gate run did not judge a label “{label}”.")
    if found["verdict"] == GateRun.Verdict.PASS:
        raise Conflict(f"“{label}” passed, so there is nothing to waive.")
    if not study.memberships.filter(user=who, role=Membership.Role.LEAD).exists():
        raise NotAllowed(f"Only a lead of “{study.title}” may waive the gate. Ask one of them.")
    if len(why.split()) < 3:
        raise BadInput("A waiver needs its reason in a sentence: it travels with the release.")
    days = (until - now).total_seconds() / 86_400
    if not 0 < days <= rules["waiver"]["max_days"]:
        raise BadInput(
            f"A waiver ends in the future, at most {rules['waiver']['max_days']} days from now. "
            "Choose another date."
        )
    with transaction.atomic():
        waiver, made = Waiver.objects.get_or_create(
            gate_run=gate_run,
            label=label,
            defaults={"waived_by": who.get_username(), "reason": why, "until": until},
        )
        if not made:
            raise Conflict(f"“{label}” was waived before, by {waiver.waived_by}.")
        audit.record(
            actor=who.get_username(),
            verb="gate.waived",
            object_kind="gate_run",
            object_id=gate_run.pk,
            detail={"label": label, "until": until.isoformat()},
        )
    return waiver


def standings(gate_run: GateRun, *, at: datetime | None = None) -> dict[str, Standing]:
    """Give every label's verdict at this moment: as judged, or WAIVED while a waiver holds.

    `at` asks about an earlier moment; waivers made after it do not count.
    Raises IntegrityProblem when the receipt is not the one that was signed.
    """
    if not _is_own(gate_run):
        raise IntegrityProblem(
            f"The receipt of gate run {gate_run.pk} is not the one that was signed. Nothing may be "
            "released on it; an administrator must find out who changed the database."
        )
    now = at or timezone.now()
    made = {} if at is None else {"created_at__lte": at}
    waivers = {waiver.label: waiver for waiver in gate_run.waivers.filter(until__gt=now, **made)}
    return {
        key: _standing(label, waivers.get(key)) for key, label in gate_run.receipt["labels"].items()
    }


def standing_of_run(gate_run: GateRun, *, at: datetime | None = None) -> str:
    """Give the verdict on the whole at this moment, waivers included."""
    now = {key: found.verdict for key, found in standings(gate_run, at=at).items()}
    return verdicts.overall(now, read(gate_run.policy.text))


def _is_own(gate_run: GateRun) -> bool:
    """Whether the receipt was signed here, and for this run: another run's fits its own only."""
    receipt, policy = gate_run.receipt, gate_run.policy
    return (
        receipts.is_genuine(receipt, gate_run.signature)
        and receipt["snapshot"]["sha256"] == gate_run.snapshot.sha256
        and receipt["look"]["number"] == gate_run.look
        and receipt["policy"]["sha256"]
        == policy.sha256
        == hashlib.sha256(policy.text.encode()).hexdigest()
    )


def _standing(label: Mapping[str, Any], waiver: Waiver | None) -> Standing:
    reasons = tuple(label["reasons"])
    if waiver is None:
        form = label.get("export_as")
        return Standing(label["verdict"], label["sentence"], reasons, None, form)
    said = (
        f"{label['sentence']} Waived by {waiver.waived_by} until {waiver.until:%Y-%m-%d}: "
        f"{waiver.reason}"
    )
    return Standing(GateRun.Verdict.WAIVED.value, said, reasons, waiver, "hard")


def _assess(snapshot: Snapshot, label: Label, rules: Mapping[str, Any]) -> Assessment:
    """Measure one label on the blind arm of the sample that was drawn."""
    rule = rules["labels"][label.key]

    def measured(arms: Iterable[str]) -> measures.Measured:
        return measures.measure(
            snapshot,
            label,
            tick_us=rule.get("tick_us"),
            positive=rule.get("positive"),
            arms=arms,
            sample_only=True,
        )

    compares = "blind_vs_prelabelled_gap_max" in rule["guards"]
    return Assessment(
        measured=measured(measures.BLIND),
        rule=rule,
        settings=rules["interval"],
        reliability=rules["reliability_sample"],
        # Only for a guard that can block; what is judged stays blind.
        prelabelled=measured([StudyDesign.Arm.PRELABEL]) if compares else None,
    )


def _receipt(
    snapshot: Snapshot,
    policy: GatePolicy,
    rules: Mapping[str, Any],
    look: looks.Look,
    assessments: Mapping[str, Assessment],
    judged: Mapping[str, verdicts.Judged],
    actor: str,
) -> dict[str, Any]:
    """Everything that the verdicts rest on. Raters and participants are counted, never named."""
    labels = {
        key: {
            "verdict": found.verdict,
            "sentence": found.sentence,
            "reasons": list(found.reasons),
            "lower": None if found.lower is None else round(found.lower, 12) + 0.0,
            "error": round(found.error, 12),
            "required": rules["labels"][key]["pass"]["lower"],
            "export_as": _export_as(found.verdict, rules["labels"][key]),
            **assessments[key].figures(),
        }
        for key, found in judged.items()
    }
    return {
        "schema": RECEIPT,
        "study": snapshot.study.code,
        "snapshot": {"number": snapshot.number, "sha256": snapshot.sha256},
        "codebook": {"id": str(snapshot.codebook), "sha256": snapshot.codebook.sha256},
        "codebook_change": migration.since_last_version(snapshot),
        "policy": {
            "title": rules["title"],
            "sha256": policy.sha256,
            "demonstration": bool(rules.get("demonstration")),
        },
        "population": dict(rules["population"]) | {"exclude": list(EXCLUDED)},
        "reliability_sample": dict(rules["reliability_sample"]),
        "look": {
            "number": look.number,
            "allowed": rules["looks"]["max"],
            "error": round(verdicts.error_per_look(rules), 12),
        },
        "multiplicity": rules["multiplicity"],
        "seed": rules["interval"]["seed"],
        "labels": labels,
        "evaluated_at": timezone.now().isoformat(timespec="seconds"),
        "evaluated_by": actor,
        "versions": receipts.versions(),
    }


def _export_as(verdict: str, rule: Mapping[str, Any]) -> str | None:
    """In which form a label may leave by its verdict alone: hard, soft, or in none."""
    if verdict == GateRun.Verdict.PASS:
        return "hard"
    if verdict == GateRun.Verdict.TENTATIVE:
        return str(rule["tentative"]["export_as"]) if "export_as" in rule["tentative"] else None
    return None


def _store(
    snapshot: Snapshot,
    policy: GatePolicy,
    look: looks.Look,
    receipt: dict[str, Any],
    assessments: Mapping[str, Assessment],
    actor: str,
) -> GateRun:
    found = {key: label["verdict"] for key, label in receipt["labels"].items()}
    whole = verdicts.overall(found, read(policy.text))
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=snapshot.study_id)
        if GateRun.objects.filter(snapshot__study=snapshot.study).count() != look.runs_before:
            raise Conflict(
                "Somebody else ran the gate on this study at the same moment. Run it again: the "
                "looks have to be counted one after the other."
            )
        run = GateRun.objects.create(
            snapshot=snapshot,
            policy=policy,
            look=look.number,
            verdict=whole,
            sentence=verdicts.summary(found, whole),
            receipt=receipt,
            signature=receipts.sign(receipt),
        )
        for assessment in assessments.values():
            measures.store(snapshot, assessment.measured)
        audit.record(
            actor=actor,
            verb="gate.evaluated",
            object_kind="gate_run",
            object_id=run.pk,
            detail={"look": look.number, "verdict": whole, "snapshot": snapshot.sha256},
        )
    return run

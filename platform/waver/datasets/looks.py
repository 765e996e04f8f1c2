"""Looks at a study's data: counted, because looking until it passes proves nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from waver.consent.models import Participant
from waver.core.errors import BadInput
from waver.datasets import migration, verdicts
from waver.datasets.models import GatePolicy, GateRun, Snapshot
from waver.datasets.policies import read
from waver.datasets.policies.comparing import weaker_than


@dataclass(frozen=True)
class Look:
    """Which look at a study's data this is, and what earlier ones did.

    `spent` is the error that they used up, `allowed` the smallest that any policy allowed in all.
    `weaker` has, label by label, what this policy asks less for than that of an earlier look.
    """

    number: int
    spent: float
    runs_before: int
    allowed: float
    weaker: Mapping[str, tuple[str, ...]]


def count(snapshot: Snapshot, policy: GatePolicy, rules: Mapping[str, Any]) -> Look:
    """Count the looks at this study's data, under whatever policy.

    A look at the same data minus participants who withdrew is the same look again: a withdrawal
    costs nobody a look.
    """
    earlier = list(
        GateRun.objects.filter(snapshot__study=snapshot.study)
        .select_related("snapshot__codebook", "policy")
        .order_by("look", "created_at")
    )
    spent = {run.look: float(run.receipt["look"]["error"]) for run in earlier}
    number = max(spent, default=0) + 1
    for run in earlier:
        if run.policy_id == policy.pk and _is_what_is_left(run.snapshot, snapshot):
            del spent[run.look]
            number = run.look
            break
    # The first policies decide: one that is written after a look can take no more than they gave.
    before = {run.policy_id: read(run.policy.text) for run in earlier}
    return Look(
        number=number,
        spent=sum(spent.values()),
        runs_before=len(earlier),
        allowed=min(_error(found) for found in [*before.values(), rules]),
        weaker=_weaker(earlier, before, snapshot, rules),
    )


def _error(rules: Mapping[str, Any]) -> float:
    """The chance of a wrong pass that a policy allows over all looks."""
    return float((1 - rules["interval"]["level"]) / 2)


def _weaker(
    earlier: list[GateRun],
    before: Mapping[UUID, Mapping[str, Any]],
    snapshot: Snapshot,
    rules: Mapping[str, Any],
) -> dict[str, tuple[str, ...]]:
    """Label -> sentences: where this policy asks for less than one that was used before."""
    found: dict[str, list[str]] = defaultdict(list)
    for run in earlier:
        same = run.snapshot.codebook_id == snapshot.codebook_id
        for earlier_rules in _in_terms_of(before[run.policy_id], run.snapshot, snapshot):
            for key, less in weaker_than(earlier_rules, rules, same_codebook=same).items():
                sentence = (
                    f"This policy asks for less than the one of look {run.look}: "
                    f"{'; '.join(less)}. What is asked of a label is settled before anybody looks. "
                    "Only a waiver with a reason can let it out now."
                )
                if sentence not in found[key]:
                    found[key].append(sentence)
    return {key: tuple(sentences) for key, sentences in found.items()}


def _in_terms_of(
    rules: Mapping[str, Any], then: Snapshot, now: Snapshot
) -> list[Mapping[str, Any]]:
    """An earlier policy with its labels called as they are now; one policy for each merged part.

    A new name for a label is no new label: what was asked of it stays asked.
    """
    if then.codebook_id == now.codebook_id:
        return [rules]
    try:
        sources = migration.made_from(then.codebook, now.codebook)
    except BadInput:  # another codebook altogether: its labels are others
        return [rules]
    asked = {key: [old for old in olds if old in rules["labels"]] for key, olds in sources.items()}
    most = max((len(olds) for olds in asked.values()), default=0)
    return [
        {
            **rules,
            "labels": {
                key: rules["labels"][olds[part]] for key, olds in asked.items() if part < len(olds)
            },
        }
        for part in range(max(1, most))
    ]


def _is_what_is_left(before: Snapshot, now: Snapshot) -> bool:
    """Whether `now` is `before` without those who withdrew, and nothing else."""
    new = now.annotations.exclude(pk__in=before.annotations.values("pk"))
    lost = before.annotations.filter(
        assignment__recording__take__participant__state=Participant.State.ACTIVE
    ).exclude(pk__in=now.annotations.values("pk"))
    return before.codebook_id == now.codebook_id and not new.exists() and not lost.exists()


def blocked(look: Look, rules: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Label -> sentences: why looking at it again proves nothing; empty when it does."""
    if look.spent + verdicts.error_per_look(rules) <= look.allowed * (1 + 1e-9):
        return dict(look.weaker)
    sentence = (
        f"This is look {look.number} at the data of this study, and the earlier ones used up the "
        "chance of a wrong pass that the policy allows: looking until it passes proves nothing. "
        "Only a waiver with a reason can let a label out now."
    )
    return {key: (sentence, *look.weaker.get(key, ())) for key in rules["labels"]}

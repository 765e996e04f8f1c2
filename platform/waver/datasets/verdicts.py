"""From assessments to verdicts: the error shared out over looks and labels, and the sentences.

A label passes when the lower end of its interval reaches the policy's threshold. The chance of a
wrong pass is shared out twice: over the looks that the policy allows (Bonferroni), and over its
labels (Holm's step-down, or Bonferroni). Source: S. Holm 1979.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotation.agreement import Undefined
from waver.datasets.assessment import Assessment
from waver.datasets.models import GateRun

Verdict = GateRun.Verdict
_WORST_FIRST = (Verdict.FAIL, Verdict.UNDETERMINED, Verdict.TENTATIVE)


@dataclass(frozen=True)
class Judged:
    """A label's verdict. `lower` is the end that was compared, after sharing out the error."""

    verdict: str
    sentence: str
    reasons: tuple[str, ...]
    lower: float | None
    error: float


def error_per_look(policy: Mapping[str, Any]) -> float:
    """Give the chance of a wrong pass that one look may use: half of 1 - level, per look."""
    return float((1 - policy["interval"]["level"]) / 2 / policy["looks"]["max"])


def judge(
    assessments: Mapping[str, Assessment],
    policy: Mapping[str, Any],
    *,
    blocked: Mapping[str, tuple[str, ...]],
) -> dict[str, Judged]:
    """Judge every label of a policy. `blocked`: label -> sentences that make it UNDETERMINED."""
    error = error_per_look(policy)
    family = len(assessments)
    able = {k: a for k, a in assessments.items() if _is_able(a) and not blocked.get(k)}
    passed: dict[str, float] = {}
    shares = family
    while True:
        newly = [
            key
            for key, found in able.items()
            if key not in passed and _reaches(found.lower(error / shares), found.rule)
        ]
        if not newly:
            break
        # Holm: the strongest is rejected first, and the next one gets a larger share. Any label
        # that reaches its threshold now would also reach it with a larger share.
        passed |= dict.fromkeys(newly, error / shares)
        if policy["multiplicity"] == "bonferroni" or len(passed) == family:
            break
        shares = family - len(passed)
    rest = error / (family if policy["multiplicity"] == "bonferroni" else max(1, shares))
    return {
        key: _judged(found, passed.get(key), rest, blocked.get(key, ()))
        for key, found in assessments.items()
    }


def overall(verdicts: Mapping[str, str], policy: Mapping[str, Any]) -> str:
    """Give the verdict on the whole: PASS when a label passes and none that is required fails."""
    good = (Verdict.PASS, Verdict.WAIVED)
    required = [v for k, v in verdicts.items() if policy["labels"][k].get("required")]
    blocking = [verdict for verdict in required if verdict not in good]
    if not blocking and any(verdict in good for verdict in verdicts.values()):
        passing = Verdict.PASS in verdicts.values()
        return (Verdict.PASS if passing else Verdict.WAIVED).value
    candidates = blocking or list(verdicts.values())
    return next(worst.value for worst in _WORST_FIRST if worst in candidates)


def summary(verdicts: Mapping[str, str], whole: str) -> str:
    """Say the verdict on the whole in a sentence."""
    out = [key for key, verdict in verdicts.items() if verdict in (Verdict.PASS, Verdict.WAIVED)]
    held = [f"{key} ({verdict})" for key, verdict in verdicts.items() if key not in out]
    said = f"{len(out)} of {len(verdicts)} labels may be released"
    if out:
        said += f": {', '.join(out)}"
    if held:
        said += f"; blocked: {', '.join(held)}"
    if out and whole not in (Verdict.PASS, Verdict.WAIVED):
        # A label that the policy requires is among the blocked ones, which holds back the others.
        said = (
            f"nothing may be released: {', '.join(held)} blocked, of which the policy requires at "
            f"least one; by themselves {', '.join(out)} would pass"
        )
    return f"{Verdict(whole).label}. For these raters, {said}."


def _is_able(found: Assessment) -> bool:
    return not found.undetermined and not found.failing


def _reaches(lower: float | None, rule: Mapping[str, Any]) -> bool:
    return lower is not None and lower >= rule["pass"]["lower"]


def _judged(
    found: Assessment, passed_at: float | None, rest: float, blocked: tuple[str, ...]
) -> Judged:
    key, rule = found.measured.label.key, found.rule
    error = passed_at if passed_at is not None else rest
    lower = None if found.undetermined else found.lower(error)
    reasons = blocked or found.undetermined
    if reasons or lower is None:
        reasons = reasons or ("The interval is undefined at the level that the policy asks for.",)
        said = f"For these raters, nothing can be said about “{key}”: {' '.join(reasons)}"
        if not isinstance(found.alpha, Undefined) and not isinstance(found.interval, Undefined):
            said += f" What was measured: {_numbers(found)}."
        return Judged(Verdict.UNDETERMINED.value, said, reasons, lower, error)
    needed = rule["pass"]["lower"]
    numbers = f"{_numbers(found)}. The lower end that counts is {lower:.3f}"
    if passed_at is not None:
        said = f"For these raters, “{key}” passes: {numbers}, and {needed} was needed."
        return Judged(Verdict.PASS.value, said, (), lower, error)
    short = f"The lower end that counts is {lower:.3f}; {needed} is needed."
    reasons = found.failing + (() if lower >= needed else (short,))
    if not found.failing and _is_tentative(found, lower):
        said = f"For these raters, “{key}” is tentative: {numbers}, and {needed} is needed."
        said += _what_a_tentative_may(rule) + _what_then(rule)
        return Judged(Verdict.TENTATIVE.value, said, reasons, lower, error)
    said = f"For these raters, “{key}” fails: {_numbers(found)}. {' '.join(reasons)}"
    said += _what_then(rule)
    return Judged(Verdict.FAIL.value, said, reasons, lower, error)


def _is_tentative(found: Assessment, lower: float) -> bool:
    wanted = found.rule.get("tentative")
    return (
        wanted is not None
        and not isinstance(found.alpha, Undefined)
        and found.alpha >= wanted["point"]
        and lower >= wanted["lower"]
    )


def _what_a_tentative_may(rule: Mapping[str, Any]) -> str:
    if rule["tentative"].get("export_as") == "soft":
        return " It may leave only as soft labels (the raters' votes), stamped TENTATIVE."
    return " The policy does not let it leave."


_THEN = {
    "retrain_and_recode": "train the raters again and have it coded anew",
    "drop_label": "leave the label out",
    "block": "let nothing of it leave",
}


def _what_then(rule: Mapping[str, Any]) -> str:
    """What the policy says to do with a label that did not pass, as a sentence."""
    steps = []
    for step in rule.get("on_fail", ()):
        if isinstance(step, str):
            steps.append(_THEN[step])
        elif "adjudicate" in step:
            steps.append(
                f"adjudicate the {step['adjudicate']['top']:.0%} that are most disputed (which "
                "changes what is released, never this verdict)"
            )
        elif step["merge_into"]:
            steps.append(f"merge it into “{step['merge_into']}” in a new codebook version")
    return f" What the policy says to do: {'; '.join(steps)}." if steps else ""


def _numbers(found: Assessment) -> str:
    """Alpha, its interval and the range without one rater, side by side."""
    whole, ends = found.interval, found.without_one_rater
    if isinstance(found.alpha, Undefined) or isinstance(whole, Undefined):
        raise TypeError("A label with an undefined alpha or interval has no numbers to print.")
    said = (
        f"alpha {found.alpha:.3f}, {whole.level:.0%} interval {whole.low:.3f} to {whole.high:.3f}"
    )
    if ends is None:
        return f"{said}; without one rater it is undefined"
    return f"{said}; without one rater {ends[0]:.3f} to {ends[1]:.3f}"

"""Whether a policy asks for less than one that was used before.

A policy is written before anybody looks. Who looks, and then asks for less, has chosen the
threshold by the data; such a verdict proves nothing, however well it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Policy = Mapping[str, Any]

_LOWER_IS_WEAKER = ("clusters_min", "recordings_min", "positive_clusters_min")
_HIGHER_IS_WEAKER = (
    "alpha_if_removed_max_gain", "item_undecided_max", "blind_vs_prelabelled_gap_max",
)  # fmt: skip
_BY_VALUE = ("category_alpha_min", "specific_agreement_min")


def weaker_than(before: Policy, now: Policy, *, same_codebook: bool = True) -> dict[str, list[str]]:
    """Give what `now` asks less for than `before` did: label -> settings, in words.

    What is about the whole policy stands under every label. A label that `before` did not name
    has nothing to be compared with. With another codebook version labels may have gone, so a
    required label that is missing says nothing then.
    """
    whole = list(_whole(before, now, same_codebook))
    found = {}
    for key, rule in now["labels"].items():
        earlier = before["labels"].get(key)
        own = list(_label(earlier, rule)) if earlier is not None else []
        if whole or own:
            found[key] = [*whole, *own]
    return found


def _whole(before: Policy, now: Policy, same_codebook: bool) -> Iterator[str]:
    if now.get("demonstration") and not before.get("demonstration"):
        yield "it is for demonstration only, and the earlier one was not"
    old, new = before["reliability_sample"], now["reliability_sample"]
    yield from _less("reliability_sample → min_share", old, new, "min_share")
    if before["multiplicity"] == "bonferroni" and now["multiplicity"] != "bonferroni":
        yield f"multiplicity is {now['multiplicity']}, and was bonferroni"
    yield from _compare(
        "waiver → max_days",
        before["waiver"],
        now["waiver"],
        "max_days",
        lambda then, now: now > then,
    )
    for stratum in sorted(set(old.get("strata", ())) - set(new.get("strata", ()))):
        yield f"reliability_sample → strata names “{stratum}” no longer"
    for key, rule in before["labels"].items():
        if rule.get("required") and same_codebook and not _requires(now, key):
            yield f"“{key}” is no longer required"


def _requires(policy: Policy, key: str) -> bool:
    return bool(policy["labels"].get(key, {}).get("required"))


def _label(old: Policy, new: Policy) -> Iterator[str]:
    yield from _less("pass → lower", old["pass"], new["pass"], "lower")
    if new.get("tentative"):
        if not old.get("tentative"):
            yield "it lets the label be tentative, which the earlier one did not"
        else:
            yield from _less("tentative → lower", old["tentative"], new["tentative"], "lower")
            yield from _less("tentative → point", old["tentative"], new["tentative"], "point")
            if "export_as" in new["tentative"] and "export_as" not in old["tentative"]:
                yield "it lets a tentative label leave, which the earlier one did not"
    if "positive" in old and new.get("positive") != old["positive"]:
        yield f"positive is {_said(new.get('positive'))}, and was {old['positive']}"
    if new.get("tick_us", 0) > old.get("tick_us", 0):
        yield f"tick_us is {new['tick_us']}, and was {old['tick_us']}"
    yield from _guards(old["guards"], new["guards"])


def _guards(old: Policy, new: Policy) -> Iterator[str]:
    for part in ("min", "share"):
        name = f"raters_per_unit → {part}"
        yield from _less(name, old["raters_per_unit"], new["raters_per_unit"], part)
    for name in _LOWER_IS_WEAKER:
        yield from _less(name, old, new, name)
    for name in _HIGHER_IS_WEAKER:
        yield from _compare(name, old, new, name, lambda then, now: now > then)
    for name in _BY_VALUE:
        if name in old:
            yield from _by_value(name, old[name], new.get(name))
    if "prevalence" in old:
        low, high = new.get("prevalence", (0, 1))
        if low < old["prevalence"][0] or high > old["prevalence"][1]:
            yield f"prevalence may lie from {low} to {high}, and had to lie in {old['prevalence']}"


def _by_value(name: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, int | float):
        if not isinstance(new, int | float) or new < old:
            yield f"{name} is {_said(new)}, and was {old}"
        return
    kept = new if isinstance(new, Mapping) else {}
    for value, minimum in old.items():
        if kept.get(value, -1) < minimum:
            yield f"{name} of “{value}” is {_said(kept.get(value))}, and was {minimum}"


def _less(name: str, old: Policy, new: Policy, key: str) -> Iterator[str]:
    yield from _compare(name, old, new, key, lambda then, now: now < then)


def _compare(
    name: str, old: Policy, new: Policy, key: str, weaker: Callable[[Any, Any], bool]
) -> Iterator[str]:
    if key in old and (key not in new or weaker(old[key], new[key])):
        yield f"{name} is {_said(new.get(key))}, and was {old[key]}"


def _said(value: Any) -> str:
    return "left out" if value is None else str(value)

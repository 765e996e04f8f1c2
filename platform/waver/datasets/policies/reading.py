"""Reading a policy file: every error is a sentence with the line that it is about."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from annotation.written import Unreadable, line_of, parse
from waver.core.errors import BadInput

_HERE = Path(__file__).parent
HONEST_CLUSTERS = 30
"""With fewer participants a cluster bootstrap is too narrow (facts: coverage under 92 %)."""

ALWAYS_EXCLUDED = ("withdrawn", "gold", "training", "adjudicated")
"""What `population → exclude` must name if it is there; it is left out in any case."""
RELIABILITY_SAMPLE = {"design": "random", "weights": "inverse_probability", "min_share": 0.10}
"""What holds for a policy that says nothing about it."""
REPORT = ("n", "percent", "pabak", "ac1", "fleiss", "specific", "alpha_by_category")
"""What is reported beside alpha for a label whose policy does not say."""

_Path = tuple[Any, ...]


class PolicyProblem(BadInput):
    """The policy file must be changed. `problems` holds one sentence per problem, in line order."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read(text: str) -> dict[str, Any]:
    """Read a policy's YAML text and check it against the schema and the rules beyond it.

    What may be left out has its default in the answer, so that no caller has to know it.
    Raises PolicyProblem with every problem found.
    """
    return copy.deepcopy(_read(text))


@lru_cache(maxsize=32)
def _read(text: str) -> dict[str, Any]:
    try:
        value, lines = parse(text, expected="a gate policy, beginning with “schema: waver.gate/1”,")
    except Unreadable as error:
        raise PolicyProblem(
            [f"Line {line}: {sentence}" for line, sentence in error.problems]
        ) from error
    found = [
        (line_of(lines, path), f"{_where(path)}{sentence}")
        for error in _validator().iter_errors(value)
        for path, sentence in _explain(error)
    ]
    if not found:
        found = [
            (line_of(lines, path), f"{_where(path)}{sentence}") for path, sentence in _rules(value)
        ]
    if found:
        raise PolicyProblem([f"Line {line}: {sentence}" for line, sentence in sorted(set(found))])
    policy: dict[str, Any] = {"reliability_sample": dict(RELIABILITY_SAMPLE)} | dict(value)
    for label in policy["labels"].values():
        label.setdefault("report", list(REPORT))
    return policy


@cache
def _validator() -> Any:
    """A validator for which 3.0 is no whole number: what is counted must be written as a count."""
    whole = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return validators.extend(Draft202012Validator, type_checker=whole)(schema())


@cache
def schema() -> dict[str, Any]:
    """Give the JSON Schema of policy files, `waver.gate/1`."""
    loaded: dict[str, Any] = json.loads((_HERE / "schema.json").read_text(encoding="utf-8"))
    return loaded


def shipped(name: str) -> str:
    """Give the text of a policy that comes with Waver: one of `shipped_names()`.

    Raises BadInput for another name.
    """
    known = shipped_names()
    if name not in known:
        raise BadInput(
            f"There is no policy “{name}”. The policies that come with Waver are "
            f"{', '.join(known)}; give a file of your own for anything else."
        )
    return (_HERE / f"{name}.yaml").read_text(encoding="utf-8")


def shipped_names() -> list[str]:
    """Give the names of the policies that come with Waver."""
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def standard_for(labels: Collection[str]) -> str:
    """Give the text of the shipped standard policy whose labels are all among `labels`.

    Raises BadInput where none fits: the study then needs a policy of its own.
    """
    for name in shipped_names():
        text = shipped(name)
        policy = read(text)
        if not policy.get("demonstration") and set(policy["labels"]) <= set(labels):
            return text
    raise BadInput(
        "No policy that comes with Waver names labels of this study's codebook only. Write a "
        "policy file for it and name that file in the study file."
    )


def _where(path: _Path) -> str:
    return f"In “{' → '.join(map(str, path))}”, " if path else ""


def _explain(error: ValidationError) -> Iterator[tuple[_Path, str]]:
    """Say what is wrong as a person would."""
    path = tuple(error.absolute_path)
    rule = error.validator
    value: Any = error.instance
    limit: Any = error.validator_value
    if rule in ("anyOf", "pattern") and path and (said := _said_of(path, value)):
        yield path, said
    elif error.context:
        for inner in error.context:
            yield from _explain(inner)
    elif rule == "required":
        missing = [name for name in limit if name not in value]
        yield path, f"{_listed(missing)} must be given."
    elif rule == "additionalProperties":
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        for name in sorted(set(value) - set(known)):
            hint = f" Known here: {', '.join(sorted(known))}." if known else ""
            yield (*path, name), f"“{name}” is unknown.{hint}"
    elif rule in ("enum", "const"):
        yield path, _not_allowed(path, limit if rule == "enum" else [limit], value)
    elif rule == "pattern":
        yield (*path, value), f"“{value}” must be a pass and a label of the codebook: pass/label."
    else:
        yield path, f"{_plain(str(rule), limit)}, not {json.dumps(value, default=str)}."


def _said_of(path: _Path, value: Any) -> str:
    """What a setting may be that can be written in several ways; "" for any other."""
    said = json.dumps(value, default=str)
    if path[-1] in ("category_alpha_min", "specific_agreement_min"):
        return (
            "the value must be a number from 0 to 1, or a group with such a number for each of "
            f"the label's values, not {said}."
        )
    if "on_fail" in path and "export_as" in str(value):
        return (
            "a label that fails does not leave, not even as soft labels. Write “export_as: soft” "
            "under “tentative”: it is for labels that come close."
        )
    if "on_fail" in path:
        return (
            "the entry must be “adjudicate: {top: 0.1}”, “retrain_and_recode”, “merge_into: …”, "
            f"“drop_label” or “block”, not {said}."
        )
    if "report" in path:
        return (
            f"{said} is not known. Known here: {', '.join(REPORT)}, u_alpha, bar_u_alpha, "
            "event_f1@0.5 (with any overlap from 0 to 1) and event_f1@tol0.5s (any tolerance)."
        )
    return ""


def _not_allowed(path: _Path, allowed: list[Any], value: Any) -> str:
    said = json.dumps(value, default=str)
    if path and path[-1] == "metric":
        return (
            f"the gate judges by Krippendorff's alpha only, not by {said}: other coefficients are "
            "reported beside it. Write “metric: alpha”."
        )
    if path and path[-1] == "design":
        return (
            f"agreement on recordings that were not drawn at random proves nothing, not {said} "
            "either. Write “design: random”."
        )
    if path and path[-1] == "prelabel_exposure":
        return (
            "only labels given without seeing pre-labels count, so it must be “blind_only”, "
            f"not {said}."
        )
    return f"the value must be {' or '.join(f'“{a}”' for a in allowed)}, not {said}."


def _plain(rule: str, limit: Any) -> str:
    names = {
        "object": "a group of settings", "string": "a text", "integer": "a whole number",
        "number": "a number", "boolean": "true or false", "array": "a list",
    }  # fmt: skip
    return {
        "type": f"the value must be {names.get(str(limit), str(limit))}",
        "minimum": f"the value must be at least {limit}",
        "maximum": f"the value must be at most {limit}",
        "exclusiveMinimum": f"the value must be above {limit}",
        "minLength": "the text must not be empty",
        "minProperties": f"there must be at least {limit} entry",
        "minItems": f"there must be {limit} entries",
        "maxItems": f"there must be {limit} entries",
        "uniqueItems": "no entry may stand there twice",
    }.get(rule, f"the value breaks the rule “{rule}: {limit}”")


def _listed(names: list[str]) -> str:
    return " and ".join(f"“{name}”" for name in names)


def _rules(policy: Mapping[str, Any]) -> Iterator[tuple[_Path, str]]:
    """What a schema cannot say."""
    exclude = policy["population"].get("exclude")
    if exclude is not None and (missing := sorted(set(ALWAYS_EXCLUDED) - set(exclude))):
        said = "never count for agreement, and no policy can let them in"
        yield ("population", "exclude"), f"{_listed(missing)} {said}. Name them as well."
    yield from _rules_for_interval(policy)
    for name, label in policy["labels"].items():
        base: tuple[Hashable, ...] = ("labels", name)
        guards = label["guards"]
        if guards["clusters_min"] < HONEST_CLUSTERS and not policy.get("demonstration"):
            sentence = (
                f"fewer than {HONEST_CLUSTERS} participants cannot be resampled honestly. Ask for "
                f"{HONEST_CLUSTERS} or more, or write “demonstration: true” at the top: everything "
                "released under it is then stamped so."
            )
            yield (*base, "guards", "clusters_min"), sentence
        yield from _rules_for_positive(base, label, guards)
        tentative = label.get("tentative")
        if tentative and tentative["lower"] > label["pass"]["lower"]:
            yield (
                (*base, "tentative", "lower"),
                "a tentative label must not have to reach more than one that passes.",
            )
        low, high = guards.get("prevalence", (0, 1))
        if low >= high:
            yield (*base, "guards", "prevalence"), "the first share must be below the second."
        for foreign in {"scale", "positive"} if label["data"] == "segments" else {"tick_us"}:
            if foreign in label:
                yield (*base, foreign), f"“{foreign}” has no meaning for {label['data']}."
        yield from _rules_for_report(base, label)


def _rules_for_interval(policy: Mapping[str, Any]) -> Iterator[tuple[_Path, str]]:
    interval = policy["interval"]
    looks, labels = policy["looks"]["max"], len(policy["labels"])
    needed = math.ceil(2 * looks * labels / (1 - interval["level"]) - 1e-6)
    if interval["method"] != "jackknife_t" and interval["resamples"] < needed:
        sentence = (
            f"at level {interval['level']}, shared out over looks ({looks}) and labels ({labels}), "
            f"the lower end lies where fewer resamples than {needed} have none left. Ask for "
            f"{needed} or more."
        )
        yield ("interval", "resamples"), sentence


def _rules_for_report(base: _Path, label: Mapping[str, Any]) -> Iterator[tuple[_Path, str]]:
    for place, wanted in enumerate(label.get("report", ())):
        if label["data"] == "clips" and wanted.startswith(("u_alpha", "bar_u", "event_f1")):
            yield (*base, "report", place), f"“{wanted}” has no meaning for clips."
        if wanted.startswith("event_f1@0") and float(wanted.removeprefix("event_f1@")) == 0:
            yield (*base, "report", place), "an overlap of 0 would match everything; ask for more."


def _rules_for_positive(
    base: _Path, label: Mapping[str, Any], guards: Mapping[str, Any]
) -> Iterator[tuple[_Path, str]]:
    about_positive = {
        "positive_clusters_min", "prevalence", "category_alpha_min", "specific_agreement_min",
    }  # fmt: skip
    if label["data"] == "clips" and "positive" not in label:
        for name in sorted(about_positive & set(guards)):
            if isinstance(guards[name], dict):
                continue  # it names the values itself
            yield (
                (*base, "guards", name),
                f"“{name}” is about one value, so the label must name it as “positive”.",
            )
    if label["data"] == "segments" or "positive" in label:
        for name in sorted({"positive_clusters_min", "prevalence"} - set(guards)):
            yield (*base, "guards"), f"“{name}” must be given."

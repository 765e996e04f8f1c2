"""Policy files: each problem is a sentence with its line, and none can talk the gate round."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from annotation import codebooks
from tests.factories import StudyFactory
from waver.core.errors import BadInput
from waver.datasets import policies
from waver.datasets.labels import labels_of
from waver.datasets.models import GatePolicy
from waver.datasets.policies import PolicyProblem, read, shipped


def _changed(old: str, new: str, name: str = "standard") -> str:
    text = shipped(name)
    assert old in text
    return text.replace(old, new, 1)


def _line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("name", policies.shipped_names())
def test_the_shipped_policies_are_valid(name):
    assert read(shipped(name))["schema"] == "waver.gate/1"


def test_the_demonstration_policy_says_so_itself():
    policy = read(shipped("demonstration"))
    assert policy["demonstration"] is True
    assert "demonstration only" in policy["note"].lower()
    assert {label["guards"]["clusters_min"] for label in policy["labels"].values()} == {6}
    assert read(shipped("standard")).get("demonstration") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metric: alpha", "metric: gwet_ac1", "other coefficients are reported beside it"),
        ("blind_only ", "any ", "without seeing pre-labels"),
        ("cluster: participant", "cluster: frame", "must be “participant”, not \"frame\""),
        ("lower: 0.667}", "lower: 1.5}", "must be at most 1, not 1.5"),
        ("lower: 0.667}", "lower: high}", 'must be a number, not "high"'),
        ("{min: 3, share: 0.95}", "{min: 1, share: 0.95}", "must be at least 2, not 1"),
        ("clusters_min: 30", "clusters_min: 12", "cannot be resampled honestly"),
        ("clusters_min: 30", "clusters_mni: 30", "“clusters_mni” is unknown"),
        ("tick_us: 40000", "seed: 4", "“tick_us” must be given"),
        ("multiplicity: holm", "multiplicity: none", "must be “holm” or “bonferroni”"),
        ("spending: bonferroni", "spending: free", "must be “bonferroni”"),
        ("prevalence: [0.02, 0.98]", "prevalence: [0.9, 0.1]", "must be below the second"),
        ("tentative: {lower: 0.60", "tentative: {lower: 0.90", "reach more than one that passes"),
        ("segments/ah:", "ah:", "must be a pass and a label"),
        ("      positive_clusters_min: 20\n", "", "“positive_clusters_min” must be given"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_line_and_sentence(old, new, said):
    text = _changed(old, new)
    with pytest.raises(PolicyProblem) as caught:
        read(text)
    found = [problem for problem in caught.value.problems if said in problem]
    assert found, caught.value.problems
    lines = {
        n
        for n, pair in enumerate(
            zip(text.splitlines(), shipped("standard").splitlines(), strict=False), 1
        )
        if pair[0] != pair[1]
    }
    line = _line_of(text, "segments/ah:") if "must be given" in said else min(lines)
    if new:
        assert any(problem.startswith(f"Line {line}:") for problem in found)
    assert all(problem.endswith(".") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("schema: [", 1), ("schema: waver.gate/1\nschema: waver.gate/1\n", 2), ("- a\n", 1)],
)
def test_what_is_no_policy_at_all_gets_a_line_too(text, line):
    with pytest.raises(PolicyProblem, match=f"^Line {line}: "):
        read(text)


@pytest.mark.parametrize("codebook", codebooks.shipped().values(), ids=lambda path: path.stem)
def test_every_shipped_codebook_has_a_standard_policy(codebook):
    known = labels_of(codebooks.load(codebook))
    policy = read(policies.standard_for(known))
    assert set(policy["labels"]) <= set(known)
    assert policy.get("demonstration") is None


def test_a_codebook_of_ones_own_needs_a_policy_of_its_own():
    with pytest.raises(BadInput, match="Write a policy file"):
        policies.standard_for({"clip/mood"})


def test_a_policy_cannot_be_read_as_code():
    with pytest.raises(PolicyProblem):
        read("schema: !!python/object/apply:os.system ['true']\n")


def test_an_unknown_shipped_policy_is_named():
    with pytest.raises(BadInput, match="demonstration, standard, standard-clues"):
        shipped("../../settings")


@pytest.mark.django_db
def test_installing_the_same_text_twice_makes_one_row():
    study = StudyFactory()
    first = policies.install(study=study, text=shipped("standard"), actor="lead")
    again = policies.install(study=study, text=shipped("standard"), actor="lead")
    other = policies.install(study=study, text=shipped("demonstration"), actor="lead")
    assert first == again != other
    assert yaml.safe_load(first.text)["title"]
    assert GatePolicy.objects.filter(study=study).count() == 2


def _settings(schema: dict) -> set[str]:
    """Every name that a policy may hold, found in the schema itself."""
    found = set(schema.get("properties", {}))
    for part in schema.values():
        parts = part if isinstance(part, list) else [part]
        for one in parts:
            if isinstance(one, dict):
                found |= _settings(one)
    return found


def _manual() -> str:
    return (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")


def test_every_setting_is_documented():
    text = _manual()
    assert {name for name in _settings(policies.schema()) if f"{name}" not in text} == set()


def test_the_documented_policy_is_one():
    example = _manual().split("```yaml\n")[1].split("```")[0]
    policy = read(example)
    assert policy["labels"]["segments/ah"]["guards"]["specific_agreement_min"]["none"] == 0.8
    used = _names(policy)
    left = _settings(policies.schema()) - used
    assert left == {"demonstration", "scale", "positive", "merge_into"}


def _names(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_names, value.values()))
    if isinstance(value, list):
        return set().union(*map(_names, value))
    return set()


def test_what_is_left_out_has_its_default():
    text = _changed("reliability_sample:", "x-reliability_sample:")
    with pytest.raises(PolicyProblem, match="“x-reliability_sample” is unknown"):
        read(text)
    policy = read(shipped("demonstration"))
    assert policy["reliability_sample"]["min_share"] == 0.10
    assert "alpha_by_category" in policy["labels"]["segments/ah"]["report"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metric: alpha", "metric: pabak", "judges by Krippendorff's alpha only"),
        ("metric: alpha", "metric: ac1", "judges by Krippendorff's alpha only"),
        ("design: random ", "design: chosen ", "Write “design: random”"),
        ("weights: inverse_probability", "weights: none", "must be “inverse_probability”"),
        ("min_share: 0.10 ", "min_share: 0 ", "must be above 0"),
        ("export_as: soft}", "export_as: hard}", "must be “soft”"),
        ("category_alpha_min: 0.60", "category_alpha_min: high", "a number from 0 to 1, or a"),
        ("  prelabel_exposure", "  exclude: [gold]\n  prelabel_exposure", "never count for agree"),
        ("    metric: alpha", "    metric: alpha\n    report: [kappa]", "is not known. Known here"),
        ("    metric: alpha", "    metric: alpha\n    report: [event_f1@0.0]", "overlap of 0"),
        ("    scale: nominal", "    scale: nominal\n    report: [u_alpha]", "no meaning for clips"),
        ("    metric: alpha", "    metric: alpha\n    on_fail: [pray]", "“adjudicate: {top: 0.1}”"),
        ("    metric: alpha", "    metric: alpha\n    on_fail: [export_as: soft]", "not even"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_line_and_sentence(old, new, said):
    text = _changed(old, new)
    line = text[: text.index(new)].count("\n") + 1 + new.count("\n")
    with pytest.raises(PolicyProblem) as caught:
        read(text)
    found = [problem for problem in caught.value.problems if said in problem]
    assert found, caught.value.problems
    near = {line, line - new.count("\n")}
    assert any(problem.startswith(tuple(f"Line {n}:" for n in near)) for problem in found), found

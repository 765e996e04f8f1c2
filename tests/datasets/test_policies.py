"""Policy files: each problem is a sentence with its line, and none can talk the gate round."""

from __future__ import annotations

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

"""Ways to talk the gate round, each tried through the doors that people have."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
import yaml
from django.db import Error, IntegrityError, transaction
from django.utils import timezone

from annotation.models import Assignment
from tests.datasets.worlds import label, policy_text, world
from tests.factories import AnnotationFactory, AssignmentFactory, RecordingFactory, TakeFactory
from waver.consent.models import Participant
from waver.core.errors import Conflict, IntegrityProblem
from waver.datasets import gate, policies, receipts, releases, snapshots
from waver.datasets.models import GateRun, Snapshot, Statistic
from waver.datasets.policies import read, shipped
from waver.datasets.policies.comparing import weaker_than

KEY = "video/ah"


def _text(change=None, **more) -> str:
    """The demonstration policy for one label, with `change` made to it."""
    rules = yaml.safe_load(policy_text(labels=(KEY,), **more))
    if change is not None:
        change(rules, rules["labels"][KEY])
    return yaml.safe_dump(rules, sort_keys=False)


def _run(made, text: str) -> GateRun:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=text, actor="lead")
    return gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


def _found(run: GateRun) -> dict:
    return run.receipt["labels"][KEY]


def _said(run: GateRun, verdict: str) -> str:
    assert _found(run)["verdict"] == verdict, _found(run)["sentence"]
    return " ".join(_found(run)["reasons"])


@pytest.fixture
def made(db):
    """Twelve participants, three raters, one of the passes."""
    found = world()
    label(found, errors=0.1, passes=("video",))
    return found


@pytest.fixture
def split(db):
    """The same, and raters who often differ: alpha is too low."""
    found = world()
    label(found, errors=0.3, passes=("video",))
    return found


# Another policy


def _ask_for_less(rules, rule):
    rule["pass"]["lower"] = 0.01
    rule["tentative"]["lower"] = 0.01


def test_a_threshold_lowered_after_the_fact_lets_nothing_out(split):
    first = _run(split, _text())
    assert _found(first)["verdict"] == "fail"
    second = _run(split, _text(_ask_for_less))
    said = _said(second, "undetermined")
    assert "asks for less than the one of look 1: pass → lower is 0.01, and was 0.667" in said
    with pytest.raises(Conflict, match="The gate lets nothing out"):
        releases.check(gate_run=second, version="1.0", purpose="research")


def test_a_threshold_raised_after_the_fact_is_judged(made):
    _run(made, _text(_ask_for_less))
    assert _found(_run(made, _text()))["verdict"] in ("pass", "fail", "tentative")


def test_the_same_policy_with_another_comment_is_another_look(made):
    first = _run(made, _text(looks=2))
    second = _run(made, _text(looks=2) + "# tried again\n")
    third = _run(made, _text(looks=2) + "# and again\n")
    assert (first.look, second.look, third.look) == (1, 2, 3)
    assert "looking until it passes proves nothing" in _said(third, "undetermined")


def test_a_lower_level_opens_no_new_account(made):
    def lower_level(rules, rule):
        rules["interval"]["level"] = 0.9

    _run(made, _text(looks=1))
    assert "looking until it passes" in _said(_run(made, _text(lower_level)), "undetermined")


def test_freezing_again_what_did_not_change_is_no_new_snapshot(made):
    _run(made, _text())
    assert snapshots.freeze(study=made.study, actor="lead") == Snapshot.objects.get()
    assert GateRun.objects.count() == 1


def test_looks_cannot_be_deleted(made):
    run = _run(made, _text())
    for rows in (GateRun.objects.filter(pk=run.pk), Snapshot.objects.all()):
        with pytest.raises(Error), transaction.atomic():
            rows.delete()
    assert GateRun.objects.filter(pk=run.pk).exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p, r: r["pass"].update(lower=0.5), "pass → lower is 0.5, and was 0.667"),
        (lambda p, r: r["tentative"].update(point=0.5), "tentative → point is 0.5"),
        (lambda p, r: r["guards"].update(clusters_min=29), "clusters_min is 29, and was 30"),
        (lambda p, r: r["guards"].pop("category_alpha_min"), "category_alpha_min is left out"),
        (lambda p, r: r["guards"].update(prevalence=[0.0, 0.98]), "prevalence may lie from 0.0"),
        (lambda p, r: r["guards"].update(specific_agreement_min=0.5), "specific_agreement_min is"),
        (lambda p, r: r["guards"].pop("alpha_if_removed_max_gain"), "max_gain is left out"),
        (lambda p, r: r["guards"]["raters_per_unit"].update(min=2), "raters_per_unit → min is 2"),
        (lambda p, r: r.update(tick_us=80_000), "tick_us is 80000, and was 40000"),
        (lambda p, r: p["reliability_sample"].update(min_share=0.05), "min_share is 0.05"),
        (lambda p, r: p.update(demonstration=True), "it is for demonstration only"),
        (lambda p, r: p["waiver"].update(max_days=91), "waiver → max_days is 91, and was 90"),
    ],
)
def test_what_asks_for_less_is_recognised(change, said):
    before = read(shipped("standard"))
    now = copy.deepcopy(before)
    change(now, now["labels"]["segments/ah"])
    found = weaker_than(before, now)["segments/ah"]
    assert any(said in one for one in found), found
    assert weaker_than(now, before).get("segments/ah") is None
    assert weaker_than(before, before) == {}


def test_a_required_label_that_is_dropped_is_asking_for_less():
    before = read(shipped("standard"))
    before["labels"]["video/certainty"]["required"] = True
    now = copy.deepcopy(before)
    del now["labels"]["video/certainty"]
    assert set(weaker_than(before, now)) == {"segments/ah", KEY}
    assert weaker_than(before, now, same_codebook=False) == {}


def test_a_guard_by_value_is_compared_by_value():
    before = read(shipped("standard"))
    before["labels"][KEY]["guards"]["specific_agreement_min"] = {"present": 0.6, "absent": 0.6}
    now = copy.deepcopy(before)
    now["labels"][KEY]["guards"]["specific_agreement_min"] = {"present": 0.7}
    assert "of “absent” is left out, and was 0.6" in weaker_than(before, now)[KEY][0]


# Another sample


def test_recordings_that_were_chosen_for_several_raters_prove_nothing(db):
    made = world(participants=16)
    label(made, jitter_us=0, recordings=made.recordings[:12], passes=("video",))
    label(
        made,
        recordings=made.recordings[12:],
        raters=made.raters[:1],
        passes=("video",),
        in_reliability_sample=False,
    )
    assert "do not fit a random draw" in _said(_run(made, _text()), "undetermined")


def test_a_sample_that_is_too_small_proves_nothing_for_the_rest(db):
    made = world(participants=16)
    label(
        made,
        jitter_us=0,
        recordings=made.recordings[:8],
        passes=("video",),
        inclusion_probability=0.5,
    )
    label(
        made,
        recordings=made.recordings[8:],
        raters=made.raters[:1],
        passes=("video",),
        in_reliability_sample=False,
        inclusion_probability=0.5,
    )

    def more(rules, rule):
        rules["reliability_sample"]["min_share"] = 0.6

    run = _run(made, _text(more))
    assert "Only 50% of all recordings were drawn" in _said(run, "undetermined")


def test_a_drawn_sample_passes_and_counts_by_its_weights(db):
    made = world(participants=16)
    label(
        made,
        jitter_us=0,
        recordings=made.recordings[:8],
        passes=("video",),
        inclusion_probability=0.5,
    )
    label(
        made,
        recordings=made.recordings[8:],
        raters=made.raters[:1],
        passes=("video",),
        in_reliability_sample=False,
        inclusion_probability=0.5,
    )

    def by_prompt(rules, rule):
        rules["reliability_sample"]["strata"] = ["prompt"]

    run = _run(made, _text(by_prompt))
    found = _found(run)
    assert found["verdict"] == "pass"
    assert found["sample"] == {
        "recordings": 16,
        "drawn": 8,
        "share": 0.5,
        "weights": "inverse probability of being drawn",
    }
    assert found["n"]["recordings"] == 8
    assert found["cross_check"]["difference"] <= 1e-9
    stored = Statistic.objects.filter(snapshot=run.snapshot).first()
    assert stored.values["table"][0][-4:] == [2.0, 2.0, 1.0, 1.0]  # weighted, and counted


def test_one_recording_under_two_codes_is_refused_by_the_database(made):
    twin = made.recordings[0]
    other = TakeFactory(participant=made.participants[1])
    with pytest.raises(IntegrityError, match="recording_not_twice_in_a_study"):
        RecordingFactory(take=other, study=made.study, original_sha256=twin.original_sha256)


# Guards


def _guard(**guards):
    def change(rules, rule):
        rule["guards"].update(guards)

    return change


def test_what_pre_labels_do_must_be_measurable_where_the_policy_asks(made):
    run = _run(made, _text(_guard(blind_vs_prelabelled_gap_max=0.1)))
    assert "How far pre-labels move the raters cannot be measured" in _said(run, "undetermined")


def test_pre_labels_that_move_the_raters_block_the_label(db):
    made = world(participants=24)
    label(made, errors=0.15, recordings=made.recordings[:12], passes=("video",))
    label(made, recordings=made.recordings[12:], passes=("video",), arm="prelabel")
    run = _run(made, _text(_guard(blind_vs_prelabelled_gap_max=0.02)))
    assert "The pre-labels move the raters." in _said(run, "fail")
    assert _found(run)["prelabelled"] == {"alpha": 1.0, "recordings": 12}
    assert _found(run)["n"]["recordings"] == 12  # judged on the blind arm alone


def test_raters_who_are_evenly_split_block_the_label(db):
    made = world(raters=4)
    label(made, errors=0.15, passes=("video",))
    run = _run(made, _text(_guard(item_undecided_max=0.0)))
    assert 0 < _found(run)["undecided"] < 1
    assert "The raters are evenly split on" in _said(run, "fail")


def test_a_guard_may_name_several_values(split):
    wanted = {"present": 0.99, "absent": 0.99}
    said = _said(_run(split, _text(_guard(specific_agreement_min=wanted))), "fail")
    assert "agreement on “present”" in said
    assert "agreement on “absent”" in said


# What a verdict says


def _almost(rules, rule):
    rule["pass"]["lower"] = 0.99
    rule["tentative"] = {"lower": 0.01, "point": 0.3, "export_as": "soft"}
    rule["on_fail"] = [{"adjudicate": {"top": 0.1}}, "retrain_and_recode", {"merge_into": None}]


def test_a_tentative_label_says_how_it_may_leave_and_what_to_do(db):
    made = world(participants=20)
    label(made, errors=0.05, passes=("video",))
    found = _found(_run(made, _text(_almost)))
    assert found["verdict"] == "tentative"
    assert found["export_as"] == "soft"
    assert found["sentence"].startswith("For these raters, “video/ah” is tentative: alpha ")
    assert (
        "It may leave only as soft labels (the raters' votes), stamped TENTATIVE."
        in (found["sentence"])
    )
    assert "adjudicate the 10% that are most disputed" in found["sentence"]
    assert "train the raters again" in found["sentence"]


def test_the_report_holds_what_the_policy_asks_for(db):
    made = world()
    label(made, passes=("segments",))
    rules = yaml.safe_load(policy_text(labels=("segments/ah",)))
    rules["labels"]["segments/ah"]["report"] = [
        "u_alpha", "bar_u_alpha", "event_f1@0.5", "event_f1@tol0.5s", "ac1", "n",
    ]  # fmt: skip
    found = _run(made, yaml.safe_dump(rules)).receipt["labels"]["segments/ah"]
    assert set(found["report"]) == {
        "u_alpha", "bar_u_alpha", "event_f1@0.5", "event_f1@tol0.5s", "gwet", "units",
    }  # fmt: skip
    assert found["report"]["event_f1@0.5"] == found["report"]["event_f1@tol0.5s"] == 1.0
    assert found["report"]["u_alpha"]["tick_us"] == 40_000
    assert 0.8 < found["report"]["u_alpha"]["value"] < 1
    assert found["without_one_rater"]
    assert len(found["inputs_sha256"]) == 64


# Afterwards


def test_a_waiver_that_has_ended_builds_nothing(split):
    run = _run(split, _text())
    now = timezone.now()
    gate.waive(
        gate_run=run,
        label=KEY,
        who=split.lead,
        why="It is released for a methods study.",
        until=now + timedelta(seconds=60),
    )
    assert releases.check(gate_run=run, version="1.0", purpose="research")
    assert gate.standing_of_run(run, at=now + timedelta(seconds=61)) == "fail"


def test_a_changed_receipt_releases_nothing(split):
    run = _run(split, _text())
    whole = copy.deepcopy(run.receipt)
    for change in (
        lambda receipt: receipt["labels"][KEY].update(verdict="pass"),
        lambda receipt: receipt["labels"][KEY].update(alpha=0.99),
        lambda receipt: receipt["look"].update(number=1, error=0.0),
        lambda receipt: receipt.update(seed=1),
        lambda receipt: receipt["snapshot"].update(sha256="0" * 64),
    ):
        run.receipt = copy.deepcopy(whole)
        change(run.receipt)
        with pytest.raises(IntegrityProblem, match="not the one that was signed"):
            releases.check(gate_run=run, version="1.0", purpose="research")


def test_a_receipt_signed_with_another_key_is_not_ours(split, settings):
    run = _run(split, _text())
    ours = receipts.public_key()
    settings.RELEASE_SIGNING_KEY = "11" * 32
    assert not receipts.is_genuine(run.receipt, run.signature)
    settings.RELEASE_EARLIER_KEYS = [ours]
    assert receipts.key_of(run.receipt, run.signature) == ours


def test_a_snapshot_cannot_lose_an_annotation_and_one_that_gained_some_is_not_judged(made):
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=_text(), actor="lead")
    rows = Snapshot.annotations.through.objects.filter(snapshot=snapshot)
    with pytest.raises(Error, match="append-only"), transaction.atomic():
        rows.filter(pk=rows.first().pk).delete()
    snapshot.annotations.add(
        AnnotationFactory(
            assignment=Assignment.objects.first(),
            codebook=made.codebook,
            clip_labels={"ah": "present"},
        )
    )
    with pytest.raises(IntegrityProblem, match="not what was frozen"):
        gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")


# Numbers that are none, and rules that change their subject


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1.0e+999", "!!float nan"])
def test_a_limit_that_is_no_number_is_refused(number):
    text = shipped("standard").replace("share: 0.95", f"share: {number}")
    with pytest.raises(policies.PolicyProblem, match=r"^Line 38: .* is no number"):
        read(text)


def test_a_count_with_a_decimal_point_is_refused_before_it_is_used():
    text = shipped("standard").replace("resamples: 10000", "resamples: 10000.0")
    with pytest.raises(policies.PolicyProblem, match="must be a whole number"):
        read(text)


def test_resamples_must_reach_as_far_out_as_the_error_that_is_shared_out():
    few = shipped("standard").replace("resamples: 10000", "resamples: 1000")
    assert read(few)["interval"]["resamples"] == 1000
    many_looks = few.replace("max: 3", "max: 20")
    with pytest.raises(policies.PolicyProblem, match="Ask for 2400 or more"):
        read(many_looks)
    assert read(many_looks.replace("method: bca", "method: jackknife_t"))


def test_sharing_the_error_out_less_strictly_is_asking_for_less():
    now = read(shipped("standard"))
    before = now | {"multiplicity": "bonferroni"}
    assert weaker_than(before, now)[KEY] == ["multiplicity is holm, and was bonferroni"]
    assert weaker_than(now, before) == {}


def test_another_positive_value_is_asking_for_something_else():
    before = read(shipped("standard"))
    now = copy.deepcopy(before)
    now["labels"][KEY]["positive"] = "absent"
    assert weaker_than(before, now) == {KEY: ["positive is absent, and was present"]}


# Fewer raters than it looks


def test_participants_with_a_single_rating_are_no_clusters(db):
    made = world(participants=14)
    label(made, jitter_us=0, recordings=made.recordings[:5], passes=("video",))
    label(made, recordings=made.recordings[5:], raters=made.raters[:1], passes=("video",))

    def any_share(rules, rule):
        rule["guards"]["raters_per_unit"]["share"] = 0.0

    run = _run(made, _text(any_share))
    said = _said(run, "undetermined")
    assert "There are 5 participants; at least 6 are needed." in said
    assert "There are 5 recordings; at least 6 are needed. Recordings with a single" in said
    assert _found(run)["n"]["participants"] == 5


def test_who_submits_and_leaves_the_question_open_is_no_rater_of_it(db):
    made = world()
    label(made, jitter_us=0, recordings=made.recordings[:7], passes=("video",))
    label(made, recordings=made.recordings[7:], raters=made.raters[:1], passes=("video",))
    for recording in made.recordings[7:]:
        for rater in made.raters[1:]:
            assignment = AssignmentFactory(
                batch=made.study.batches.last(), recording=recording, rater=rater, arm="blind",
                state=Assignment.State.SUBMITTED,
            )  # fmt: skip
            AnnotationFactory(assignment=assignment, codebook=made.codebook)
    run = _run(made, _text())
    said = _said(run, "undetermined")
    assert _found(run)["n"]["submissions"] == 36
    assert "Only 58% of the recordings have 3 or more raters; 95% are needed." in said


def test_who_saw_a_recordings_pre_labels_is_not_blind_on_it_later(made):
    label(
        made,
        recordings=made.recordings[:8],
        raters=made.raters[:2],
        passes=("segments",),
        arm="prelabel",
    )
    run = _run(made, _text())
    assert _found(run)["n"]["submissions"] == 36 - 16
    assert "Only 33% of the recordings have 3 or more raters" in _said(run, "undetermined")


# Another run's receipt


def test_a_receipt_of_another_run_fits_that_run_only(split):
    first = _run(split, _text())
    for person in split.participants[:6]:
        person.state = Participant.State.WITHDRAWN
        person.save()
    second = _run(split, _text(_ask_for_less))
    second.receipt, second.signature = first.receipt, first.signature
    assert receipts.is_genuine(second.receipt, second.signature)
    with pytest.raises(IntegrityProblem, match="not the one that was signed"):
        gate.standings(second)
    first.policy.text += "# later\n"
    with pytest.raises(IntegrityProblem, match="not the one that was signed"):
        gate.standings(first)

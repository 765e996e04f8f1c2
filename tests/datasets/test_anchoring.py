"""With pre-labels minus without: the difference, its interval, or the reason why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.agreement import Ratings, Undefined, coefficients, compare, interval, sufficient
from tests.datasets.test_figures import looked
from tests.datasets.worlds import label, world
from waver.consent.models import Purpose
from waver.consent.services import withdraw
from waver.datasets import figures, measures
from waver.datasets.anchoring import LEAST_PARTICIPANTS, ArmData, Difference, anchoring
from waver.datasets.labels import Label

ALONE = Label("clip/x", "clip", "clips", "x", "", "nominal", ("absent", "present"), "X")


def ratings(seed: int, people: range, agree: float, rate: float) -> Ratings:
    """Three raters and two clips of each person; with chance `agree` all say the same."""
    chance = np.random.default_rng(seed)
    rows = []
    for person in people:
        for clip in range(2):
            truth = chance.random() < rate
            for rater in "abc":
                said = truth if chance.random() < agree else chance.random() < rate
                rows.append((f"{person}-{clip}-{seed}", rater, ALONE.values[said], person))
    unit, rater, value, person = zip(*rows, strict=True)
    return Ratings.from_long(
        unit, rater, value, scale="nominal", values=ALONE.values, cluster=person
    )


def arm(data: Ratings) -> ArmData:
    return ArmData(sufficient(data), len(data.units), 3 * len(data.units), 1.0)


def test_followed_pre_labels_raise_agreement_and_what_is_labelled_and_the_intervals_say_so():
    blind = arm(ratings(1, range(60), agree=0.4, rate=0.3))
    shown = arm(ratings(2, range(60), agree=0.95, rate=0.6))
    found = anchoring(ALONE, blind=blind, shown=shown)
    assert found.is_paired
    assert found.in_both == 60
    assert not found.has_few
    assert found.alpha.low > 0.2
    assert found.rates["present"].low > 0.1
    assert found.rates["absent"].value == pytest.approx(-found.rates["present"].value)
    # What the page shows is what the agreement package computes.
    wanted = compare(
        shown.statistics, blind.statistics, "alpha", resamples=1000, seed=20261121, level=0.95
    )
    assert found.alpha == Difference(wanted.estimate, wanted.low, wanted.high)
    assert found.alpha.value == pytest.approx(found.shown.alpha - found.blind.alpha)
    assert found.shown.rates["present"] == coefficients(shown.statistics).prevalence["present"]


def test_without_a_pull_the_interval_holds_zero_and_groups_without_common_people_are_unpaired():
    blind = arm(ratings(3, range(50), agree=0.7, rate=0.4))
    shown = arm(ratings(4, range(50, 100), agree=0.7, rate=0.4))
    found = anchoring(ALONE, blind=blind, shown=shown)
    assert not found.is_paired
    assert found.alpha.low < 0 < found.alpha.high
    assert found.rates["present"].low < 0 < found.rates["present"].high


def test_pairing_by_participant_makes_the_interval_of_the_rate_narrower():
    """What makes a person show much or little of it cancels out."""
    chance = np.random.default_rng(8)
    rows = {"blind": [], "shown": []}
    for person in range(60):
        own = chance.random()
        for name, values in rows.items():
            for clip in range(6):
                said = ALONE.values[chance.random() < own]
                values += [(f"{name}-{person}-{clip}", rater, said, person) for rater in "ab"]
    data = {}
    for name, values in rows.items():
        unit, rater, value, person = zip(*values, strict=True)
        for shift in (0, 1000):
            data[name, shift] = arm(
                Ratings.from_long(
                    unit, rater, value, scale="nominal", values=ALONE.values,
                    cluster=[one + shift for one in person],
                )
            )  # fmt: skip
    paired = anchoring(ALONE, blind=data["blind", 0], shown=data["shown", 0])
    apart = anchoring(ALONE, blind=data["blind", 0], shown=data["shown", 1000])
    width = [one.rates["present"].high - one.rates["present"].low for one in (paired, apart)]
    assert (paired.is_paired, apart.is_paired) == (True, False)
    assert width[0] < 0.6 * width[1]


@pytest.mark.parametrize("few", ["blind", "shown"])
def test_too_few_participants_in_an_arm_give_a_reason_and_no_number(few):
    many, little = range(40), range(LEAST_PARTICIPANTS - 1)
    sides = {
        name: arm(ratings(n, little if name == few else many, 0.8, 0.4))
        for n, name in enumerate(("blind", "shown"))
    }
    found = anchoring(ALONE, **sides)
    for one in (found.alpha, *found.rates.values()):
        assert (one.value, one.low, one.high) == (None, None, None)
        assert "9 participants" in one.reason
        assert ("without pre-labels" if few == "blind" else "with pre-labels") in one.reason
    assert found.has_few


def test_an_arm_in_which_everybody_says_the_same_has_no_alpha_but_a_rate():
    blind = arm(ratings(1, range(40), 0.6, 0.4))
    shown = arm(ratings(2, range(40), 1.0, 1.1))
    found = anchoring(ALONE, blind=blind, shown=shown)
    assert isinstance(found.shown.alpha, Undefined)
    assert found.alpha.value is None
    assert "All values are the same" in found.alpha.reason
    assert found.rates["present"].low > 0.4


def test_the_share_of_a_value_is_the_mean_over_units_and_has_an_interval():
    data = ratings(5, range(30), 0.7, 0.4)
    stats = sufficient(data)
    counts = data.counts()
    wanted = (counts[:, 1] / counts.sum(axis=1)).mean()
    assert coefficients(stats).prevalence["present"] == pytest.approx(wanted)
    ends = interval(stats, "prevalence", category="present", resamples=500)
    assert ends.low < wanted < ends.high


@pytest.mark.django_db
def test_a_look_compares_its_arms_by_time_and_leaves_out_nobody_with_one_rater():
    made = world(participants=12, recordings_each=2, consented=True)
    shown, blind = made.recordings[::2], made.recordings[1::2]
    label(made, errors=0.1, jitter_us=600_000, recordings=blind, passes=("segments",))
    label(made, jitter_us=0, recordings=shown, passes=("segments",), arm="prelabel", seed=9)
    run = looked(made, labels=("segments/ah",), clusters=5)
    (found,) = figures.arms(run)
    assert (found.blind.recordings, found.shown.recordings) == (12, 12)
    assert (found.blind.submissions, found.shown.submissions) == (36, 36)
    assert found.blind.size == pytest.approx(120)  # seconds, each once
    assert found.shown.alpha == 1
    one = figures.judged(run)["segments/ah"]
    measured = measures.measure(run.snapshot, one.label, tick_us=one.tick_us, arms=("prelabel",))
    assert found.shown.rates["ah"] == pytest.approx(measured.prevalence)
    assert list(found.rates) == ["ah"]
    assert found.alpha.low > 0
    # The gate looked at the blind arm alone.
    assert run.receipt["labels"]["segments/ah"]["alpha"] == pytest.approx(found.blind.alpha)
    # Whoever could not be drawn is in neither group.
    withdraw(participant=made.participants[0], purpose=Purpose.INFER, actor="tests")
    (found,) = figures.arms(run)
    assert (found.blind.recordings, found.shown.recordings) == (11, 11)
    assert {pair.recordings for pair in figures.raters(run, one).pairs.values()} == {12}

"""Figures about raters: from stored rows, each with its n; undefined where nothing can be said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotation.agreement import Undefined
from annotation.agreement.raters import wilson
from annotation.codebooks import shipped
from annotation.models import Assignment, RaterProfile
from annotation.services import codebooks
from annotation.services.care import figures
from annotation.services.care.prelabelled import fates
from tests.annotation.care_world import MONDAY, World, make_world
from tests.factories import AnnotationFactory, CodebookVersionFactory
from waver.consent.models import Participant
from waver.studies.models import StudyDesign

pytestmark = pytest.mark.django_db

PRELABEL = StudyDesign.Arm.PRELABEL


@pytest.fixture
def world() -> World:
    return make_world()


def of(world: World, number: int = 0) -> figures.RaterFigures:
    found = figures.for_lead(world.study, world.raters[number])
    assert found is not None
    return found


def test_without_work_there_is_nothing_to_say(world):
    assert figures.for_lead(world.study, world.raters[0]) is None


def test_a_rater_alone_has_reasons_in_place_of_numbers(world):
    world.mark(world.raters[0], world.recordings(1)[0], [(1, 2)])
    found = of(world)
    undefined = {
        each.key: each.means
        for part in found.sections
        for each in part.figures
        if each.is_undefined
    }
    assert {
        "gold", "repeats", "pairwise:main:hesitancy", "without:main:hesitancy", "copies",
        "usage:main:hesitancy:hesitancy", "boundary:main:hesitancy:onset", "drift:gold",
        "drift:main", "pace:main:fast", "pace:main:recent", "prelabels:unchanged",
    } <= set(undefined)  # fmt: skip
    assert all(sentence.endswith(".") for sentence in undefined.values())
    assert all(each.text == "undefined" for p in found.sections for each in p.figures
               if each.is_undefined)  # fmt: skip
    assert found.attention == []
    assert found.submitted == 1


def test_known_answers_are_counted_by_label_with_wilson_s_interval(world):
    rater, *others = world.raters
    recordings = world.recordings(6)
    for place, recording in enumerate(recordings):
        world.know(recording, [(2, 6)])
        said = [(2.2, 6.1)] if place < 4 else [(5.5, 9)] if place == 4 else []
        world.mark(rater, recording, said, is_gold=True)
    found = of(world).figure("gold:main:hesitancy")
    assert (found.n, found.value) == (6, 4 / 6)
    assert (found.low, found.high) == wilson(4, 6)
    assert of(world).figure("gold").value == 4 / 6
    # What is no control does not enter, whoever labelled it.
    world.mark(others[0], recordings[0], [(2, 6)])
    assert of(world, 1).figure("gold").value == Undefined("no_ratings")


def test_a_correction_of_a_control_item_is_no_blind_answer(world):
    rater, recording = world.raters[0], world.recordings(1)[0]
    world.know(recording, [(2, 6)])
    first = world.mark(rater, recording, [(7, 9)], is_gold=True)
    AnnotationFactory(
        assignment=first.assignment,
        remote_updated_at=MONDAY + timedelta(days=1),
        segments=[(2_000_000, 6_000_000, "hesitancy")],
    )
    assert of(world).figure("gold").value == 0.0


def test_repeats_give_alpha_with_oneself_with_n_and_gap(world):
    rater = world.raters[0]
    recordings = world.recordings(6)
    values = ["yes", "no", "yes", "no", "yes", "no"]
    for place, (recording, value) in enumerate(zip(recordings, values, strict=True)):
        world.answer(rater, recording, value, at=MONDAY + timedelta(hours=place))
    for place, recording in enumerate(recordings[:4]):
        at = MONDAY + timedelta(days=14, hours=place)
        world.answer(rater, recording, values[place], at=at, repeat=1)
    few = of(world).figure("repeats:clip:present")
    assert few.value == Undefined("too_few_units")
    assert "Only 4 recordings were labelled twice; 5 are needed" in few.means
    at = MONDAY + timedelta(days=14, hours=4)
    world.answer(rater, recordings[4], "no", at=at, repeat=1)
    found = of(world).figure("repeats:clip:present")
    # Pairs yes-yes, no-no, yes-yes, no-no, yes-no: observed 2/10, expected 5*5*2/90.
    assert found.value == pytest.approx(1 - (2 / 10) / (50 / 90))
    assert found.n == 5
    assert "5 other recordings and 14.0 days" in found.means
    assert of(world).figure("repeats:clip:present:percent").value == pytest.approx(0.8)


def test_repeats_of_segments_are_compared_over_time(world):
    rater = world.raters[0]
    for place, recording in enumerate(world.recordings(5)):
        world.mark(rater, recording, [(2, 6)])
        world.mark(rater, recording, [(2, 6)] if place else [(2, 5)], repeat=1)
    found = of(world).figure("repeats:main:hesitancy:percent")
    assert found.value == pytest.approx(49 / 50)
    assert of(world).figure("repeats:main:hesitancy").value > 0.9


def test_agreement_with_the_others_leaves_out_controls_and_prelabels(world):
    one, two, three = world.raters
    for place, recording in enumerate(world.recordings(6)):
        yes = place % 2 == 0
        for rater in (one, two):
            world.answer(rater, recording, "yes" if yes else "no")
        world.answer(three, recording, "no" if yes else "yes")
    for recording in world.recordings(3):
        for rater in (one, two, three):
            world.answer(rater, recording, "yes", arm=PRELABEL)
        for rater in (one, two):
            world.answer(rater, recording, "yes", is_gold=True, repeat=2)
    found = of(world)
    alike, apart = 1.0, 1 - 1 / (2 * 6 * 6 / (12 * 11))
    assert found.figure("pairwise:clip:present").value == pytest.approx((alike + apart) / 2)
    assert found.figure("pairwise:clip:present").n == 6
    third = of(world, 2)
    assert third.figure("pairwise:clip:present").value == pytest.approx(apart)
    assert third.figure("pairwise:clip:present").attention
    gain = third.figure("without:clip:present")
    assert gain.value == pytest.approx(1 - (1 - (4 / 6) / (2 * 9 * 9 / (18 * 17))))
    assert "in another way" in gain.attention
    assert found.figure("usage:clip:present:yes").value == pytest.approx(1.0)


def test_usage_and_boundaries_are_held_against_the_others(world):
    one, two, three = world.raters
    for recording in world.recordings(6):
        for rater in (two, three):
            world.mark(rater, recording, [(2, 4)])
        world.mark(one, recording, [(1.2, 4.3)])
    found = of(world)
    usage = found.figure("usage:main:hesitancy:hesitancy")
    assert usage.value == pytest.approx(3.1 / 2)
    assert usage.text == "1.55 ×"
    onset, offset = (found.figure(f"boundary:main:hesitancy:{end}") for end in ("onset", "offset"))
    assert (onset.value, offset.value) == (pytest.approx(-0.8), pytest.approx(0.3))
    assert onset.n == 6
    assert "begin before" in onset.attention
    assert not offset.attention


def test_exactly_equal_segments_are_noticed_by_the_lead(world):
    one, two, three = world.raters
    for place, recording in enumerate(world.recordings(4)):
        spans = [(1.000001 + place, 2.345678 + place), (9, 10)]  # the last ends with the recording
        world.mark(one, recording, spans)
        world.mark(two, recording, spans)
        world.mark(three, recording, [(1.1 + place, 2.4 + place)])
    found = of(world).figure("copies")
    assert (found.n, found.value) == (4, 1.0)
    assert "rater-b" in found.means
    assert found.attention
    assert of(world, 2).figure("copies").value == 0.0


def test_a_fall_of_agreement_over_time_is_dated(world):
    one, two, three = world.raters
    for place, recording in enumerate(world.recordings(60)):
        at = MONDAY + timedelta(days=place)
        world.mark(two, recording, [(2, 6)], at=at)
        world.mark(three, recording, [(2, 6)], at=at)
        world.mark(one, recording, [(2, 6)] if place < 40 else [(7, 9)], at=at)
    found = figures.for_lead(world.study, one)
    assert found is not None
    course = next(each for each in found.courses if each.key == "drift:main")
    assert len(course.items) == 60
    assert course.figure.value == 0.0
    assert course.found.changed_at == MONDAY + timedelta(days=40)
    assert "Lower since 11 April 2026" in course.figure.attention
    assert "drift:main" in {each.key for each in found.attention}


def test_time_on_task_is_held_against_the_media_and_the_others(world):
    one, two, _ = world.raters
    recordings = world.recordings(20)
    for place, recording in enumerate(recordings):
        world.mark(two, recording, [], lead=30 + place)
        world.mark(one, recording, [], lead=8 if place < 3 else 40)
    found = of(world)
    time = found.figure("pace:main")
    assert (time.value, time.n, time.text) == (40.0, 20, "40.0 s")
    shorter, fast = found.figure("pace:main:shorter"), found.figure("pace:main:fast")
    assert (shorter.value, fast.value) == (3 / 20, 3 / 20)
    assert shorter.attention
    assert not fast.attention
    assert found.times[0].seconds[:4] == (8.0, 8.0, 8.0, 40.0)
    assert found.figure("pace:main:recent").value == Undefined("too_few_units")


def region(name: str, start: float, end: float, label: str = "hesitancy") -> dict[str, object]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"id": name, "type": "labels", "from_name": "segment", "value": value}


def test_what_became_of_each_prelabel():
    shown = [region("a", 1, 2), region("b", 3, 4), region("c", 5, 6), region("d", 7, 8)]
    said = [region("a", 1.0000004, 2), region("b", 3, 4.5), region("x", 7, 8),
            region("new", 8.5, 9),
            {"id": "a", "from_name": "certainty", "value": {"start": 1, "end": 2,
                                                            "choices": ["2"]}}]  # fmt: skip
    assert fates(shown, said) == ["unchanged", "moved", "deleted", "unchanged"]
    assert fates([region("a", 1, 2)], [region("a", 1, 2, "other")]) == ["moved"]
    assert fates([], said) == []
    # A later pre-label keeps its own region, whatever an earlier one touches.
    assert fates([region("p", 1, 5), region("q", 4, 6)], [region("z", 4, 6)]) == [
        "deleted", "unchanged",
    ]  # fmt: skip


def test_prelabels_are_counted_over_recordings(world):
    rater = world.raters[0]
    for place, recording in enumerate(world.recordings(3)):
        said = [region("a", 1, 2)] if place else []
        world.mark(
            rater, recording, [(1, 2)] if place else [], arm=PRELABEL, raw={"result": said},
            prelabels=[region("a", 1, 2)],
        )  # fmt: skip
    found = of(world)
    assert found.figure("prelabels:unchanged").value == 2 / 3
    assert found.figure("prelabels:deleted").value == 1 / 3
    assert found.figure("prelabels:moved").value == 0.0
    assert found.figure("prelabels:moved").of == "pre-labels in 3 recordings"


def test_withdrawn_participants_and_removed_work_are_left_out(world):
    one = world.raters[0]
    recordings = world.recordings(4)
    for place, recording in enumerate(recordings):
        world.mark(one, recording, [(1, 2)], at=MONDAY + timedelta(days=place))
    assert of(world).submitted == 4
    Assignment.objects.filter(recording=recordings[3]).update(state="withdrawn")
    assert of(world).submitted == 3
    RaterProfile.objects.create(
        study=world.study, user=one, figures_removed_at=MONDAY + timedelta(hours=1)
    )
    assert of(world).submitted == 2
    Participant.objects.update(state="withdrawn")
    assert of(world).submitted == 0


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_codebook_that_ships_has_figures(world, name):
    """Ratings are compared as numbers, long lists of values by what was used, all without error."""
    text = shipped()[name].read_text(encoding="utf-8")
    version = CodebookVersionFactory(study=world.study, code=name, text=text)
    codebook = codebooks.parsed(version)
    recordings = world.recordings(6)
    for part in codebook.passes:
        for place, recording in enumerate(recordings):
            for number, rater in enumerate(world.raters):
                if part.unit == "segment":
                    said = {"segments": [(1_000_000, 4_000_000, part.label_ids[0])]}
                else:
                    said = {"clip_labels": {
                        each.source: each.value or each.values[(place + number) % len(each.values)]
                        for each in codebook.measurables() if each.pass_id == part.id
                    }}  # fmt: skip
                world.submit(part.id, rater, recording, **said)
    found = of(world)
    keys = [each.key for section in found.sections for each in section.figures]
    assert len(keys) == len(set(keys))
    assert len(keys) < 150
    for each in codebook.measurables()[: figures.MOST_LABELS]:
        assert f"pairwise:{each.name}" in keys
        if each.scale == "interval":
            level = found.figure(f"usage:{each.name}:level")
            assert level.n == 6
            assert "the scale goes from" in level.means
    assert {each.key for each in found.courses} == {
        "drift:gold", *(f"drift:{part.id}" for part in codebook.passes),
    }  # fmt: skip


def test_numbers_of_a_rating_are_compared_as_numbers(world):
    text = shipped()["dimensional"].read_text(encoding="utf-8")
    CodebookVersionFactory(study=world.study, code="dimensional", text=text)
    for recording in world.recordings(6):
        for rater, value in zip(world.raters, ("0.75", "0", "0.25"), strict=True):
            world.submit("clip", rater, recording, clip_labels={"valence": value})
    level = of(world).figure("usage:clip:valence:level")
    assert level.value == pytest.approx(0.625)
    assert level.text == "+0.625"
    assert level.attention
    course = next(each for each in of(world).courses if each.key == "drift:clip")
    assert course.items[0][1] == pytest.approx(1 - 0.625 / 2)

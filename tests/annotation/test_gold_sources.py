"""Where known answers come from: decisions put into what most raters said, and raters' own work."""

from __future__ import annotations

import pytest

from annotation.models import Adjudication
from annotation.services.gold_sources import DECIDED, sources
from tests.annotation.care_world import SECOND, World, make_world
from tests.factories import AnnotationFactory, UserFactory
from waver.recordings.models import Recording

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world()


def decide(world: World, recording: Recording, label: str, value: str, **more) -> Adjudication:
    pass_id = "clip" if label == "present" else "main"
    return Adjudication.objects.create(
        recording=recording, codebook=world.batch(pass_id).codebook, pass_id=pass_id, label=label,
        value=value, rationale="Looked at it.", decided_by=UserFactory(), **more,
    )  # fmt: skip


def offered(world: World, recording: Recording, pass_id: str) -> tuple[dict[str, str], str]:
    found, why_not = sources(
        recording=recording, version=world.batch(pass_id).codebook, pass_id=pass_id
    )
    return {each.key.partition(":")[0]: each.text for each in found}, why_not


def test_without_a_decision_only_raters_answers_are_offered(world):
    recording = world.recordings(1)[0]
    for rater in world.raters:
        world.mark(rater, recording, [(2, 4)])
    found, why_not = sources(
        recording=recording, version=world.batch("main").codebook, pass_id="main"
    )
    assert [each.key.startswith("annotation:") for each in found] == [True] * 3
    assert {each.text for each in found} == {"2.00–4.00 s hesitancy"}
    assert why_not == ""


def test_the_answer_that_stands_is_offered_and_not_what_was_corrected(world):
    recording = world.recordings(1)[0]
    first = world.mark(world.raters[0], recording, [(2, 4)])
    AnnotationFactory(assignment=first.assignment, segments=[(3 * SECOND, 5 * SECOND, "hesitancy")])
    assert offered(world, recording, "main")[0] == {"annotation": "3.00–5.00 s hesitancy"}
    AnnotationFactory(assignment=first.assignment, verdict="deleted")
    assert offered(world, recording, "main")[0] == {}


def test_decisions_replace_what_most_raters_marked_there_and_nowhere_else(world):
    recording = world.recordings(1)[0]
    for rater, spans in zip(world.raters, ([(1, 3), (5, 8)], [(1, 3), (5, 7)], [(1, 3)]),
                            strict=True):  # fmt: skip
        world.mark(rater, recording, spans)
    # The majority marks 1–3 and 5–7. Decided: 5–8 holds it from 6 to 8 only.
    old = decide(world, recording, "hesitancy", "absent", start_us=5 * SECOND, end_us=8 * SECOND)
    decide(
        world, recording, "hesitancy", "present", start_us=5 * SECOND, end_us=8 * SECOND,
        decided_start_us=6 * SECOND, decided_end_us=8 * SECOND, supersedes=old,
    )  # fmt: skip
    assert offered(world, recording, "main")[0][DECIDED] == (
        "1.00–3.00 s hesitancy; 6.00–8.00 s hesitancy"
    )


def test_a_decision_that_touches_the_majority_joins_it(world):
    recording = world.recordings(1)[0]
    for rater in world.raters:
        world.mark(rater, recording, [(1, 3)])
    decide(world, recording, "hesitancy", "present", start_us=3 * SECOND, end_us=4 * SECOND)
    assert offered(world, recording, "main")[0][DECIDED] == "1.00–4.00 s hesitancy"
    decide(world, recording, "hesitancy", "absent", start_us=2 * SECOND, end_us=2_500_000)
    assert offered(world, recording, "main")[0][DECIDED] == (
        "1.00–2.00 s hesitancy; 2.50–4.00 s hesitancy"
    )


def test_a_tie_about_the_whole_clip_is_no_answer_until_it_is_decided(world):
    recording, other = world.recordings(2)
    for rater, value in zip(world.raters[:2], ("yes", "no"), strict=True):
        world.answer(rater, recording, value)
        world.answer(rater, other, "yes")
    assert offered(world, recording, "clip")[1] == ""  # nothing was decided, so nothing is open
    decide(world, recording, "present", "no")
    assert offered(world, recording, "clip")[0][DECIDED] == "present: no"
    assert DECIDED not in offered(world, other, "clip")[0]

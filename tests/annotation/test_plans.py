"""Plans by a study's design: overlap, samples, passes, controls, and who may not label what."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Assignment, Batch, RaterConflict
from annotation.services import assign, publish
from annotation.services.assignment.draw import share_of
from tests.annotation.conftest import Memory
from tests.annotation.worlds import World
from tests.factories import ParticipantFactory, consented_participant
from waver.core.errors import BadInput
from waver.core.models import AuditEntry

pytestmark = pytest.mark.django_db


def teams(batch: Batch) -> dict[Any, list[Any]]:
    found = defaultdict(list)
    for recording, rater in batch.assignments.filter(repeat=0, is_gold=False).values_list(
        "recording_id", "rater_id"
    ):
        found[recording].append(rater)
    return found


def loads(batch: Batch) -> list[int]:
    return sorted(Counter(batch.assignments.values_list("rater_id", flat=True)).values())


def test_full_overlap_gives_each_recording_its_raters_also_when_more_are_named():
    world = World(raters=7, recordings=9, raters_per_recording=3)
    batch = world.plan()
    assert [len(set(team)) == len(team) == 3 for team in teams(batch).values()] == [True] * 9
    assert loads(batch) == [3, 4, 4, 4, 4, 4, 4]
    assert set(batch.assignments.values_list("in_reliability_sample", "inclusion_probability")) == {
        (True, 1.0)
    }


def test_single_coding_draws_an_exact_sample_that_several_code():
    world = World(
        raters=4, recordings=15, overlap="sample", raters_per_recording=3, reliability_share=0.2,
        prelabel_share=0.4,
    )  # fmt: skip
    batch = world.plan()
    found = teams(batch)
    assert Counter(map(len, found.values())) == {1: 12, 3: 3}
    assert loads(batch) == [5, 5, 5, 6]
    rows = batch.assignments.all()
    assert {row.recording_id for row in rows if row.in_reliability_sample} == {
        pk for pk, team in found.items() if len(team) == 3
    }
    assert {row.inclusion_probability for row in rows} == {3 / 15}
    arms = {row.recording_id: row.arm for row in rows}
    assert {(row.recording_id, row.arm) for row in rows} == set(arms.items())
    assert Counter(arms.values())["prelabel"] == share_of(0.4, 15)
    # The sample has its share of both arms: agreement counts the blind one.
    assert Counter(arms[pk] for pk, team in found.items() if len(team) == 3)["blind"] in {1, 2}
    entry = AuditEntry.objects.get(verb="batch.planned")
    assert (entry.detail["sample"], entry.detail["prelabel"]) == (3, 6)


def test_a_preview_is_the_plan_and_stores_nothing():
    world = World(raters=4, recordings=8, overlap="sample", reliability_share=0.25)
    shown = assign.preview(world.study, "segments", world.raters, at_most=6)
    assert not Batch.objects.exists()
    batch = world.plan(at_most=6)
    rows = batch.assignments.order_by("order").values_list("rater_id", "recording_id")
    stored = defaultdict(list)
    for rater, recording in rows:
        stored[rater].append(recording)
    assert {
        pk: [task.recording.pk for task in tasks] for pk, tasks in shown.queues.items()
    } == stored
    assert (len(shown.recordings), shown.sample) == (6, 2)
    assert [load.work for load in shown.loads] == [
        len(stored[rater.pk]) for rater in sorted(world.raters, key=lambda each: each.username)
    ]


def test_languages_and_conflicts_are_honoured_and_loads_stay_as_even_as_they_allow():
    world = World(raters=4, recordings=4, raters_per_recording=2, languages=["en", "fr"])
    french = [world.recording(language="fr-CA") for _ in range(3)]
    other = consented_participant(world.study)
    theirs = world.recording(of=other)
    world.profile(world.raters[0], languages=["en"])
    friend = world.profile(world.raters[1])
    RaterConflict.objects.create(profile=friend, participant=other)
    batch = world.plan()
    found = teams(batch)
    assert all(len(set(team)) == 2 for team in found.values())
    assert not any(world.raters[0].pk in found[each.pk] for each in french)
    assert world.raters[1].pk not in found[theirs.pk]
    assert loads(batch) == [4, 4, 4, 4]


def test_the_language_of_a_recording_is_its_takes_or_that_of_the_signed_form():
    from annotation.services.assignment.people import spoken

    world = World(raters=1, recordings=1, languages=["fr", "en"])
    unsigned = world.recording(of=ParticipantFactory(study=world.study))
    said = world.recording(language="fr")
    found = spoken(world.study, [*world.recordings, unsigned, said])
    assert [found[r.pk] for r in (*world.recordings, unsigned, said)] == ["en", "fr", "fr"]


def test_a_demand_that_cannot_be_met_names_the_recordings_and_what_to_change():
    world = World(raters=3, recordings=2, raters_per_recording=3, languages=["en", "fr"])
    world.recording(1, language="fr")
    world.profile(world.raters[0], languages=["en"])
    with pytest.raises(BadInput) as caught:
        world.plan()
    text = str(caught.value)
    assert "1 recording lacks raters: " in text
    assert f"{world.person.code}, prompt 2 (in fr) needs 3, and 2 of the 3 named may" in text
    assert "(1 without its language)" in text
    assert "Name more raters" in text
    assert not Batch.objects.exists()


def test_who_is_away_gets_nothing():
    today = timezone.localdate()
    world = World(raters=3, recordings=2, raters_per_recording=2)
    world.profile(world.raters[0], absent_from=today, absent_until=today)
    world.profile(world.raters[1], absent_from=today + timedelta(days=1))
    batch = world.plan()
    assert not batch.assignments.filter(rater=world.raters[0]).exists()
    assert batch.notes == [f"{world.raters[0].username} is away until {today} and gets nothing."]


def test_no_rater_gets_a_recording_twice_and_what_is_added_keeps_its_arm_and_sample():
    world = World(
        raters=4, recordings=6, overlap="sample", raters_per_recording=2, reliability_share=0.5,
        prelabel_share=0.5,
    )  # fmt: skip
    first = world.plan(world.raters[:2])
    drawn = {
        row.recording_id: (row.arm, row.in_reliability_sample, row.inclusion_probability)
        for row in first.assignments.all()
    }
    # Everybody named in addition gets what they have not had; who has it all gets nothing.
    second = world.plan(world.raters[1:3], recordings=world.recordings[:3])
    rows = list(second.assignments.all())
    assert Counter(row.rater_id for row in rows)[world.raters[2].pk] == 3
    for row in rows:
        assert drawn[row.recording_id] == (
            row.arm, row.in_reliability_sample, row.inclusion_probability,
        )  # fmt: skip
    pairs = Assignment.objects.values_list("recording_id", "rater_id")
    assert len(pairs) == len(set(pairs))
    with pytest.raises(BadInput, match="assigned already"):
        world.plan(world.raters[2:3], recordings=world.recordings[:3])


def test_a_later_pass_takes_what_was_sent_in_the_pass_before_and_to_the_same_raters():
    world = World(raters=4, recordings=5, raters_per_recording=2, passes=["video", "segments"])
    with pytest.raises(BadInput, match="5 recordings wait for the pass “video”"):
        world.plan()
    first = world.plan(pass_id="video", recordings=world.recordings[:4])
    second = world.plan()
    assert {pk: set(team) for pk, team in teams(second).items()} == {
        pk: set(team) for pk, team in teams(first).items()
    }
    assert "1 recording waits for the pass “video”" in second.notes[0]
    # A visitor on top of a full team needs no pass before.
    world.plan([world.rater()], recordings=world.recordings[:1])


def test_a_later_pass_keeps_the_sample_and_the_arms_of_the_pass_before():
    world = World(
        raters=4, recordings=12, overlap="sample", raters_per_recording=3, reliability_share=0.3,
        prelabel_share=0.5, passes=["video", "segments"],
    )  # fmt: skip
    first = world.plan(pass_id="video")
    # Fewer in the later pass: a draw of its own would be another one.
    for recording in world.recordings[:3]:
        world.known(recording)
    second = world.plan()
    fields = ("recording_id", "rater_id", "arm", "in_reliability_sample", "inclusion_probability")
    assert second.assignments.exists()
    assert set(second.assignments.values_list(*fields)) <= set(
        first.assignments.values_list(*fields)
    )


def test_controls_lie_among_the_work_and_nothing_tells_them_from_it(memory: Memory):
    world = World(
        raters=2, recordings=20, raters_per_recording=2, gold_share=0.1, repeat_share=0.2,
        repeat_gap=5, prelabel_share=1.0,
    )  # fmt: skip
    known = [world.known(world.recording()) for _ in range(3)]
    batch = world.plan()
    publish.start(batch, "lead")
    publish.publish_batch(batch, client=memory)  # type: ignore[arg-type]
    for rater in world.raters:
        rows = list(batch.assignments.filter(rater=rater).order_by("order"))
        assert [row.order for row in rows] == list(range(1, 27))
        controls = [row.is_gold or row.repeat > 0 for row in rows]
        assert Counter((row.is_gold, row.repeat) for row in rows) == {
            (False, 0): 20, (True, 0): 2, (False, 1): 4,
        }  # fmt: skip
        assert controls != sorted(controls)  # not all at the end
        at = {(row.recording_id, row.repeat): row.order for row in rows}
        for row in rows:
            if row.repeat:
                assert row.order - at[row.recording_id, 0] - 1 >= 5
        assert {row.arm for row in rows} == {"prelabel"}
        # Ids are made in the rater's own order, so they say no more than the order does.
        assert [row.pk for row in rows] == sorted(row.pk for row in rows)
    tasks = {task.assignment_id: task for task in memory.sent}
    titles = list(memory.projects)
    assert len(tasks) == len(memory.sent) == 52
    said = []
    for row in batch.assignments.all():
        task = dict(vars(tasks[str(row.pk)]))
        assert task.pop("assignment_id") == str(row.pk)
        assert task.pop("media_url") == f"/waver/media/{row.media_token}"
        said.append(task)
    assert all(task == said[0] for task in said)  # nothing else differs between them
    assert not any(word in " ".join(titles).lower() for word in ("gold", "repeat", "control"))
    assert {item.recording_id for item in known} >= set(
        batch.assignments.filter(is_gold=True).values_list("recording_id", flat=True)
    )


def test_what_controls_lack_is_said():
    world = World(
        raters=1, recordings=6, raters_per_recording=1, gold_share=0.5, repeat_share=0.5,
        repeat_gap=50,
    )  # fmt: skip
    world.known(world.recording())
    batch = world.plan()
    name = world.raters[0].username
    assert any(f"({name} 1 of 3)" in note and "Set more known" in note for note in batch.notes)
    assert any(f"({name} 0 of 3)" in note and "too short for 50" in note for note in batch.notes)
    assert batch.assignments.count() == 7


def test_a_known_recording_is_a_control_and_never_work():
    world = World(raters=1, recordings=2, raters_per_recording=1)
    world.known(world.recordings[0])
    assert set(teams(world.plan())) == {world.recordings[1].pk}


def test_training_and_qualification_take_known_recordings_that_nobody_has_met():
    world = World(raters=2, recordings=5, raters_per_recording=1, qualification_minimum=0.8)
    for recording in world.recordings:
        world.known(recording)
    training = world.plan(kind="training", at_most=2)
    qualification = world.plan(kind="qualification", at_most=2)
    for batch in (training, qualification):
        rows = list(batch.assignments.all())
        assert {(row.is_gold, row.arm, row.in_reliability_sample) for row in rows} == {
            (True, "blind", False)
        }
        assert Counter(row.rater_id for row in rows) == {rater.pk: 2 for rater in world.raters}
        assert len({row.recording_id for row in rows}) == 2  # the same for both
    assert not set(training.assignments.values_list("recording_id")) & set(
        qualification.assignments.values_list("recording_id")
    )
    with pytest.raises(BadInput, match="is taking it now"):
        world.plan(kind="qualification")
    world.plan(kind="training")
    with pytest.raises(BadInput, match=f"no known answer .* {world.raters[0].username}"):
        world.plan(kind="training")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"kind": "qualification"}, "asks for no qualification"),
        ({"kind": "training"}, "no known answer"),
        ({"kind": "party"}, "no kind of batch"),
        ({"at_most": 0}, "above 0"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_a_sentence(more, says):
    world = World(raters=1, recordings=1, raters_per_recording=1)
    with pytest.raises(BadInput, match=says):
        world.plan(**more)
    assert not Batch.objects.exists()

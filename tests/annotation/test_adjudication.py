"""Adjudication: what is in dispute, who decides, and what becomes of a decision."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.codebooks import shipped
from annotation.models import (
    Adjudication,
    Annotation,
    Assignment,
    Batch,
    ClipLabel,
    CodebookVersion,
)
from annotation.services import adjudication, carried, codebooks, disputes
from annotation.services.adjudication import Place, digest_of, place_of, read_place
from annotation.services.topics import topics_of
from tests.examples import examples
from tests.factories import (
    SMALL_CODEBOOK,
    AnnotationFactory,
    AssignmentFactory,
    BatchFactory,
    CodebookVersionFactory,
    MembershipFactory,
    RecordingFactory,
    StudyFactory,
    UserFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.consent import services as consent
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing, NotAllowed
from waver.core.models import AuditEntry
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study, StudyDesign

pytestmark = [pytest.mark.django_db]
SECOND = 1_000_000
SEGMENTS, CLIPS = "main/hesitancy", "clip/present"


class Room:
    """A study with the small codebook, raters, and a lead who decides."""

    def __init__(
        self, raters: int = 3, study: Study | None = None, codebook: CodebookVersion | None = None
    ) -> None:
        self.study = study or StudyFactory()
        self.codebook = codebook or CodebookVersionFactory(study=self.study)
        self.batches = {
            name: BatchFactory(study=self.study, codebook=self.codebook, pass_id=name)
            for name in ("main", "clip")
        }
        self.raters: list[User] = UserFactory.create_batch(raters)
        self.lead: User = MembershipFactory(study=self.study, role=Membership.Role.LEAD).user

    def recording(self, **fields: object) -> Recording:
        return RecordingFactory(participant=consented_participant(self.study), **fields)

    def mark(
        self, recording: Recording, *marks: Iterable[tuple[int, int]], **fields: object
    ) -> list[Annotation]:
        """Let each rater mark stretches, in seconds."""
        return [
            AnnotationFactory(
                assignment=self.assigned("main", recording, rater, **fields),
                segments=[(int(a * SECOND), int(b * SECOND), "hesitancy") for a, b in stretches],
            )
            for rater, stretches in zip(self.raters, marks, strict=False)
        ]

    def answer(self, recording: Recording, *values: str, **fields: object) -> list[Annotation]:
        return [
            AnnotationFactory(
                assignment=self.assigned("clip", recording, rater, **fields),
                clip_labels={"present": value},
            )
            for rater, value in zip(self.raters, values, strict=False)
        ]

    def assigned(
        self, name: str, recording: Recording, rater: User, **fields: object
    ) -> Assignment:
        row: Assignment = AssignmentFactory(
            **{
                "batch": self.batches[name], "recording": recording, "rater": rater,
                "state": Assignment.State.SUBMITTED, **fields,
            }
        )  # fmt: skip
        return row

    def queue(self, topic: str = CLIPS) -> adjudication.Queue:
        return adjudication.queue(study=self.study, topic_key=topic)

    def decide(self, one: adjudication.QueueItem, value: str, **changes: object) -> Adjudication:
        given = {
            "study": self.study,
            "place": one.place,
            "value": value,
            "rationale": "The pause is for remembering.",
            "who": self.lead,
            "seen": one.decision.pk if one.decision else None,
            "looked_at": digest_of(one.item.looked_at),
        }
        return adjudication.decide(**{**given, **changes})


@pytest.fixture
def room() -> Room:
    return Room()


# What is in dispute


def test_clips_are_in_dispute_where_raters_differ(room: Room):
    same, two_to_one = room.recording(), room.recording()
    room.answer(same, "yes", "yes", "yes")
    room.answer(two_to_one, "yes", "no", "yes")
    (one,) = room.queue().items
    assert one.item.recording == two_to_one.pk
    assert dict(one.item.votes) == {"no": 1, "yes": 2}
    assert (one.standing, one.item.start_us, one.item.raters) == ("open", None, 3)


def test_segments_are_in_dispute_in_maximal_intervals(room: Room):
    recording = room.recording()
    room.mark(recording, [(1, 4), (8, 9)], [(2, 4), (8, 9)], [(2, 5), (8, 9)])
    found = [(one.item.start_us, one.item.end_us) for one in room.queue(SEGMENTS).items]
    # From 1 to 2 s one of three marked it, from 4 to 5 s another; between and after all agree.
    assert sorted(found) == [(SECOND, 2 * SECOND), (4 * SECOND, 5 * SECOND)]


def test_who_marked_nothing_disagrees_and_who_did_not_submit_says_nothing(room: Room):
    silent, missing = room.recording(), room.recording()
    room.mark(silent, [(2, 4)], [(2, 4)], [])
    room.mark(missing, [(2, 4)], [(2, 4)])
    (one,) = room.queue(SEGMENTS).items
    assert one.item.recording == silent.pk
    assert dict(one.item.votes) == pytest.approx({"hesitancy": 2, "none": 1})


def test_only_real_work_counts(room: Room):
    recording = room.recording()
    room.answer(recording, "yes", "yes")
    odd = room.raters[2]
    for fields in (
        {"is_gold": True},
        {"repeat": 1},
        {"arm": StudyDesign.Arm.PRELABEL},
        {"batch": BatchFactory(study=room.study, codebook=room.codebook, pass_id="clip",
                               kind=Batch.Kind.QUALIFICATION)},
    ):  # fmt: skip
        own = {"batch": BatchFactory(study=room.study, codebook=room.codebook, pass_id="clip")}
        AnnotationFactory(
            assignment=room.assigned("clip", recording, odd, **{**own, **fields}),
            clip_labels={"present": "no"},
        )
    assert room.queue().items == ()


def test_prelabelled_work_counts_where_the_design_lets_it_in(room: Room):
    recording = room.recording()
    room.answer(recording, "yes", "no", arm=StudyDesign.Arm.PRELABEL)
    room.answer(room.recording(), "yes", "yes", "yes")
    assert room.queue().items == ()
    StudyDesign.objects.filter(study=room.study).update(consensus_takes_prelabelled=True)
    assert [one.item.recording for one in room.queue().items] == [recording.pk]


def test_intervals_shorter_than_any_segment_are_left_to_the_vote(room: Room):
    text = shipped()["bah"].read_text(encoding="utf-8")  # its shortest segment lasts 0.1 s
    book = CodebookVersionFactory(study=room.study, code="bah", version=9, text=text)
    batch = BatchFactory(study=room.study, codebook=book, pass_id="segments")
    recording = room.recording()
    for rater, (start, end) in zip(room.raters, [(2.0, 5), (2.05, 5), (2, 6)], strict=True):
        AnnotationFactory(
            assignment=room.assigned("main", recording, rater, batch=batch),
            segments=[(int(start * SECOND), int(end * SECOND), "ah")],
        )
    found = room.queue("segments/ah")
    assert [(one.item.start_us, one.item.end_us) for one in found.items] == [
        (5 * SECOND, 6 * SECOND)
    ]
    assert found.disputes.short == 1


spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=4,
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(marks=st.lists(st.lists(spans, min_size=2, max_size=4), min_size=1, max_size=3))
def test_the_sweep_finds_what_counting_tick_by_tick_finds(marks):
    """An independent count over ticks: disputed where some but not all raters marked."""
    from annotation.agreement import Segments, disputed_segments

    rows = [
        (f"r{n}", f"rater {who}", start, end)
        for n, raters in enumerate(marks)
        for who, stretches in enumerate(raters)
        for start, end in stretches
    ]
    segments = Segments.from_rows(
        *(list(column) for column in (zip(*rows, strict=True) if rows else [[], [], [], []])),
        ["x"] * len(rows),
        roster={f"r{n}": [f"rater {w}" for w in range(len(each))] for n, each in enumerate(marks)},
        durations={f"r{n}": 80 for n in range(len(marks))},
        tick_us=1,
        labels=["x"],
    )
    swept = set()
    for one in disputed_segments(segments, "x"):
        swept |= {(one.unit, tick) for tick in range(one.start_us or 0, one.end_us or 0)}
    counted = set()
    for n, raters in enumerate(marks):
        for tick in range(80):
            hits = sum(any(a <= tick < b for a, b in stretches) for stretches in raters)
            if 0 < hits < len(raters):
                counted.add((f"r{n}", tick))
    assert swept == counted


# The order


def test_the_queue_is_ordered_by_expected_value(room: Room):
    recording = room.recording()
    # 1 s at 1:2, 4 s at 1:2, and 1.5 s at 1:2.
    room.mark(recording, [(0, 1), (3, 7)], [(8, 9.5)], [])
    found = room.queue(SEGMENTS)
    lengths = [one.item.length_us for one in found.items]
    assert lengths == [4 * SECOND, int(1.5 * SECOND), SECOND]
    scores = [one.item.score for one in found.items]
    assert scores == sorted(scores, reverse=True)
    one = found.items[0].item
    assert one.score == pytest.approx(one.uncertainty * 4 / (one.cost_us / SECOND))
    assert found.disputes.method == disputes.BY_TIME


def test_two_raters_are_ordered_by_votes_and_three_by_the_model_of_their_errors():
    two, three = Room(raters=2), Room(raters=3)
    two.answer(two.recording(), "yes", "no")
    assert two.queue().disputes.method == disputes.BY_VOTES
    assert two.queue().items[0].item.uncertainty == pytest.approx(1.0)
    for _ in range(6):
        three.answer(three.recording(), "yes", "yes", "yes")
        three.answer(three.recording(), "no", "no", "no")
    # The third rater contradicts the other two, who always agree, in two more.
    for _ in range(2):
        three.answer(three.recording(), "yes", "yes", "no")
    found = three.queue()
    assert found.disputes.method == disputes.BY_MODEL
    assert len(found.items) == 2
    by_votes = 0.918
    assert all(one.item.uncertainty < by_votes for one in found.items)


def test_a_long_clip_costs_more_than_a_short_one(room: Room):
    long, short = room.recording(duration_us=90 * SECOND), room.recording()
    room.answer(long, "yes", "no")
    room.answer(short, "yes", "no")
    assert [one.item.recording for one in room.queue().items] == [short.pk, long.pk]


# Deciding


def test_a_decision_is_kept_beside_the_labels(room: Room):
    room.answer(room.recording(), "yes", "no", "yes")
    (one,) = room.queue().items
    before = list(ClipLabel.objects.values_list("annotation", "value"))
    made = room.decide(one, "no")
    (after,) = room.queue().items
    assert (after.standing, after.decision) == ("decided", made)
    assert set(made.looked_at) == {str(pk) for pk in one.item.looked_at}
    assert list(ClipLabel.objects.values_list("annotation", "value")) == before
    entry = AuditEntry.objects.get(verb="adjudication.decided")
    assert entry.object_id == str(made.pk)
    assert "remembering" not in str(entry.detail)


def test_a_later_decision_supersedes_and_nothing_is_overwritten(room: Room):
    room.answer(room.recording(), "yes", "no", "yes")
    first = room.decide(room.queue().items[0], "no")
    second = room.decide(room.queue().items[0], "yes", rationale="On second thoughts.")
    assert second.supersedes == first
    assert Adjudication.objects.count() == 2
    assert room.queue().items[0].decision == second
    place = room.queue().items[0].place
    assert adjudication.history(place, room.codebook) == [second, first]
    for change in (second.save, second.delete):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change()


def test_where_a_label_is_present_may_be_narrowed(room: Room):
    room.mark(room.recording(), [(2, 6)], [], [(2, 6)])
    (one,) = room.queue(SEGMENTS).items
    made = room.decide(one, "present", stretch=(3 * SECOND, 5 * SECOND))
    assert (made.start_us, made.end_us) == (2 * SECOND, 6 * SECOND)
    assert (made.decided_start_us, made.decided_end_us) == (3 * SECOND, 5 * SECOND)
    absent = room.decide(room.queue(SEGMENTS).items[0], "absent")
    assert (absent.decided_start_us, absent.decided_end_us) == (None, None)
    with pytest.raises(BadInput, match=r"between 0:02\.000 and 0:06\.000"):
        room.decide(room.queue(SEGMENTS).items[0], "present", stretch=(SECOND, 5 * SECOND))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": "maybe"}, "Choose what “Hesitancy” is here: Not present, Present."),
        ({"rationale": " \n"}, "Write why"),
    ],
)
def test_a_decision_needs_a_value_and_a_reason(room: Room, changes, said):
    room.answer(room.recording(), "yes", "no", "yes")
    (one,) = room.queue().items
    with pytest.raises(BadInput, match=said):
        room.decide(one, **{"value": "yes", **changes})
    assert not Adjudication.objects.exists()


def test_a_resubmission_puts_the_item_back(room: Room):
    recording = room.recording()
    first, *_ = room.answer(recording, "yes", "no", "yes")
    made = room.decide(room.queue().items[0], "no")
    AnnotationFactory(assignment=first.assignment, clip_labels={"present": "yes"})
    (one,) = room.queue().items
    assert (one.standing, one.decision) == ("out_of_date", made)
    again = room.decide(one, "yes")
    assert again.supersedes == made
    assert room.queue().items[0].standing == "decided"


def test_a_changed_interval_is_a_new_item_whose_old_decision_is_out_of_date(room: Room):
    first, *_ = room.mark(room.recording(), [(2, 6)], [], [(2, 6)])
    old = room.queue(SEGMENTS).items[0]
    made = room.decide(old, "present")
    AnnotationFactory(assignment=first.assignment, segments=[(3 * SECOND, 7 * SECOND, "hesitancy")])
    (one,) = room.queue(SEGMENTS).items
    assert (one.item.start_us, one.item.end_us) == (2 * SECOND, 7 * SECOND)
    assert (one.standing, one.decision) == ("out_of_date", made)
    with pytest.raises(Missing, match="do not differ here any more"):
        room.decide(old, "absent", seen=made.pk)
    assert room.decide(one, "absent", seen=None).supersedes is None


def test_the_order_of_a_large_study_may_be_a_little_old_but_never_a_decision(
    room: Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disputes, "SLOW_SECONDS", -1.0)  # as if it had taken long
    monkeypatch.setattr(disputes, "PATIENCE", 1e6)
    first, *_ = room.answer(room.recording(), "yes", "no", "yes")
    (one,) = room.queue().items
    AnnotationFactory(assignment=first.assignment, clip_labels={"present": "no"})
    room.answer(room.recording(), "yes", "no", "yes")
    (old,) = room.queue().items
    assert old == one
    with pytest.raises(Conflict, match="A rater submitted this recording again"):
        room.decide(one, "no")
    now = disputes.looked_at(
        study=room.study, codebook=room.codebook, topic=room.queue().topic,
        recording=one.item.recording,
    )  # fmt: skip
    room.decide(one, "no", looked_at=digest_of(now))
    (late,) = room.queue().items
    assert late.standing == "out_of_date", "it says so until the order is worked out again"


def test_who_decides_on_what_changed_meanwhile_is_told(room: Room):
    first, *_ = room.answer(room.recording(), "yes", "no", "yes")
    (one,) = room.queue().items
    AnnotationFactory(assignment=first.assignment, clip_labels={"present": "yes"})
    with pytest.raises(Conflict, match="A rater submitted this recording again"):
        room.decide(one, "no")
    (one,) = room.queue().items
    room.decide(one, "no")
    with pytest.raises(Conflict, match="Somebody else decided"):
        room.decide(one, "yes")
    assert Adjudication.objects.count() == 1


def test_nobody_decides_who_may_not(room: Room):
    recording = room.recording()
    room.answer(recording, "yes", "no", "yes")
    (one,) = room.queue().items
    annotator = MembershipFactory(study=room.study, role=Membership.Role.ANNOTATOR).user
    stranger = MembershipFactory(role=Membership.Role.LEAD).user
    for who in (annotator, stranger):
        with pytest.raises(NotAllowed, match="its lead and its researchers"):
            room.decide(one, "yes", who=who)
    rater = room.raters[0]
    MembershipFactory(study=room.study, user=rater, role=Membership.Role.RESEARCHER)
    with pytest.raises(NotAllowed, match="You are a rater of this recording"):
        room.decide(one, "yes", who=rater)
    assert recording.pk in adjudication.rated_by(room.study, rater)


def test_withdrawn_recordings_leave_the_queue_and_refuse_decisions(room: Room):
    recording = room.recording()
    room.answer(recording, "yes", "no", "yes")
    (one,) = room.queue().items
    made = room.decide(one, "yes")
    consent.withdraw(participant=recording.participant, actor="tests")
    assert room.queue().items == ()
    with pytest.raises(ConsentRefused):
        room.decide(one, "no", seen=made.pk)
    assert AuditEntry.objects.filter(verb="consent.refused").exists()


def test_an_erasure_removes_whole_chains(room: Room):
    from annotation.holder import AnnotationHolder

    recording = room.recording()
    room.answer(recording, "yes", "no", "yes")
    for value in ("yes", "no", "yes"):
        room.decide(room.queue().items[0], value)
    holder = AnnotationHolder()
    Assignment.objects.update(state=Assignment.State.WITHDRAWN)
    holder.erase(recording.participant.pk)
    assert not Adjudication.objects.exists()
    assert holder.verify_absent(recording.participant.pk) == []


def test_the_database_keeps_one_chain_per_item(room: Room):
    room.answer(room.recording(), "yes", "no", "yes")
    made = room.decide(room.queue().items[0], "yes")
    same = {
        name: getattr(made, name)
        for name in ("recording", "codebook", "pass_id", "label", "value", "rationale")
    }
    for supersedes in (None, made):
        row = Adjudication(**same, decided_by=room.lead, looked_at=[], supersedes=supersedes)
        if supersedes:
            row.save()
            row = Adjudication(**same, decided_by=room.lead, looked_at=[], supersedes=supersedes)
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_the_same_moment_one_is_told():
    room = Room()
    room.answer(room.recording(), "yes", "no", "yes")
    (one,) = room.queue().items
    others = [room.lead, MembershipFactory(study=room.study).user]
    start, told = threading.Barrier(2), []

    def decide(who: User) -> None:
        try:
            start.wait(timeout=10)
            room.decide(one, "yes", who=who)
        except Conflict as error:
            told.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[who]) for who in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert Adjudication.objects.count() == 1
    assert [sentence[:12] for sentence in told] == ["Somebody els"]


def test_a_place_is_read_back_from_its_address(room: Room):
    room.mark(room.recording(), [(2, 6)], [], [(2, 6)])
    found = room.queue(SEGMENTS)
    (one,) = found.items
    place = place_of(found.topic, one.item)
    assert read_place(place.key) == place == one.place
    several = Place(one.item.recording, "clip/behaviours/phone", None, None)
    assert read_place(several.key) == several
    for odd in ("", "x.y", f"{one.item.recording.hex}.main.hesitancy.5"):
        with pytest.raises(Missing):
            read_place(odd)


def test_topics_are_what_a_study_is_after(room: Room):
    book = CodebookVersionFactory(
        study=room.study, code="raer", version=9, text=shipped()["raer"].read_text(encoding="utf-8")
    )
    found = topics_of(book)
    assert "clip/emotion" in found
    assert any(topic.answer for topic in found.values())
    assert all("certainty" not in key for key in found)


RENAMED = (
    SMALL_CODEBOOK.replace("version: 1\n", "version: 2\n", 1)
    .replace("id: hesitancy", "id: doubt")
    .replace("candidates: hesitancy", "candidates: doubt")
    + "migration:\n  from: 1\n  rename:\n    - {pass: main, label: hesitancy, to: doubt}\n"
)


def test_work_and_decisions_come_along_into_a_later_version_of_the_codebook():
    study = StudyFactory()
    room = Room(study=study, codebook=codebooks.install_codebook(study, SMALL_CODEBOOK, "tests"))
    room.mark(room.recording(), [(2, 6)], [], [(2, 6)])
    room.answer(room.recording(), "yes", "no", "yes")
    for topic, value in ((SEGMENTS, "present"), (CLIPS, "no")):
        room.decide(room.queue(topic).items[0], value)
    later = codebooks.install_codebook(study, RENAMED, "tests")
    (one,) = room.queue("main/doubt").items
    assert dict(one.item.votes) == pytest.approx({"doubt": 2, "none": 1})
    assert (one.standing, room.queue(CLIPS).items[0].standing) == ("decided", "decided")
    # A rater does it again with the new version: that work counts, and the item is open again.
    batch = BatchFactory(study=study, codebook=later, pass_id="main")
    row = room.assigned("main", Recording.objects.get(pk=one.item.recording), room.raters[1],
                        batch=batch)  # fmt: skip
    AnnotationFactory(assignment=row, segments=[(2 * SECOND, 5 * SECOND, "doubt")])
    (one,) = room.queue("main/doubt").items
    assert (one.item.start_us, one.item.end_us) == (5 * SECOND, 6 * SECOND)
    assert one.standing == "out_of_date"
    made = room.decide(one, "absent", seen=None)
    assert (made.codebook, made.label) == (later, "doubt")
    with pytest.raises(Missing, match="no label “main/hesitancy”"):
        room.queue(SEGMENTS)


def test_a_renamed_answer_takes_its_decision_along(room: Room):
    room.answer(room.recording(), "yes", "no", "yes")
    made = room.decide(room.queue().items[0], "no")
    text = (
        SMALL_CODEBOOK.replace("version: 1\n", "version: 2\n", 1).replace(
            '{id: "no", title: Not present, hotkey: "n", export: 0}',
            '{id: "perhaps", title: Perhaps, hotkey: "p", export: 0}',
        )
        + "migration:\n  from: 1\n  rename:\n"
        '    - {pass: clip, question: present, value: "no", to: perhaps}\n'
    )
    book = codebooks.install_codebook(room.study, text, "tests")
    assert carried.decision_in(made, book) == ("clip", "present", "perhaps")


def test_the_queue_of_a_study_without_work_says_so():
    with pytest.raises(Missing, match="nothing to adjudicate"):
        adjudication.queue(study=StudyFactory(), topic_key=CLIPS)

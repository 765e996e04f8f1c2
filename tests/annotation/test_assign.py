"""Who labels what."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebooks import shipped
from annotation.services import assign, codebooks
from tests.annotation.conftest import Lab
from tests.factories import RecordingFactory, UserFactory, consented_participant
from waver.core.errors import BadInput, Missing
from waver.core.models import AuditEntry
from waver.recordings.models import Recording
from waver.studies.models import StudyDesign

BAH = shipped()["bah"].read_text(encoding="utf-8")


def test_every_rater_gets_every_recording_in_an_order_of_their_own(lab: Lab):
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    orders = []
    for rater in lab.raters:
        rows = list(batch.assignments.filter(rater=rater).order_by("order"))
        assert [row.order for row in rows] == [1, 2, 3, 4, 5]
        assert {row.recording_id for row in rows} == {each.pk for each in lab.recordings}
        orders.append([row.recording_id for row in rows])
    assert orders[0] != orders[1]
    tokens = set(batch.assignments.values_list("media_token", flat=True))
    assert len(tokens) == 10
    assert min(map(len, tokens)) >= 40


def test_an_arm_belongs_to_the_recording_and_is_drawn_by_the_seed(lab: Lab):
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    arms = {(row.recording_id, row.arm) for row in batch.assignments.all()}
    assert len(arms) == 5  # the same for both raters
    assert Counter(arm for _, arm in arms) == {"prelabel": 3, "blind": 2}  # 2.5, half up
    again = assign.draw_arms(
        lab.recordings, lab.study.design, may_show={each.pk for each in lab.recordings}
    )
    assert arms == set(again.items())


@given(share=st.floats(0, 1), count=st.integers(1, 30), seed=st.integers(0, 2**31))
def test_the_share_of_the_prelabel_arm_is_exact(share: float, count: int, seed: int):
    recordings = [Recording(original_sha256=f"{number:064x}") for number in range(count)]
    design = StudyDesign(prelabel_share=share, seed=seed)
    arms = assign.draw_arms(recordings, design, may_show={each.pk for each in recordings})
    shown = sum(arm == "prelabel" for arm in arms.values())
    assert abs(shown - share * count) <= 0.5 + 1e-9
    assert arms == assign.draw_arms(recordings[::-1], design, may_show=set(arms))


def test_who_does_not_allow_computer_models_is_in_the_blind_arm(lab: Lab):
    lab.study.design.prelabel_share = 1.0
    lab.study.design.save()
    participant = consented_participant(lab.study, purposes=["process", "annotate"])
    closed = RecordingFactory(participant=participant)
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    arms = dict(batch.assignments.values_list("recording_id", "arm"))
    assert arms.pop(closed.pk) == "blind"
    assert set(arms.values()) == {"prelabel"}


def test_what_consent_does_not_cover_is_left_out_and_said(lab: Lab):
    participant = consented_participant(lab.study, purposes=["process"])
    closed = RecordingFactory(participant=participant)
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    assert not batch.assignments.filter(recording=closed).exists()
    (note,) = batch.notes
    assert participant.code in note
    assert note.endswith(".")
    assert AuditEntry.objects.filter(verb="consent.refused").count() == 1


def test_a_second_batch_takes_only_what_is_new(lab: Lab):
    assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    with pytest.raises(BadInput, match="No recording"):
        assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    new = RecordingFactory(participant=consented_participant(lab.study))
    RecordingFactory(participant=consented_participant(lab.study), state="processing")
    batch = assign.plan_batch(lab.study, "segments", lab.raters, "lead")
    assert batch.number == 2
    assert {row.recording_id for row in batch.assignments.all()} == {new.pk}
    other_pass = assign.plan_batch(lab.study, "video", lab.raters, "lead")
    assert (other_pass.number, other_pass.assignments.count()) == (1, 12)


def test_too_few_or_strange_raters_are_refused(lab: Lab):
    with pytest.raises(BadInput, match="2 raters"):
        assign.plan_batch(lab.study, "segments", lab.raters[:1], "lead")
    with pytest.raises(BadInput, match="not being annotators"):
        assign.plan_batch(lab.study, "segments", [lab.raters[0], UserFactory()], "lead")
    with pytest.raises(BadInput, match="no pass 'dance'"):
        assign.plan_batch(lab.study, "dance", lab.raters, "lead")


def test_a_codebook_is_installed_once_and_changed_only_under_a_new_number(lab: Lab):
    first = codebooks.current(lab.study)
    assert codebooks.install_codebook(lab.study, BAH, "lead") == first
    changed = BAH.replace("Watch the whole answer once", "Watch the answer once")
    assert changed != BAH
    with pytest.raises(BadInput, match="number 2"):
        codebooks.install_codebook(lab.study, changed, "lead")
    second = codebooks.install_codebook(
        lab.study, changed.replace("version: 1", "version: 2", 1), "lead"
    )
    assert (second.version, second.supersedes) == (2, first)
    assert codebooks.current(lab.study) == second
    with pytest.raises(BadInput, match="Line "):
        codebooks.install_codebook(lab.study, "schema: other", "lead")


def test_a_study_without_a_codebook_says_so(lab: Lab):
    from tests.factories import StudyFactory

    with pytest.raises(Missing, match="no codebook"):
        codebooks.current(StudyFactory())

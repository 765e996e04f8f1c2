"""Known answers: set, retired, and compared with what raters say."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.codebooks import shipped
from annotation.models import CodebookVersion, GoldItem
from annotation.services import codebooks, gold
from tests.annotation.conftest import Lab
from tests.factories import (
    AnnotationFactory,
    AssignmentFactory,
    BatchFactory,
    RecordingFactory,
    StudyFactory,
)
from waver.core.errors import BadInput, Conflict
from waver.core.models import AuditEntry

S = 1_000_000


def spans(*pairs: tuple[int, int]) -> dict[str, Any]:
    return {
        "segments": [
            {"start_us": start, "end_us": end, "label": "ah", "certainty": 2}
            for start, end in pairs
        ]
    }


def known(lab: Lab, answer: dict[str, Any], pass_id: str = "segments", **more: Any) -> GoldItem:
    return gold.set_answer(
        **{
            "codebook": codebooks.current(lab.study),
            "recording": lab.recordings[0],
            "pass_id": pass_id,
            "answer": answer,
            "rationale": "Two experts agreed.",
            "set_by": "lead",
            **more,
        }
    )


def said(lab: Lab, item: GoldItem, **answer: Any):
    batch = BatchFactory(study=lab.study, codebook=item.codebook, pass_id=item.pass_id)
    assignment = AssignmentFactory(batch=batch, recording=item.recording, rater=lab.raters[0])
    return AnnotationFactory(assignment=assignment, codebook=item.codebook, **answer)


def marked(*pairs: tuple[int, int]) -> list[tuple[int, int, str]]:
    return [(start, end, "ah") for start, end in pairs]


def test_a_known_answer_is_checked_as_a_raters_is_and_replaced_by_a_newer(lab: Lab):
    item = known(lab, spans((2 * S, 4 * S)))
    assert item.answer["segments"][0]["cues"] == []
    assert known(lab, spans((2 * S, 4 * S))) == item
    newer = known(lab, spans((2 * S, 5 * S)))
    item.refresh_from_db()
    assert item.retired_at is not None
    assert newer.retired_at is None
    gold.retire(gold=newer, actor="lead")
    with pytest.raises(Conflict, match="retired already"):
        gold.retire(gold=newer, actor="lead")
    verbs = AuditEntry.objects.filter(object_kind="gold_item").order_by("seq")
    assert [entry.verb.removeprefix("gold.") for entry in verbs] == [
        "set", "retired", "set", "retired",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "more", "says"),
    [
        (spans((2 * S, 40 * S)), {}, "leaves the recording"),
        ({"segments": [{"start_us": 1, "end_us": 2 * S, "label": "joy"}]}, {}, "does not know"),
        ({"segments": [{"end_us": 2 * S, "label": "ah"}]}, {}, "start_us"),
        ({"clip_labels": [{"scale": "ah", "value": "present"}]}, {}, "asks for segments"),
        (spans((1, S)), {"pass_id": "dance"}, "no pass 'dance'"),
        (spans((1, S)), {"pass_id": "video"}, "The clip lacks an answer"),
        ({"clip_labels": [{"scale": "joy", "value": "x"}]}, {"pass_id": "video"}, "joy"),
        (spans((1, S)), {"rationale": " "}, "needs its reason"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_codebook_is_no_known_answer(lab: Lab, answer, more, says):
    with pytest.raises(BadInput, match=says):
        known(lab, answer, **more)
    assert not GoldItem.objects.exists()


def test_a_recording_of_another_study_or_without_length_has_no_known_answer(lab: Lab):
    with pytest.raises(BadInput, match="another study"):
        known(lab, spans(), recording=RecordingFactory(study=StudyFactory()))
    with pytest.raises(BadInput, match="not prepared yet"):
        known(lab, spans(), recording=RecordingFactory(study=lab.study, duration_us=None))


@pytest.mark.parametrize(
    ("answer", "right", "agreed", "f1"),
    [
        (((2 * S, 4 * S),), True, 100, 1.0),
        (((2 * S, 3 * S),), True, 90, 1.0),  # half of it
        (((2 * S, 2_900_000),), False, 89, 0.0),
        ((), False, 80, 0.0),
        (((2 * S, 3 * S), (3_100_000, 4 * S)), True, 99, 2 / 3),  # one event drawn as two
        (((6 * S, 8 * S),), False, 60, 0.0),
    ],
)
def test_marked_time_is_compared_in_tenths_of_a_second(lab: Lab, answer, right, agreed, f1):
    item = known(lab, spans((2 * S, 4 * S)))
    found = gold.score(said(lab, item, segments=marked(*answer)), item)
    (label,) = found.values()
    assert (label.label, label.n, label.agreed, label.right) == ("segments:ah", 100, agreed, right)
    assert label.event_f1 == pytest.approx(f1)


def test_to_mark_nothing_where_nothing_is_is_right(lab: Lab):
    item = known(lab, spans())
    (label,) = gold.score(said(lab, item), item).values()
    assert (label.right, label.agreed, label.event_f1) == (True, 100, None)
    sliver = said(lab, item, segments=marked((1_960_000, 2_000_000)))
    (label,) = gold.score(sliver, item).values()
    assert (label.right, label.agreed) == (False, 100)


def test_answers_about_the_clip_are_equal_or_not_each_for_itself(lab: Lab):
    study = StudyFactory()
    version: CodebookVersion = codebooks.install_codebook(
        study, shipped()["raer"].read_text(encoding="utf-8"), "tests"
    )
    part = codebooks.parsed(version).pass_("clip")
    expert = {q.id: q.value_ids[0] for q in part.questions if q.role == "label" and q.values}
    item = known(
        lab,
        {"clip_labels": [{"scale": k, "value": v} for k, v in expert.items()]},
        "clip",
        codebook=version,
        recording=RecordingFactory(study=study),
    )
    same = gold.score(said(Lab(study, lab.raters, []), item, clip_labels=expert), item)
    assert all(label.right for label in same.values())
    emotion = part.question("emotion")
    other = expert | {"emotion": emotion.value_ids[1]}
    found = gold.score(said(Lab(study, lab.raters, []), item, clip_labels=other), item)
    assert [name for name, label in found.items() if not label.right] == ["clip:emotion"]
    assert gold.right_and_all([same, found]) == (2 * len(found) - 1, 2 * len(found))


def test_an_experts_own_work_becomes_a_known_answer(lab: Lab):
    item = known(lab, spans((2 * S, 4 * S)))
    work = said(
        lab, item, segments=[{"start_us": S, "end_us": 3 * S, "label": "ah", "certainty": 2}]
    )
    replaced = known(lab, gold.answer_of(work))
    assert replaced.answer == spans((S, 3 * S)) | {
        "segments": [spans((S, 3 * S))["segments"][0] | {"cues": []}],
        "clip_labels": [],
    }

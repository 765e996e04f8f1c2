"""Intensities, confidences, ratings and descriptions become rows, and an erasure removes them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from annotation.codebooks import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
    load,
    shipped,
    to_result,
)
from annotation.holder import AnnotationHolder
from annotation.models import Annotation, Assignment, ClipLabel, SegmentText
from annotation.services import accept, codebooks
from tests.annotation.conftest import NOON
from tests.factories import AssignmentFactory, BatchFactory, StudyFactory
from waver.website.queries.recording import rater_rows


def _accepted(name: str, pass_id: str, sent: ParsedAnnotation) -> Annotation:
    study = StudyFactory()
    text = shipped()[name].read_text(encoding="utf-8")
    version = codebooks.install_codebook(study, text, "tests")
    assignment: Assignment = AssignmentFactory(
        batch=BatchFactory(study=study, codebook=version, pass_id=pass_id)
    )
    result = to_result(load(text), pass_id, sent, assignment.recording.duration_us or 0)
    return accept.accept(assignment, result, 1, NOON, 2.0, Annotation.Route.POLL)


@pytest.fixture
def described(db) -> Annotation:
    segment = ParsedSegment(
        1_000_000,
        2_000_000,
        "movement",
        cues=(ParsedCue("action_units", "au1", grade="b"),),
        texts=(ParsedText("clue", "The brows go up."), ParsedText("reason", "A question.")),
    )
    return _accepted("clues", "units", ParsedAnnotation((segment,)))


def test_an_action_unit_has_its_intensity_and_the_clue_its_reason(described):
    segment = described.segments.get()
    assert segment.cues.values_list("modality", "cue", "grade", "confidence").get() == (
        "action_units", "au1", "b", None,
    )  # fmt: skip
    assert set(segment.texts.values_list("question", "text")) == {
        ("clue", "The brows go up."), ("reason", "A question."),
    }  # fmt: skip
    with pytest.raises(DatabaseError), transaction.atomic():
        SegmentText.objects.update(text="something else")


def test_an_erasure_removes_what_was_written(described, monkeypatch):
    monkeypatch.setattr("annotation.services.withdrawn.remove_tasks", lambda participant_id: None)
    AnnotationHolder().erase(described.assignment.recording.take.participant_id)
    assert not SegmentText.objects.exists()


def test_confidences_ratings_and_long_texts_of_a_clip(db):
    long = "The brows go up, and the voice falls. " * 40
    labels = (
        ParsedClipLabel("emotions", "fear", 0.3),
        ParsedClipLabel("blend", "fear+surprise"),
        ParsedClipLabel("what_told", long.strip()),
    )
    row = _accepted("mafw", "clip", ParsedAnnotation(clip_labels=labels))
    assert row.verdict == Annotation.Verdict.ACCEPTED, row.reason
    stored = {each.scale: each for each in row.clip_labels.all()}
    assert stored["emotions"].confidence == 0.3
    assert stored["blend"].value == "fear+surprise"
    assert stored["what_told"].value == long.strip()
    rated = ParsedAnnotation(
        clip_labels=(ParsedClipLabel("valence", "-0.25", 2), ParsedClipLabel("arousal", "1", 2))
    )
    row = _accepted("dimensional", "clip", rated)
    values = ClipLabel.objects.filter(annotation=row).values_list("scale", "value", "confidence")
    assert set(values) == {("valence", "-0.25", 2.0), ("arousal", "1", 2.0)}


def test_a_recordings_page_says_them_in_words(described, db):
    (mark,) = rater_rows(described.assignment.recording, for_lead=False)[0].marks
    assert mark.cues == [
        "AU1 inner brow raiser [b]",
        "What do you see and hear? The brows go up.",
        "What does it tell you? A question.",
    ]
    blend = ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("emotions", "fear", 0.3),
            ParsedClipLabel("blend", "fear+surprise"),
        )
    )
    row = _accepted("mafw", "clip", blend)
    found = rater_rows(row.assignment.recording, for_lead=False)[0].answers
    assert {(each.answer, each.certainty) for each in found} == {
        ("Fear", 0.3), ("Fear + Surprise", None),
    }  # fmt: skip
    rated = ParsedSegment(
        0, 1_000_000, "state", cues=(ParsedCue("valence", "0.5"), ParsedCue("arousal", "-1"))
    )
    row = _accepted("dimensional", "segments", ParsedAnnotation((rated,)))
    (mark,) = rater_rows(row.assignment.recording, for_lead=False)[0].marks
    assert set(mark.cues) == {"Valence 0.5", "Arousal -1"}

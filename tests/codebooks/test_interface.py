"""The interface that raters see, checked by Label Studio's own reader of configurations."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from annotation.codebooks import instructions, label_config, load, parse_result, shipped, to_result
from annotation.codebooks.answers import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
)

PASSES = [(name, part.id) for name in sorted(shipped()) for part in load(shipped()[name]).passes]

ANSWERS = {
    ("bah", "video"): ParsedAnnotation(clip_labels=(ParsedClipLabel("ah", "present", 2),)),
    ("bah", "segments"): ParsedAnnotation(
        segments=(
            ParsedSegment(
                1_234_567,
                2_000_001,
                "ah",
                3,
                (ParsedCue("facial", "gaze"), ParsedCue("audio", "pause")),
                "looks at the door",
            ),
        )
    ),
    ("raer", "clip"): ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("emotion", "fatigue"),
            ParsedClipLabel("behaviours", "reading"),
            ParsedClipLabel("behaviours", "writing"),
        )
    ),
    ("raer", "segments"): ParsedAnnotation(
        segments=(
            ParsedSegment(0, 500_000, "fatigue", 1),
            ParsedSegment(500_000, 9_000_000, "enjoyment", 2),
        )
    ),
    ("mafw", "clip"): ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("emotions", "anger", 0.9),
            ParsedClipLabel("emotions", "surprise", 0.3),
            ParsedClipLabel("blend", "anger+surprise"),
            ParsedClipLabel("what_told", "The brows go up."),
        )
    ),
    ("dimensional", "clip"): ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("valence", "-0.25", 2),
            ParsedClipLabel("arousal", "1", 2),
            ParsedClipLabel("dominance", "37", 2),
        )
    ),
    ("dimensional", "segments"): ParsedAnnotation(
        segments=(
            ParsedSegment(
                300_000,
                1_200_000,
                "state",
                1,
                (ParsedCue("valence", "0"), ParsedCue("arousal", "-0.75")),
            ),
        )
    ),
    ("clues", "units"): ParsedAnnotation(
        segments=(
            ParsedSegment(
                40_000,
                440_000,
                "movement",
                cues=(
                    ParsedCue("action_units", "au1", grade="b"),
                    ParsedCue("action_units", "au12", grade="e"),
                ),
                texts=(
                    ParsedText("clue", "The inner brows go up."),
                    ParsedText("reason", "The smile is kept up."),
                ),
            ),
        )
    ),
    ("clues", "caption"): ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("face", "A smile."),
            ParsedClipLabel("voice", "Low."),
            ParsedClipLabel("reason", "Content; the smile says so."),
        )
    ),
}


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_label_studio_accepts_the_interface_and_answers_made_for_it(
    name: str, pass_id: str
) -> None:
    reader = pytest.importorskip("label_studio_sdk.label_interface")
    codebook = load(shipped()[name])
    interface = reader.LabelInterface(label_config(codebook, pass_id))
    interface.validate()
    result = to_result(codebook, pass_id, ANSWERS[name, pass_id], 10_000_000)
    assert result
    assert interface.validate_annotation({"result": result})
    wrong = [{**item, "from_name": "frown"} for item in result]
    assert not interface.validate_annotation({"result": wrong})


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_what_is_sent_comes_back_the_same(name: str, pass_id: str) -> None:
    codebook, sent = load(shipped()[name]), ANSWERS[name, pass_id]
    result = to_result(codebook, pass_id, sent, 10_000_000)
    assert parse_result(codebook, pass_id, result, 10_000_000) == sent
    assert result == to_result(codebook, pass_id, sent, 10_000_000)


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_the_interface_has_the_parts_its_pass_needs_and_answers_are_ids(
    name: str, pass_id: str
) -> None:
    part = load(shipped()[name]).pass_(pass_id)
    view = Xml.fromstring(label_config(load(shipped()[name]), pass_id))
    names = [e.get("name") for e in view.iter() if e.get("name")]
    assert len(names) == len(set(names))
    assert {e.get("alias") for e in view.iter("Label")} == set(part.label_ids)
    if part.unit == "clip":
        assert view.find("Audio") is None
        assert {e.get("perRegion") for e in view.iter("Choices")} <= {None}
        return
    assert {e.get("perRegion") for e in view.iter("Choices")} == {"true"}
    if part.timeline == "ticks":
        assert view.find("Audio") is None
        assert view.find("TimelineLabels").get("toName") == "video"  # type: ignore[union-attr]
        assert view.find("Video").get("frameRate") == str(part.ticks_per_second)  # type: ignore[union-attr]
    else:
        assert view.find("Labels").get("toName") == view.find("Audio").get("name")  # type: ignore[union-attr]
        assert view.find("Audio").get("sync") == view.find("Video").get("sync")  # type: ignore[union-attr]


@pytest.mark.parametrize("transcript", [False, True])
@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_nothing_but_the_clip_and_what_is_said_in_it_is_shown(
    name: str, pass_id: str, transcript: bool
) -> None:
    part = load(shipped()[name]).pass_(pass_id)
    view = Xml.fromstring(label_config(load(shipped()[name]), pass_id, transcript=transcript))
    read = {v for e in view.iter() for v in e.attrib.values() if "$" in v}
    beside = {"$transcript"} if transcript and part.transcript else set()
    assert read == {"$video"} | beside


def test_texts_are_escaped_and_examples_shown() -> None:
    text = shipped()["raer"].read_text().replace("Chin on the hand", "<b>Chin</b> & hand")
    page = instructions(load(text), "clip")
    assert "&lt;b&gt;Chin&lt;/b&gt; &amp; hand" in page
    assert "Confusion or distraction?" in page
    Xml.fromstring(label_config(load(text.replace("title: Reading", "title: '\"<&>'")), "clip"))


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(KeyError, match="has no pass 'frames'; it has video, segments"):
        label_config(load(shipped()["bah"]), "frames")

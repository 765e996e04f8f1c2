"""Reading codebooks: the shipped ones, and what an author is told about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from annotation.codebooks import CodebookError, load, migration_block, shipped
from annotation.codebooks.checks import GROUNDS, contrast

SMALL = """\
schema: waver.codebook/1
id: smiles
version: 1
title: Smiles
languages: [en]
source: made for a test
passes:
  - id: clip
    unit: clip
    title: Whole clip
    instructions: Look.
    questions:
      - id: smile
        kind: exclusive
        title: A smile?
        required: true
        values:
          - {id: "no", title: No smile, hotkey: "1"}
          - {id: "yes", title: A smile, hotkey: "2"}
  - id: segments
    unit: segment
    title: Where
    instructions: Mark.
    overlap: forbidden
    labels:
      - {id: smile, title: Smile, colour: "#c2410c"}
"""


def test_bah_asks_for_the_answer_and_then_for_the_stretches() -> None:
    bah = load(shipped()["bah"])
    assert [(p.id, p.unit) for p in bah.passes] == [("video", "clip"), ("segments", "segment")]
    cues = {q.id: len(q.values) for q in bah.pass_("segments").questions if q.role == "cue"}
    assert cues == {"facial": 15, "language": 17, "audio": 14, "body": 12, "inconsistency": 6}
    ah = bah.pass_("video").question("ah")
    assert {value.id: value.export for value in ah.values} == {"absent": 0, "present": 1}
    certainty = bah.pass_("segments").question("certainty")
    assert certainty.ours
    assert certainty.required
    assert [m.name for m in bah.measurables()] == ["video:ah", "segments:ah"]


def test_raer_has_five_exclusive_emotions_and_the_same_as_segments() -> None:
    raer = load(shipped()["raer"])
    emotion = raer.pass_("clip").question("emotion")
    assert emotion.kind == "exclusive"
    assert [(v.title, v.export) for v in emotion.values] == [
        ("Neutrality", 1),
        ("Enjoyment", 2),
        ("Confusion", 3),
        ("Fatigue", 4),
        ("Distraction", 5),
    ]
    assert raer.pass_("clip").question("attention").ours
    assert raer.pass_("segments").ours
    names = {m.name: m.values for m in raer.measurables()}
    assert names["clip:emotion"] == emotion.value_ids
    assert names["clip:behaviours:phone"] == ("no", "yes")
    assert names["segments:fatigue"] == ("none", "fatigue")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_colour_can_be_seen_on_both_pages(name: str) -> None:
    for part in load(shipped()[name]).passes:
        values = [*part.labels, *(v for q in part.questions for v in q.values)]
        for colour in {value.colour for value in values if value.colour}:
            for ground in GROUNDS.values():
                assert contrast(colour, ground) >= 3


def test_contrast_is_wcags() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("name", ["bah", "raer"])
def test_shipped_codebooks_hold_the_published_values(name: str, shared_facts: Path) -> None:
    facts = yaml.safe_load((shared_facts / "codebooks" / f"{name}.yaml").read_text())
    codebook = load(shipped()[name])
    if name == "bah":
        questions = {q.id: q for q in codebook.pass_("segments").questions}
        for modality, cues in facts["cues"].items():
            assert {v.title for v in questions[modality].values} == set(cues)
        pairs = {v.export for v in questions["inconsistency"].values}
        assert pairs == set(facts["inconsistencies"]["values"])
    else:
        published = {v["name"]: v["id"] for v in facts["label_sets"][0]["values"]}
        values = codebook.pass_("clip").question("emotion").values
        assert {v.title: v.export for v in values} == published


def test_the_hash_covers_the_content_and_not_the_layout() -> None:
    first = load(SMALL).sha256
    assert (
        load("# a comment\n" + SMALL.replace("title: Smiles", "title:   'Smiles'")).sha256 == first
    )
    assert load(SMALL.replace("instructions: Look.", "instructions: Look well.")).sha256 != first


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("title: Smiles", "titel: Smiles", 4, "'titel' is not known here; did you mean 'title'?"),
        ("title: Smiles\n", "", 1, "'title' is missing here; add it."),
        ("unit: clip", "unit: video", 9, "'unit' is 'video'; it must be one of clip, segment."),
        ("version: 1", "version: one", 3, "'version' must be a whole number, not 'one'."),
        ("id: smiles", "id: My Smiles", 2, "'My Smiles' cannot stand as 'id'; use small letters"),
        ("waver.codebook/1", "waver.codebook/9", 1, "'schema' must be 'waver.codebook/1'"),
        ("kind: exclusive", "kind: ordinal\n        kind: exclusive", 15, "a second time"),
        ('hotkey: "2"', 'hotkey: "1"', 19, "The key '1' already chooses 'no' in this pass"),
        ('id: "yes"', 'id: "no"', 19, "There are two values with the id 'no'"),
        ("title: A smile,", "title: No smile,", 19, "two values with the title 'No smile'"),
        ("#c2410c", "#ffe97f", 26, "on the light page; it needs at least 3 : 1. Take a darker"),
        ("#c2410c", "#1a1a2e", 26, "on the dark page; it needs at least 3 : 1. Take a lighter"),
        ("#c2410c", "red", 26, "'red' cannot stand as 'colour'; write it as '#rrggbb', in quotes."),
        ("id: smile, title: Smile", "id: none, title: Smile", 26, "'none' means unmarked time"),
        ("    overlap: forbidden\n", "", 20, "must say under 'overlap'"),
        ("    overlap", "    candidates: frown\n    overlap", 24, "the id of one of this"),
        ("    overlap", "    ticks_per_second: 5\n    overlap", 24, "Only a pass with 'timeline:"),
        ("    overlap", "    timeline: ticks\n    ticks_per_second: 2.5\n    overlap", 25,
         "2.5 cannot stand as 'ticks_per_second'; write a whole number, or a fraction"),
        ("    unit: clip", "    unit: clip\n    timeline: ticks", 10, "has no segments"),
        ("languages: [en]", "languages: [en", 6, "This is not valid YAML"),
        (SMALL, "", 1, "The file is empty"),
    ],
)  # fmt: skip
def test_a_wrong_codebook_is_answered_with_the_line_and_what_to_do(
    old: str, new: str, line: int, sentence: str
) -> None:
    with pytest.raises(CodebookError) as caught:
        load(SMALL.replace(old, new, 1))
    assert any(at == line and sentence in text for at, text in caught.value.problems), str(
        caught.value
    )


def test_all_problems_are_told_at_once_and_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "codebook.yaml"
    path.write_text(SMALL.replace("version: 1", "version: 0").replace("overlap: forbidden", ""))
    with pytest.raises(CodebookError) as caught:
        load(path)
    assert [line for line, _ in caught.value.problems] == [3, 20]
    assert str(caught.value).startswith("Line 3: ")


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("{id: a, kind: text, title: A}", "Free text is a note"),
        ("{id: a, kind: exclusive, title: A, role: cue, values: XY}",
         "Cues are noted per segment"),
        ("{id: a, kind: rating, title: A}", "needs the numbers 'minimum', 'maximum' and 'step'"),
        ("{id: a, kind: rating, title: A, minimum: 1, maximum: 1, step: 1}", "below its 'maximum'"),
        ("{id: a, kind: rating, title: A, minimum: 0, maximum: 1, step: 0.3}",
         "Steps of 0.3 do not lead from 0 to 1"),
        ("{id: a, kind: rating, title: A, minimum: 0, maximum: 1, step: 0.0001}",
         "at most 1001 points"),
        ("{id: a, kind: rating, title: A, minimum: 0, maximum: .inf, step: 1}", "is no number"),
        ("{id: a, kind: exclusive, title: A, minimum: 0, values: XY}", "Only a rating has a"),
        ("{id: a, kind: compound, title: A, values: XY, pairs: [[x, z]]}", "no value 'z'"),
        ("{id: a, kind: compound, title: A, values: XY, pairs: [[x, x]]}", "two different values"),
        ("{id: a, kind: compound, title: A, values: XY, pairs: [[x, y], [y, x]]}", "a second time"),
        ("{id: a, kind: exclusive, title: A, values: XY, pairs: [[x, y]]}", "kind 'compound'"),
        ("{id: a, kind: exclusive, title: A, values: XY, each: EACH}",
         "kind 'multiple' can ask about 'each'"),
        ("{id: a, kind: multiple, title: A, values: XY, each: {kind: ordinal, title: B}}",
         "An ordinal needs 'values'"),
        ("{id: a, kind: multiple, title: A, values: XY, each: EACH}", "so it has no keys"),
        ("{id: a, kind: ordinal, title: A}", "needs 'values'"),
        ("{id: a, kind: ordinal, title: A, role: certainty, values: XY}",
         "must be whole numbers"),
        ("{id: a, kind: ordinal, title: A, role: certainty, about: frown, values: 12}",
         "There is no question 'frown' in this pass"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(question: str, sentence: str) -> None:
    question = question.replace("EACH", "{kind: ordinal, title: B, values: PQ}")
    question = question.replace("PQ", "[{id: p, title: P, hotkey: p}, {id: q, title: Q}]")
    question = question.replace("XY", "[{id: x, title: X}, {id: y, title: Y}]")
    question = question.replace("12", "[{id: 1, title: X}, {id: 2, title: Y}]")
    text = SMALL.replace("    questions:\n", f"    questions:\n      - {question}\n", 1)
    with pytest.raises(CodebookError, match=sentence):
        load(text)


def test_anything_that_is_no_codebook_gets_sentences() -> None:
    for text in (
        "[]",
        "- a\n- b",
        "schema: 3",
        "passes: 3",
        "passes: [3]",
        "passes: [{labels: 4}]",
    ):
        with pytest.raises(CodebookError):
            load(text)


def test_a_text_is_read_once_and_nobody_can_change_what_is_kept():
    text = (
        SMALL.replace("version: 1", "version: 2")
        + "migration:\n  from: 1\n  drop:\n    - {pass: clip, question: grin, reason: unused}\n"
    )
    assert load(text) is load(text)
    block = migration_block(text)
    assert block is not None
    block["drop"].clear()
    assert migration_block(text)["drop"][0]["reason"] == "unused"

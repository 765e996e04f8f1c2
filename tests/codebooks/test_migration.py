"""Work done with an earlier version of a codebook: carried over, listed, never guessed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebooks import (
    Codebook,
    MigrationError,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    compare,
    load,
    migrate,
    migrate_through,
    migration_between,
)

COLOURS = ("#c2410c", "#15803d", "#0e7490", "#7c5cd6", "#6b7280", "#b45309")


def book(version: int, block: dict[str, Any] | None = None, **change: Any) -> Codebook:
    """A small codebook; `labels`, `feelings` and `cues` list ids in place of the usual ones."""
    labels = change.get("labels", ["ah", "calm"])
    data: dict[str, Any] = {
        "schema": "waver.codebook/1",
        "id": "small",
        "version": version,
        "title": "Small",
        "languages": ["en"],
        "source": "made for a test",
        "passes": [
            {
                "id": change.get("clip", "clip"),
                "unit": "clip",
                "title": "Whole",
                "instructions": "Look.",
                "questions": [
                    _question("feeling", "exclusive", change.get("feelings", ["joy", "anger"])),
                    _question("seen", "multiple", change.get("seen", ["phone", "book", "pen"])),
                    {
                        **_question("sure", "ordinal", change.get("sure", [1, 2, 3])),
                        "role": "certainty",
                        "about": "feeling",
                    },
                ],
            },
            {
                "id": "segments",
                "unit": "segment",
                "title": "Where",
                "instructions": "Mark.",
                "overlap": "allowed",
                "labels": [
                    {"id": label, "title": label, "colour": colour}
                    for label, colour in zip(labels, COLOURS, strict=False)
                ],
                "questions": [
                    {**_question("certainty", "ordinal", [1, 2, 3]), "role": "certainty"},
                    {**_question("face", "multiple", change.get("face", ["gaze", "smile"])),
                     "role": "cue"},
                    {**_question("body", "multiple", change.get("body", ["shrug", "tilt"])),
                     "role": "cue"},
                ],
            },
        ],
    }  # fmt: skip
    if block is not None:
        data["migration"] = {"from": version - 1, **block}
    return load(yaml.safe_dump(data))


def _question(name: str, kind: str, values: list[Any]) -> dict[str, Any]:
    return {"id": name, "kind": kind, "title": name,
            "values": [{"id": each, "title": str(each)} for each in values]}  # fmt: skip


def segments(*rows: ParsedSegment) -> ParsedAnnotation:
    return ParsedAnnotation(segments=rows)


def test_versions_with_the_same_labels_need_no_migration() -> None:
    way = migration_between(book(1), book(2, labels=["ah", "calm", "new"]))
    assert way.changes_nothing
    work = segments(ParsedSegment(0, 5, "ah", 2, (ParsedCue("face", "gaze"),), "x"))
    assert migrate(work, way, "segments").annotation == work
    assert compare(book(1), book(2, labels=["ah", "calm", "new"])).changes == (
        "New: the segment label 'new' of the pass 'segments'.",
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"labels": ["calm", "x"]}, "the segment label 'ah' of the pass 'segments'"),
        ({"feelings": ["joy", "rage"]}, "the answer 'anger' to 'feeling' in the pass 'clip'"),
        ({"face": ["gaze", "grin"]}, "the answer 'smile' to 'face' in the pass 'segments'"),
        ({"clip": "whole"}, "the pass 'clip'"),
        ({"sure": [1, 2]}, "the answer '3' to 'sure' in the pass 'clip'"),
    ],
)
def test_what_would_be_orphaned_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(MigrationError, match=f"says what becomes of {named}"):
        migration_between(book(1), book(2, **change))


def test_a_rename_a_drop_and_a_cue_that_moves_to_another_question() -> None:
    new = book(
        2,
        {
            "rename": [
                {"pass": "segments", "label": "ah", "to": "hesitancy"},
                {"pass": "segments", "question": "face", "value": "smile", "to": "grin",
                 "to_question": "body"},
            ],
            "drop": [{"pass": "segments", "question": "body", "value": "tilt",
                      "reason": "Raters could not tell it."}],
        },
        labels=["hesitancy", "calm"], face=["gaze", "x"], body=["shrug", "grin"],
    )  # fmt: skip
    cues = (ParsedCue("face", "smile"), ParsedCue("body", "shrug"), ParsedCue("body", "tilt"))
    found = migrate(
        segments(ParsedSegment(0, 9, "ah", 2, cues)), migration_between(book(1), new), "segments"
    )
    assert found.annotation == segments(
        ParsedSegment(0, 9, "hesitancy", 2, (ParsedCue("body", "shrug"), ParsedCue("body", "grin")))
    )
    assert found.complete
    assert [(left.what, left.why) for left in found.dropped] == [
        ("the answer 'tilt' to 'body'", "Raters could not tell it.")
    ]


def test_merging_joins_what_touches_or_overlaps_and_keeps_the_lowest_certainty() -> None:
    new = book(
        2,
        {"merge": [{"pass": "segments", "labels": ["ah", "calm"], "to": "any"}]},
        labels=["any", "x"],
    )
    way = migration_between(book(1), new)
    work = segments(
        ParsedSegment(0, 10, "ah", 3, (ParsedCue("face", "gaze"),), "first"),
        ParsedSegment(5, 8, "calm", 1, (ParsedCue("body", "tilt"),), "inside"),
        ParsedSegment(10, 12, "calm", 2),
        ParsedSegment(20, 21, "ah"),
    )
    assert migrate(work, way, "segments").annotation == segments(
        ParsedSegment(
            0, 12, "any", 1, (ParsedCue("face", "gaze"), ParsedCue("body", "tilt")), "first\ninside"
        ),
        ParsedSegment(20, 21, "any"),
    )


def test_a_split_is_decided_by_another_answer_or_asked_again() -> None:
    new = book(
        2,
        {
            "split": [
                {"pass": "segments", "label": "ah", "into": ["a", "h"], "by": "face",
                 "when": [{"answer": "gaze", "to": "a"}, {"answer": "smile", "to": "h"}]},
                {"pass": "clip", "question": "feeling", "value": "anger", "into": ["rage", "irk"],
                 "by": "sure", "when": [{"answer": 3, "to": "rage"}], "otherwise": "irk"},
                {"pass": "clip", "question": "seen", "value": "pen", "into": ["pencil", "biro"]},
            ]
        },
        labels=["a", "h", "calm"], feelings=["joy", "rage", "irk"],
        seen=["phone", "book", "pencil", "biro"],
    )  # fmt: skip
    way = migration_between(book(1), new)
    gaze, smile = ParsedCue("face", "gaze"), ParsedCue("face", "smile")
    found = migrate(
        segments(
            ParsedSegment(0, 1, "ah", 1, (gaze,)),
            ParsedSegment(1, 2, "ah", 1, (smile,)),
            ParsedSegment(2, 3, "ah", 1, (gaze, smile)),
            ParsedSegment(3, 4, "ah", 1),
            ParsedSegment(4, 5, "calm"),
        ),
        way,
        "segments",
    )
    assert [s.label for s in found.annotation.segments] == ["a", "h", "calm"]
    assert [(left.start_us, left.why) for left in found.unmapped] == [
        (2, "it was split into 'a', 'h', and the answers to 'face' point to several of them"),
        (3, "it was split into 'a', 'h', and no answer to 'face' decides between them"),
    ]
    assert not found.complete
    for sure, feeling in ((3, "rage"), (1, "irk"), (None, "irk")):
        clip = ParsedAnnotation(
            clip_labels=(ParsedClipLabel("feeling", "anger", sure), ParsedClipLabel("seen", "pen"))
        )
        done = migrate(clip, way, "clip")
        assert done.annotation.clip_labels == (ParsedClipLabel("feeling", feeling, sure),)
        assert "only the rater can say which it is" in done.unmapped[0].why


def test_a_dropped_pass_and_a_renamed_one() -> None:
    gone = book(2, {"drop": [{"pass": "clip", "reason": "Too coarse."}]}, clip="whole")
    found = migrate(
        ParsedAnnotation(clip_labels=(ParsedClipLabel("feeling", "joy"),)),
        migration_between(book(1), gone),
        "clip",
    )
    assert (found.pass_id, found.annotation) == ("", ParsedAnnotation())
    assert found.dropped[0].why == "Too coarse."
    called = book(2, {"rename": [{"pass": "clip", "to": "whole"}]}, clip="whole")
    work = ParsedAnnotation(clip_labels=(ParsedClipLabel("feeling", "joy", 2),))
    found = migrate(work, migration_between(book(1), called), "clip")
    assert (found.pass_id, found.annotation) == ("whole", work)


def test_answers_that_merge_are_given_once_with_the_higher_confidence() -> None:
    new = book(
        2,
        {"merge": [{"pass": "clip", "question": "seen", "values": ["book", "pen"], "to": "desk"}]},
        seen=["phone", "desk"],
    )
    work = ParsedAnnotation(
        clip_labels=(
            ParsedClipLabel("seen", "pen", 0.2),
            ParsedClipLabel("seen", "book", 0.9),
            ParsedClipLabel("seen", "phone", 0.5),
        )
    )
    assert migrate(work, migration_between(book(1), new), "clip").annotation.clip_labels == (
        ParsedClipLabel("seen", "phone", 0.5),
        ParsedClipLabel("seen", "desk", 0.9),
    )


@pytest.mark.parametrize(
    ("block", "change", "sentence"),
    [
        ({"rename": [{"pass": "segments", "label": "ah", "to": "calm"}]}, {"labels": ["calm"]},
         "Both 'ah' and 'calm' become 'calm'"),
        ({"rename": [{"pass": "segments", "label": "ah", "to": "b"}]}, {"labels": ["calm"]},
         "leads to 'b', which version 2 does not have"),
        ({"rename": [{"pass": "segments", "label": "frown", "to": "calm"}]}, {},
         "names 'frown' in the pass 'segments', which version 1 does not have"),
        ({"drop": [{"pass": "segments", "label": "ah", "reason": "a"},
                   {"pass": "segments", "label": "ah", "reason": "b"}]}, {"labels": ["calm"]},
         "decides twice on 'ah'"),
        ({"split": [{"pass": "segments", "label": "ah", "into": ["calm", "b"], "by": "voice",
                     "when": [{"answer": "x", "to": "b"}]}]}, {"labels": ["calm", "b"]},
         "decided by 'voice', which version 1 does not ask there"),
        ({"split": [{"pass": "segments", "label": "ah", "into": ["calm", "b"], "by": "face"}]},
         {"labels": ["calm", "b"]}, "needs 'by'"),
        ({"split": [{"pass": "segments", "label": "ah", "into": ["calm", "b"],
                     "otherwise": "x"}]}, {"labels": ["calm", "b", "x"]}, "not among its 'into'"),
        ({"rename": [{"pass": "segments", "label": "ah", "to": "b"}],
          "merge": [{"pass": "segments", "labels": ["calm"], "to": "b"}]}, {"labels": ["b"]},
         "into which others merge"),
        ({"from": 7, "drop": [{"pass": "segments", "label": "ah", "reason": "a"}]},
         {"labels": ["calm"]}, "written for version 7, but version 1 is installed"),
    ],
)  # fmt: skip
def test_a_migration_that_makes_no_sense_is_refused_with_a_sentence(
    block: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(MigrationError) as caught:
        migration_between(book(1), book(2, block, **change))
    assert sentence in str(caught.value)


def test_several_versions_are_gone_through_one_by_one() -> None:
    second = book(
        2, {"rename": [{"pass": "segments", "label": "ah", "to": "b"}]}, labels=["b", "calm"]
    )
    third = book(
        3, {"drop": [{"pass": "segments", "label": "b", "reason": "Gone."}]}, labels=["calm"]
    )
    way = (migration_between(book(1), second), migration_between(second, third))
    found = migrate_through(segments(ParsedSegment(0, 1, "ah")), way, "segments")
    assert (found.annotation, found.dropped[0].what) == (segments(), "the label 'b'")


_THERE = book(
    2, {"rename": [{"pass": "segments", "label": "ah", "to": "zz"},
                   {"pass": "segments", "label": "calm", "to": "ah"}]},
    labels=["zz", "ah"],
)  # fmt: skip
_BACK = book(
    3, {"rename": [{"pass": "segments", "label": "zz", "to": "ah"},
                   {"pass": "segments", "label": "ah", "to": "calm"}]},
)  # fmt: skip
ROUND_TRIP = (migration_between(book(1), _THERE), migration_between(_THERE, _BACK))
MERGED = migration_between(
    book(1),
    book(2, {"merge": [{"pass": "segments", "labels": ["ah", "calm"], "to": "any"}]},
         labels=["any"]),
)  # fmt: skip
SPLIT = migration_between(
    book(1),
    book(2, {"split": [{"pass": "segments", "label": "ah", "into": ["a", "h"], "by": "face",
                        "when": [{"answer": "gaze", "to": "a"}, {"answer": "smile", "to": "h"}]}]},
         labels=["a", "h", "calm"]),
)  # fmt: skip

spans = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1]))
work = st.lists(
    st.builds(
        lambda span, label, sure, cues: ParsedSegment(
            *span, label, sure, tuple(ParsedCue("face", each) for each in sorted(cues))
        ),
        spans, st.sampled_from(["ah", "calm"]), st.sampled_from([None, 1, 2, 3]),
        st.sets(st.sampled_from(["gaze", "smile"])),
    ),
    max_size=8,
).map(lambda rows: ParsedAnnotation(tuple(sorted(
    rows, key=lambda s: (s.start_us, s.end_us, s.label)))))  # fmt: skip


@given(work)
@settings(max_examples=80, deadline=None)
def test_renaming_is_a_bijection(annotation: ParsedAnnotation) -> None:
    found = migrate_through(annotation, ROUND_TRIP, "segments")
    assert sorted(map(repr, found.annotation.segments)) == sorted(map(repr, annotation.segments))
    assert (found.unmapped, found.dropped) == ((), ())


@given(work)
@settings(max_examples=80, deadline=None)
def test_merging_covers_the_same_time_and_leaves_nothing_touching(
    annotation: ParsedAnnotation,
) -> None:
    found = migrate(annotation, MERGED, "segments").annotation.segments
    covered = {t for s in annotation.segments for t in range(s.start_us, s.end_us)}
    assert {t for s in found for t in range(s.start_us, s.end_us)} == covered
    assert sum(s.end_us - s.start_us for s in found) == len(covered)
    assert all(a.end_us < b.start_us for a, b in pairwise(found))
    assert {c for s in found for c in s.cues} == {c for s in annotation.segments for c in s.cues}


@given(work)
@settings(max_examples=80, deadline=None)
def test_a_split_maps_or_lists_every_segment(annotation: ParsedAnnotation) -> None:
    found = migrate(annotation, SPLIT, "segments")
    assert len(found.annotation.segments) + len(found.unmapped) == len(annotation.segments)
    assert all(each.label != "ah" for each in found.annotation.segments)

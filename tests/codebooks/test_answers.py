"""Raters' answers: what is accepted, to the microsecond, and what is sent back with a sentence."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebooks import (
    EDGE_TOLERANCE_US,
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    load,
    parse_result,
    shipped,
    to_result,
)
from tests.examples import examples

BAH = load(shipped()["bah"])
LENGTH = 20_000_000


def region(
    start: Any, end: Any, name: str = "r1", label: Any = "ah", **answers: list[str]
) -> list[dict[str, Any]]:
    """What Label Studio stores for one stretch drawn on the waveform."""
    span = {"start": start, "end": end, "channel": 0}
    shared = {"id": name, "to_name": "audio", "origin": "manual", "original_length": 20.02}
    items = [
        {**shared, "type": "labels", "from_name": "segment", "value": {**span, "labels": label}}
    ]
    if isinstance(label, str):
        items[0]["value"]["labels"] = [label]
    answers.setdefault("certainty", ["2"])
    for question, values in answers.items():
        kind = "text" if question == "note" else "choices"
        items.append(
            {
                **shared,
                "type": "textarea" if kind == "text" else "choices",
                "from_name": question,
                "value": {**span, kind: values},
            }
        )
    return items


def parsed(result: list[dict[str, Any]], duration_us: int = LENGTH) -> ParsedAnnotation:
    return parse_result(BAH, "segments", result, duration_us)


def problems(result: list[dict[str, Any]], pass_id: str = "segments") -> str:
    with pytest.raises(InvalidAnnotation) as caught:
        parse_result(BAH, pass_id, result, LENGTH)
    return str(caught.value)


def test_a_stretch_as_label_studio_stores_it() -> None:
    result = region(
        4.932182490752158,
        9.864364981504316,
        facial=["smile", "gaze"],
        audio_question=["pause"],
        note=["  looks away "],
    )
    assert parsed(result).segments == (
        ParsedSegment(
            4_932_182,
            9_864_365,
            "ah",
            2,
            (
                ParsedCue("facial", "gaze"),
                ParsedCue("facial", "smile"),
                ParsedCue("audio", "pause"),
            ),
            "looks away",
        ),
    )


def test_nothing_marked_is_an_answer() -> None:
    assert parsed([]) == ParsedAnnotation()


def test_stretches_come_back_in_time_order_whoever_was_drawn_first() -> None:
    result = region(9.0, 10.0, "b") + region(1.0, 2.0, "a")
    assert [s.start_us for s in parsed(result).segments] == [1_000_000, 9_000_000]


@pytest.mark.parametrize(
    ("seconds", "microseconds"),
    [(1.0000005, 1_000_001), (1.00000049, 1_000_000), (0.1, 100_000), (2, 2_000_000)],
)
def test_seconds_are_rounded_half_up_to_microseconds(seconds: float, microseconds: int) -> None:
    assert parsed(region(seconds, 15.0)).segments[0].start_us == microseconds


@given(
    rate=st.sampled_from(
        [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30)]
    ),
    first=st.integers(0, 400),
    length=st.integers(3, 60),
)
@settings(max_examples=examples(200), deadline=None)
def test_times_of_frames_survive_the_way_there_and_back(
    rate: Fraction, first: int, length: int
) -> None:
    start, end = (int(n / rate * 1_000_000 + Fraction(1, 2)) for n in (first, first + length))
    sent = ParsedAnnotation(segments=(ParsedSegment(start, end, "ah", 1),))
    back = parsed(to_result(BAH, "segments", sent, LENGTH), LENGTH)
    assert back == sent


@given(
    cuts=st.lists(st.integers(0, 199), min_size=2, max_size=12, unique=True),
    certainty=st.integers(1, 3),
    cues=st.lists(st.sampled_from(["gaze", "smile", "frown"]), unique=True),
)
@settings(max_examples=60, deadline=None)
def test_any_valid_answer_survives(cuts: list[int], certainty: int, cues: list[str]) -> None:
    times = [cut * 100_000 for cut in sorted(cuts)]
    order = {"gaze": 0, "frown": 1, "smile": 2}
    noted = tuple(ParsedCue("facial", cue) for cue in sorted(cues, key=order.__getitem__))
    sent = ParsedAnnotation(
        tuple(
            ParsedSegment(a, b, "ah", certainty, noted)
            for a, b in zip(times[::2], times[1::2], strict=False)
        )
    )
    assert parsed(to_result(BAH, "segments", sent, LENGTH)) == sent


def test_a_stretch_just_over_the_edge_is_cut_and_one_far_over_is_refused() -> None:
    over = EDGE_TOLERANCE_US / 1e6
    segment = parsed(region(-over, 20 + over)).segments[0]
    assert (segment.start_us, segment.end_us) == (0, LENGTH)
    assert "leaves the recording, which ends at 0:20.000" in problems(region(10, 20.1))
    assert "leaves the recording" in problems(region(-0.1, 10))


def test_a_slight_overlap_is_trimmed_and_a_real_one_refused() -> None:
    touching = parsed(region(1.0, 2.0, "a") + region(1.99, 3.0, "b")).segments
    assert [(s.start_us, s.end_us) for s in touching] == [
        (1_000_000, 2_000_000),
        (2_000_000, 3_000_000),
    ]
    message = problems(region(1.0, 2.0, "a") + region(1.9, 3.0, "b"))
    assert "The segments from 0:01.000 and from 0:01.900 overlap" in message
    assert "overlap" in problems(region(1.0, 9.0, "a") + region(2.0, 2.5, "b"))


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (
            region(1.0, 2.0, label="anger"),
            "has the label 'anger', which the codebook does not know",
        ),
        (region(1.0, 2.0, label=[]), "has no label; please choose one"),
        (region(1.0, 2.0, label=["ah", "ah"]), "has more than one label"),
        (region(1.0, 1.0), "has no length"),
        (region(2.0, 1.0), "has no length"),
        (region(1.0, 1.05), "is shorter than 0.1 s and looks like a slip"),
        (region(None, 1.0), "has no beginning or no end"),
        (region("1", 2.0), "has no beginning or no end"),
        (region(float("nan"), 2.0), "has no beginning or no end"),
        (region(float("inf"), 2.0), "has no beginning or no end"),
        (region(True, 2.0), "has no beginning or no end"),
        (region(1e300, 2e300), "has no beginning or no end"),
        (region(1.0, 10**400), "has no beginning or no end"),
        (["mood"], "cannot be read"),
        (region(1.0, 2.0, certainty=[]), "lacks an answer to “How sure are you?”"),
        (region(1.0, 2.0, certainty=["4"]), "answers “How sure are you?” with '4'"),
        (region(1.0, 2.0, certainty=["1", "2"]), "several answers to “How sure are you?”"),
        (region(1.0, 2.0, facial=["shrug"]), "answers “Face” with 'shrug'"),
        (region(1.0, 2.0, mood=["good"]), "holds 'mood', which this task does not ask"),
        (region(1.0, 2.0)[1:], "has no label"),
        ([{"id": "x", "from_name": "segment"}], "has no value"),
    ],
)
def test_answers_outside_the_codebook_are_sent_back(
    result: list[dict[str, Any]], sentence: str
) -> None:
    assert sentence in problems(result)


def test_every_problem_is_named_at_once() -> None:
    message = problems(region(1.0, 2.0, "a", label="x") + region(5.0, 5.01, "b", facial=["y"]))
    for part in ("'x'", "is shorter than", "'y'"):
        assert part in message


def choice(question: str, *values: str) -> dict[str, Any]:
    return {
        "id": question,
        "type": "choices",
        "from_name": question,
        "to_name": "video",
        "value": {"choices": list(values)},
    }


def test_a_clips_answer_carries_its_certainty() -> None:
    result = [choice("certainty", "3"), choice("ah", "absent")]
    assert parse_result(BAH, "video", result, LENGTH).clip_labels == (
        ParsedClipLabel("ah", "absent", 3),
    )


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ([], "The clip lacks an answer to “Ambivalence or hesitancy”."),
        ([choice("ah", "present")], "The clip lacks an answer to “How sure are you?”."),
        ([choice("ah", "perhaps"), choice("certainty", "1")], "with 'perhaps'"),
        ([choice("ah", "present", "absent"), choice("certainty", "1")], "several answers"),
        ([*region(1.0, 2.0), choice("ah", "present")], "holds 'segment'"),
    ],
)
def test_clip_answers_outside_the_codebook_are_sent_back(
    result: list[dict[str, Any]], sentence: str
) -> None:
    assert sentence in problems(result, "video")


def test_labels_may_overlap_where_the_codebook_says_so() -> None:
    text = shipped()["raer"].read_text()
    different = load(text.replace("overlap: forbidden", "overlap: different_labels"))
    result = region(1.0, 3.0, "a", label="fatigue") + region(2.0, 4.0, "b", label="confusion")
    assert len(parse_result(different, "segments", result, LENGTH).segments) == 2
    same = region(1.0, 3.0, "a", label="fatigue") + region(2.0, 4.0, "b", label="fatigue")
    with pytest.raises(InvalidAnnotation, match="overlap"):
        parse_result(different, "segments", same, LENGTH)
    free = load(text.replace("overlap: forbidden", "overlap: allowed"))
    assert len(parse_result(free, "segments", same, LENGTH).segments) == 2


def test_an_answer_as_the_labelling_page_sent_it() -> None:
    """Recorded from Label Studio 1.23.2: a drawn stretch, answered by keys and by mouse."""
    span = {"start": 11.801031833150384, "end": 13.767870472008783, "channel": 0}
    shared = {"original_length": 19.69, "id": "bmrqC", "to_name": "audio", "origin": "manual"}
    sent = [
        {**shared, "from_name": "segment", "type": "labels", "value": {**span, "labels": ["ah"]}},
        {
            **shared,
            "from_name": "certainty",
            "type": "choices",
            "value": {**span, "choices": ["3"]},
        },
        {
            **shared,
            "from_name": "facial",
            "type": "choices",
            "value": {**span, "choices": ["smile"]},
        },
    ]
    assert parsed(sent, 19_690_000).segments == (
        ParsedSegment(11_801_032, 13_767_870, "ah", 3, (ParsedCue("facial", "smile"),)),
    )

"""Every kind of question: what raters answer becomes values, and goes back as it was."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebooks import (
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
    Pass,
    Question,
    label_config,
    load,
    parse_result,
    shipped,
    to_result,
)
from annotation.codebooks.times import edge_us, ticks_us, us_ticks
from tests.examples import examples

LENGTH = 20_000_000
BOOKS = {name: load(path) for name, path in shipped().items()}
PASSES = [(name, part.id) for name, book in sorted(BOOKS.items()) for part in book.passes]
RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(10)]
WORDS = st.text(alphabet="abc äß+&<", min_size=1, max_size=20).map(str.strip).filter(bool)


def _answered(draw: st.DrawFn, question: Question) -> list[tuple[str, float | None, str]]:
    """Draw a valid answer: its values, each with a confidence and a grade where asked."""
    if question.kind == "text":
        return [(draw(WORDS), None, "")]
    if question.kind != "multiple":
        return [(draw(st.sampled_from(question.value_ids)), None, "")]
    chosen = draw(st.sets(st.sampled_from(question.value_ids), min_size=1, max_size=4))
    found = []
    for value in (v for v in question.value_ids if v in chosen):
        point = draw(st.sampled_from(question.each.value_ids)) if question.each else ""
        rated = question.each is not None and question.each.kind == "rating"
        found.append((value, float(point) if rated else None, "" if rated else point))
    return found


@st.composite
def answers(draw: st.DrawFn, part: Pass) -> ParsedAnnotation:
    """Any answer that the pass allows."""
    if part.unit == "clip":
        labels: list[ParsedClipLabel] = []
        sure: dict[str, int] = {
            q.id: int(draw(st.sampled_from(q.value_ids)))
            for q in part.questions
            if q.role == "certainty"
        }
        for question in part.questions:
            if question.role == "certainty" or not (question.required or draw(st.booleans())):
                continue
            about = part.certainty_about(question.id)
            for value, confidence, grade in _answered(draw, question):
                given = sure[about.id] if about else confidence
                labels.append(ParsedClipLabel(question.id, value, given, grade))
        return ParsedAnnotation(clip_labels=tuple(labels))
    cuts = sorted(draw(st.sets(st.integers(0, 199), min_size=0, max_size=6)))
    segments = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        segments.append(_segment(draw, part, start * 100_000, max(end, start + 5) * 100_000))
    kept: list[ParsedSegment] = []
    for segment in segments:
        if segment.end_us <= LENGTH and (not kept or segment.start_us >= kept[-1].end_us):
            kept.append(segment)
    return ParsedAnnotation(segments=tuple(kept))


def _segment(draw: st.DrawFn, part: Pass, start: int, end: int) -> ParsedSegment:
    certainty, note = None, ""
    cues: list[ParsedCue] = []
    texts: list[ParsedText] = []
    for question in part.questions:
        if not (question.required or draw(st.booleans())):
            continue
        found = _answered(draw, question)
        if question.role == "certainty":
            certainty = int(found[0][0])
        elif question.role == "note":
            note = found[0][0]
        elif question.role == "description":
            texts.append(ParsedText(question.id, found[0][0]))
        else:
            cues += [ParsedCue(question.id, *each) for each in found]
    label = draw(st.sampled_from(part.label_ids))
    return ParsedSegment(start, end, label, certainty, tuple(cues), note, tuple(texts))


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_any_answer_survives_the_way_there_and_back(name: str, pass_id: str) -> None:
    book, part = BOOKS[name], BOOKS[name].pass_(pass_id)

    @given(answers(part))
    @settings(max_examples=25, deadline=None)
    def holds(sent: ParsedAnnotation) -> None:
        result = to_result(book, pass_id, sent, LENGTH)
        assert parse_result(book, pass_id, result, LENGTH) == sent

    holds()


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_label_studio_accepts_any_answer(name: str, pass_id: str) -> None:
    reader = pytest.importorskip("label_studio_sdk.label_interface")
    book, part = BOOKS[name], BOOKS[name].pass_(pass_id)
    interface = reader.LabelInterface(label_config(book, pass_id, transcript=True))
    interface.validate()

    @given(answers(part))
    @settings(max_examples=10, deadline=None)
    def holds(sent: ParsedAnnotation) -> None:
        result = to_result(book, pass_id, sent, LENGTH)
        assert not result or interface.validate_annotation({"result": result})

    holds()


@given(st.sampled_from(RATES), st.integers(1, 20_000), st.integers(0, 2_000))
@settings(max_examples=examples(300), deadline=None)
def test_ticks_come_back_as_the_same_ticks(rate: Fraction, first: int, more: int) -> None:
    times = ticks_us(first, first + more, rate)
    assert times is not None
    assert us_ticks(*times, rate) == (first, first + more)
    # The convention, said once more by hand: both ticks are inside, edges rounded half up.
    assert times[0] == int((first - 1) / rate * 1_000_000 + Fraction(1, 2))
    assert times[1] == int((first + more) / rate * 1_000_000 + Fraction(1, 2))
    following = ticks_us(first + more + 1, first + more + 2, rate)
    assert following is not None
    assert following[0] == times[1]


@given(st.sampled_from(RATES), st.integers(0, 10**9), st.integers(1, 10**8))
@settings(max_examples=examples(300), deadline=None)
def test_any_stretch_lies_within_its_ticks_by_less_than_one(
    rate: Fraction, start: int, length: int
) -> None:
    times = ticks_us(*us_ticks(start, start + length, rate), rate)
    assert times is not None
    tick = edge_us(1, rate) + 1
    assert times[0] <= start < times[0] + tick
    assert times[1] - tick < start + length <= times[1]


TICKED = shipped()["dimensional"].read_text()


@pytest.mark.parametrize("rate", ["24000/1001", "25/1", "30000/1001", "30/1"])
def test_a_line_of_ticks_at_camera_rates(rate: str) -> None:
    book = load(TICKED.replace("ticks_per_second: 10", f'ticks_per_second: "{rate}"'))
    sent = ParsedAnnotation(
        tuple(
            ParsedSegment(*(ticks_us(n, n + 9, Fraction(rate)) or ()), "state", None,
                          (ParsedCue("valence", "0.5"), ParsedCue("arousal", "0")))
            for n in range(1, 400, 10)
        )
    )  # fmt: skip
    result = to_result(book, "segments", sent, LENGTH)
    assert [r["value"]["ranges"] for r in result[:2]] == [[{"start": 1, "end": 10}]] * 2
    assert parse_result(book, "segments", result, LENGTH) == sent


def _ticks(start: Any, end: Any) -> list[dict[str, Any]]:
    span = {"ranges": [{"start": start, "end": end}]}
    said = [
        {"id": "r", "to_name": "video", "from_name": name, "type": "choices",
         "value": {**span, "choices": ["0"]}}
        for name in ("valence", "arousal")
    ]  # fmt: skip
    label = {"id": "r", "to_name": "video", "from_name": "segment", "type": "timelinelabels",
             "value": {**span, "timelinelabels": ["state"]}}  # fmt: skip
    return [label, *said]


def test_ticks_as_label_studio_stores_them() -> None:
    found = parse_result(BOOKS["dimensional"], "segments", _ticks(11, 31), LENGTH).segments[0]
    assert (found.start_us, found.end_us) == (1_000_000, 3_100_000)
    last = parse_result(BOOKS["dimensional"], "segments", _ticks(195, 201), LENGTH).segments[0]
    assert (last.start_us, last.end_us) == (19_400_000, LENGTH)  # cut at the recording's end


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (0, 3, "has no beginning or no end"),
        (5, 4, "has no beginning or no end"),
        (1.5, 4, "has no beginning or no end"),
        (None, 4, "has no beginning or no end"),
        (True, 4, "has no beginning or no end"),
        (190, 250, "leaves the recording"),
    ],
)
def test_ticks_that_make_no_sense_are_sent_back(start: Any, end: Any, sentence: str) -> None:
    with pytest.raises(InvalidAnnotation, match=sentence):
        parse_result(BOOKS["dimensional"], "segments", _ticks(start, end), LENGTH)


def _clip(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "from_name": name, "to_name": "video", "value": {kind: value}}


def _mafw(*more: dict[str, Any]) -> str:
    result = [
        _clip("emotions", "choices", ["anger", "fear"]),
        _clip("emotions:anger", "choices", ["0.9"]),
        _clip("blend", "choices", ["anger"]),
        *more,
    ]
    with pytest.raises(InvalidAnnotation) as caught:
        parse_result(BOOKS["mafw"], "clip", result, LENGTH)
    return str(caught.value)


def test_what_is_asked_about_each_answer_is_checked() -> None:
    assert "at “Fear”, lacks an answer to “How sure are you that it is there?”" in _mafw()
    assert "with '0.95'" in _mafw(_clip("emotions:fear", "choices", ["0.95"]))
    assert "'emotions:joy', which this task does not ask" in _mafw(
        _clip("emotions:joy", "choices", ["1"])
    )


def test_what_was_said_of_an_answer_no_longer_chosen_is_left_out() -> None:
    result = [
        _clip("emotions", "choices", ["anger"]),
        _clip("emotions:anger", "choices", ["0.9"]),
        _clip("emotions:fear", "choices", ["0.2"]),
        _clip("blend", "choices", ["surprise", "anger"]),
    ]
    assert parse_result(BOOKS["mafw"], "clip", result, LENGTH).clip_labels == (
        ParsedClipLabel("emotions", "anger", 0.9),
        ParsedClipLabel("blend", "anger+surprise"),
    )


def test_a_blend_is_one_or_an_allowed_pair() -> None:
    sure = _clip("emotions:fear", "choices", ["1"])
    three = _clip("blend", "choices", ["fear", "sadness"])
    assert "Anger and Fear and Sadness; please choose one, or two" in _mafw(sure, three)
    text = shipped()["mafw"].read_text()
    old = "        ours: true\n        values: *emotions"
    paired = load(text.replace(old, "        pairs: [[fear, anger]]\n        values: *emotions"))
    blend = paired.pass_("clip").question("blend")
    assert blend.allowed_pairs == (("anger", "fear"),)
    assert len(BOOKS["mafw"].pass_("clip").question("blend").value_ids) == 11 + 55
    result = [
        _clip("emotions", "choices", ["anger"]),
        _clip("emotions:anger", "choices", ["0.9"]),
        _clip("blend", "choices", ["surprise", "anger"]),
    ]
    with pytest.raises(InvalidAnnotation, match="Anger and Surprise"):
        parse_result(paired, "clip", result, LENGTH)


def test_a_rating_has_its_points_and_lies_on_the_interval_scale() -> None:
    valence = BOOKS["dimensional"].pass_("clip").question("valence")
    assert valence.points == ("-1", "-0.75", "-0.5", "-0.25", "0", "0.25", "0.5", "0.75", "1")
    assert valence.scale == "interval"
    config = label_config(BOOKS["dimensional"], "clip")
    assert 'name="dominance" toName="video" min="0" max="100" step="1" slider="true"' in config
    said = [
        _clip("valence", "choices", ["0.25"]),
        _clip("arousal", "choices", ["-1"]),
        _clip("certainty", "choices", ["3"]),
    ]
    for number, text in ((37, "37"), (37.0, "37"), (100, "100")):
        labels = parse_result(
            BOOKS["dimensional"], "clip", [*said, _clip("dominance", "number", number)], LENGTH
        ).clip_labels
        assert labels[-1] == ParsedClipLabel("dominance", text, 3)
    for wrong in (37.5, 101, -1, float("nan"), float("inf"), True, "many"):
        with pytest.raises(InvalidAnnotation):
            parse_result(
                BOOKS["dimensional"], "clip", [*said, _clip("dominance", "number", wrong)], LENGTH
            )


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_keys_are_unique_in_each_pass(name: str, pass_id: str) -> None:
    part = BOOKS[name].pass_(pass_id)
    keys = [v.hotkey for v in (*part.labels, *(v for q in part.questions for v in q.values))]
    given_keys = [key for key in keys if key]
    assert len(given_keys) == len(set(given_keys))


def test_measurables_name_ratings_and_blends() -> None:
    found = {m.name: m for book in ("mafw", "dimensional") for m in BOOKS[book].measurables()}
    assert found["clip:valence"].scale == "interval"
    assert found["clip:emotions:fear"].values == ("no", "yes")
    assert "anger+fear" in found["clip:blend"].values
    assert "clip:what_told" not in found

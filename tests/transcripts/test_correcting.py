"""The form in which a transcript is corrected, and how versions differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.transcripts.test_formats import transcripts
from waver.core.errors import BadInput
from waver.recordings.transcripts import correcting, differences
from waver.recordings.transcripts.correcting import Row
from waver.recordings.transcripts.said import Said, Segment, Word

S = 1_000_000
LONG = 60 * S


def read(rows, base=Said(()), language="en"):  # noqa: B008 - frozen
    return correcting.said_of(rows, language=language, base=base, duration_us=LONG)


@pytest.mark.parametrize(
    ("typed", "us"),
    [
        ("62.5", 62_500_000), ("1:02.345", 62_345_000), ("0:01:02,5", 62_500_000), ("0", 0),
        (" 1:2 ", 62_000_000), ("0:00.000001", 1), ("1:0:0", 3_600_000_000),
        ("", None), ("-1", None), ("1:", None), ("1.2.3", None), ("١", None), ("1e9", None),
    ],
)  # fmt: skip
def test_times_are_read_as_people_type_them(typed, us):
    assert correcting.read_time(typed) == us


@given(st.integers(0, 10**11))
@settings(max_examples=examples(100), deadline=None)
def test_a_time_that_is_written_is_read_back(us):
    assert correcting.read_time(correcting.clock_text(us)) == us


@given(transcripts(with_words=True, with_speakers=True))
@settings(max_examples=examples(100), deadline=None)
def test_a_form_that_nobody_touched_changes_nothing_but_words_that_overlap(said):
    again = read(correcting.rows_of(said), base=said, language=said.language)
    assert [(s.start_us, s.end_us, s.text, s.speaker) for s in again.segments] == [
        (s.start_us, s.end_us, s.text, s.speaker) for s in said.segments
    ]
    if len(said.segments) == 1:
        assert again == said


def test_wrong_rows_are_told_by_their_number():
    rows = [Row("0:01", "0:02", "fine"), Row("x", "0:03", "a"), Row("0:05", "0:04", "b")]
    with pytest.raises(
        BadInput, match="the form until it is corrected:\nSegment 2: “x” is no time"
    ):
        read(rows)
    with pytest.raises(BadInput, match="Segment 2: ends at 0:04"):
        read([rows[0], rows[2]])
    with pytest.raises(BadInput, match="The form holds no words"):
        read([Row("0", "1", " ")])
    with pytest.raises(BadInput, match="at most 2000 segments"):
        read([rows[0]] * 2001)


ROWS = [Row("0:01.000", "0:03.000", "well I do", "A"), Row("0:03.000", "0:04.000", "not know", "B")]


def test_a_row_is_split_at_the_caret_at_the_playhead():
    made = correcting.split(ROWS, 0, caret=5, at_us=1_500_000)
    assert made[:2] == [
        Row("0:01.000", "0:01.500", "well", "A"),
        Row("0:01.500", "0:03.000", "I do", "A"),
    ]
    assert made[2:] == ROWS[1:]


def test_without_a_script_a_row_is_split_at_a_bar_or_in_the_middle():
    barred = [Row("0:01.000", "0:03.000", "well I| do")]
    assert [row.text for row in correcting.split(barred, 0, caret=None, at_us=None)] == [
        "well I",
        "do",
    ]
    halves = correcting.split(ROWS, 0, caret=None, at_us=None)
    assert [(row.text, row.end) for row in halves[:2]] == [
        ("well", "0:01.889"),
        ("I do", "0:03.000"),
    ]
    untimed = correcting.split([Row("?", "0:03", "a b")], 0, caret=None, at_us=None)
    assert [(row.start, row.end) for row in untimed] == [("?", "0:03"), ("0:03", "0:03")]


def test_rows_are_merged_removed_and_added():
    assert correcting.merge(ROWS, 0) == [Row("0:01.000", "0:04.000", "well I do not know", "A")]
    assert correcting.remove(ROWS, 0) == ROWS[1:]
    first = correcting.add(ROWS, -1, at_us=None, duration_us=LONG)[0]
    assert first == Row("0:00.000", "0:01.000", "")
    last = correcting.add(ROWS, 1, at_us=10 * S, duration_us=LONG)[-1]
    assert last == Row("0:10.000", "1:00.000", "")
    assert correcting.add([], -1, at_us=None, duration_us=S)[0].end == "0:01.000"
    for change in (correcting.merge, correcting.remove):
        with pytest.raises(BadInput, match="no such segment"):
            change(ROWS, 2)
    with pytest.raises(BadInput, match="no such segment"):
        correcting.merge(ROWS, 1)


WORDS = (Word(S, 2 * S, "I", 0.9), Word(2 * S, 3 * S, "dew", 0.3), Word(4 * S, 5 * S, "not", 0.8))
BASE = Said((Segment(S, 5 * S, "I dew not", words=WORDS),))


def times(said: Said):
    return [(w.start_us / S, w.end_us / S, w.text) for w in said.segments[0].words]


def test_words_keep_their_times_and_new_ones_share_those_of_the_old():
    assert times(read([Row("1", "5", "I do not")], BASE)) == [
        (1, 2, "I"),
        (2, 3, "do"),
        (4, 5, "not"),
    ]
    assert times(read([Row("1", "5", "I dew certainly not.")], BASE)) == [
        (1, 2, "I"), (2, 2.25, "dew"), (2.25, 3, "certainly"), (4, 5, "not."),
    ]  # fmt: skip
    assert times(read([Row("1", "5", "Oh I dew not")], BASE))[:2] == [
        (1, 1.666666, "Oh"),
        (1.666666, 2, "I"),
    ]
    assert times(read([Row("1", "5", "not")], BASE)) == [(4, 5, "not")]
    # Words outside a shortened segment are no longer its words.
    assert times(read([Row("1", "2.8", "I dew")], BASE)) == [(1, 2, "I"), (2, 2.8, "dew")]
    assert read([Row("6", "7", "new")], BASE).segments[0].words == ()


@given(transcripts(with_words=True), st.lists(st.text("ab ", max_size=12), min_size=1, max_size=3))
@settings(max_examples=examples(150), deadline=None)
def test_words_always_make_up_the_text_in_order_inside_the_segment(base, texts):
    rows = [Row(str(n * 5), str(n * 5 + 7), text) for n, text in enumerate(texts)]
    if not any(text.split() for text in texts):
        return
    for segment in read(rows, base).segments:
        if segment.words:
            assert [w.text for w in segment.words] == segment.text.split()
            edges = [t for w in segment.words for t in (w.start_us, w.end_us)]
            assert edges == sorted(edges)
            assert segment.start_us <= edges[0]
            assert edges[-1] <= segment.end_us


# Differences


def test_differences_are_told_word_by_word():
    older = Said((Segment(0, S, "I do not know", "A"), Segment(S, 2 * S, "yes")))
    newer = Said((Segment(0, S, "I don't know", "A"), Segment(S, 3 * S, "yes")))
    found = differences.between(older, newer)
    assert [(p.kind, p.text) for p in found.parts] == [
        ("same", "A: I"), ("removed", "A: do not"), ("added", "A: don't"), ("same", "A: know yes"),
    ]  # fmt: skip
    assert (found.added, found.removed, found.retimed) == (1, 2, 1)
    same = differences.between(older, older)
    assert (same.added, same.removed, same.retimed) == (0, 0, 0)


def test_what_stayed_is_shown_only_around_a_change():
    long = "w " * 100
    older = Said((Segment(0, S, f"{long}x {long}"),))
    newer = Said((Segment(0, S, f"{long}y {long}"),))
    kinds = [(p.kind, len(p.text.split())) for p in differences.between(older, newer).parts]
    assert kinds == [
        ("left out", 3), ("same", 12), ("removed", 1), ("added", 1), ("same", 12), ("left out", 3),
    ]  # fmt: skip
    huge = Said((Segment(0, S, "w " * 20_001),))
    assert differences.between(older, huge).too_long


@given(transcripts(with_speakers=True), transcripts(with_speakers=True))
@settings(max_examples=examples(60), deadline=None)
def test_differences_add_up(older, newer):
    found = differences.between(older, newer)
    old = sum(len(s.text.split()) for s in older.segments)
    new = sum(len(s.text.split()) for s in newer.segments)
    assert old - found.removed == new - found.added

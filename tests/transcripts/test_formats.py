"""Transcripts' files: what is read, what is refused with a sentence, and that nothing is lost."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from waver.core.errors import BadInput, IntegrityProblem
from waver.recordings.transcripts.formats import READERS, bah_yaml, srt, webvtt
from waver.recordings.transcripts.reading import MOST_BYTES, Options, check_size, fitted
from waver.recordings.transcripts.said import Said, Segment, Word, tidy

LONG = 60_000_000
S = 1_000_000


def take(reader, data, *, duration_us=LONG, **options):
    """Read text or bytes, and hold it against a recording of a minute."""
    raw = data.encode() if isinstance(data, str) else data
    chosen = Options(**options)
    return fitted(reader.read(raw, chosen), duration_us=duration_us, shift_us=chosen.shift_us)


def spoken(reader, data, **options):
    """Give what is read as (start in s, end in s, speaker, text)."""
    said, _ = take(reader, data, **options)
    return [(s.start_us / S, s.end_us / S, s.speaker, s.text) for s in said.segments]


# WebVTT


def test_webvtt_with_everything_that_is_no_speech():
    data = """WEBVTT - a title
Language: fr

NOTE
a comment --- with a dash

STYLE
::cue { color: red }

REGION
id:a

intro
00:01.000 --> 00:02.500 position:10% align:start
<v.loud Anne-Marie>Je <i>ne</i> sais pas</v>

01:00:00.000 --> 01:00:01.500
<c.yellow>A &amp; B &lt;3</c>
second line
"""
    said, notes = take(webvtt, data, duration_us=4_000 * S)
    assert said.language == "fr"
    assert notes == ()
    assert [(s.start_us, s.end_us, s.speaker, s.text) for s in said.segments] == [
        (1_000_000, 2_500_000, "Anne-Marie", "Je ne sais pas"),
        (3_600_000_000, 3_601_500_000, "", "A & B <3 second line"),
    ]


def test_webvtt_times_inside_a_cue_become_words():
    said, notes = take(
        webvtt,
        "WEBVTT\n\n00:01.000 --> 00:04.000\n"
        "Well<00:01.500><00:02.000> I<00:02.250> do<00:03.000>\n\n"
        "00:05.000 --> 00:06.000\n<00:05.200>not really<00:05.800> sure\n",
    )
    assert said.segments[0].words == (
        Word(1_000_000, 1_500_000, "Well"),
        Word(2_000_000, 2_250_000, "I"),
        Word(2_250_000, 3_000_000, "do"),
    )
    assert said.segments[1].words == ()
    assert "timed only in groups" in " ".join(notes)


def test_webvtt_two_voices_in_a_cue_are_two_segments():
    found = spoken(webvtt, "WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>Why?\n<v B>Because.")
    assert found == [(1, 2, "A", "Why?"), (1, 2, "B", "Because.")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("1\n00:01.000 --> 00:02.000\nx", "Line 1: the file does not begin with WEBVTT"),
        ("WEBVTTX\n\n", "Line 1: the file does not begin"),
        ("WEBVTT\n\n00:01.000 --> 00:02\nx", "Line 3: “00:02” is no time"),
        ("WEBVTT\n\n00:01,000 --> 00:02,000\nx", "Line 3: “00:01,000” is no time"),
        ("WEBVTT\n\n00:99.000 --> 02:00.000\nx", "Line 3: “00:99.000” is no time"),
        ("WEBVTT\n\n00:01.000 -->\nx", "Line 3: “” is no time"),
        ("WEBVTT\n\nhello\nyou", "Line 3: “hello” is neither a cue nor a comment"),
        ("WEBVTT\n00:01.000 --> 00:02.000\nx", "Line 2: an empty line is missing"),
        ("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n", "belong to a stream"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na\n3 < 4 and 5 > 2", "Line 5: “< 4 and 5 >” is no"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na <b", "Line 4: “<b” is no tag"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na<00:03.000> b", "Line 4: the time <00:03.000>"),
        ("WEBVTT\n\n00:02.000 --> 00:01.000\nx", "Line 3: ends at 0:01.000, before it begins"),
        ("WEBVTT\n\n00:02.000 --> 00:02.000\nx", "Line 3: begins and ends at 0:02.000"),
        ("WEBVTT\n\n01:30.000 --> 01:31.000\nx", "Line 3: 1:30.000–1:31.000 lies beyond"),
        ("WEBVTT\n\n00:30.000 --> 01:31.000\nx", "lies beyond the recording, which ends at 1:00"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "x" * 6000, "at most 5000 characters"),
        ("WEBVTT\nLanguage: <script>\n\n00:01.000 --> 00:02.000\nx", "is no language"),
        ("WEBVTT\n", "holds no words"),
    ],
)
def test_webvtt_that_is_wrong_is_refused_with_its_line(data, told):
    with pytest.raises(BadInput, match=re.escape(told)):
        take(webvtt, data)


def test_all_problems_are_told_at_once_but_not_thousands():
    with pytest.raises(BadInput) as caught:
        take(webvtt, "WEBVTT\n\n" + "x --> y\n\n" * 500)
    told = caught.value.sentence.splitlines()
    assert len(told) == 22
    assert told[-1] == "… and 480 more."


def test_a_missing_empty_line_between_cues_is_mended():
    data = "WEBVTT\n\n00:01.000 --> 00:02.000\na\n00:03.000 --> 00:04.000\nb"
    assert spoken(webvtt, data) == [(1, 2, "", "a"), (3, 4, "", "b")]


# SRT


def test_srt_as_tools_really_write_it():
    data = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,000 X1:100 X2:200\r\n<i>Well</i> …\r\n\r\n"
        "00:00:01.500 --> 00:00:02.500\r\n{\\an8}no number, a point\r\n\r\nafter an empty line\r\n"
        "3\r\n00:00:03,000 --> 00:00:04,000\r\n12\r\n\r\n"
        '4\n00:00:05,000 --> 00:00:06,000\n<FONT color="red">I < you > me</font>'
    )
    assert spoken(srt, data) == [
        (1, 2, "", "Well …"),
        (1.5, 2.5, "", "no number, a point after an empty line"),
        (3, 4, "", "12"),
        (5, 6, "", "I < you > me"),
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("hello", "Line 1: the file holds no times"),
        ("1\n00:00:01,000 --> 00:00:02\nx", "Line 2: “00:00:01,000 --> 00:00:02” is no pair"),
        ("1\n00:00:01,5 --> 00:00:02,5\nx", "Line 2:"),
        ("1\n-00:00:01,000 --> 00:00:02,000\nx", "Line 2:"),
        ("title\n1\n00:00:01,000 --> 00:00:02,000\nx", "Line 1: “title” stands before"),
        ("1\n00:00:03,000 --> 00:00:02,000\nx", "Line 2: ends at 0:02.000, before it begins"),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n", "holds no words"),
    ],
)
def test_srt_that_is_wrong_is_refused_with_its_line(data, told):
    with pytest.raises(BadInput, match=re.escape(told)):
        take(srt, data)


def test_what_runs_a_little_over_the_end_is_cut_and_said():
    said, notes = take(
        srt, "1\n00:00:59,000 --> 00:01:00,400\nx\n\n2\n00:00:01,000 --> 00:00:02,000\n"
    )
    assert [(s.start_us, s.end_us) for s in said.segments] == [(59 * S, 60 * S)]
    assert notes == (
        "1 segment ran over the recording's end and was cut there.",
        "1 segment without words was left out.",
    )


def test_a_shift_moves_all_times():
    data = "1\n00:00:05,000 --> 00:00:06,000\nx"
    assert spoken(srt, data, shift_us=-2 * S) == [(3, 4, "", "x")]
    with pytest.raises(BadInput, match="begins before the recording does"):
        spoken(srt, data, shift_us=-7 * S)


# Encodings and hostile files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_read(encoding):
    data = "WEBVTT\n\n00:01.000 --> 00:02.000\nÇa va — 好".encode(encoding)
    assert take(webvtt, data)[0].text == "Ça va — 好"


def test_an_older_encoding_is_guessed_and_said_or_named():
    data = "1\n00:00:01,000 --> 00:00:02,000\nDéjà"
    said, notes = take(srt, data.encode("cp1252"))
    assert said.text == "Déjà"
    assert "read as Windows-1252" in notes[0]
    polish = data.replace("Déjà", "Łódź").encode("cp1250")
    assert take(srt, polish, encoding="cp1250")[0].text == "Łódź"
    for name in ("zip", "no-such", "hex"):
        with pytest.raises(BadInput, match="is no text encoding"):
            take(srt, data, encoding=name)


@pytest.mark.parametrize(
    "data", [b"\x00" * 64, b"WEBVTT\n\n\x00", "WEBVTT".encode("utf-16-le"), b"\x81\x8d\xff\xfe"]
)
def test_what_is_no_text_is_refused(data):
    for reader in (webvtt, srt, bah_yaml):
        with pytest.raises(BadInput):
            take(reader, data)


def test_size_is_limited():
    check_size(b"x")
    with pytest.raises(BadInput, match="more than 8 MiB"):
        check_size(b"x" * (MOST_BYTES + 1))
    with pytest.raises(BadInput, match="empty"):
        check_size(b" \n")


@pytest.mark.parametrize(
    "data",
    [
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<" * 300_000,
        "WEBVTT\n\n" + "00:01.000 --> 00:02.000\n" * 40_000,
        "1\n00:00:01,000 -> 00:00:02,000 x\n" * 40_000,
        "1\n00:00:01,000 --> 00:00:02,000\n" + "{\\" * 300_000,
        "1\n00:00:01,000 --> 00:00:02,000\n" + "<font " * 100_000,
        "[" * 300_000,
        "chunks: " + "{a: " * 100_000,
    ],
)
def test_hostile_text_costs_no_time(data):
    began = time.process_time()
    for reader in (webvtt, srt, bah_yaml):
        with pytest.raises(BadInput):
            take(reader, data)
    assert time.process_time() - began < 3


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=examples(200), deadline=None)
def test_no_bytes_break_a_reader(data):
    for _, reader in READERS.values():
        with suppress(BadInput):
            reader(data, Options())


# BAH's YAML

BAH = """\
chunks:
- language: english
  text: ' Well, when I wake up'
  timestamp: !!python/tuple
  - 0.0
  - 12.0
- language: english
  text: ' I get — coffee.'
  timestamp: !!python/tuple [12.0, 20.5]
- language: english
  text: ' Then'
  timestamp: !!python/tuple [0.0, 4.25]
- language: english
  text: ' nothing.'
  timestamp: !!python/tuple [4.25, null]
text: ' Well, when I wake up I get — coffee. Then nothing.'
"""


def test_bahs_yaml_with_its_three_faults():
    said, notes = take(bah_yaml, BAH)
    assert said.language == "en"
    assert [(s.start_us / S, s.end_us / S, s.text) for s in said.segments] == [
        (0, 12, "Well, when I wake up"),
        (12, 20.5, "I get — coffee."),
        (20.5, 24.75, "Then"),
        (24.75, 60, "nothing."),
    ]
    assert "The times begin again at line 10" in notes[0]
    assert "Line 13 had no end" in notes[1]


def test_a_stretch_without_an_end_was_thirty_seconds_long():
    data = "chunks:\n- {text: a, timestamp: [28.0, null]}\n- {text: b, timestamp: [0.5, 2.0]}\n"
    assert spoken(bah_yaml, data) == [(28, 60, "", "a"), (30.5, 32, "", "b")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("a: &x [1]\nchunks: *x", "Line 1: the file uses anchors"),
        ("chunks: !!python/object/apply:os.system [ls]", "Line 1: the tag"),
        ("chunks: 3", "Line 1: a list `chunks` is missing"),
        ("- 1", "a list `chunks` is missing"),
        ("chunks:\n- {text: a}", "Line 2: a chunk needs a `timestamp`"),
        ("chunks:\n- {text: a, timestamp: [x, 1]}", "Line 2: a chunk's `timestamp` is no pair"),
        ("chunks:\n- {text: a, timestamp: [.nan, 1]}", "no pair of seconds"),
        ("chunks:\n- {text: a, timestamp: [null, 1]}", "no pair of seconds"),
        ("chunks: [\n", "the file is no proper YAML"),
        ("a: 1\n---\nb: 2", "more than one YAML document"),
        ("chunks: []\ntext: null", "holds no words"),
        ("chunks:\n" + "- " * 9 + "1", "nested deeper"),
    ],
)
def test_yaml_that_is_wrong_is_refused_with_its_line(data, told):
    with pytest.raises(BadInput, match=re.escape(told)):
        take(bah_yaml, data)


def test_bahs_yaml_is_written_for_safe_readers():
    said = Said((Segment(0, 1_500_000, "Oui, “non”: é"), Segment(2 * S, 3 * S, "- no")), "fr-CA")
    read = yaml.safe_load(bah_yaml.write(said))
    assert read == {
        "chunks": [
            {"language": "french", "text": " Oui, “non”: é", "timestamp": [0.0, 1.5]},
            {"language": "french", "text": " - no", "timestamp": [2.0, 3.0]},
        ],
        "text": " Oui, “non”: é - no",
    }
    assert yaml.safe_load(bah_yaml.write(None)) == {"chunks": [], "text": None}


# Round trips

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).map(tidy)
NO_MARKUP = TEXT.filter(lambda t: not re.search(r"[<{]|-->", t))


@st.composite
def transcripts(draw, text=TEXT, with_words=False, with_speakers=False):
    """Transcripts in order of time, on whole milliseconds."""
    segments = []
    for said in draw(st.lists(text.filter(bool), min_size=1, max_size=6)):
        start = draw(st.integers(0, 50_000))
        end = start + draw(st.integers(1, 9_000))
        speaker = draw(text) if with_speakers else ""
        words = ()
        parts = said.split()
        if with_words and end - start >= 2 * len(parts):
            count = 2 * len(parts)
            cuts = sorted(draw(
                st.lists(st.integers(start, end), min_size=count, max_size=count, unique=True)
            ) if end - start + 1 >= count else [])  # fmt: skip
            words = tuple(
                Word(cuts[2 * n] * 1000, cuts[2 * n + 1] * 1000, part)
                for n, part in enumerate(parts)
            )
        segments.append(Segment(start * 1000, end * 1000, said, speaker, words))
    segments.sort(key=lambda s: (s.start_us, s.end_us))
    return Said(tuple(segments), draw(st.sampled_from(["", "en", "fr-CA"])))


@given(transcripts(with_words=True, with_speakers=True))
@settings(max_examples=examples(200), deadline=None)
def test_webvtt_gives_back_what_was_written(said):
    assert take(webvtt, webvtt.write(said), duration_us=60 * S) == (said, ())


@given(transcripts(text=NO_MARKUP))
@settings(max_examples=examples(200), deadline=None)
def test_srt_gives_back_what_was_written(said):
    assert take(srt, srt.write(said))[0].segments == said.segments


@given(transcripts())
@settings(max_examples=examples(100), deadline=None)
def test_bahs_yaml_gives_back_what_was_written(said):
    if any(b.start_us < a.start_us for a, b in zip(said.segments, said.segments[1:], strict=False)):
        return
    assert take(bah_yaml, bah_yaml.write(said))[0].segments == said.segments


@given(transcripts(with_words=True, with_speakers=True))
@settings(max_examples=examples(100), deadline=None)
def test_the_stored_form_is_one_for_equal_transcripts(said):
    assert Said.from_json(said.to_json()) == said
    assert Said.from_json(said.to_json()).to_json() == said.to_json()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"segments": [1]}', b'{"segments": [{}]}'])
def test_a_damaged_stored_form_is_told(data):
    with pytest.raises(IntegrityProblem, match="cannot be read"):
        Said.from_json(data)

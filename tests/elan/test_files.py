"""ELAN files: written by the schema's rules, read back to the millisecond, never trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation import elan
from annotation.codebooks import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    load,
    shipped,
)
from annotation.elan.tiers import milliseconds
from tests.codebooks.test_kinds import answers
from tests.elan import schema

LENGTH = 20_000_000
BOOKS = {name: load(path) for name, path in shipped().items()}
PASSES = [(name, part.id) for name, book in sorted(BOOKS.items()) for part in book.passes]
BAH = BOOKS["bah"]


def there_and_back(name: str, *works: elan.RaterWork, **options: Any) -> tuple[elan.FoundPass, ...]:
    book = BOOKS[name]
    media = (elan.Media("file:///x.mp4", "video/mp4", "./x.mp4"),)
    document = elan.document_of(book, works, duration_us=LENGTH, media=media, date="2026-03-01")
    data = elan.write(document)
    schema.check(data)
    again = elan.read(data)
    assert again.tiers == document.tiers
    assert again.vocabularies == document.vocabularies
    return elan.fitted(again, book, LENGTH, **options)


def to_the_millisecond(annotation: ParsedAnnotation) -> ParsedAnnotation:
    return replace(
        annotation,
        segments=tuple(
            replace(each, start_us=milliseconds(each.start_us) * 1000,
                    end_us=milliseconds(each.end_us) * 1000)
            for each in annotation.segments
        ),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_any_work_comes_back_equal_to_the_millisecond(name: str, pass_id: str) -> None:
    part = BOOKS[name].pass_(pass_id)

    @given(answers(part), st.integers(-499, 500))
    @settings(max_examples=15, deadline=None)
    def holds(work: ParsedAnnotation, odd: int) -> None:
        moved = replace(
            work,
            segments=tuple(
                replace(each, start_us=max(0, each.start_us + odd), end_us=each.end_us + odd)
                for each in work.segments
            ),
        )
        if not moved.segments and not moved.clip_labels:
            return
        (found,) = there_and_back(name, elan.RaterWork("R1", pass_id, moved))
        assert found.annotation == to_the_millisecond(moved)

    holds()


def test_overlapping_segments_stand_in_tiers_of_their_own() -> None:
    cues = (
        ParsedCue("action_units", "au1", grade="b"),
        ParsedCue("action_units", "au12", grade="e"),
    )
    work = ParsedAnnotation(
        segments=tuple(
            ParsedSegment(start * 100_000, (start + 20) * 100_000, "movement", cues=cues)
            for start in (0, 5, 10, 20, 30)
        )
    )
    document = elan.document_of(
        BOOKS["clues"], [elan.RaterWork("R1", "units", work)], duration_us=LENGTH
    )
    names = [tier.name for tier in document.tiers if not tier.parent]
    assert names == ["1-units@R1", "1-units #2@R1", "1-units #3@R1"]
    (found,) = there_and_back("clues", elan.RaterWork("R1", "units", work))
    assert found.annotation == work
    assert "AU1 inner brow raiser [b] - AU12 lip corner puller [e]" in elan.write(document).decode()


def test_the_tiers_are_bahs() -> None:
    works = [
        elan.RaterWork("", "video", ParsedAnnotation(
            clip_labels=(ParsedClipLabel("ah", "present", 2),))),
        elan.RaterWork("", "segments", ParsedAnnotation(segments=(
            ParsedSegment(7_300_000, 10_900_000, "ah", 2, (
                ParsedCue("facial", "gaze"), ParsedCue("facial", "mouth"),
                ParsedCue("facial", "close_2"), ParsedCue("audio", "pause"),
                ParsedCue("body", "look_away"), ParsedCue("body", "tilt"))),))),
    ]  # fmt: skip
    document = elan.document_of(BAH, works, duration_us=LENGTH)
    said = {tier.name: [row.value for row in tier.annotations] for tier in document.tiers}
    assert said == {
        "1-A/H": ["Y"], "1-Certitude": ["2"], "2-A/H": ["Y"], "2-Certitude": ["2"],
        "Facial": ["Gaze - Mouth - Close 2"], "Language": [], "Audio": ["Pause"],
        "Body": ["Tilt - Look away"], "Inconsistency": [], "Note": [],
    } | {"Body": said["Body"]}  # fmt: skip
    assert set(said["Body"][0].split(" - ")) == {"Tilt", "Look away"}
    first, second = there_and_back("bah", *works)
    assert first.annotation == works[0].annotation
    assert set(second.annotation.segments[0].cues) == set(works[1].annotation.segments[0].cues)


# A file as ELAN writes it: flat tiers, an unaligned slot, a time origin, and ELAN's default tier.
BY_HAND = """\
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-05T10:00:00+01:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/a.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="200"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="7300"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="7302"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="10900"/>
    <TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="19000"/>
    <TIME_SLOT TIME_SLOT_ID="ts6"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="default"/>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="1-A/H"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>y</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="1-Certitude"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>2</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="2-A/H"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>Y</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER LINGUISTIC_TYPE_REF="sub" PARENT_REF="2-A/H" TIER_ID="2-Certitude"><ANNOTATION>
    <REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a3">
      <ANNOTATION_VALUE>1</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="Facial"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>Gaze - Eyebrows - Look away</ANNOTATION_VALUE>
    </ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" LINGUISTIC_TYPE_ID="sub"/>
</ANNOTATION_DOCUMENT>
"""


DOCTYPE = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT'


def fit(text: str, **options: Any) -> tuple[elan.FoundPass, ...]:
    return elan.fitted(elan.read(text.encode()), BAH, LENGTH, **options)


def test_a_file_from_elan_is_put_on_the_recordings_clock() -> None:
    video, segments = fit(BY_HAND)
    assert video.annotation.clip_labels == (ParsedClipLabel("ah", "present", 2),)
    cues = (
        ParsedCue("facial", "gaze"),
        ParsedCue("facial", "eyebrow"),
        ParsedCue("body", "look_away"),
    )
    assert segments.annotation.segments == (ParsedSegment(7_500_000, 11_100_000, "ah", 1, cues),)
    later = fit(BY_HAND, shift_ms=-300)[1].annotation.segments[0]
    assert (later.start_us, later.end_us) == (7_200_000, 10_800_000)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('TIER_ID="Facial"', 'TIER_ID="Hands"', "has no tier 'Hands'. It knows: 1-A/H"),
        ("Gaze -", "Gazes -", "holds “Gazes”, which the codebook does not know there"),
        (">1<", ">4<", "The tier '2-Certitude' holds “4”"),
        ('REF1="ts3" TIME_SLOT_REF2="ts4"', 'REF1="ts6" TIME_SLOT_REF2="ts4"',
         "“Gaze - Eyebrows - Look away” has no time of its own"),
        ('REF1="ts3" TIME_SLOT_REF2="ts4"', 'REF1="ts4" TIME_SLOT_REF2="ts5"',
         "at 0:11.100 lies in no segment"),
        ('TIME_VALUE="10900"', 'TIME_VALUE="20900"', "leaves the recording, which ends"),
        ('TIME_VALUE="10900"', 'TIME_VALUE="7303"', "shorter than 0.1 s"),
        ('TIME_SLOT_REF1="ts2"', 'TIME_SLOT_REF1="ts9"', "has no time slot 'ts9'"),
        ('ANNOTATION_REF="a3"', 'ANNOTATION_REF="a4"', "leads nowhere"),
        ('ANNOTATION_REF="a3"', 'ANNOTATION_REF="zz"', "leads nowhere"),
        ('TIME_VALUE="7300"', 'TIME_VALUE="7e3"', "which is no time"),
        ('TIME_VALUE="7300"', 'TIME_VALUE="99999999999999"', "which is no time"),
        ('ANNOTATION_ID="a2"', 'ANNOTATION_ID="a1"', "Two annotations in the file are called 'a1'"),
        ('TIER_ID="1-Certitude"', 'TIER_ID="1-A/H"', "the tier '1-A/H' twice"),
        ('"milliseconds"', '"PAL-frames"', "counts time in 'PAL-frames'"),
        ("ANNOTATION_DOCUMENT", "DOCUMENT", "no ELAN file"),
        ("</TIER>", "", "no well-formed XML"),
        ("<ANNOTATION_DOCUMENT", DOCTYPE, "declares a document type"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_with_what_is_wrong(
    old: str, new: str, sentence: str
) -> None:
    text = BY_HAND.replace(old, new)
    assert text != BY_HAND
    with pytest.raises(elan.ElanProblem) as caught:
        fit(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("encoding", ["GBK", "Shift_JIS", "nothing"])
def test_a_file_in_an_encoding_that_cannot_be_read_is_refused(encoding: str) -> None:
    with pytest.raises(elan.ElanProblem, match="encoding cannot be read"):
        elan.read(f'<?xml version="1.0" encoding="{encoding}"?><ANNOTATION_DOCUMENT/>'.encode())


def test_everything_unknown_is_listed_at_once_and_can_be_left_out() -> None:
    text = BY_HAND.replace('"Facial"', '"Hands"').replace('"1-Certitude"', '"Sure"')
    with pytest.raises(elan.ElanProblem, match="tiers 'Sure', 'Hands'"):
        fit(text)
    with pytest.raises(elan.ElanProblem, match="The clip lacks an answer to"):
        fit(text, ignore=["Sure", "Hands"])
    assert len(fit(BY_HAND.replace('"Facial"', '"Hands"'), ignore=["Hands"])) == 2


def test_several_raters_in_one_file_must_be_told_apart() -> None:
    works = [
        elan.RaterWork(rater, "video", ParsedAnnotation(
            clip_labels=(ParsedClipLabel("ah", value, 1),)))
        for rater, value in (("R1", "present"), ("R2", "absent"))
    ]  # fmt: skip
    with pytest.raises(elan.ElanProblem, match=r"several raters: 'R1', 'R2'\. Say whose"):
        there_and_back("bah", *works)
    (found,) = there_and_back("bah", *works, annotator="R2")
    assert found.annotation.clip_labels[0].value == "absent"
    with pytest.raises(elan.ElanProblem, match="no tier of 'R3'"):
        there_and_back("bah", *works, annotator="R3")


def test_an_empty_tier_is_work_only_if_that_is_said() -> None:
    nothing = elan.RaterWork("", "segments", ParsedAnnotation())
    with pytest.raises(elan.ElanProblem, match="holds no work"):
        there_and_back("bah", nothing)
    (found,) = there_and_back("bah", nothing, empty_means_none=True)
    assert found.annotation == ParsedAnnotation()


def test_a_huge_or_deep_file_is_refused_before_it_is_built() -> None:
    deep = "<ANNOTATION_DOCUMENT>" + "<a>" * 100
    with pytest.raises(elan.ElanProblem, match="nested deeper"):
        elan.read(deep.encode())
    with pytest.raises(elan.ElanProblem, match="no ELAN file does"):
        elan.read(BY_HAND.encode() + b" " * 32 * 2**20)


def test_a_document_that_elan_could_not_hold_is_not_written() -> None:
    rows = (elan.ElanAnnotation(0, 10, "a"), elan.ElanAnnotation(5, 20, "b"))
    with pytest.raises(elan.ElanProblem, match="overlap"):
        elan.write(elan.Document("", "", tiers=(elan.Tier("t", rows),)))
    with pytest.raises(elan.ElanProblem, match="not before it"):
        elan.write(elan.Document("", "", tiers=(elan.Tier("t", (), parent="u"),)))
    with pytest.raises(elan.ElanProblem, match="no length"):
        elan.write(
            elan.Document("", "", tiers=(elan.Tier("t", (elan.ElanAnnotation(3, 3, "a"),)),))
        )


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_answered_with_a_sentence(data: bytes) -> None:
    with pytest.raises(elan.ElanProblem):
        elan.read(data)

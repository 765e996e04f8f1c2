"""What a researcher is told of a sound that does not lie where its picture lies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from workers.media.description import AudioStream, Probe, VideoStream
from workers.media.sound_clock import SoundClock
from workers.media.soundtrack import sound_notes

PICTURE = VideoStream(
    index=0,
    codec="h264",
    width=640,
    height=480,
    rotation=0,
    frame_count=300,
    first_pts=90_000,
    end_pts=990_000,
    first_pts_us=1_000_000,
    mean_rate=Fraction(30),
    variable=False,
    time_base=Fraction(1, 90_000),
)
SOUND = AudioStream(1, "aac", 48_000, 1, 1_000_000, 10_000_000)
FOUND = Probe("mp4", 1_000, 10_000_000, PICTURE, SOUND, unreadable_sound=False)
HEARD = {"digital_silence": False, "clipped_share": 0.0, "clipped_stretches": 0}


def clock(starts: float, seconds: float) -> SoundClock:
    """A clock without fault; `starts` is counted from the first picture."""
    length = round(seconds * 1e6)
    return SoundClock(
        sample_rate=48_000,
        starts_us=1_000_000 + round(starts * 1e6),
        samples=round(seconds * 48_000),
        by_samples_us=length,
        by_times_us=length,
        gaps=0,
        gap_us=0,
        overlaps=0,
        overlap_us=0,
        drift_ppm=None,
        drift_us=None,
        jitter_us=0,
        smallest_step_us=None,
    )


@pytest.mark.parametrize(
    ("starts", "seconds", "told"),
    [
        (0, 10, None),
        (-3, 20, None),  # longer than the picture on both sides
        (0.3, 9.5, None),
        (0, 6, "covers 6.00 s of its 10.00 s of picture and begins with it"),
        (2.5, 30, "covers 7.50 s of its 10.00 s of picture and begins 2.50 s after it"),
        (-4, 10, "covers 6.00 s of its 10.00 s of picture and begins with it"),
        (-12, 10, "ends before its picture begins, so none of it is in the proxy"),
        (11, 10, "begins after its picture ends, so none of it is in the proxy"),
    ],
)
def test_only_sound_beside_the_picture_counts(
    starts: float, seconds: float, told: str | None
) -> None:
    notes = sound_notes("a.mp4", FOUND, {**HEARD, "loudness_lufs": -23.0}, clock(starts, seconds))
    assert [told in note for note in notes] == [True] if told else notes == []


def test_sound_outside_the_picture_is_not_called_a_muted_microphone() -> None:
    silent = {**HEARD, "digital_silence": True}
    (outside,) = sound_notes("a.mp4", FOUND, silent, clock(-12, 10))
    (inside,) = sound_notes("a.mp4", FOUND, silent, clock(0, 10))
    assert "microphone was muted" in inside
    assert "microphone" not in outside


def test_a_sound_too_short_for_the_meter_is_not_called_quiet() -> None:
    assert not any("quiet" in note for note in sound_notes("a.mp4", FOUND, HEARD, clock(0, 0.2)))


def test_no_sound_is_told_from_sound_that_cannot_be_read() -> None:
    none = replace(FOUND, audio=None)
    unreadable = replace(none, unreadable_sound=True)
    assert "has no sound track" in sound_notes("a.mp4", none, {}, None)[0]
    for found in (unreadable, FOUND):
        assert (
            "has a sound track that cannot be decoded" in sound_notes("a.mp4", found, {}, None)[0]
        )

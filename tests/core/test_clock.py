from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waver.core import clock

RATES = [
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
    Fraction(50), Fraction(60000, 1001), Fraction(60), Fraction(15), Fraction(25, 2),
]  # fmt: skip


@given(st.integers(0, 10_000_000), st.sampled_from(RATES))
def test_a_frame_is_the_frame_shown_at_its_own_time(frame, rate):
    assert clock.frame_at(clock.frame_us(frame, rate), rate) == frame


@given(st.integers(0, 10_000_000), st.sampled_from(RATES))
def test_a_frame_time_is_the_exact_time_rounded_half_up(frame, rate):
    exact = Fraction(frame * 1_000_000) / rate
    assert clock.frame_us(frame, rate) == (exact + Fraction(1, 2)).__floor__()


@given(st.integers(0, 10**11), st.sampled_from(RATES))
def test_the_frame_shown_began_no_later_and_the_next_one_comes_after(us, rate):
    shown = clock.frame_at(us, rate)
    assert clock.frame_us(shown, rate) <= us < clock.frame_us(shown + 1, rate)


@given(st.integers(0, 10**9), st.integers(1, 10**7), st.integers(1, 10**7), st.sampled_from(RATES))
def test_neighbouring_spans_share_no_frame_and_lose_none(start, first, second, rate):
    middle, end = start + first, start + first + second
    whole = list(clock.frames_in(start, min(end, start + 5_000_000), rate))
    left = [n for n in clock.frames_in(start, middle, rate) if n in whole]
    right = [n for n in clock.frames_in(middle, end, rate) if n in whole]
    assert left + right == whole


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="frame number"):
        clock.frame_us(-1, Fraction(30))
    with pytest.raises(ValueError, match="starts at 0"):
        clock.Span(5, 5)


def test_times_are_written_as_people_read_them():
    assert clock.format_us(62_345_000) == "1:02.345"
    assert clock.format_hms(3_723_004_500) == "01:02:03.005"
    assert clock.seconds_us(0.1) == 100_000

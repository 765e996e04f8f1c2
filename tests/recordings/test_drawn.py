from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from waver.recordings import drawn


@given(st.lists(st.floats(0, 1), max_size=200), st.integers(1, 60))
def test_a_waveform_keeps_its_length_and_its_loudest_moments(
    peaks: list[float], at_most: int
) -> None:
    shown = drawn.waveform({"buckets_per_second": 20, "peaks": peaks}, at_most=at_most)
    assert shown is not None
    assert len(shown["peaks"]) <= max(at_most, 0)
    assert max(shown["peaks"], default=0) == max(peaks, default=0)
    per_bucket = 20 / shown["buckets_per_second"]
    assert per_bucket * (len(shown["peaks"]) - 1) < max(len(peaks), 1)
    assert per_bucket * len(shown["peaks"]) >= len(peaks)


@given(st.integers(0, 300), st.integers(1, 50))
def test_a_curve_keeps_its_first_point_and_its_order(count: int, at_most: int) -> None:
    whole = {"time_us": list(range(count)), "yaw": [None] * count}
    shown = drawn.curve(whole, at_most=at_most)
    assert shown is not None
    assert len(shown["time_us"]) == len(shown["yaw"]) <= at_most
    assert list(shown["time_us"]) == sorted(shown["time_us"])
    assert list(shown["time_us"][:1]) == whole["time_us"][:1]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from("abc")), min_size=1, max_size=120),
    st.integers(1, 40),
)
def test_runs_still_cover_everything_once(lengths: list[tuple[int, str]], at_most: int) -> None:
    whole, start = [], 0
    for length, what in lengths:
        whole.append([start, start + length, what])
        start += length
    shown = drawn.runs(whole, at_most=at_most)
    assert len(shown) <= max(at_most, 1)
    assert [shown[0][0], shown[-1][1]] == [0, start]
    assert all(one[1] == after[0] for one, after in pairwise(shown))
    if len(whole) > at_most:
        longest = max(whole, key=lambda run: run[1] - run[0])
        if sum(run[1] - run[0] == longest[1] - longest[0] for run in whole) == 1:
            assert any(s <= longest[0] and longest[1] <= e for s, e, _ in shown)


def test_nothing_is_drawn_of_what_is_not_made() -> None:
    assert drawn.waveform(None) is None
    assert drawn.curve(None) is None
    assert drawn.runs([]) == []

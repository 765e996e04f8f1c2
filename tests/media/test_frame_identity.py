"""Which frame the proxy shows, and which the map says, against the recording as it was made.

Every frame carries its number in its picture, and the test alone knows when each was to be seen.
Nothing of the code under test takes part in saying what is right.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from waver.core.clock import frame_at, frame_us
from workers.media.normalise import Proxy, normalise

from . import boxes, clips

pytestmark = pytest.mark.programs

TICK = Fraction(1, 90_000)
MS = Fraction(1, 1000)
RATES = tuple(
    Fraction(rate)
    for rate in (
        *("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60"),
        *("7.5", "10", "12", "12.5", "15", "20"),
    )
)


@dataclass(frozen=True)
class Plan:
    """A recording to make.

    `pts` are the frames' times in ticks of `tick`; the first `hidden` are left out by an edit
    list, `delay_ms` an empty edit puts in front.
    """

    pts: tuple[int, ...]
    tick: Fraction
    container: str
    codec: str
    b_frames: bool = False
    hidden: int = 0
    delay_ms: int = 0
    turned: int = 0
    open_ended: bool = False


@st.composite
def plans(draw: st.DrawFn, *, codecs: tuple[str, ...] = ("libx264",)) -> Plan:
    container = draw(st.sampled_from(["mp4", "mov", "matroska", "webm"]))
    tick = TICK if container in ("mp4", "mov") else MS
    rate = draw(st.sampled_from(RATES))
    count = draw(st.integers(6, 30))
    step = 1 / rate / tick
    shape = draw(st.sampled_from(["constant", "dropped", "variable"]))
    start = Fraction(draw(st.integers(0, 3000)), 1000) / tick
    if shape == "variable":
        gaps = draw(st.lists(st.floats(0.3, 2.5), min_size=count - 1, max_size=count - 1))
        pts = [round(start + step * Fraction(at)) for at in accumulate(gaps, initial=0.0)]
    else:
        pts = [round(start + step * n) for n in range(count)]
    if shape == "dropped":
        kept = draw(st.lists(st.booleans(), min_size=count - 2, max_size=count - 2))
        inner = [time for time, keep in zip(pts[1:-1], kept, strict=True) if keep]
        pts = [pts[0], *inner, pts[-1]]
    edited = container in ("mp4", "mov") and draw(st.booleans())
    return Plan(
        pts=tuple(pts),
        tick=tick,
        container=container,
        codec="libvpx" if container == "webm" else draw(st.sampled_from(codecs)),
        b_frames=container != "webm" and draw(st.booleans()),
        hidden=draw(st.integers(0, len(pts) - 2)) if edited else 0,
        delay_ms=draw(st.sampled_from([0, 400])) if edited else 0,
        turned=draw(st.sampled_from([0, 90, 180, 270])) if container in ("mp4", "mov") else 0,
        open_ended=container == "webm" and draw(st.booleans()),
    )


def make(plan: Plan, folder: Path) -> Path:
    coding = {"bf": "2", "preset": "veryfast"} if plan.b_frames else {}
    if plan.codec == "libx265":
        coding = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"}
    source = clips.write_clip(
        folder / f"clip.{plan.container}",
        plan.pts,
        time_base=plan.tick,
        container=plan.container,
        codec=plan.codec,
        codec_options=coding,
        options={"live": "1"} if plan.open_ended else None,
    )
    if plan.hidden or plan.delay_ms:
        data = source.read_bytes()
        movie, track = boxes.movie_ticks(data), boxes.track_ticks(data)
        begin = boxes.begin(data)  # not 0 where B-frames move the first frame
        hidden = round((plan.pts[plan.hidden] - plan.pts[0]) * plan.tick * track)
        edits = [boxes.Edit(plan.delay_ms * movie // 1000, -1)] if plan.delay_ms else []
        boxes.set_edits(source, [*edits, boxes.Edit(3600 * movie, begin + hidden)])
    if plan.turned:
        boxes.set_turn(source, plan.turned)
    return source


def shown_numbers(proxy: Proxy, turned: int) -> list[int]:
    """The number in each picture of the proxy, turned back as the camera stood."""
    with av.open(str(proxy.video)) as source:
        return [
            clips.number_of(np.rot90(frame.to_ndarray(format="gray"), turned // 90))
            for frame in source.decode(video=0)
        ]


def check(plan: Plan, proxy: Proxy) -> None:
    first = plan.hidden
    truth = [float((time - plan.pts[first]) * plan.tick * 1_000_000) for time in plan.pts]
    shown = shown_numbers(proxy, plan.turned)
    stored = pq.read_table(proxy.frame_map)
    table = stored.to_pydict()
    tick = Fraction(stored.schema.metadata[b"source_time_base"].decode())
    begin = table["source_pts"][0] - round(
        (plan.pts[shown[0]] - plan.pts[first]) * plan.tick / tick
    )
    half, rounding = 500_000 / float(proxy.rate), 1 + float(plan.tick) * 1e6
    assert len(shown) == proxy.frame_count == len(table["frame"])
    assert shown[0] >= first
    assert shown == sorted(shown)
    for place, number in enumerate(shown):
        time = frame_us(place, proxy.rate)
        assert table["proxy_us"][place] == time
        assert table["source_frame"][place] == number - first, "the map names another frame"
        assert abs(table["source_us"][place] - truth[number]) <= 1
        in_file = float((table["source_pts"][place] - begin) * tick * 1_000_000)
        assert abs(in_file - truth[number]) <= rounding
        # the frame shown had begun, and the next had not, within half a frame of its place
        assert truth[number] <= time + half + rounding
        if number + 1 < len(truth):
            assert truth[number + 1] >= time + half - rounding
        if place == 0 or shown[place - 1] != number:
            assert abs(truth[number] - time) <= half + rounding
            assert not table["duplicated"][place]
        else:
            assert table["duplicated"][place]
    check_round_trip(truth, shown, table["source_us"], proxy)


def check_round_trip(
    truth: list[float], shown: list[int], source_us: list[int], proxy: Proxy
) -> None:
    """A label set on a source frame lies on that frame again after the way through the proxy."""
    for number in sorted(set(shown)):
        place = bisect_right(source_us, round(truth[number]) - 2)
        there = frame_us(place, proxy.rate)
        back = frame_at(there, proxy.rate)
        assert shown[back] == number
        assert abs(source_us[back] - truth[number]) <= 1
        assert abs(there - truth[number]) <= 500_000 / float(proxy.rate) + 1_001


COSTLY = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(COSTLY, max_examples=examples(30))
@given(plan=plans())
def test_every_frame_is_the_one_that_the_map_says(
    plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("identity")
    check(plan, normalise(make(plan, folder), folder / "out", frame_us=frame_us))


@pytest.mark.slow
@settings(COSTLY, max_examples=150)
@given(plan=plans(codecs=("libx264", "libx265")))
def test_every_frame_is_the_one_that_the_map_says_at_length(
    plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("identity")
    check(plan, normalise(make(plan, folder), folder / "out", frame_us=frame_us))


NAMED = {
    "empty edit": Plan((0, 3000, 6000, 9000, 12000), TICK, "mp4", "libx264", delay_ms=700),
    "edit list that hides frames": Plan(
        tuple(range(0, 60000, 3000)), TICK, "mp4", "libx264", hidden=7, b_frames=True
    ),
    "both, turned": Plan(
        tuple(range(0, 60000, 3600)), TICK, "mov", "libx264", hidden=3, delay_ms=400, turned=90
    ),
    "phone: HEVC, variable, turned": Plan(
        (0, 3000, 4200, 9000, 12800, 15000, 18100, 21000), TICK, "mov", "libx265", turned=270
    ),
    "browser: no duration, dropped": Plan(
        (5, 38, 71, 172, 205, 238, 305, 338), MS, "webm", "libvpx", open_ended=True
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_cases(name: str, tmp_path: Path) -> None:
    plan = NAMED[name]
    check(plan, normalise(make(plan, tmp_path), tmp_path / "out", frame_us=frame_us))


LIKE_OTHERS = tuple(map(Fraction, ("24", "25", "50", "10", "12", "12.5", "20")))


@pytest.mark.parametrize(
    "rate",
    [pytest.param(r, marks=pytest.mark.slow if r in LIKE_OTHERS else ()) for r in RATES],
    ids=str,
)
def test_no_frame_is_lost_at_a_standard_rate(rate: Fraction, tmp_path: Path) -> None:
    plan = Plan(tuple(clips.constant_pts(rate, 20)), TICK, "mp4", "libx264", b_frames=True)
    proxy = normalise(make(plan, tmp_path), tmp_path / "out", frame_us=frame_us)
    check(plan, proxy)
    if rate not in (48, Fraction("7.5")):
        assert proxy.rate == rate
        assert shown_numbers(proxy, 0) == list(range(20))


def test_times_below_zero_are_hidden(tmp_path: Path) -> None:
    """Frames that the muxer's own edit list puts before the start are not presented."""
    pts = tuple(time - 5 * 3000 for time in clips.constant_pts(Fraction(30), 30))
    source = clips.write_clip(tmp_path / "clip.mp4", pts, options={"avoid_negative_ts": "disabled"})
    proxy = normalise(source, tmp_path / "out", frame_us=frame_us)
    hidden = shown_numbers(proxy, 0)[0]
    check(Plan(pts, TICK, "mp4", "libx264", hidden=hidden), proxy)
    assert all(b - a == 1 for a, b in pairwise(shown_numbers(proxy, 0)))

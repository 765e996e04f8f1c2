"""How often 95 % intervals hold the true alpha: by participants, and by frames as if independent.

Simulated after the study that Waver is made for: three raters mark stretches in five videos of
each participant; the label is rare (17 %), participants differ in how often they show it and in
how hard it is to see, and whoever errs does so for a whole stretch, not for single frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from annotation.agreement import (
    Interval,
    Ratings,
    Segments,
    SufficientStatistics,
    coefficients,
    interval,
    sufficient,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RATERS, VIDEOS, STRETCHES, FRAMES = 3, 5, 10, 30  # 10 stretches of 30 frames: 10 s at 30 a second
FRAME_US = 33_333
METHODS = ("percentile", "bca", "jackknife_t")


@dataclass(frozen=True)
class Study:
    """Which stretches each rater marked: bool, (participants, videos, stretches, raters)."""

    marked: npt.NDArray[np.bool_]

    def by_participant(self) -> SufficientStatistics:
        rows = np.argwhere(self.marked)
        participants = len(self.marked)
        names = [(p, v) for p in range(participants) for v in range(VIDEOS)]
        stretch = FRAMES * FRAME_US
        segments = Segments.from_rows(
            [(int(p), int(v)) for p, v in rows[:, :2]],
            rows[:, 3],
            rows[:, 2] * stretch,
            (rows[:, 2] + 1) * stretch,
            ["ah"] * len(rows),
            roster=dict.fromkeys(names, range(RATERS)),
            durations=dict.fromkeys(names, STRETCHES * stretch),
            tick_us=FRAME_US,
            labels=["ah"],
            clusters={name: name[0] for name in names},
        )
        return sufficient(segments.runs("ah"))

    def by_frame(self) -> SufficientStatistics:
        """Every frame a unit and a cluster of its own."""
        frames = np.repeat(self.marked.reshape(-1, RATERS), FRAMES, axis=0)
        ratings = Ratings.from_long(
            np.repeat(np.arange(len(frames)), RATERS),
            np.tile(np.arange(RATERS), len(frames)),
            frames.ravel().astype(int),
            scale="nominal",
            values=[0, 1],
        )
        return sufficient(ratings)


def study(seed: Sequence[int], participants: int) -> Study:
    rng = np.random.default_rng(seed)
    shape = (participants, VIDEOS, STRETCHES)
    shows = rng.beta(1.0, 4.9, (participants, 1, 1))  # 17 % in the mean
    truth = rng.random(shape) < shows
    seen = rng.beta(12.0, 2.4, (participants, 1, 1, 1))
    imagined = rng.beta(1.0, 19.0, (participants, 1, 1, 1))
    marks = np.where(truth[..., None], seen, imagined)
    return Study(rng.random((*shape, RATERS)) < marks)


def alpha(stats: SufficientStatistics) -> float:
    value = coefficients(stats).alpha
    assert isinstance(value, float)
    return value


def test_intervals_by_participants_cover_and_those_by_frames_do_not(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    truth = alpha(study((0, 0), 40_000).by_participant())
    studies = 400
    held = dict.fromkeys((*METHODS, "frames"), 0)
    for number in range(studies):
        made = study((1, number), 60)
        people, frames = made.by_participant(), made.by_frame()
        assert alpha(people) == pytest.approx(alpha(frames), abs=1e-12)
        for method in METHODS:
            found = interval(people, "alpha", method=method, resamples=600, seed=number)
            assert isinstance(found, Interval)
            held[method] += found.low <= truth <= found.high
        # With ninety thousand units the methods agree; this one needs no resampling.
        naive = interval(frames, "alpha", method="jackknife_t")
        assert isinstance(naive, Interval)
        held["frames"] += naive.low <= truth <= naive.high
    share = {name: count / studies for name, count in held.items()}
    for name, value in share.items():
        record_testsuite_property(f"coverage by {name}", value)
    for method in METHODS:
        assert 0.90 <= share[method] <= 0.98, share
    assert share["frames"] < 0.30, share

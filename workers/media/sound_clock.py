"""The sound's own clock against the recording's: where it begins, gaps in it, and its drift.

A microphone's converter counts its own seconds. Where it runs 100 parts in a million slow, an hour
of sound at the nominal rate ends 0.36 s early, and a label set late in the recording no longer
lies on its word. The container's time stamps know better; how far the counted samples fall behind
or run ahead of them is the drift.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.media import runner
from workers.media.errors import MediaToolError
from workers.media.probe import Probe
from workers.media.runner import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOUND_LOG = "sound_frames.txt"
#: A jump of the time stamps this large that lasts is a gap (or an overlap), no drift.
STEP_US = 15_000
#: Over a shorter time a drift cannot be told from the rounding of the time stamps.
LONG_ENOUGH_US = 10_000_000
#: From here on what is made of the sound follows the time stamps, sample by sample.
FOLLOWED_FROM_US = 5_000
#: From here on the researcher is told: lips and voice come visibly apart (ITU-R BT.1359: 45 ms).
TOLD_FROM_US = 40_000
#: More frames than this are read two as one; an even number.
MOST_FRAMES = 1_000_000
_MOST_BINS = 200
_AROUND = 50
# A first guess of the drift makes the jumps' sizes right, and those the drift.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class SoundClock:
    """What decoding the whole sound track showed.

    `starts_us` is the file's own time of the first sample. `by_samples_us` is the sound's length by
    its samples at `sample_rate`, `by_times_us` by its time stamps, gaps and all. `gaps` of `gap_us`
    in total are time without sound, `overlaps` of `overlap_us` sound without time. `drift_us` is
    how much longer the rest is by its time stamps than by its samples, and `drift_ppm` the same as
    parts in a million; None where the sound is shorter than LONG_ENOUGH_US. `jitter_us` is what 95
    of 100 time stamps stay within, around that line.
    """

    sample_rate: int
    starts_us: int
    samples: int
    by_samples_us: int
    by_times_us: int
    gaps: int
    gap_us: int
    overlaps: int
    overlap_us: int
    drift_ppm: float | None
    drift_us: int | None
    jitter_us: int
    smallest_step_us: int | None

    @property
    def must_be_followed(self) -> bool:
        """Whether sound laid out at its nominal rate would come to lie beside the picture."""
        return self.drift_us is not None and abs(self.drift_us) >= FOLLOWED_FROM_US

    @property
    def stretch(self) -> float:
        """How long one second of samples lasts by the time stamps."""
        return 1 + (self.drift_ppm or 0.0) / 1e6 if self.must_be_followed else 1.0


def listen(
    alone: Path,
    work: Path,
    found: Probe,
    *,
    limits: Limits,
    cancelled: Callable[[], bool] | None = None,
) -> SoundClock | None:
    """Decode the sound of the recording once and return its clock; None where nothing decodes.

    `alone` comes from `runner.isolated`; the log of the decoded frames goes into `work`.
    """
    import ffmpeg  # noqa: TID251 - a command of this package

    if found.audio is None:
        return None
    log = work / SOUND_LOG
    heard = ffmpeg.output(
        ffmpeg.input(str(alone), copyts=None)[str(found.audio.index)],
        str(log),
        acodec="pcm_s16le",
        format="framecrc",
    )
    runner.run(heard, limits=limits, cancelled=cancelled)
    rate, times, counts = read_sound_log(log)
    return measure(times, counts, rate) if times else None


def read_sound_log(log: Path) -> tuple[int, array[int], array[int]]:
    """Read what `framecrc` wrote: the sample rate, each frame's time and its number of samples.

    Times are in samples. A sound in more than MOST_FRAMES pieces (an hour in 20 ms frames has
    180,000) is read more coarsely, two frames as one, so that no file can fill the memory. Raises
    MediaToolError where the log counts in other ticks.
    """
    rate, times, counts = 0, array("q"), array("q")
    together = place = 1
    with log.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#tb 0:"):
                unit, _, rate_text = line.split(":", 1)[1].strip().partition("/")
                rate = int(rate_text)
                if unit != "1":
                    raise MediaToolError(
                        f"ffmpeg wrote the sound's times in ticks of {unit}/{rate} s where samples "
                        "were expected. Report this to the administrator."
                    )
            elif not line.startswith("#"):
                _, _, time, count, *_ = (part.strip() for part in line.split(","))
                if place < together:
                    counts[-1] += int(count)
                    place += 1
                    continue
                times.append(int(time))
                counts.append(int(count))
                place = 1
                if len(times) >= MOST_FRAMES:
                    times = times[::2]
                    counts = array("q", map(sum, zip(counts[::2], counts[1::2], strict=True)))
                    place, together = 2 * together, 2 * together
    return rate, times, counts


def measure(times: Any, counts: Any, sample_rate: int) -> SoundClock:
    """Tell offset, gaps and drift apart; `times` and `counts` are samples, one entry per frame.

    1. Lag: each frame's time less the samples before it. Constant for a perfect clock.
    2. A median over five frames takes single late time stamps out and leaves lasting jumps as they
       are; those of at least STEP_US are gaps (up) and overlaps (down), and are taken out.
    3. Drift: the median of the slopes between all pairs of up to 200 medians of the rest (Theil
       1950, Sen 1968), which up to 29 % of wild values cannot move.
    """
    import numpy as np

    time = np.asarray(times, dtype=np.int64)
    count = np.asarray(counts, dtype=np.int64)
    before = np.cumsum(count) - count
    lag = _calmed(time - time[0] - before)
    to_us = 1e6 / sample_rate
    at = before.astype(np.float64)
    slope = 0.0
    for _ in range(_ROUNDS):
        jumps = _jumps(lag - slope * at, least=STEP_US / to_us)
        slope, jitter = _line(at, lag - np.cumsum(jumps))
    samples = int(count.sum())
    long_enough = samples * to_us >= LONG_ENOUGH_US
    up, down = jumps[jumps > 0], jumps[jumps < 0]
    steps = np.abs(jumps[jumps != 0])
    return SoundClock(
        sample_rate=sample_rate,
        starts_us=round(int(time[0]) * to_us),
        samples=samples,
        by_samples_us=round(samples * to_us),
        by_times_us=round(int(time[-1] - time[0] + count[-1]) * to_us),
        gaps=int(up.size),
        gap_us=round(float(up.sum()) * to_us),
        overlaps=int(down.size),
        overlap_us=round(-float(down.sum()) * to_us),
        drift_ppm=round(slope * 1e6, 2) if long_enough else None,
        drift_us=round(slope * samples * to_us) if long_enough else None,
        jitter_us=round(jitter * to_us),
        smallest_step_us=round(float(steps.min()) * to_us) if steps.size else None,
    )


def _calmed(lag: NDArray[np.int64]) -> NDArray[np.float64]:
    """Running median over five frames; the ends repeat their neighbours."""
    import numpy as np

    if lag.size < 5:
        return lag.astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(lag, 2, mode="edge"), 5)
    # in pieces: the median copies its windows
    pieces = [np.median(windows[n : n + 65536], axis=1) for n in range(0, lag.size, 65536)]
    return np.concatenate(pieces)


def _jumps(lag: NDArray[np.float64], *, least: float) -> NDArray[np.float64]:
    """How far the lag jumps at each frame and stays: by the medians of up to 50 frames either side.

    The jump itself is no measure of the step, because two scattered time stamps make it.
    """
    import numpy as np

    found = np.zeros(lag.size)
    at = np.flatnonzero(np.abs(np.diff(lag)) >= least) + 1
    edges = [0, *at.tolist(), lag.size]
    for before, here, after in zip(edges, edges[1:], edges[2:], strict=False):
        left = np.median(lag[max(before, here - _AROUND) : here])
        right = np.median(lag[here : min(after, here + _AROUND)])
        found[here] = right - left
    return found


def _line(at: NDArray[np.float64], lag: NDArray[np.float64]) -> tuple[float, float]:
    """The slope of `lag` over `at`, and what 95 % of the distances to the line stay within."""
    import numpy as np

    bins = np.array_split(np.arange(at.size), min(_MOST_BINS, at.size))
    x = np.array([np.median(at[one]) for one in bins])
    y = np.array([np.median(lag[one]) for one in bins])
    first, second = np.triu_indices(x.size, k=1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first]))) if x.size > 1 else 0.0
    distance = lag - slope * at
    return slope, float(np.percentile(np.abs(distance - np.median(distance)), 95))


def figures(
    clock: SoundClock, found: Probe, *, picture_us: int
) -> dict[str, float | int | str | bool]:
    """What is kept of the clock, in microseconds; starts and ends count from the first picture.

    `sound_less_picture_us` is the sound's end by its samples, less the picture's: the one trace
    that a drift leaves in containers which only count samples (AVI).
    """
    starts = clock.starts_us - found.video.first_pts_us
    kept: dict[str, float | int | str | bool] = {
        "audio_sample_rate": clock.sample_rate,
        "audio_starts_us": starts,
        "audio_length_by_samples_us": clock.by_samples_us,
        "audio_length_by_times_us": clock.by_times_us,
        "audio_gaps": clock.gaps,
        "audio_gap_us": clock.gap_us,
        "audio_overlaps": clock.overlaps,
        "audio_overlap_us": clock.overlap_us,
        "audio_time_jitter_us": clock.jitter_us,
        "audio_follows_times": clock.must_be_followed,
        "sound_less_picture_us": starts + clock.by_samples_us - picture_us,
    }
    if clock.drift_us is not None and clock.drift_ppm is not None:
        kept |= {"audio_drift_us": clock.drift_us, "audio_drift_ppm": clock.drift_ppm}
    return kept


def notes(clock: SoundClock, *, shown: str) -> list[str]:
    """What a researcher has to know about the sound's time."""
    said = []
    if clock.drift_us is not None and abs(clock.drift_us) >= TOLD_FROM_US:
        pace = "slow" if clock.drift_us > 0 else "fast"
        said.append(
            f"The sound of {shown} was recorded by a clock that runs "
            f"{abs(clock.drift_ppm or 0):.0f} parts in a million {pace}: "
            f"{abs(clock.drift_us) / 1000:.0f} ms over the recording. The proxy and the 16 kHz "
            "sound follow the time stamps, so labels stay in place; the sound at its native rate "
            "is kept as it was recorded."
        )
    if clock.gaps:
        said.append(
            f"The sound of {shown} has {clock.gaps} {'gap' if clock.gaps == 1 else 'gaps'}, "
            f"{clock.gap_us / 1e6:.2f} s in all. Silence was put there, so that what follows stays "
            "in place; a pause found there may be none."
        )
    if clock.overlaps:
        said.append(
            f"The time stamps of the sound of {shown} jump back {clock.overlaps} "
            f"{'time' if clock.overlaps == 1 else 'times'}, {clock.overlap_us / 1e6:.2f} s in all. "
            "That much sound was left out of the proxy, so that what follows stays in place."
        )
    return said

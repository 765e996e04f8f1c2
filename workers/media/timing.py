"""Which source frame each proxy frame shows: ffmpeg's `fps` filter, predicted from time stamps.

The filter gives every source frame a place on the output's grid by rounding its time to the
nearest output frame (half away from zero), and shows at each place the last frame that has come by
then (libavfilter/vf_fps.c). The same integer arithmetic here gives the map; the proxy's own frame
count is the check. The last frame is shown until the recording's own end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from workers.media.errors import MediaToolError

#: Rates a proxy may have. The five low ones are what webcams fall to in poor light.
STANDARD_RATES: tuple[Fraction, ...] = (
    Fraction(10),
    Fraction(12),
    Fraction(25, 2),
    Fraction(15),
    Fraction(20),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
)


@dataclass(frozen=True, slots=True)
class SourceFrames:
    """Times of the source frames, in ticks of `time_base`, as ffmpeg presented them.

    `end` is where the last one ends. Times are the file's own: the first need not be 0.
    """

    pts: tuple[int, ...]
    end: int
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class FrameMap:
    """For each proxy frame, the source frame it shows: its place among those that are presented,
    its time stamp in the file's own ticks, and its time in microseconds after the first.
    """

    source_index: tuple[int, ...]
    source_pts: tuple[int, ...]
    source_us: tuple[int, ...]
    duplicated: tuple[bool, ...]

    @property
    def duplicates(self) -> int:
        """How many proxy frames repeat the source frame before them."""
        return sum(self.duplicated)


def nearest_rate(mean_rate: Fraction) -> Fraction:
    """Return the standard rate nearest to `mean_rate` (frames per second), by difference."""
    return min(STANDARD_RATES, key=lambda rate: abs(rate - mean_rate))


def rescale(ticks: int, scale: Fraction) -> int:
    """Return `ticks * scale` rounded to the nearest integer, half away from zero (as ffmpeg)."""
    numerator = abs(ticks) * scale.numerator
    rounded = (2 * numerator + scale.denominator) // (2 * scale.denominator)
    return rounded if ticks >= 0 else -rounded


def wanted_count(first: int, end: int, *, time_base: Fraction, rate: Fraction) -> int:
    """Return how many frames of `rate` a proxy of pictures from `first` to `end` ticks has."""
    return max(1, rescale(end - first, time_base * rate))


def map_frames(frames: SourceFrames, *, rate: Fraction, count: int, wanted: int) -> FrameMap:
    """Return the map of a proxy of `count` frames at `rate`, which should be `wanted` frames.

    Source times are microseconds after the first source frame, rounded half up. Raises
    MediaToolError where the proxy has another number of frames than the recording calls for.
    """
    if count != wanted:
        raise MediaToolError(
            f"The proxy has {count} frames where {wanted} were expected from the recording's own "
            "time stamps. Report this to the administrator: frame numbers could not be trusted."
        )
    first, scale = frames.pts[0], frames.time_base * rate
    places = [rescale(pts - first, scale) for pts in frames.pts]
    to_us = frames.time_base * 1_000_000
    shown: list[int] = []
    current = 0
    for place in range(count):
        while current + 1 < len(places) and places[current + 1] <= place:
            current += 1
        shown.append(current)
    return FrameMap(
        source_index=tuple(shown),
        source_pts=tuple(frames.pts[index] for index in shown),
        source_us=tuple(_half_up((frames.pts[index] - first) * to_us) for index in shown),
        duplicated=tuple(
            position > 0 and shown[position - 1] == index for position, index in enumerate(shown)
        ),
    )


def read_frame_log(log: Path, time_base: Fraction) -> SourceFrames:
    """Read the times that ffmpeg's `framecrc` muxer wrote: one line a frame, in `time_base`.

    Raises MediaToolError where the log holds no frame or counts in other ticks.
    """
    pts: list[int] = []
    end = 0
    with log.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#tb 0:"):
                written = Fraction(line.split(":", 1)[1].strip())
                if written != time_base:
                    raise MediaToolError(
                        f"ffmpeg wrote times in ticks of {written} s where {time_base} s was asked "
                        "for. Report this to the administrator."
                    )
            elif not line.startswith("#"):
                _, _, time, duration, *_ = (part.strip() for part in line.split(","))
                pts.append(int(time))
                end = int(time) + int(duration)
    if not pts:
        raise MediaToolError(
            "No picture of the recording could be decoded. Check that the recording plays."
        )
    return SourceFrames(pts=tuple(pts), end=end, time_base=time_base)


def write_frame_map(
    path: Path,
    frame_map: FrameMap,
    *,
    rate: Fraction,
    time_base: Fraction,
    frame_us: Callable[[int, Fraction], int],
) -> None:
    """Write the map as Parquet.

    Columns: frame (int32), proxy_us (int64, start of the proxy frame), source_us (int64, start of
    the source frame it shows, both after the first presented frame), duplicated (bool),
    source_frame (int32, which of the presented source frames), source_pts (int64, its time stamp
    in the original). The file's metadata hold the proxy's `rate` and the `source_time_base`, the
    length of one tick of source_pts in seconds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(frame_map.source_us)
    table = pa.table(
        {
            "frame": pa.array(range(count), pa.int32()),
            "proxy_us": pa.array((frame_us(n, rate) for n in range(count)), pa.int64()),
            "source_us": pa.array(frame_map.source_us, pa.int64()),
            "duplicated": pa.array(frame_map.duplicated, pa.bool_()),
            "source_frame": pa.array(frame_map.source_index, pa.int32()),
            "source_pts": pa.array(frame_map.source_pts, pa.int64()),
        }
    ).replace_schema_metadata(
        {
            "rate": f"{rate.numerator}/{rate.denominator}",
            "source_time_base": f"{time_base.numerator}/{time_base.denominator}",
        }
    )
    pq.write_table(table, path, compression="zstd")


def largest_error_us(frame_map: FrameMap, proxy_us: Sequence[int]) -> int:
    """Return the largest |proxy time - source time| over frames that are not repeats."""
    return max(
        (
            abs(proxy - source)
            for proxy, source, repeat in zip(
                proxy_us, frame_map.source_us, frame_map.duplicated, strict=True
            )
            if not repeat
        ),
        default=0,
    )


def _half_up(exact: Fraction) -> int:
    return int((2 * exact + 1) // 2)

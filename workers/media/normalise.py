"""Turn a recording into its proxy: constant rate, start time 0, one clock, and the map back.

One run of ffmpeg listens to the sound's clock; a second one decodes the recording and writes the
proxy, the native sound, the 16 kHz sound and a log of every source frame's time. Nothing here holds
a picture: memory does not grow with the length of the recording.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from workers.media import runner, sound_clock, timing
from workers.media.depth import COLOURED, measure
from workers.media.errors import MediaToolError, RefusedRecordingError
from workers.media.graph import FRAME_LOG, NAMES, conversion, frames_wanted
from workers.media.probe import Probe, opened, probe
from workers.media.runner import Limits
from workers.media.soundtrack import sound_figures, sound_notes

#: Start of frame n at a rate, in microseconds: `waver.core.clock.frame_us` or one like it.
FrameTime = Callable[[int, Fraction], int]
#: FLAC holds no more.
MOST_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Proxy:
    """What `normalise` made, all under the caller's folder.

    `rate` is frames per second, `duration_us` runs from 0 to the end of the last frame. `figures`
    are what was measured, `notes` are sentences for the researcher, `tools` names what did the
    work and its version.
    """

    video: Path
    frame_map: Path
    audio_native: Path | None
    audio_16k: Path
    rate: Fraction
    frame_count: int
    width: int
    height: int
    duration_us: int
    had_audio: bool
    figures: dict[str, float | int | str | bool]
    notes: tuple[str, ...]
    tools: dict[str, str]


def normalise(
    source: Path,
    out_dir: Path,
    *,
    frame_us: FrameTime,
    limits: Limits | None = None,
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    name: str | None = None,
    as_depth: bool = False,
) -> Proxy:
    """Make the proxy of `source` in `out_dir`, whole or not at all.

    1. Probe the file (forced format) and choose the nearest standard rate.
    2. Listen: decode the sound once and tell its offset, gaps and drift (`sound_clock`).
    3. One guarded ffmpeg run: rotation applied, even size, constant rate, H.264 without B-frames
       and a key frame at least every second, AAC (silence where there is no sound), both sounds
       beginning at the first presented frame and ending with the last; metadata removed.
    4. Count the proxy's frames and compare with what the source's time stamps predict.
    5. Write the frame map, measure the sound, move everything into place.

    `frame_us(n, rate)` is the project's clock; `name` is what messages call the file; `as_depth`
    says that the pictures are a depth camera's, whose range is measured and spread. Raises
    RefusedRecordingError where the recording is at fault, MediaToolError where ffmpeg or a count
    is, MediaCancelledError when told to stop.
    """
    limits = limits or Limits()
    shown = name or source.name
    found = probe(source, limits=limits, name=shown, cancelled=cancelled)
    _refuse_many_channels(found, shown)
    rate = timing.nearest_rate(found.video.mean_rate)
    depth = (
        measure(source, found, limits=limits, name=shown, cancelled=cancelled) if as_depth else None
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".proxy-", dir=out_dir.resolve()))
    try:
        with runner.isolated(source, work_dir=work) as alone:
            clock = sound_clock.listen(alone, work, found, limits=limits, cancelled=cancelled)
            finished = runner.run(
                conversion(alone, work, found, rate, clock, depth),
                limits=limits,
                expected_seconds=found.duration_us / 1e6,
                on_progress=on_progress,
                cancelled=cancelled,
            )
        written, figures = _mapped(work, found, rate, limits, shown, frame_us)
        native = work / NAMES["audio_native"] if clock is not None else None
        figures |= sound_figures(native, finished.stderr_tail, found, clock)
        if depth is not None:
            figures |= depth.figures
        figures["conversion_seconds"] = round(finished.seconds, 3)
        return Proxy(
            **_move_into_place(work, out_dir),
            rate=rate,
            frame_count=written.count,
            width=written.width,
            height=written.height,
            duration_us=frame_us(written.count, rate),
            had_audio=clock is not None,
            figures=figures,
            notes=(
                *_notes(shown, found, figures, rate),
                *(((depth.note if depth else COLOURED),) if as_depth else ()),
                *sound_notes(shown, found, figures, clock),
            ),
            tools={"ffmpeg": finished.version, "pyav": _pyav_version()},
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _refuse_many_channels(found: Probe, shown: str) -> None:
    if found.audio is not None and found.audio.channels > MOST_CHANNELS:
        raise RefusedRecordingError(
            f"The sound of {shown} has {found.audio.channels} channels, and the sound that is kept "
            f"beside the proxy can hold {MOST_CHANNELS}. Mix it down, or supply the microphones "
            "that are to be heard."
        )


@dataclass(frozen=True, slots=True)
class _Written:
    count: int
    width: int
    height: int


def _mapped(
    work: Path, found: Probe, rate: Fraction, limits: Limits, shown: str, frame_us: FrameTime
) -> tuple[_Written, dict[str, float | int | str | bool]]:
    """Hold the proxy in `work` to the source's time stamps and write its map beside it."""
    frames = timing.read_frame_log(work / FRAME_LOG, found.video.time_base)
    _check_start(frames, found, shown)
    written = _check_proxy(work / NAMES["video"], rate, limits, shown)
    frame_map = timing.map_frames(
        frames, rate=rate, count=written.count, wanted=frames_wanted(found, rate)
    )
    timing.write_frame_map(
        work / NAMES["frame_map"],
        frame_map,
        rate=rate,
        time_base=found.video.time_base,
        frame_us=frame_us,
    )
    proxy_us = [frame_us(n, rate) for n in range(written.count)]
    return written, _figures(found, frames, frame_map, proxy_us, rate)


def _check_start(frames: timing.SourceFrames, found: Probe, shown: str) -> None:
    """The sound was placed by the probe's first frame: ffmpeg must have begun with the same."""
    if frames.pts[0] != found.video.first_pts:
        raise MediaToolError(
            f"{shown}: ffmpeg began at another frame than the probe. Report this to the "
            "administrator: picture and sound could not be aligned."
        )
    if len(frames.pts) < 0.9 * found.video.frame_count:
        raise RefusedRecordingError(
            f"{shown} is damaged: only {len(frames.pts)} of its {found.video.frame_count} pictures "
            "can be decoded. Copy it again from the device that recorded it."
        )


def _check_proxy(video: Path, rate: Fraction, limits: Limits, shown: str) -> _Written:
    """Count the proxy's frames and hold each to its place on the grid.

    Raises RefusedRecordingError for a recording shorter than one frame, MediaToolError where a
    frame is out of place or key frames are more than a second apart.
    """
    with opened(video, container="mp4", limits=limits) as proxy:
        stream = proxy.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        time_base = stream.time_base or Fraction(1, 1)
        count = since_key = 0
        for packet in proxy.demux(stream):
            if packet.pts is None:
                continue
            since_key = 0 if packet.is_keyframe else since_key + 1
            if packet.pts * time_base * rate != count or since_key > max(0, int(rate) - 1):
                raise MediaToolError(
                    f"The proxy of {shown} is not frame-exact at frame {count}. Report this to the "
                    "administrator."
                )
            count += 1
    if count == 0:
        raise RefusedRecordingError(
            f"{shown} is shorter than one frame. Supply the whole recording."
        )
    return _Written(count=count, width=width, height=height)


def _figures(
    found: Probe,
    frames: timing.SourceFrames,
    frame_map: timing.FrameMap,
    proxy_us: list[int],
    rate: Fraction,
) -> dict[str, float | int | str | bool]:
    shown = len(set(frame_map.source_index))
    return {
        "container": found.container,
        "video_codec": found.video.codec,
        "source_width": found.video.width,
        "source_height": found.video.height,
        "rotation": found.video.rotation,
        "source_frames": found.video.frame_count,
        "undecodable_frames": max(0, found.video.frame_count - len(frames.pts)),
        "source_mean_rate": round(float(found.video.mean_rate), 6),
        "variable_rate": found.video.variable,
        "source_first_pts_us": found.video.first_pts_us,
        "repeated_frames": frame_map.duplicates,
        "left_out_frames": len(frames.pts) - shown,
        "largest_map_error_us": timing.largest_error_us(frame_map, proxy_us),
        "half_frame_us": int(500_000 / rate),
    }


def _notes(
    shown: str, found: Probe, figures: dict[str, float | int | str | bool], rate: Fraction
) -> list[str]:
    notes: list[str] = []
    if found.video.variable:
        notes.append(
            f"{shown} has a variable frame rate, {float(found.video.mean_rate):.2f} frames per "
            f"second on average. Its proxy has {float(rate):.5g}: {figures['repeated_frames']} "
            f"frames are repeats and {figures['left_out_frames']} source frames were left out; the "
            "frame map says which."
        )
    if figures["undecodable_frames"]:
        notes.append(
            f"{figures['undecodable_frames']} of the {found.video.frame_count} pictures of {shown} "
            "could not be decoded. Look at the proxy before you use it."
        )
    return notes


def _move_into_place(work: Path, out_dir: Path) -> dict[str, Any]:
    """Move the finished files out of the working folder; called only when all are there."""
    placed: dict[str, Any] = {}
    for field, file_name in NAMES.items():
        made = work / file_name
        placed[field] = None
        if made.exists():
            placed[field] = out_dir / file_name
            os.replace(made, out_dir / file_name)
    return placed


def _pyav_version() -> str:
    import av

    return str(av.__version__)

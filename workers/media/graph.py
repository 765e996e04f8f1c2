"""The conversion of a recording as one ffmpeg graph: decoded once, written four times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from workers.media import timing
from workers.media.depth import Depth
from workers.media.probe import Probe
from workers.media.runner import Limits
from workers.media.sound_clock import SoundClock

#: Names of the outputs, by the field of `Proxy` that holds them.
NAMES = {
    "video": "proxy.mp4",
    "frame_map": "frame_map.parquet",
    "audio_native": "audio_native.flac",
    "audio_16k": "audio_16k.wav",
}
FRAME_LOG = "source_frames.txt"
# Time stamps that scatter less are not followed: each correction bends the pitch a little.
_FOLLOWED_WITHIN_SECONDS = 0.002
_MOST_STEP_SECONDS = 0.1
_ON_THE_GRID = {"start_time": 0, "round": "near", "eof_action": "pass"}
#: Sound that was stored without loss and may hold more than 16 bits a sample.
_DEEP = ("pcm_s24", "pcm_s32", "pcm_f", "pcm_u24", "pcm_u32", "flac", "alac")


def conversion(
    alone: Path,
    work: Path,
    found: Probe,
    rate: Fraction,
    clock: SoundClock | None,
    depth: Depth | None = None,
) -> Any:
    """Describe the whole conversion as one ffmpeg-python graph, to be run by `runner.run`.

    `alone` comes from `runner.isolated`; the outputs go into `work` under NAMES and FRAME_LOG;
    `rate` is the proxy's, in frames per second; `clock` is the sound's, None where there is none;
    `depth` is what 16-bit depth pictures hold, None for all others.
    """
    import ffmpeg  # noqa: TID251 - this is the one place that composes commands

    recording = ffmpeg.input(str(alone), copyts=None)
    pictures = recording[str(found.video.index)].filter_multi_output("split")
    video = (
        pictures[0]
        .filter("setpts", "PTS-STARTPTS")
        # How long the last frame is shown, ffmpeg's versions do not agree on, and 5.1 may drop it:
        # it is repeated until the end that the recording itself names.
        .filter("tpad", stop=3, stop_mode="clone")
        .filter("fps", f"{rate.numerator}/{rate.denominator}", **_ON_THE_GRID)
        .filter("tpad", stop=-1, stop_mode="clone")
        .filter("trim", end_frame=frames_wanted(found, rate))
    )
    if depth is not None:
        grey = video.filter("format", "gray16le").filter("lut", y=depth.brightness)
        spread = grey.filter("scale", in_range="full", out_range="tv")
        video = spread.filter("format", "yuv420p")  # at once, or 5.1 leaves the range as it was
    video = (
        # cameras that write JPEG use the full range of values; the proxy has the video's range
        video.filter(
            "scale",
            "trunc(iw*max(sar,1)/2)*2",
            "trunc(ih*max(1/sar,1)/2)*2",
            out_range="tv",
        )
        .filter("setsar", "1")
        .filter("format", "yuv420p")
    )
    native, for_proxy, for_speech = _sounds(recording, found, rate, clock)
    outputs = [
        ffmpeg.output(video, for_proxy, str(work / NAMES["video"]), **_proxy_options(rate)),
        ffmpeg.output(for_speech, str(work / NAMES["audio_16k"]), acodec="pcm_s16le"),
        ffmpeg.output(
            pictures[1],
            str(work / FRAME_LOG),
            vcodec="wrapped_avframe",
            fps_mode="passthrough",
            enc_time_base=f"{found.video.time_base.numerator}:{found.video.time_base.denominator}",
            format="framecrc",
        ),
    ]
    if native is not None:
        outputs.append(
            ffmpeg.output(
                native,
                str(work / NAMES["audio_native"]),
                acodec="flac",
                map_metadata=-1,
                **_depth(found),
            )
        )
    return ffmpeg.merge_outputs(*outputs)


def frames_wanted(found: Probe, rate: Fraction) -> int:
    """Return how many frames of `rate` the recording lasts, by its own account."""
    video = found.video
    return timing.wanted_count(video.first_pts, video.end_pts, time_base=video.time_base, rate=rate)


def _sounds(
    recording: Any, found: Probe, rate: Fraction, clock: SoundClock | None
) -> tuple[Any | None, Any, Any]:
    """Return the native, the proxy's and the 16 kHz sound, all from 0 to the last frame's end.

    The native one keeps every sample as it was recorded: it is only moved to its place, and gaps in
    it are filled. The others follow the time stamps, where the sound's clock drifts from them.
    """
    import ffmpeg  # noqa: TID251 - this is the one place that composes commands

    end = float(frames_wanted(found, rate) / rate)
    if found.audio is None or clock is None:
        silence = ffmpeg.input("anullsrc=r=48000:cl=mono", format="lavfi")
        copies = silence.filter("atrim", end=f"{end:.6f}").filter_multi_output("asplit")
        return None, copies[0], _for_speech(copies[1])
    zero = found.video.first_pts * found.video.time_base
    heard = recording[str(found.audio.index)].filter("ebur128", framelog="verbose")
    shift = f"({zero.numerator}/{zero.denominator})/TB"
    # the two are laid out apart, lest the proxy's two channels become the native sound's as well
    halves = heard.filter_multi_output("asplit")
    # in the microphone's own seconds there is no drift: nothing is stretched, only gaps are filled
    own = f"STARTPTS-{shift}+(PTS-STARTPTS)/{clock.stretch:.9f}"
    native = _laid_out(halves[0], own, clock, end / clock.stretch)
    follow = clock.must_be_followed
    followed = _laid_out(halves[1], f"PTS-{shift}", clock, end, follow=follow)
    copies = followed.filter_multi_output("asplit")
    return native, _for_proxy(copies[0]), _for_speech(copies[1])


def _laid_out(
    heard: Any, times: str, clock: SoundClock, end: float, *, follow: bool = False
) -> Any:
    """Give the sound its times, from 0 to `end` seconds.

    Gaps become silence, overlaps are cut out; sound before the first frame goes, a late start is
    padded. With `follow`, the sound is stretched to its time stamps wherever they lead or lag by
    more than they scatter; 2 % is the most, for a moment.
    """
    scatter = max(_FOLLOWED_WITHIN_SECONDS, 1.5 * clock.jitter_us / 1e6)
    step = _MOST_STEP_SECONDS
    if clock.smallest_step_us is not None:
        step = min(step, 0.6 * clock.smallest_step_us / 1e6)
    step = max(step, 2 * scatter)
    options = {"async": 1, "first_pts": 0, "min_hard_comp": f"{step:.6f}"}
    if follow:
        options |= {"async": round(0.02 * clock.sample_rate), "min_comp": f"{scatter:.6f}"}
        # version 5.1 forgets where it is when it begins to resample in the middle
        options["flags"] = "res"
    return (
        heard.filter("asetpts", times)
        .filter("aresample", **options)
        .filter("apad")
        .filter("atrim", start=0, end=f"{end:.6f}")
    )


def _for_proxy(stream: Any) -> Any:
    return stream.filter("aformat", channel_layouts="mono|stereo")


def _depth(found: Probe) -> dict[str, Any]:
    """Keep 24 bits of sound that may have them; lossy codecs hold no more than 16 bits' worth."""
    if found.audio is not None and found.audio.codec.startswith(_DEEP):
        return {"sample_fmt": "s32", "bits_per_raw_sample": 24}
    return {"sample_fmt": "s16"}


def _for_speech(stream: Any) -> Any:
    return stream.filter("aresample", 16000).filter(
        "aformat", sample_fmts="s16", channel_layouts="mono"
    )


def _proxy_options(rate: Fraction) -> dict[str, Any]:
    ticks = rate.numerator if rate.denominator == 1001 else rate.numerator * 1000
    return {
        "vcodec": "libx264",
        "preset": "veryfast",
        "crf": 20,
        "threads": Limits().threads,
        # without B-frames no edit list is needed: frame 0 really is at time 0
        "bf": 0,
        "g": max(1, int(rate)),
        "video_track_timescale": ticks,
        "acodec": "aac",
        "audio_bitrate": "128k",
        "map_metadata": -1,
        "map_chapters": -1,
        "fflags": "+bitexact",
        "movflags": "+faststart",
    }

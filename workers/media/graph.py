"""The conversion of a recording as one ffmpeg graph: decoded once, written four times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from workers.media import timing
from workers.media.probe import Probe
from workers.media.runner import Limits

#: Names of the outputs, by the field of `Proxy` that holds them.
NAMES = {
    "video": "proxy.mp4",
    "frame_map": "frame_map.parquet",
    "audio_native": "audio_native.flac",
    "audio_16k": "audio_16k.wav",
}
FRAME_LOG = "source_frames.txt"


def conversion(alone: Path, work: Path, found: Probe, rate: Fraction) -> Any:
    """Describe the whole conversion as one ffmpeg-python graph, to be run by `runner.run`.

    `alone` comes from `runner.isolated`; the outputs go into `work` under NAMES and FRAMEFRAME_LOG;
    `rate` is the proxy's, in frames per second.
    """
    import ffmpeg  # noqa: TID251 - this is the one place that composes commands

    recording = ffmpeg.input(str(alone), copyts=None)
    pictures = recording[str(found.video.index)].filter_multi_output("split")
    video = (
        pictures[0]
        .filter("setpts", "PTS-STARTPTS")
        .filter("fps", fps=f"{rate.numerator}/{rate.denominator}", start_time=0, round="near")
        .filter("scale", "trunc(iw*max(sar,1)/2)*2", "trunc(ih*max(1/sar,1)/2)*2")
        .filter("setsar", "1")
        .filter("format", "yuv420p")
    )
    native, for_proxy, for_speech = _sounds(recording, found, rate)
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
                sample_fmt="s16",
                map_metadata=-1,
            )
        )
    return ffmpeg.merge_outputs(*outputs)


def _sounds(recording: Any, found: Probe, rate: Fraction) -> tuple[Any | None, Any, Any]:
    """Return the native, the proxy's and the 16 kHz sound, all from 0 to the last frame's end."""
    import ffmpeg  # noqa: TID251 - this is the one place that composes commands

    count = max(1, timing.rescale(found.duration_us, rate / 1_000_000))
    end = f"{float(count / rate):.6f}"
    if found.audio is None:
        silence = ffmpeg.input("anullsrc=r=48000:cl=mono", format="lavfi")
        copies = silence.filter("atrim", end=end).filter_multi_output("asplit")
        return None, copies[0], _for_speech(copies[1])
    zero = found.video.first_pts * found.video.time_base
    on_clock = (
        recording[str(found.audio.index)]
        .filter("ebur128", framelog="verbose")
        .filter("asetpts", f"PTS-({zero.numerator}/{zero.denominator})/TB")
        # gaps become silence; sound before the first frame goes, a late start is padded
        .filter("aresample", **{"async": 1, "first_pts": 0})
        .filter("apad")
        .filter("atrim", start=0, end=end)
    )
    copies = on_clock.filter_multi_output("asplit", 3)
    for_proxy = copies[1].filter("aformat", channel_layouts="mono|stereo")
    return copies[0], for_proxy, _for_speech(copies[2])


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

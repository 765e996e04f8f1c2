"""What is kept and told about a recording's sound: figures, and sentences for the researcher."""

from __future__ import annotations

from pathlib import Path

from workers.media import sound, sound_clock
from workers.media.probe import Probe
from workers.media.sound_clock import SoundClock

Figures = dict[str, float | int | str | bool]

#: Below this integrated loudness (LUFS) a voice can hardly be understood.
QUIET_BELOW_LUFS = -50.0
#: From this share of samples at full scale on, the voice itself is cut off, not a bump or a breath.
CLIPPED_SHARE_TOLD = 0.0001
#: Sound that is missing for less than this is no cause for a sentence.
MISSING_TOLD_US = 500_000


def sound_figures(
    native: Path | None, stderr_tail: str, found: Probe, clock: SoundClock | None
) -> Figures:
    """Measure the sound that was written at its native rate, over the time that it covers.

    `stderr_tail` is what ffmpeg said at the end of the conversion; it holds the loudness.
    """
    if native is None or clock is None or found.audio is None:
        return {"has_sound": False}
    starts = clock.starts_us - found.video.first_pts_us
    # the native sound lies in its own clock's seconds from its first sample on
    ends = starts + clock.by_samples_us + clock.gap_us - clock.overlap_us
    levels = sound.measure_levels(native, start_us=max(0, starts), end_us=max(0, ends))
    loudness = sound.read_loudness(stderr_tail)
    figures: Figures = {
        "has_sound": True,
        "audio_codec": found.audio.codec,
        "audio_channels": found.audio.channels,
        "digital_silence": levels.digital_silence,
        "digital_silence_share": round(levels.zero_share, 6),
        "silent_share": round(levels.silent_share, 6),
        "silences": levels.silences,
        "longest_silence_us": levels.longest_silence_us,
        "clipped_share": round(levels.clipped_share, 6),
        "clipped_stretches": levels.clipped_stretches,
        "loudness_lufs": loudness.integrated_lufs,
        "loudness_range_lu": loudness.range_lu,
    }
    if not levels.digital_silence:  # minus infinity is no figure that JSON can hold
        figures |= {
            "peak_dbfs": round(levels.peak_dbfs, 2),
            "rms_dbfs": round(levels.rms_dbfs, 2),
        }
    return figures | sound_clock.figures(clock, found, picture_us=found.duration_us)


def sound_notes(
    shown: str, found: Probe, figures: Figures, clock: SoundClock | None, *, unreadable: bool
) -> list[str]:
    """Say what a researcher has to know about the sound of the recording called `shown`."""
    if clock is None:
        had = "has a sound track that cannot be decoded" if unreadable else "has no sound track"
        silent = (
            f"{shown} {had}. A silent one was added to its proxy; speech and pauses "
            "cannot be found in it."
        )
        return [silent]
    notes = []
    if figures["digital_silence"]:
        notes.append(
            f"The sound track of {shown} is completely silent: every sample is zero. The "
            "microphone was muted or not chosen; speech and pauses cannot be found in it."
        )
    elif float(figures["loudness_lufs"]) < QUIET_BELOW_LUFS:
        notes.append(
            f"{shown} is very quiet ({figures['loudness_lufs']} LUFS). Listen to it before you "
            "trust the speech and pauses found in it."
        )
    if float(figures["clipped_share"]) >= CLIPPED_SHARE_TOLD and figures["clipped_stretches"]:
        notes.append(
            f"The sound of {shown} is clipped {figures['clipped_stretches']} times: the microphone "
            "was too loud, and the tops of the wave are cut off. What is measured of the voice "
            "there cannot be trusted."
        )
    late = int(figures["audio_starts_us"])
    missing = found.duration_us - clock.by_times_us
    if late > MISSING_TOLD_US or missing > MISSING_TOLD_US:
        notes.append(
            f"The sound of {shown} covers {clock.by_times_us / 1e6:.2f} s of its "
            f"{found.duration_us / 1e6:.2f} s of picture and begins {late / 1e6:.2f} s after "
            "it. The rest was filled with silence."
        )
    return notes + sound_clock.notes(clock, shown=shown)

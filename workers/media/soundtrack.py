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
#: One block of EBU R 128: of less sound the meter names only its floor.
SHORTEST_MEASURED_US = 400_000


def sound_figures(
    native: Path | None, stderr_tail: str, found: Probe, clock: SoundClock | None
) -> Figures:
    """Measure the sound that was written at its native rate, over the time that it covers.

    `stderr_tail` is what ffmpeg said at the end of the conversion; it holds the loudness.
    """
    if native is None or clock is None or found.audio is None:
        return {"has_sound": False}
    starts = _starts_us(found, clock)
    # the native sound lies in its own clock's seconds from its first sample on
    ends = starts + clock.by_samples_us + clock.gap_us - clock.overlap_us
    levels = sound.measure_levels(native, start_us=max(0, starts), end_us=max(0, ends))
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
    }
    if clock.by_samples_us >= SHORTEST_MEASURED_US:
        loudness = sound.read_loudness(stderr_tail)
        figures |= {
            "loudness_lufs": loudness.integrated_lufs,
            "loudness_range_lu": loudness.range_lu,
        }
    if not levels.digital_silence:  # minus infinity is no figure that JSON can hold
        figures |= {
            "peak_dbfs": round(levels.peak_dbfs, 2),
            "rms_dbfs": round(levels.rms_dbfs, 2),
        }
    return figures | sound_clock.figures(clock, found, picture_us=found.duration_us)


def sound_notes(shown: str, found: Probe, figures: Figures, clock: SoundClock | None) -> list[str]:
    """Say what a researcher has to know about the sound of the recording called `shown`."""
    if clock is None:
        unreadable = found.unreadable_sound or found.audio is not None
        had = "has a sound track that cannot be decoded" if unreadable else "has no sound track"
        silent = (
            f"{shown} {had}. A silent one was added to its proxy; speech and pauses "
            "cannot be found in it."
        )
        return [silent]
    elsewhere = _elsewhere(found, clock)
    if elsewhere:
        nothing = (
            f"The sound of {shown} {elsewhere}, so none of it is in the proxy, which is silent; "
            "speech and pauses cannot be found in it. Check the file where it was recorded."
        )
        return [nothing]
    notes = []
    if figures["digital_silence"]:
        notes.append(
            f"The sound track of {shown} is completely silent: every sample is zero. The "
            "microphone was muted or not chosen; speech and pauses cannot be found in it."
        )
    elif float(figures.get("loudness_lufs", 0.0)) < QUIET_BELOW_LUFS:
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
    covered_us = _covered_us(found, clock)
    if found.duration_us - covered_us > MISSING_TOLD_US:
        late_us = max(0, _starts_us(found, clock))
        begins = f"begins {late_us / 1e6:.2f} s after it" if late_us >= 5_000 else "begins with it"
        notes.append(
            f"The sound of {shown} covers {covered_us / 1e6:.2f} s of its "
            f"{found.duration_us / 1e6:.2f} s of picture and {begins}. The rest was filled with "
            "silence."
        )
    return notes + sound_clock.notes(clock, shown=shown)


def _starts_us(found: Probe, clock: SoundClock) -> int:
    """Where the sound begins, after the first picture."""
    return clock.starts_us - found.video.first_pts_us


def _elsewhere(found: Probe, clock: SoundClock) -> str:
    """Say where the sound lies if none of it lies beside the picture."""
    starts = _starts_us(found, clock)
    if starts + clock.by_times_us <= 0:
        return "ends before its picture begins"
    # one frame's length need not be written in the file
    return "begins after its picture ends" if starts >= max(1, found.duration_us) else ""


def _covered_us(found: Probe, clock: SoundClock) -> int:
    """For how much of the pictures' time there is sound, gaps and all."""
    starts = _starts_us(found, clock)
    return max(0, min(found.duration_us, starts + clock.by_times_us) - max(0, starts))

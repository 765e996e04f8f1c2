"""The figures of a recording's quality: what each says, which way is better, what may be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

AT_LEAST, AT_MOST = "at_least", "at_most"
BOUND_WORDS = MappingProxyType({AT_LEAST: "at least", AT_MOST: "at most"})
FACE, SOUND, TIME = "face", "sound", "time"
GROUPS = MappingProxyType({FACE: "Face", SOUND: "Voice and sound", TIME: "Length and frames"})

SHARE = "share"
# unit -> (what stands behind a value, decimals that it is usually given with)
_UNITS = {
    SHARE: (" %", 0),
    "px": (" px", 0),
    "degrees": ("°", 0),
    "grey": (" of 255", 0),
    "sharpness": ("", 0),
    "dBFS": (" dBFS", 1),
    "dB": (" dB", 1),
    "s": (" s", 1),
    "ms": (" ms", 0),
    "per_minute": (" a minute", 1),
    "people": ("", 0),
    "fps": (" a second", 2),
}
_MOST_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `about` is its definition, one sentence; `advice` is what a curator can do.

    `bound` is the only kind of limit that makes sense for it, "" where either does. A limit lies
    from `lowest` to `highest`. `suggested` is a limit to start from, `because` why that one.
    """

    key: str
    title: str
    group: str
    unit: str
    about: str
    advice: str
    bound: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    suggested: float | None = None
    because: str = ""

    def write(self, value: float, *, beside: float | None = None) -> str:
        """Write a value with its unit, with as many decimals as tell it from 0 and `beside`."""
        behind, places = _UNITS[self.unit]
        scale = 100 if self.unit == SHARE else 1

        def looks_like(other: float | None) -> bool:
            if other is None or value == other:
                return False
            return _number(value * scale, places) == _number(other * scale, places)

        while places < _MOST_DECIMALS and (looks_like(beside) or looks_like(0.0)):
            places += 1
        return f"{_number(value * scale, places)}{behind}"

    def write_limit(self, bound: str, limit: float) -> str:
        """Write a limit in words: “at least 60 %”."""
        behind, places = _UNITS[self.unit]
        scaled = limit * 100 if self.unit == SHARE else limit
        while places < _MOST_DECIMALS and round(scaled, places) != round(scaled, _MOST_DECIMALS):
            places += 1
        return f"{BOUND_WORDS[bound]} {_number(scaled, places)}{behind}"


def _number(value: float, places: int) -> str:
    """Write a number with a true minus sign, and never a negative zero."""
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")


_ALL = (
    Figure(
        key="usable_face_share", title="Usable face", group=FACE, unit=SHARE, bound=AT_LEAST,
        about="Frames in which the participant's face is there, whole, large and sharp enough, of "
        "all frames.",
        advice="Watch where the face is lost, covered or blurred, and judge if that can be rated.",
        suggested=0.8,
        because="A starting point: raters cannot label what they cannot see for a fifth of the "
        "time.",
    ),
    Figure(
        key="face_size_px", title="Face size", group=FACE, unit="px", bound=AT_LEAST, highest=4000,
        about="Median distance between the eyes in pixels of the video, as if the face were "
        "frontal.",
        advice="The face is small: next time, place the camera nearer or record more pixels.",
        suggested=35,
        because="The distance between the eyes in an aligned crop of 112 pixels: smaller faces "
        "are enlarged for it and gain no detail.",
    ),
    Figure(
        key="face_height_share", title="Face height", group=FACE, unit=SHARE, bound=AT_LEAST,
        about="Median height of the face, of the picture's height.",
        advice="The face fills little of the picture: next time, place the camera nearer.",
    ),
    Figure(
        key="turned_share", title="Turned away", group=FACE, unit=SHARE, bound=AT_MOST,
        about="Frames in which the head is turned or nods by more than 30°, of those whose pose is "
        "known. Angles from five landmarks are right to a few degrees.",
        advice="See whether enough of the face shows; next time, place the camera before it.",
        suggested=0.25,
        because="A starting point. Beyond about 30° the far eye or the brows begin to be hidden.",
    ),
    Figure(
        key="roll_degrees", title="Tilt", group=FACE, unit="degrees", bound=AT_MOST, highest=180,
        about="Median tilt of the head to either side. Aligned crops take it out.",
        advice="See whether the camera stood askew or the video was turned on its side.",
    ),
    Figure(
        key="brightness", title="Brightness of the face", group=FACE, unit="grey", highest=255,
        about="Median of the mean grey level of the aligned face, 0 black to 255 white. Skin "
        "differs: compare recordings of one person.",
        advice="See whether the face can be read; next time, change light or exposure.",
    ),
    Figure(
        key="dark_share", title="Too dark", group=FACE, unit=SHARE, bound=AT_MOST,
        about="Frames in which the face's mean grey level is below 50 of 255, of those with a "
        "face.",
        advice="See whether the face can be read; next time, add light from the front.",
        suggested=0.1,
        because="Measured on a photograph: exposed so low, less than half of a face's contrast "
        "is left.",
    ),
    Figure(
        key="bright_share", title="Too bright", group=FACE, unit=SHARE, bound=AT_MOST,
        about="Frames in which the face's mean grey level is above 205 of 255, of those with a "
        "face.",
        advice="See whether the face can be read; next time, lower the exposure.",
        suggested=0.1,
        because="Measured on a photograph: exposed so high, over a third of a face is burnt out.",
    ),
    Figure(
        key="light_imbalance", title="Light from one side", group=FACE, unit=SHARE, bound=AT_MOST,
        about="Difference of the mean grey levels of the face's two halves, over their sum; median "
        "of up to 50 frontal frames.",
        advice="One half of the face lies in shadow; next time, light it from the front.",
    ),
    Figure(
        key="sharpness", title="Sharpness", group=FACE, unit="sharpness", bound=AT_LEAST,
        highest=1e6,
        about="Median variance of the Laplacian of the aligned face at 112 pixels, in squared grey "
        "levels. Below 12 a frame counts as blurred, and not as usable.",
        advice="See whether fine movements show; next time, focus, add light or move nearer.",
    ),
    Figure(
        key="occluded_share", title="Covered", group=FACE, unit=SHARE, bound=AT_MOST,
        about="Frames in which something covers a part of the face, of those with a face.",
        advice="See whether what covers the face hides what raters must judge.",
        suggested=0.25,
        because="A starting point, as for a head that is turned away.",
    ),
    Figure(
        key="people", title="People", group=FACE, unit="people", bound=AT_MOST, highest=1000,
        about="Faces that are seen for half a second or longer.",
        advice="Look at the contact sheet: only the participant has consented.",
        suggested=1,
        because="Only the participant has consented.",
    ),
    Figure(
        key="voice_level_dbfs", title="Voice level", group=SOUND, unit="dBFS", bound=AT_LEAST,
        lowest=-120, highest=0,
        about="Mean power while somebody speaks, without the room's noise, in dB of full scale.",
        advice="Listen to it; next time, move the microphone nearer or raise its level.",
        suggested=-45,
        because="A starting point: some 20 dB below ordinary speech on a webcam's microphone.",
    ),
    Figure(
        key="snr_db", title="Voice above noise", group=SOUND, unit="dB", bound=AT_LEAST,
        lowest=-80, highest=80,
        about="How far the voice stands above the room's noise, the median power of what is no "
        "speech.",
        advice="Listen to whether every word is understood; next time, record in a quieter room.",
        suggested=15,
        because="What the American Speech-Language-Hearing Association asks for in classrooms.",
    ),
    Figure(
        key="clipped_share", title="Clipped sound", group=SOUND, unit=SHARE, bound=AT_MOST,
        about="Samples at full scale, of all samples.",
        advice="Listen to whether the voice is distorted; next time, lower the microphone's level.",
        suggested=0.001,
        because="A starting point: one sample in a thousand.",
    ),
    Figure(
        key="speech_share", title="Speech", group=SOUND, unit=SHARE, bound=AT_LEAST,
        about="Time in which somebody speaks, of the whole recording.",
        advice="See whether the participant answers at all.",
        suggested=0.1,
        because="A starting point: less is hardly an answer.",
    ),
    Figure(
        key="longest_pause_s", title="Longest pause", group=SOUND, unit="s", bound=AT_MOST,
        highest=86_400,
        about="The longest silence of a quarter of a second or longer between two stretches of "
        "speech; 0 where there is none.",
        advice="See what happens in it: silence may be the answer, or an interruption.",
    ),
    Figure(
        key="pauses_per_minute", title="Pauses", group=SOUND, unit="per_minute", bound=AT_MOST,
        highest=240,
        about="Silences of a quarter of a second or longer between stretches of speech, for each "
        "minute from the first word to the last.",
        advice="Listen to whether the sound breaks off, or the participant hesitates.",
    ),
    Figure(
        key="duration_s", title="Length", group=TIME, unit="s", highest=86_400,
        about="Length of the recording.",
        advice="See whether the whole answer was recorded, and nothing else.",
    ),
    Figure(
        key="frame_rate", title="Frame rate", group=TIME, unit="fps", bound=AT_LEAST, highest=240,
        about="Frames in each second of the original, on average.",
        advice="Short movements may be missing; next time, add light, which lets cameras keep "
        "their rate.",
    ),
    Figure(
        key="repeated_share", title="Repeated frames", group=TIME, unit=SHARE, bound=AT_MOST,
        about="Frames that only repeat the one before, because the camera gave none, of all "
        "frames.",
        advice="See whether the picture stands still; short movements may be missing.",
        suggested=0.1,
        because="A starting point: one frame in ten.",
    ),
    Figure(
        key="left_out_share", title="Frames left out", group=TIME, unit=SHARE, bound=AT_MOST,
        about="Frames of the original that found no place at the constant rate, of all its frames.",
        advice="The camera's rate went up and down; the frame map says which frames are missing.",
    ),
    Figure(
        key="audio_drift_ms", title="Sound out of step", group=TIME, unit="ms", bound=AT_MOST,
        highest=60_000,
        about="How far the original's sound runs ahead of its picture, or behind it, by the end. "
        "Short recordings do not show it. Viewers notice 45 ms of early sound (ITU-R BT.1359).",
        advice="Watch the lips near the end; the proxy follows the sound's own clock.",
    ),
)  # fmt: skip

FIGURES: Mapping[str, Figure] = MappingProxyType({figure.key: figure for figure in _ALL})
"""Every figure by its key, in the order of pages."""


def undefined(reason: str) -> dict[str, str]:
    """Give what stands for a figure that cannot be measured: never a number. A whole sentence."""
    return {"undefined": reason}


def value_of(figures: Mapping[str, Any], key: str) -> float | None:
    """Give a figure's value, None where it is not known."""
    value = figures.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def why_undefined(figures: Mapping[str, Any], key: str) -> str:
    """Say why a figure has no value, as a sentence."""
    value = figures.get(key)
    if isinstance(value, Mapping) and value.get("undefined"):
        return str(value["undefined"])
    return "It was prepared before this was measured; prepare it again."

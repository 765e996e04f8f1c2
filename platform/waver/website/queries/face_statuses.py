"""What each status of the participant's face says, and how many frames have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from waver.recordings.models import Stage

# The statuses of the face table, in its order: title, what it says, whether the face is usable.
_STATUSES = {
    "detected": ("detected", "Seen in this frame.", True),
    "interpolated": ("interpolated", "Between two frames in which it was seen.", True),
    "occluded": ("occluded", "Something covers about a third of the face or more.", False),
    "blurred": ("blurred", "The aligned face is not sharp enough.", False),
    "too_small": ("too small", "The eyes lie too near each other in the picture.", False),
    "off_frame": ("off frame", "A part of the face lies outside the picture.", False),
    "absent": ("absent", "The participant's face is not seen.", False),
}


@dataclass(frozen=True)
class FaceStatus:
    """One status with the frames that have it; `share` is of all frames."""

    title: str
    about: str
    is_usable: bool
    frames: int
    share: float


def face_statuses(stages: Iterable[Stage]) -> list[FaceStatus]:
    """Give every status by what the step “faces” counted; nothing before it has run."""
    figures: dict[str, Any] = next((row.figures for row in stages if row.name == "faces"), {})
    frames = figures.get("frames")
    if not frames:
        return []
    counts = {status: figures.get(f"frames_{status}", 0) for status in _STATUSES}
    return [
        FaceStatus(*_STATUSES[status], count, count / frames) for status, count in counts.items()
    ]

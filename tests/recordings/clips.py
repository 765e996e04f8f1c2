"""Small recordings for the import: a real face, two of them, none, with and without sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.faces.clips import astronaut, moved, write_video

RATE = Fraction(15)
SIZE = (320, 240)


def face_clip(path: Path, *, frames: int = 15, shift: int = 0) -> Path:
    """Write one second of the astronaut's face, moving; `shift` makes its bytes another's."""
    photograph = astronaut()
    pictures = (
        moved(photograph, x=150 + shift + n, y=110, zoom=0.9, size=SIZE) for n in range(frames)
    )
    return write_video(path, pictures, rate=RATE)


def two_faces_clip(path: Path) -> Path:
    """Write one second of two faces side by side."""
    photograph = astronaut()
    half = (SIZE[0] // 2, SIZE[1])
    pictures = (
        np.hstack([moved(photograph, x=80 + n % 3, y=110, zoom=0.6, size=half)] * 2)
        for n in range(15)
    )
    return write_video(path, pictures, rate=RATE)


def write_manifest(folder: Path, *rows: str, header: str = "") -> Path:
    """Write `manifest.csv` with the usual header, or another."""
    lines = [header or "file,participant,prompt,recorded_at", *rows]
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

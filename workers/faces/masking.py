"""Masked previews: a proxy whose faces cannot be recognised, and how sure that is.

Every face of the table is covered, the participant's and others'. A box is widened, is drawn on
across short absences, and begins a little before the first sighting and ends after the last. A
second detector then looks for faces that are not covered; what it finds is counted and reported.
The preview has no sound: a voice is a person too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workers.faces.detectors import Detector
from workers.faces.errors import FaceError
from workers.faces.table import numbers
from workers.faces.tracks import START_SCORE, runs
from workers.faces.video import Converter, Picture, check_count, frames, measure

Floats = NDArray[np.float32]
Style = Literal["blur", "fill"]

# A box is made larger by this part of its size on each side: hair and chin say who it is, too.
WIDER = 0.25
# A face that is missing for at most so long is covered where it would be on a straight line.
BRIDGED_SECONDS = Fraction(1)
# Covered for so long before it was first seen, and after it was last seen.
AROUND_SECONDS = Fraction(3, 10)
# A blurred face keeps this many patches of colour across.
PATCHES = 6
FILL = 60
# The second detector looks this often.
CHECKS_PER_SECOND = 4
# A face that it finds counts as covered when this share of its box is.
COVERED = 0.9


@dataclass(frozen=True)
class MaskedPreview:
    """A masked video and what the second look found.

    found: faces that the second detector saw in the frames that it looked at. covered: those of
    them that lie under the masks. still_seen: faces that it sees in the masked pictures.
    """

    video: Path
    frame_count: int
    masked_frames: int
    checked_frames: int
    found: int
    covered: int
    still_seen: int

    @property
    def recall(self) -> float | None:
        """Covered faces over found ones; None where none was found."""
        return self.covered / self.found if self.found else None


def mask_faces(
    proxy: Path,
    face_table: Path,
    target: Path,
    *,
    rate: Fraction,
    second: Detector,
    style: Style = "blur",
    on_progress: Callable[[float], None] | None = None,
) -> MaskedPreview:
    """Write `target`, an H.264 copy of the proxy with every known face covered, or nothing.

    `face_table` is the proxy's own (workers.faces.table); `second` should not be the detector that
    made it. "blur" leaves a few patches of colour in the face's place, "fill" nothing.
    Raises FaceError when the table and the video do not belong together.
    """
    shape = measure(proxy)
    boxes = covers(face_table, frame_count=shape.frame_count, rate=rate)
    step = max(1, round(rate / CHECKS_PER_SECOND))
    counts = {"masked": 0, "checked": 0, "found": 0, "covered": 0, "still": 0}
    unfinished = target.with_name(f".{target.name}")
    converter, size = Converter(), (shape.width, shape.height)
    decoded = 0
    try:
        with _Encoder(unfinished, size, rate) as encoder:
            for number, frame in frames(proxy):
                decoded += 1
                picture = converter.picture(frame, size)
                covering = boxes[number] if number < len(boxes) else []
                masked = picture.copy()
                for box in covering:
                    cover(masked, box, style)
                counts["masked"] += bool(len(covering))
                if number % step == 0:
                    _check(second, picture, masked, covering, counts)
                encoder.add(masked)
                if on_progress is not None:
                    on_progress(decoded / shape.frame_count)
        check_count(proxy, shape, decoded)
        if measure(unfinished).frame_count != shape.frame_count:
            raise FaceError(f"The masked copy of {proxy.name} has lost frames. Make it again.")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return MaskedPreview(
        video=target,
        frame_count=decoded,
        masked_frames=counts["masked"],
        checked_frames=counts["checked"],
        found=counts["found"],
        covered=counts["covered"],
        still_seen=counts["still"],
    )


def covers(face_table: Path, *, frame_count: int, rate: Fraction) -> list[list[Floats]]:
    """For each frame, the boxes (left, top, right, bottom; pixels) that are to be covered."""
    import pyarrow.parquet as pq

    edges = ("x0", "y0", "x1", "y1")
    with pq.ParquetFile(face_table) as file:
        table = file.read(columns=["frame", "track_id", *edges])
    frame = numbers(table["frame"], np.int32)
    if len(frame) and int(frame.max()) >= frame_count:
        raise FaceError(
            f"The face table has a row for frame {int(frame.max())}, but the video has "
            f"{frame_count} frames: they do not belong together."
        )
    track = np.array(table["track_id"].fill_null(-1).to_pylist())
    box = np.array([table[edge].fill_null(np.nan).to_pylist() for edge in edges]).T
    result: list[list[Floats]] = [[] for _ in range(frame_count)]
    for one in np.unique(track[np.isfinite(box).all(axis=1)]):
        seen = (track == one) & np.isfinite(box).all(axis=1)
        for number, where in _path(frame[seen], box[seen], frame_count, rate):
            result[number].append(where)
    return result


def _path(
    seen: NDArray[np.int32], boxes: NDArray[np.float64], frame_count: int, rate: Fraction
) -> list[tuple[int, Floats]]:
    """A face's widened boxes by frame, its short absences bridged, its ends drawn out."""
    around = int(np.ceil(float(AROUND_SECONDS * rate)))
    first, last = max(0, int(seen[0]) - around), min(frame_count - 1, int(seen[-1]) + around)
    every = np.arange(first, last + 1)
    known = np.isin(every, seen)
    shown = known.copy()
    for start, end in runs(~known):
        if end - start <= BRIDGED_SECONDS * rate:
            shown[start:end] = True
        else:
            shown[start : start + around] = True
            shown[end - around : end] = True
    drawn = np.column_stack([np.interp(every, seen, boxes[:, side]) for side in range(4)])
    margin = (drawn[:, 2:] - drawn[:, :2]) * WIDER
    drawn = np.hstack([drawn[:, :2] - margin, drawn[:, 2:] + margin]).astype(np.float32)
    return [(int(every[row]), drawn[row]) for row in np.flatnonzero(shown)]


def cover(picture: Picture, box: Floats, style: Style) -> None:
    """Cover a box of a picture (height, width, 3), in place."""
    import cv2

    height, width = picture.shape[:2]
    left, top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if right <= left or bottom <= top:
        return
    inside = picture[top:bottom, left:right]
    if style == "fill":
        inside[:] = FILL
        return
    patches = cv2.resize(inside, (PATCHES, PATCHES), interpolation=cv2.INTER_AREA)
    inside[:] = cv2.resize(patches, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


def _check(
    second: Detector,
    picture: Picture,
    masked: Picture,
    covering: list[Floats],
    counts: dict[str, int],
) -> None:
    """Count the faces that a second look finds before and after covering."""
    counts["checked"] += 1
    found = second.detect(picture)
    mask = np.zeros(picture.shape[:2], dtype=bool)
    for box in covering:
        left, top, right, bottom = np.maximum(0, np.rint(box)).astype(int)
        mask[top:bottom, left:right] = True
    for box in found.boxes[found.scores >= START_SCORE]:
        left, top, right, bottom = np.maximum(0, np.rint(box)).astype(int)
        under = mask[top:bottom, left:right]
        counts["found"] += 1
        counts["covered"] += bool(under.size and under.mean() >= COVERED)
    counts["still"] += int((second.detect(masked).scores >= START_SCORE).sum())


class _Encoder:
    """Writes pictures as H.264 without sound, on one thread."""

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        import av

        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream(
            "libx264", rate=rate, options={"crf": "23", "preset": "veryfast"}
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.gop_size = max(1, int(rate))
        self._next, self._base = 0, 1 / rate

    def add(self, picture: Picture) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = self._next, self._base
        self._next += 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode())
        self._container.close()

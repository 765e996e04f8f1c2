"""Masked previews: a copy of the proxy without faces, and how sure that is.

Where faces are covered is decided in workers.faces.covering. The style "fill" puts one grey where a
face was: nothing of the face is left, in no frame, so nothing can be brought back. "blur" leaves a
coarse mosaic that only keeps people from being recognised at a glance: the persons of a small
known group can be told apart by such mosaics (McPherson, Shokri and Shmatikov 2016, “Defeating
Image Obfuscation with Deep Learning”), so it is not for people outside the study. Either leaves
clothes, body, room and the way of moving: a masked preview is personal data still.

A second detector looks midway between the looks that decided, where interpolation is weakest. What
it finds is held against the masks (the recall), and it looks at the masked pictures, too. The
sound is left out unless it is asked for: a voice says who is speaking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from workers.faces.covering import Covers, add_followed, add_looked_at, look_every
from workers.faces.detectors import Detections, Detector
from workers.faces.errors import FaceError
from workers.faces.tracks import START_SCORE
from workers.faces.video import OPEN_OPTIONS, Converter, Picture, check_count, frames, measure

if TYPE_CHECKING:
    from workers.media.encoding import PictureWriter

Floats = NDArray[np.float32]
Style = Literal["fill", "blur"]

# A blurred face keeps this many patches of colour across.
PATCHES = 4
GREY = 60
# The second detector looks about this often.
CHECKS_PER_SECOND = 3
# A face that it finds counts as covered when this share of its box is.
COVERED = 0.9
# How much of the progress the closer look stands for; the rest is drawing and coding.
LOOKING = 0.5


@dataclass(frozen=True)
class MaskedPreview:
    """A masked video and what the second look found.

    masked_frames: frames in which something is covered; blanked_frames: those that are grey as a
    whole. found: faces that the second detector saw in the frames that it looked at. covered: those
    of them that lie under the masks. still_seen: faces that it sees in the masked pictures.
    """

    video: Path
    frame_count: int
    masked_frames: int
    blanked_frames: int
    looks: int
    checked_frames: int
    found: int
    covered: int
    still_seen: int
    has_sound: bool

    @property
    def recall(self) -> float | None:
        """Covered faces over found ones; None where none was found."""
        return self.covered / self.found if self.found else None


class Mirrored:
    """A detector that sees pictures mirrored: a second look where only one network is installed."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.card = detector, detector.card

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which a picture is scaled before the network sees it."""
        return self._detector.working_size(width, height)

    def detect(self, bgr: Picture) -> Detections:
        """Find the faces; their boxes are those in the picture as it was given."""
        found = self._detector.detect(np.ascontiguousarray(bgr[:, ::-1]))
        width = bgr.shape[1]
        boxes, marks = found.boxes.copy(), found.landmarks.copy()
        boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
        # The eye on the picture's left is the other one in a mirror, and so is the mouth's corner.
        marks = marks[:, [1, 0, 2, 4, 3]]
        marks[:, :, 0] = width - marks[:, :, 0]
        return Detections(boxes, found.scores, marks)


def mask_faces(
    proxy: Path,
    face_table: Path,
    target: Path,
    *,
    rate: Fraction,
    finder: Detector,
    second: Detector,
    style: Style = "fill",
    blank: Sequence[tuple[int, int]] = (),
    sound: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> MaskedPreview:
    """Write `target`, an H.264 copy of the proxy with every face covered, or nothing.

    `face_table` is the proxy's own (workers.faces.table); `finder` takes the closer look and should
    work at a large size; `second` should be another network. `blank` are spans [first, end) of
    frames that are grey as a whole and silent. `sound` keeps the proxy's sound.
    Raises FaceError when the table and the video do not belong together, or frames got lost.
    """
    shape, report = measure(proxy), on_progress or (lambda share: None)
    covers = Covers(shape.frame_count, rate)
    add_followed(covers, face_table)
    looks = add_looked_at(
        covers,
        proxy,
        shape=shape,
        finder=finder,
        rate=rate,
        on_progress=lambda share: report(LOOKING * share),
    )
    check = _Check(second, rate)
    unfinished = target.with_name(f".{target.name}")
    try:
        masked, blanked, has_sound = _draw(
            proxy,
            unfinished,
            covers,
            size=(shape.width, shape.height),
            rate=rate,
            style=style,
            blank=blank,
            sound=sound,
            check=check,
            report=lambda share: report(LOOKING + (1 - LOOKING) * share),
        )
        if measure(unfinished).frame_count != shape.frame_count:
            raise FaceError(f"The masked copy of {proxy.name} has lost frames. Make it again.")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return MaskedPreview(
        video=target,
        frame_count=shape.frame_count,
        masked_frames=masked,
        blanked_frames=blanked,
        looks=looks,
        checked_frames=check.frames,
        found=check.found,
        covered=check.covered,
        still_seen=check.still_seen,
        has_sound=has_sound,
    )


def _draw(
    proxy: Path,
    target: Path,
    covers: Covers,
    *,
    size: tuple[int, int],
    rate: Fraction,
    style: Style,
    blank: Sequence[tuple[int, int]],
    sound: bool,
    check: _Check,
    report: Callable[[float], None],
) -> tuple[int, int, bool]:
    """Write the video; give how many frames were masked and blanked, and whether it has sound."""
    from workers.media.encoding import PictureWriter

    converter, decoded, masked, blanked = Converter(), 0, 0, 0
    source = proxy if sound else None
    with PictureWriter(target, size=size, rate=rate, sound_of=source) as writer:
        for number, frame in frames(proxy):
            decoded += 1
            boxes = covers[number]
            if any(first <= number < end for first, end in blank):
                blanked += 1
                writer.add(np.full((size[1], size[0], 3), GREY, np.uint8))
            elif len(boxes) or check.is_due(number):
                masked += bool(len(boxes))
                picture = converter.picture(frame, size)
                drawn = picture.copy()
                for box in boxes:
                    cover(drawn, box, style)
                check.look(number, picture, drawn, boxes)
                writer.add(drawn)
            else:
                frame.pict_type = 0  # the coder chooses anew
                writer.add_frame(frame)
            report(decoded / len(covers))
        if writer.has_sound:
            _copy_sound(proxy, writer, [(first / rate, end / rate) for first, end in blank])
        has_sound = writer.has_sound
    if decoded != len(covers):
        check_count(proxy, measure(proxy), decoded)
    return masked, blanked, has_sound


def _copy_sound(
    proxy: Path, writer: PictureWriter, silent: Sequence[tuple[Fraction, Fraction]]
) -> None:
    """Copy the sound but for the spans (seconds) that are to be silent."""
    import av

    with av.open(str(proxy.absolute()), options=OPEN_OPTIONS) as source:
        for packet in source.demux(audio=0):
            if packet.pts is None or packet.time_base is None:
                continue
            start = packet.pts * packet.time_base
            end = start + (packet.duration or 0) * packet.time_base
            if not any(start < last and end > first for first, last in silent):
                writer.add_sound(packet)


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
        inside[:] = GREY
        return
    patches = cv2.resize(inside, (PATCHES, PATCHES), interpolation=cv2.INTER_AREA)
    inside[:] = cv2.resize(patches, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


class _Check:
    """What a second detector finds before and after covering, midway between the closer looks."""

    def __init__(self, second: Detector, rate: Fraction) -> None:
        looks = look_every(rate)
        self._second = second
        self._every = looks * max(1, round(rate / looks / CHECKS_PER_SECOND))
        self._first = looks // 2
        self.frames = self.found = self.covered = self.still_seen = 0

    def is_due(self, number: int) -> bool:
        """Whether this frame is to be looked at."""
        return number % self._every == self._first

    def look(self, number: int, picture: Picture, masked: Picture, boxes: Floats) -> None:
        """Count the faces in a frame (height, width, 3) before and after covering."""
        if not self.is_due(number):
            return
        self.frames += 1
        hidden = np.zeros(picture.shape[:2], dtype=bool)
        for box in boxes:
            left, top, right, bottom = np.maximum(0, np.rint(box)).astype(int)
            hidden[top:bottom, left:right] = True
        found = self._second.detect(picture)
        for box in found.boxes[found.scores >= START_SCORE]:
            left, top, right, bottom = np.maximum(0, np.rint(box)).astype(int)
            under = hidden[top:bottom, left:right]
            self.found += 1
            self.covered += bool(under.size and under.mean() >= COVERED)
        self.still_seen += int((self._second.detect(masked).scores >= START_SCORE).sum())

"""What a person needs to tell who a track is: a contact sheet and a short aligned film of each.

Only the participant's crops are kept. Of the others in the picture, who may have agreed to nothing,
this little is kept for one purpose: that the participant can be chosen by hand where the rule chose
wrongly. It is small (SIDE pixels), short (SECONDS), shown to the study's researchers alone, never
part of a release (waver.datasets.content.RELEASED_KINDS), and erased with the recording. Only the
MOST_TRACKS tracks that are seen longest have it.

A face too small for the dataset's crops, or cut off by the picture's edge, is still shown here, and
named so. A film shows grey where the face has no place: never an older picture of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from workers.faces.contact_sheet import CROP_SIDE, spread, write_contact_sheet
from workers.faces.crops import CropReader, CropWriter
from workers.faces.errors import FaceError
from workers.faces.table import STATUSES, USABLE, FaceStatus
from workers.faces.video import Picture

SIDE = CROP_SIDE
SECONDS = 10
# An absence is shown as grey for no longer.
GAP_SECONDS = Fraction(1, 2)
# A longer track is shown in so many stretches of equal length, spread from its start to its end.
STRETCHES = 5
PICTURES_PER_SECOND = 10
MOST_TRACKS = 24
_GREY = 200
_QUALITY = 28
_LIMITS = {
    FaceStatus.OCCLUDED: "covered",
    FaceStatus.BLURRED: "blurred",
    FaceStatus.TOO_SMALL: "too small",
    FaceStatus.OFF_FRAME: "cut off",
}


@dataclass(frozen=True)
class TrackPictures:
    """The files that show one track: `sheet` (JPEG) and `film` (MP4, H.264, silent)."""

    track_id: int
    sheet: Path
    film: Path


def sampling(rate: Fraction) -> int:
    """Every how many frames of a video a picture is kept: about PICTURES_PER_SECOND."""
    return max(1, round(rate / PICTURES_PER_SECOND))


class Album:
    """Collects what is shown of each track but is no crop of the dataset's; see the module."""

    def __init__(self, folder: Path, *, rate: Fraction) -> None:
        self.step, self._rate, self._folder = sampling(rate), rate, folder
        self._aside: dict[int, CropWriter] = {}
        self._frames: dict[int, array[int]] = {}
        self._statuses: dict[int, array[int]] = {}

    def note(self, frame: int, track_id: int, status: FaceStatus) -> bool:
        """Remember a face's status where its frame is sampled, and tell whether it is."""
        known = track_id in self._frames
        if frame % self.step and known:
            return False
        if not known:  # a track's first frame is always shown
            self._frames[track_id], self._statuses[track_id] = array("l"), array("b")
        self._frames[track_id].append(frame)
        self._statuses[track_id].append(STATUSES.index(status))
        return True

    def cover(self, track_id: int, frames: set[int]) -> None:
        """Note that something covers a usable face in these frames."""
        statuses = self._statuses.get(track_id, array("b"))
        for place, frame in enumerate(self._frames.get(track_id, array("l"))):
            if frame in frames and STATUSES[statuses[place]] in USABLE:
                statuses[place] = STATUSES.index(FaceStatus.OCCLUDED)

    def keep(self, frame: int, track_id: int, crop: Picture) -> None:
        """Keep a small picture (square, of any size) of a face that is no crop of the dataset's."""
        import cv2

        writer = self._aside.get(track_id)
        if writer is None:
            writer = self._aside[track_id] = CropWriter(*self._files(track_id))
        small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        writer.add(frame, small.astype(np.uint8, copy=False))

    def join(self, later: int, earlier: int) -> None:
        """Append a later track's to an earlier one's."""
        if later in self._frames:
            self._frames.setdefault(earlier, array("l")).extend(self._frames.pop(later))
            self._statuses.setdefault(earlier, array("b")).extend(self._statuses.pop(later))
        if later in self._aside:
            writer = self._aside.get(earlier)
            if writer is None:
                writer = self._aside[earlier] = CropWriter(*self._files(earlier))
            self._aside.pop(later).move_to(writer)

    def write(
        self,
        folder: Path,
        crops: Mapping[int, CropReader],
        *,
        first: int | None,
        frame_us: Callable[[int], int],
    ) -> list[TrackPictures]:
        """Write sheet and film of the tracks seen longest, and of `first` in any case, into folder.

        `crops` are the dataset's crops of each track that has any.
        """
        for writer in self._aside.values():
            writer.close()
        longest = sorted(self._frames, key=lambda t: (t != first, -len(self._frames[t]), t))
        made = []
        for track_id in sorted(longest[:MOST_TRACKS]):
            readers = [crops[track_id]] if track_id in crops else []
            if track_id in self._aside:
                readers.append(CropReader(*self._files(track_id)))
            shown = _Shown(readers, self._frames[track_id], self._statuses[track_id])
            pictures = TrackPictures(
                track_id, folder / f"sheet-{track_id}.jpg", folder / f"film-{track_id}.mp4"
            )
            write_contact_sheet(
                pictures.sheet, [shown.face(n) for n in spread(shown.frames)], frame_us=frame_us
            )
            _write_film(pictures.film, shown, rate=self._rate, step=self.step)
            made.append(pictures)
        return made

    def remove(self) -> None:
        """Delete what was kept aside."""
        for track_id, writer in self._aside.items():
            writer.discard()
            for file in self._files(track_id):
                file.unlink(missing_ok=True)
        self._aside.clear()

    def _files(self, track_id: int) -> tuple[Path, Path]:
        return self._folder / f"aside-{track_id}.tar", self._folder / f"aside-{track_id}.parquet"


class _Shown:
    """One track's sampled frames and their pictures."""

    def __init__(self, readers: list[CropReader], frames: array[int], codes: array[int]) -> None:
        self.frames = frames.tolist()
        self._readers, self._codes = readers, codes

    def face(self, frame: int) -> tuple[int, Picture, str]:
        """A sampled frame, its picture and what limits it."""
        status = STATUSES[self._codes[bisect_left(self.frames, frame)]]
        return frame, self.picture(frame), _LIMITS.get(status, "")

    def picture(self, frame: int) -> Picture:
        """The face at SIDE pixels in a sampled frame."""
        import cv2

        reader = next((reader for reader in self._readers if reader.has(frame)), self._readers[-1])
        content = np.frombuffer(reader.jpeg(frame), np.uint8)
        # Half the size while decoding is a quarter of the work; the crops are twice SIDE or more.
        aside = reader.tar.name.startswith("aside-")
        shrink = cv2.IMREAD_COLOR if aside else cv2.IMREAD_REDUCED_COLOR_2
        crop = cv2.imdecode(content, shrink)
        if crop is None:
            raise FaceError(f"The crop of frame {frame} is not a readable JPEG.")
        if crop.shape[0] != SIDE:
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return crop.astype(np.uint8, copy=False)


def stretches(numbers: list[int], *, length: int, longest_gap: int) -> list[int | None]:
    """Which of the rising `numbers` a film shows, at most `length`, None for a picture of nothing.

    Gaps are shown as they are up to `longest_gap` pictures, longer ones so long. What is too long
    becomes STRETCHES stretches of equal length, the first and the last picture among them.
    """
    whole: list[int | None] = list(numbers[:1])
    for before, number in pairwise(numbers):
        whole += [None] * min(number - before - 1, longest_gap)
        whole.append(number)
    if len(whole) <= length:
        return whole
    each = max(1, length // STRETCHES)
    starts = np.linspace(0, len(whole) - each, STRETCHES).round().astype(int).tolist()
    return [number for start in starts for number in whole[start : start + each]]


def _write_film(path: Path, shown: _Shown, *, rate: Fraction, step: int) -> None:
    from workers.media.encoding import PictureWriter

    grey = np.full((SIDE, SIDE, 3), _GREY, dtype=np.uint8)
    shown_rate = rate / step
    frame_of = {frame // step: frame for frame in reversed(shown.frames)}
    length, longest_gap = max(1, int(SECONDS * shown_rate)), int(GAP_SECONDS * shown_rate)
    with PictureWriter(path, size=(SIDE, SIDE), rate=shown_rate, quality=_QUALITY) as writer:
        for number in stretches(sorted(frame_of), length=length, longest_gap=longest_gap):
            writer.add(grey if number is None else shown.picture(frame_of[number]))

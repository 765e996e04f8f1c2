"""Settled frames in, files out: crops of every face that is followed, and its row in each frame."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.faces.align import halved, similarities, warp, windows, within
from workers.faces.crops import CropReader, CropWriter, encode, encode_planes
from workers.faces.errors import FaceError
from workers.faces.following import Held
from workers.faces.occlusion import Covered, Glimpses
from workers.faces.pose import estimate_poses, eye_distances
from workers.faces.preview import Album, TrackPictures
from workers.faces.quality import FaceQuality, measure_quality
from workers.faces.rejoin import Colours, Look, look_of, same_people
from workers.faces.table import STATUSES, USABLE, WITH_CROP, FaceStatus, FaceTable, Spool
from workers.faces.tracks import (
    ABSENT,
    INTERPOLATED,
    MIN_SIGHTINGS,
    Sightings,
    Track,
    Tracker,
    complete,
)
from workers.faces.video import Picture, Planes, VideoShape

Floats = NDArray[np.float32]

# Eyes closer than this, in proxy pixels, leave a face of about 30 pixels: too few for a crop.
MIN_EYE_DISTANCE = 12.0
# Variance of the Laplacian below which a face counts as blurred; see tests/faces/test_extract.py
# for where a real face falls below it as it is blurred more and more.
MIN_SHARPNESS = 12.0
_USABLE_CODES = [STATUSES.index(status) for status in USABLE]
REASONS = {
    FaceStatus.OCCLUDED: "covered by something",
    FaceStatus.BLURRED: "blurred",
    FaceStatus.TOO_SMALL: "too small",
    FaceStatus.OFF_FRAME: "cut off by the picture's edge",
}


@dataclass
class Seen:
    """Where one track has a place: first and last frame, how many frames, how many usable."""

    first: int = -1
    last: int = -1
    frames: int = 0
    usable: int = 0


@dataclass
class Cut:
    """What was counted. seen: by track id. statuses: the participant's frames by status."""

    frame_count: int
    seen: defaultdict[int, Seen] = field(default_factory=lambda: defaultdict(Seen))
    statuses: Counter[FaceStatus] = field(default_factory=Counter)
    pictures: list[TrackPictures] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def usable_share(self) -> float:
        """The participant's usable frames over all frames of the video."""
        return sum(self.statuses[status] for status in USABLE) / self.frame_count

    @property
    def reasons(self) -> str:
        """Why the participant's face was not usable, most frequent first, in words."""
        found = [s for s, _ in self.statuses.most_common() if s in REASONS]
        return " or ".join(REASONS[status] for status in found)


class Cutter:
    """Takes settled frames block by block; use it as a context.

    A face counts from when it has been seen MIN_SIGHTINGS times: fewer are a flicker of the
    detector. Rows and crops of all faces go to the folder `folder` as they come, because who the
    participant is shows only at the end; `finish` then leaves faces.parquet, crops.tar and
    crops.parquet in it, what shows each track (workers.faces.preview), and nobody else's crops.
    """

    def __init__(self, folder: Path, *, shape: VideoShape, rate: Fraction, crop_size: int) -> None:
        self.cut = Cut(shape.frame_count)
        if crop_size % 4:
            raise FaceError(f"A crop's size must be a multiple of 4 pixels, not {crop_size}.")
        self.shape, self.crop_size = shape, crop_size
        self._folder, self._rate = folder, rate
        self._spool = Spool(folder / "rows")
        self._crops: dict[int, CropWriter] = {}
        self._glimpses, self._album = Glimpses(folder), Album(folder, rate=rate)
        self._colours, self._same = Colours(), dict[int, int]()

    def take(self, block: list[Held], tracker: Tracker) -> None:
        """Measure and crop the faces of consecutive frames whose places are known."""
        span = block[0].number, block[-1].number
        pieces = [
            _Piece(complete(sightings, rate=self._rate, span=span, cuts=tracker.cuts), self)
            for sightings in tracker.ended + tracker.active
            if _reaches_into(sightings, span)
        ]
        for held in block:
            for piece in pieces:
                row = held.number - piece.first
                if 0 <= row < len(piece.present) and piece.present[row]:
                    self._face(held, piece, row)

    def _face(self, held: Held, piece: _Piece, row: int) -> None:
        planes, track_id = held.planes.inside(piece.windows[row]), piece.track_id
        luma = warp(planes.luma, piece.matrices[row], self.crop_size, border=planes.black)
        quality = measure_quality(luma, black=planes.black, span=planes.span)
        status = judge(piece.spoiled[row], quality, interpolated=piece.interpolated[row])
        seen = self.cut.seen[track_id]
        seen.first = seen.first if seen.frames else held.number
        seen.last = held.number
        seen.frames += 1
        seen.usable += status in USABLE
        figures = quality.sharpness, quality.brightness
        self._spool.add(held.number, track_id, status, piece.places[row], figures)
        self._glimpses.add(track_id, luma)
        is_shown = self._album.note(held.number, track_id, status)
        if is_shown:
            self._colours.add(track_id, held.planes, piece.places[row][1:5])
        if status not in WITH_CROP:
            if is_shown:
                self._album.keep(held.number, track_id, coloured(luma, planes, piece.halved[row]))
        else:
            self._keep(held.number, track_id, in_jpeg(luma, planes, piece.halved[row]))

    def _keep(self, number: int, track_id: int, crop: bytes) -> None:
        writer = self._crops.get(track_id)
        if writer is None:
            writer = self._crops[track_id] = self._writer(track_id)
        writer.append(number, crop)

    def rejoin(self, tracks: list[Sightings]) -> list[Sightings]:
        """Join tracks of one person who was away for long; give the tracks that are left."""
        looks = {track.track_id: self._look(track.track_id) for track in tracks}
        self._same = same_people({t: look for t, look in looks.items() if look is not None})
        by_id = {track.track_id: track for track in tracks}
        for later, earlier in self._same.items():
            by_id[earlier].go_on(by_id.pop(later))
            more, seen = self.cut.seen.pop(later), self.cut.seen[earlier]
            seen.last = more.last
            seen.frames, seen.usable = seen.frames + more.frames, seen.usable + more.usable
            self._glimpses.join(later, earlier)
            self._album.join(later, earlier)
            if later in self._crops:
                if earlier not in self._crops:
                    self._crops[earlier] = self._writer(earlier)
                self._crops.pop(later).move_to(self._crops[earlier])
        return list(by_id.values())

    def _look(self, track_id: int) -> Look | None:
        if track_id not in self.cut.seen:
            return None
        seen, colours = self.cut.seen[track_id], self._colours.of(track_id)
        return look_of(seen.first, seen.last, self._glimpses.of(track_id), colours)

    def _rows(self) -> Iterator[NDArray[np.void]]:
        """All rows, under the ids that are left."""
        for rows in self._spool.by_frames():
            for later, earlier in self._same.items():
                rows["track_id"][rows["track_id"] == later] = earlier
            yield rows

    def finish(self, participant: int | None, *, frame_us: Callable[[int], int]) -> Cut:
        """Write the files for the track that is the participant's, or for nobody's."""
        turned = [(rows["track_id"], self._poses(rows)) for rows in self._rows()]
        covered = Covered(self._glimpses, [(ids, angles[:, 0]) for ids, angles in turned])
        with FaceTable(self._folder / "faces.parquet", frame_us=frame_us) as table:
            figures = _Figures(self.shape)
            for rows, (_, angles) in zip(self._rows(), turned, strict=True):
                rows["yaw"], rows["pitch"], rows["roll"] = angles.T
                self._cover(rows, covered)
                figures.take(rows[rows["track_id"] == participant])
                table.add(rows, participant=participant, until=int(rows["frame"][-1]) + 1)
            table.close(participant=participant, until=self.shape.frame_count)
        self._spool.remove()
        for status, count in figures.statuses.items():
            self.cut.statuses[status] = count
        present = sum(figures.statuses.values())
        self.cut.statuses[FaceStatus.ABSENT] = self.shape.frame_count - present
        kept = self._leave_only(participant, frame_us=frame_us)
        self.cut.figures = {
            "crops": len(kept),
            **{f"frames_{s.value}": self.cut.statuses[s] for s in FaceStatus},
            **figures.medians(),
        }
        return self.cut

    def _poses(self, rows: NDArray[np.void]) -> Floats:
        """Yaw, pitch and roll of the rows' faces, (N, 3) degrees."""
        width, height = self.shape.width, self.shape.height
        return estimate_poses(rows["landmarks"], width=width, height=height).astype(np.float32)

    def _cover(self, rows: NDArray[np.void], covered: Covered) -> None:
        """Give the status occluded to the usable faces among the rows that something covers."""
        hidden = covered.of(rows["track_id"]) & np.isin(rows["status"], _USABLE_CODES)
        rows["status"][hidden] = STATUSES.index(FaceStatus.OCCLUDED)
        for track_id in np.unique(rows["track_id"][hidden]).tolist():
            frames = rows["frame"][hidden & (rows["track_id"] == track_id)]
            self.cut.seen[track_id].usable -= len(frames)
            self._album.cover(track_id, set(frames.tolist()))

    def _leave_only(self, participant: int | None, *, frame_us: Callable[[int], int]) -> list[int]:
        """Show each track, keep the participant's crops only; give the frames of those."""
        for writer in self._crops.values():
            writer.close()
        readers = {track_id: CropReader(*self._files(track_id)) for track_id in self._crops}
        self.cut.pictures = self._album.write(
            self._folder, readers, first=participant, frame_us=frame_us
        )
        self._album.remove()
        self._glimpses.remove()
        own = self._crops.pop(participant, None) if participant is not None else None
        writer = own or self._writer("none")
        writer.close()
        for made, wanted in zip(
            self._files(participant if own else "none"), ("crops.tar", "crops.parquet"), strict=True
        ):
            made.rename(self._folder / wanted)
        self._discard()
        return writer.frames

    def _discard(self) -> None:
        for track_id, writer in self._crops.items():
            writer.discard()
            for file in self._files(track_id):
                file.unlink(missing_ok=True)
        self._crops.clear()

    def _writer(self, whose: int | str) -> CropWriter:
        return CropWriter(*self._files(whose))

    def _files(self, whose: int | str | None) -> tuple[Path, Path]:
        return self._folder / f"crops-{whose}.tar", self._folder / f"crops-{whose}.parquet"

    def __enter__(self) -> Cutter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.remove()
        self._glimpses.remove()
        self._album.remove()
        self._discard()


class _Piece:
    """One track in a block of frames, with all that can be computed for the frames together."""

    def __init__(self, track: Track, cutter: Cutter) -> None:
        self.track_id, self.first = track.track_id, int(track.frames[0])
        self.present = (track.state != ABSENT).tolist()
        self.interpolated = (track.state == INTERPOLATED).tolist()
        self.spoiled = spoiled(track.landmarks, shape=cutter.shape)
        matrices, size = similarities(track.landmarks, cutter.crop_size), cutter.crop_size
        parts = windows(matrices, size, width=cutter.shape.width, height=cutter.shape.height)
        self.windows = parts.tolist()
        self.matrices = within(matrices, parts)
        self.halved = halved(self.matrices)
        flat = track.landmarks.reshape(-1, 10)
        self.places = np.column_stack([track.scores, track.boxes, flat]).tolist()


class _Figures:
    """Medians over the frames in which the participant's face has a place; angles unsigned."""

    def __init__(self, shape: VideoShape) -> None:
        self.statuses: Counter[FaceStatus] = Counter()
        self._kept: dict[str, list[Floats]] = defaultdict(list)

    def take(self, rows: NDArray[np.void]) -> None:
        """Count and keep the participant's rows."""
        for code, count in zip(*np.unique(rows["status"], return_counts=True), strict=True):
            self.statuses[STATUSES[code]] += int(count)
        eyes = eye_distances(rows["landmarks"]).astype(np.float32)
        self._kept["eye_distance_px"].append(eyes)
        for name in ("yaw", "pitch", "roll", "sharpness", "brightness"):
            self._kept[name].append(np.abs(rows[name]))

    def medians(self) -> dict[str, float]:
        """Give `median_…` of each figure that is known at all."""
        return dict(self._medians())

    def _medians(self) -> Iterator[tuple[str, float]]:
        for name, parts in self._kept.items():
            values = np.concatenate(parts)
            values = values[np.isfinite(values)]
            if len(values):
                yield f"median_{name}", float(np.median(values))


def _reaches_into(sightings: Sightings, span: tuple[int, int]) -> bool:
    return (
        len(sightings.frames) >= MIN_SIGHTINGS
        and sightings.frames[0] <= span[1]
        and sightings.frames[-1] >= span[0]
    )


def coloured(luma: Picture, planes: Planes, matrix: NDArray[np.float64]) -> Picture:
    """The aligned crop (size, size, 3), blue-green-red, black where the picture ends.

    `luma` is its brightness (size, size), a multiple of 4; `matrix` takes the pixels of the planes
    of colour to those of the crop's (workers.faces.align.halved).
    """
    return _picture(planes, luma, *_colours(planes, matrix, len(luma)))


def in_jpeg(luma: Picture, planes: Planes, matrix: NDArray[np.float64]) -> bytes:
    """`coloured` as JPEG, by the shortest way."""
    parts = luma, *_colours(planes, matrix, len(luma))
    stretched = planes.stretched(*parts)
    return encode(_picture(planes, *parts)) if stretched is None else encode_planes(*stretched)


def _picture(planes: Planes, *parts: Picture) -> Picture:
    return planes.colours(np.concatenate([part.reshape(-1, len(parts[0])) for part in parts]))


def _colours(planes: Planes, matrix: NDArray[np.float64], size: int) -> list[Picture]:
    """The aligned crop's two colours, at half the size."""
    import cv2

    # Four channels take less time than one by one, and than two.
    four: Any = cv2.merge([planes.blue, planes.red, planes.blue, planes.red])
    both: Any = warp(four, matrix, size // 2, border=128)
    return [cv2.extractChannel(both, channel) for channel in (0, 1)]


def spoiled(landmarks: Floats, *, shape: VideoShape) -> list[FaceStatus | None]:
    """Which of the faces at (N, 5, 2) proxy pixels are cut off by the frame, or too small."""
    x, y = landmarks[:, :, 0], landmarks[:, :, 1]
    inside = np.asarray(
        np.all((x >= 0) & (x < shape.width) & (y >= 0) & (y < shape.height), axis=1)
    )
    small = np.asarray(eye_distances(landmarks) < MIN_EYE_DISTANCE)
    return [
        FaceStatus.OFF_FRAME if not is_in else FaceStatus.TOO_SMALL if is_small else None
        for is_in, is_small in zip(inside, small, strict=True)
    ]


def judge(spoilt: FaceStatus | None, quality: FaceQuality, *, interpolated: bool) -> FaceStatus:
    """The status of a face that has a place, from what spoils it, its quality and its origin."""
    if spoilt is not None:
        return spoilt
    if quality.sharpness < MIN_SHARPNESS:
        return FaceStatus.BLURRED
    return FaceStatus.INTERPOLATED if interpolated else FaceStatus.DETECTED

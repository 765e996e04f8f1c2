"""The second reading of a video: cut the participant's crops, measure and record every face."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workers.faces.align import similarity, warp
from workers.faces.contact_sheet import write_contact_sheet
from workers.faces.crops import CropReader, CropWriter
from workers.faces.pose import estimate_pose, eye_distances
from workers.faces.quality import FaceQuality, measure_quality
from workers.faces.table import LANDMARK_COLUMNS, USABLE, WITH_CROP, FaceStatus, FaceTable
from workers.faces.tracks import INTERPOLATED, Track
from workers.faces.video import Converter, Picture, VideoShape, check_count, frames

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Floats = NDArray[np.float32]

# Eyes closer than this, in proxy pixels, leave a face of about 30 pixels: too few for a crop.
MIN_EYE_DISTANCE = 12.0
# Variance of the Laplacian below which a face counts as blurred; see tests/faces/test_extract.py
# for where a real face falls below it as it is blurred more and more.
MIN_SHARPNESS = 12.0
# Of what the participant's medians are kept; angles without their sign.
KEPT = ("eye_distance_px", "yaw", "pitch", "roll", "sharpness", "brightness")
REASONS = {
    FaceStatus.BLURRED: "blurred",
    FaceStatus.TOO_SMALL: "too small",
    FaceStatus.OFF_FRAME: "cut off by the picture's edge",
}


@dataclass
class Cut:
    """What the second reading counted.

    usable: usable frames by track id. statuses: the participant's frames by status.
    """

    frame_count: int
    usable: Counter[int] = field(default_factory=Counter)
    statuses: Counter[FaceStatus] = field(default_factory=Counter)
    has_sheet: bool = False
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


def cut_faces(
    proxy: Path,
    folder: Path,
    *,
    shape: VideoShape,
    tracks: list[Track],
    participant: Track | None,
    frame_us: Callable[[int], int],
    crop_size: int,
    on_progress: Callable[[float], None],
) -> Cut:
    """Write faces.parquet, crops.tar, crops.parquet and, with any crop, contact_sheet.jpg.

    The table gets one row a frame for the participant (or for nobody, where there is no track)
    and one for each other face in each frame where it has a place. Only the participant is
    cropped. Raises FaceError when the second reading gives another number of frames.
    """
    others = [track for track in tracks if track is not participant]
    cut, decoded = Cut(shape.frame_count), 0
    tar, index = folder / "crops.tar", folder / "crops.parquet"
    with FaceTable(folder / "faces.parquet") as table, CropWriter(tar, index) as crops:
        cutter = _Cutter(cut, table, crops, shape, crop_size)
        for number, frame in frames(proxy):
            decoded += 1
            cutter.take(number, frame_us(number), frame, participant, others)
            on_progress(decoded / shape.frame_count)
        check_count(proxy, shape, decoded)
    cut.figures = {
        "crops": len(crops.frames),
        **{f"frames_{s.value}": cut.statuses[s] for s in FaceStatus},
        **cutter.medians(),
    }
    if crops.frames:
        sheet = folder / "contact_sheet.jpg"
        write_contact_sheet(sheet, CropReader(tar, index), crops.frames, frame_us=frame_us)
        cut.has_sheet = True
    return cut


class _Cutter:
    """Takes the decoded frames one by one."""

    def __init__(
        self, cut: Cut, table: FaceTable, crops: CropWriter, shape: VideoShape, crop_size: int
    ) -> None:
        self.cut, self.table, self.crops = cut, table, crops
        self.shape, self.crop_size = shape, crop_size
        self.converter = Converter()
        self.kept = {name: array("f") for name in KEPT}

    def take(
        self,
        number: int,
        time_us: int,
        frame: VideoFrame,
        participant: Track | None,
        others: list[Track],
    ) -> None:
        """Record one frame's faces, and crop the participant's."""
        base = {"frame": number, "time_us": time_us}
        row = participant.at(number) if participant else None
        present = [(track, at) for track in others if (at := track.at(number)) is not None]
        picture = self.converter.picture(frame) if present or row is not None else None
        if participant is None or row is None or picture is None:
            self.cut.statuses[FaceStatus.ABSENT] += 1
            owner = participant.track_id if participant else None
            absent = {"track_id": owner, "status": FaceStatus.ABSENT.value, "is_participant": True}
            self.table.add(base | absent)
        else:
            values = self._measure(participant, row, picture)
            self._keep(number, participant.landmarks[row], picture, values)
            self.table.add(base | values | {"is_participant": True})
        for track, at in present:
            if picture is not None:
                values = self._measure(track, at, picture)
                self.table.add(base | values | {"is_participant": False})

    def _measure(self, track: Track, row: int, picture: Picture) -> dict[str, Any]:
        landmarks = track.landmarks[row]
        quality = measure_quality(picture, landmarks)
        pose = estimate_pose(landmarks, width=self.shape.width, height=self.shape.height)
        interpolated = bool(track.state[row] == INTERPOLATED)
        status = judge(landmarks, quality, shape=self.shape, interpolated=interpolated)
        self.cut.usable[track.track_id] += status in USABLE
        numbers = {"score": track.scores[row], **vars(pose), **vars(quality)}
        numbers |= zip(("x0", "y0", "x1", "y1"), track.boxes[row], strict=True)
        numbers |= zip(LANDMARK_COLUMNS, landmarks.ravel(), strict=True)
        known = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
        return {"track_id": track.track_id, "status": status.value, **known}

    def _keep(
        self, number: int, landmarks: Floats, picture: Picture, values: dict[str, Any]
    ) -> None:
        status = FaceStatus(values["status"])
        self.cut.statuses[status] += 1
        if status in WITH_CROP:
            matrix = similarity(landmarks, self.crop_size)
            self.crops.add(number, warp(picture, matrix, self.crop_size))
        self.kept["eye_distance_px"].append(float(eye_distances(landmarks)))
        for name in KEPT[1:]:
            self.kept[name].append(abs(values.get(name, float("nan"))))

    def medians(self) -> dict[str, float]:
        """Medians over the frames in which the participant's face has a place."""
        known = {name: np.array(values) for name, values in self.kept.items()}
        known = {name: values[np.isfinite(values)] for name, values in known.items()}
        return {f"median_{n}": float(np.median(v)) for n, v in known.items() if len(v)}


def judge(
    landmarks: Floats, quality: FaceQuality, *, shape: VideoShape, interpolated: bool
) -> FaceStatus:
    """The status of a face that has a place: five landmarks (5, 2) in proxy pixels."""
    inside = (landmarks >= 0).all() and (landmarks < [shape.width, shape.height]).all()
    if not inside:
        return FaceStatus.OFF_FRAME
    if eye_distances(landmarks) < MIN_EYE_DISTANCE:
        return FaceStatus.TOO_SMALL
    if quality.sharpness < MIN_SHARPNESS:
        return FaceStatus.BLURRED
    return FaceStatus.INTERPOLATED if interpolated else FaceStatus.DETECTED

"""From a proxy video to tracks, aligned crops and a per-frame table, reading the video twice.

The first reading looks for faces in small pictures and follows them; only numbers are kept. Then
the participant's track is chosen, gaps are filled and landmarks smoothed, which needs the whole
track. The second reading cuts the participant's crops and measures every face. Neither holds more
than a few frames, so memory grows with a video's length only by some numbers a frame.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from workers.faces.cutting import Cut, cut_faces
from workers.faces.detectors import Detections, Detector, overlap
from workers.faces.errors import FaceError
from workers.faces.tracks import Track, Tracker, choose_participant, max_gap_frames
from workers.faces.video import Converter, VideoShape, check_count, frames, measure

# How much of the progress the first reading stands for, from its share of the time.
FIRST_READING = 0.75
# Between two looked-at frames, boxes that overlap less than this have moved too far to interpolate.
STEADY_OVERLAP = 0.6
# A face seen for a shorter time counts as no person in the notes; it stays in the table.
PERSON_SECONDS = Fraction(1, 2)
MOSTLY = 0.9

Progress = Callable[[float], None]


@dataclass(frozen=True)
class TrackSummary:
    """One face's track: frames are proxy frames, both ends included.

    frames: number of frames in which the face has a place. usable_share: frames with the status
    detected or interpolated over all frames from first to last. mean_score: of the sightings.
    """

    track_id: int
    first_frame: int
    last_frame: int
    frames: int
    usable_share: float
    mean_score: float
    is_participant: bool


@dataclass(frozen=True)
class FaceExtraction:
    """What was found in a proxy, and the files that hold it.

    table: Parquet, see workers.faces.table. crops and crop_index: see workers.faces.crops.
    contact_sheet: JPEG, or None where there is no crop. share_with_face: frames in which the
    participant's face has a place, over all frames. people: faces seen for half a second or more.
    notes: sentences for the researcher. figures and tools: for the provenance record.
    """

    table: Path
    crops: Path
    crop_index: Path
    contact_sheet: Path | None
    tracks: tuple[TrackSummary, ...]
    frame_count: int
    share_with_face: float
    people: int
    notes: tuple[str, ...]
    figures: dict[str, float | int | str]
    tools: dict[str, str]


def extract_faces(
    proxy: Path,
    out_dir: Path,
    *,
    detector: Detector,
    frame_us: Callable[[int], int],
    rate: Fraction,
    crop_size: int = 256,
    every: int = 1,
    expected_frames: int | None = None,
    on_progress: Progress | None = None,
) -> FaceExtraction:
    """Find, follow, align and crop the faces of a constant-rate proxy video.

    `frame_us` gives a frame's time in microseconds, `rate` is in frames per second. `every` looks
    at every k-th frame only, and at all frames between two looks that differ. faces.parquet,
    crops.tar, crops.parquet and contact_sheet.jpg appear in `out_dir` when all are complete.
    `on_progress` is called with a share from 0 to 1.
    Raises FaceError when the video cannot be read, or has not the expected number of frames.
    """
    started = time.process_time()
    shape = measure(proxy)
    if expected_frames is not None and expected_frames != shape.frame_count:
        raise FaceError(
            f"The proxy {proxy.name} has {shape.frame_count} frames, but its record says "
            f"{expected_frames}. Make the proxy again."
        )
    if not 1 <= every <= max_gap_frames(rate) + 1:
        raise FaceError(
            f"Looking at every {every}th frame is not possible at {float(rate):.4g} frames a "
            f"second: choose from 1 to {max_gap_frames(rate) + 1}, so that gaps stay short."
        )
    report = on_progress or (lambda share: None)
    tracks, looks = _follow(proxy, shape, detector, rate, every, report)
    participant = choose_participant(tracks, width=shape.width, height=shape.height)
    out_dir.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(dir=out_dir, prefix=".faces-"))
    try:
        cut = cut_faces(
            proxy,
            workplace,
            shape=shape,
            tracks=tracks,
            participant=participant,
            frame_us=frame_us,
            crop_size=crop_size,
            on_progress=lambda share: report(FIRST_READING + (1 - FIRST_READING) * share),
        )
        for file in workplace.iterdir():
            file.replace(out_dir / file.name)
    finally:
        shutil.rmtree(workplace)
    people = sum(t.present() >= PERSON_SECONDS * rate or t is participant for t in tracks)
    share = (participant.present() if participant else 0) / shape.frame_count
    sheet = out_dir / "contact_sheet.jpg"
    return FaceExtraction(
        table=out_dir / "faces.parquet",
        crops=out_dir / "crops.tar",
        crop_index=out_dir / "crops.parquet",
        contact_sheet=sheet if cut.has_sheet else None,
        tracks=tuple(_summary(t, cut, is_participant=t is participant) for t in tracks),
        frame_count=shape.frame_count,
        share_with_face=share,
        people=people,
        notes=_notes(shape, cut, share=share, people=people),
        figures={
            **cut.figures,
            "frames": shape.frame_count,
            "frames_looked_at": looks,
            "every": every,
            "crop_size": crop_size,
            "detection_width": detector.working_size(shape.width, shape.height)[0],
            "detection_height": detector.working_size(shape.width, shape.height)[1],
            "cpu_ms_per_frame": 1000 * (time.process_time() - started) / shape.frame_count,
        },
        tools=_tools(detector),
    )


def _follow(
    proxy: Path,
    shape: VideoShape,
    detector: Detector,
    rate: Fraction,
    every: int,
    report: Progress,
) -> tuple[list[Track], int]:
    """The first reading: all tracks, and how many frames were looked at."""
    size = detector.working_size(shape.width, shape.height)
    to_proxy = shape.width / size[0], shape.height / size[1]
    converter, tracker = Converter(), Tracker(rate=rate)
    before = None
    waiting = []  # at most every - 1 small pictures
    looks = decoded = 0
    for number, frame in frames(proxy):
        decoded += 1
        waiting.append((number, converter.picture(frame, size)))
        if number % every and number != shape.frame_count - 1:
            continue
        found = detector.detect(waiting[-1][1]).scaled(*to_proxy)
        if before is not None and _differ(before, found):
            for skipped, picture in waiting[:-1]:
                tracker.add(skipped, detector.detect(picture).scaled(*to_proxy))
                looks += 1
        tracker.add(number, found)
        looks += 1
        before = found
        waiting.clear()
        report(FIRST_READING * decoded / shape.frame_count)
    check_count(proxy, shape, decoded)
    return tracker.finish(), looks


def _differ(before: Detections, after: Detections) -> bool:
    """Whether faces came, went or moved too far for the frames between to be interpolated."""
    if len(before) != len(after):
        return True
    return any(
        max(overlap(box, other) for other in after.boxes) < STEADY_OVERLAP for box in before.boxes
    )


def _summary(track: Track, cut: Cut, *, is_participant: bool) -> TrackSummary:
    import numpy as np

    return TrackSummary(
        track_id=track.track_id,
        first_frame=int(track.frames[0]),
        last_frame=int(track.frames[-1]),
        frames=track.present(),
        usable_share=cut.usable[track.track_id] / len(track.frames),
        mean_score=float(np.nanmean(track.scores)),
        is_participant=is_participant,
    )


def _notes(shape: VideoShape, cut: Cut, *, share: float, people: int) -> tuple[str, ...]:
    if share == 0:
        none = (
            f"No face was found in any of the {shape.frame_count} frames, so there are no face "
            "crops. Check that the recording shows the participant."
        )
        return (none,)
    notes = []
    if share < MOSTLY:
        notes.append(f"A face was found in only {share:.0%} of the frames.")
    if people > 1:
        notes.append(
            f"{people} people were seen. The participant's track was chosen by rule: the face that "
            "is largest, seen longest and nearest the middle. Check it on the contact sheet."
        )
    if cut.usable_share < MOSTLY * share:
        notes.append(
            f"The participant's face is usable in only {cut.usable_share:.0%} of the frames: "
            f"elsewhere it is {cut.reasons}."
        )
    return tuple(notes)


def _tools(detector: Detector) -> dict[str, str]:
    from importlib.metadata import version

    card = detector.card
    packages = ("av", "onnxruntime", "opencv-python-headless", "numpy", "pyarrow")
    return {
        "detector": f"{card.name} {card.version}",
        "detector_sha256": card.sha256,
        **{name: version(name) for name in packages},
    }

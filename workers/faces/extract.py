"""From a proxy video to tracks, aligned crops and a per-frame table, reading the video once.

A frame is settled a few frames after it was decoded: when the next looks have shown where its faces
are, and the smoothing of their landmarks has what it needs. Then its faces are measured and cropped
and the frame is let go. Crops and rows are written as they come, for every face that is followed;
at the end the participant's are kept. So memory does not grow with a video's length, but for some
numbers a look.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from workers.faces.cutting import Cut, Cutter
from workers.faces.detectors import Detector
from workers.faces.errors import FaceError
from workers.faces.following import Follower, Held
from workers.faces.preview import TrackPictures
from workers.faces.tracks import Sightings, choose_participant, max_gap_frames
from workers.faces.video import VideoShape, check_count, frames, measure

# So many frames are settled together: the work per frame falls, the memory for frames grows.
BLOCK = 12
# How much of the progress the reading stands for; the rest is writing the table and the sheet.
READING = 0.95
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
    contact_sheet: the participant's (JPEG), or None where there is none. pictures: a sheet and a
    short film of each track, see workers.faces.preview. share_with_face: frames in which the
    participant's face has a place, over all frames. people: faces seen for half a second or more.
    notes: sentences for the researcher. figures and tools: for the provenance record.
    """

    table: Path
    crops: Path
    crop_index: Path
    contact_sheet: Path | None
    pictures: tuple[TrackPictures, ...]
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
    participant: int | None = None,
    expected_frames: int | None = None,
    on_progress: Progress | None = None,
) -> FaceExtraction:
    """Find, follow, align and crop the faces of a constant-rate proxy video.

    `frame_us` gives a frame's time in microseconds, `rate` is in frames per second. `every` looks
    at every k-th frame only, and at all frames between two looks that differ. `participant` names
    the participant's track, when a person corrects the choice that the rule makes: the same video,
    detector and `every` give the same tracks. faces.parquet, crops.tar, crops.parquet, and
    sheet-N.jpg and film-N.mp4 of each track N appear in `out_dir` when all are complete.
    `on_progress` is called with a share from 0 to 1.
    Raises FaceError when the video cannot be read, has not the expected number of frames, or has
    no track with the number `participant`.
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
    follower = Follower(detector, rate=rate, every=every, shape=shape)
    out_dir.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(dir=out_dir, prefix=".faces-"))
    try:
        with Cutter(workplace, shape=shape, rate=rate, crop_size=crop_size) as cutter:
            _read(proxy, shape, follower, cutter, lambda share: report(READING * share))
            tracks = cutter.rejoin(follower.tracker.everybody())
            chosen = _choose(tracks, cutter, shape, participant)
            cut = cutter.finish(chosen.track_id if chosen else None, frame_us=frame_us)
        report(1.0)
        for file in workplace.iterdir():
            file.replace(out_dir / file.name)
    finally:
        shutil.rmtree(workplace)
    people = sum(
        cut.seen[t.track_id].frames >= PERSON_SECONDS * rate or t is chosen for t in tracks
    )
    share = (cut.seen[chosen.track_id].frames if chosen else 0) / shape.frame_count
    pictures = tuple(
        TrackPictures(made.track_id, out_dir / made.sheet.name, out_dir / made.film.name)
        for made in cut.pictures
    )
    sheets = [made.sheet for made in pictures if chosen and made.track_id == chosen.track_id]
    return FaceExtraction(
        table=out_dir / "faces.parquet",
        crops=out_dir / "crops.tar",
        crop_index=out_dir / "crops.parquet",
        contact_sheet=sheets[0] if sheets else None,
        pictures=pictures,
        tracks=tuple(_summary(t, cut, is_participant=t is chosen) for t in tracks),
        frame_count=shape.frame_count,
        share_with_face=share,
        people=people,
        notes=_notes(shape, cut, share=share, people=people, by_hand=participant is not None),
        figures={
            **cut.figures,
            "frames": shape.frame_count,
            "frames_looked_at": follower.looks,
            "every": every,
            "crop_size": crop_size,
            "detection_width": detector.working_size(shape.width, shape.height)[0],
            "detection_height": detector.working_size(shape.width, shape.height)[1],
            "cpu_ms_per_frame": 1000 * (time.process_time() - started) / shape.frame_count,
        },
        tools=_tools(detector),
    )


def _read(
    proxy: Path,
    shape: VideoShape,
    follower: Follower,
    cutter: Cutter,
    report: Progress,
) -> None:
    """Decode, follow and cut, holding only the frames that are not settled."""
    decoded = 0
    held: deque[Held] = deque()
    for number, frame in frames(proxy):
        decoded += 1
        held.append(Held(number, frame))
        follower.take(held[-1])
        while len(held) >= BLOCK and held[BLOCK - 1].number <= follower.final():
            cutter.take([held.popleft() for _ in range(BLOCK)], follower.tracker)
            report(decoded / shape.frame_count)
    check_count(proxy, shape, decoded)
    while held:
        block = [held.popleft() for _ in range(min(BLOCK, len(held)))]
        cutter.take(block, follower.tracker)
    report(1.0)


def _choose(
    tracks: list[Sightings], cutter: Cutter, shape: VideoShape, participant: int | None
) -> Sightings | None:
    if participant is None:
        frames_of = {track.track_id: cutter.cut.seen[track.track_id].frames for track in tracks}
        return choose_participant(tracks, frames_of, width=shape.width, height=shape.height)
    for track in tracks:
        if track.track_id == participant:
            return track
    known = ", ".join(str(track.track_id) for track in tracks) or "none"
    raise FaceError(
        f"There is no face with the number {participant} in this recording. The faces that were "
        f"found have the numbers: {known}."
    )


def _summary(track: Sightings, cut: Cut, *, is_participant: bool) -> TrackSummary:
    seen = cut.seen[track.track_id]
    return TrackSummary(
        track_id=track.track_id,
        first_frame=seen.first,
        last_frame=seen.last,
        frames=seen.frames,
        usable_share=seen.usable / (seen.last + 1 - seen.first),
        mean_score=sum(track.scores) / len(track.scores),
        is_participant=is_participant,
    )


def _notes(
    shape: VideoShape, cut: Cut, *, share: float, people: int, by_hand: bool
) -> tuple[str, ...]:
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
        rule = "by rule: the face that is largest, seen longest and nearest the middle"
        notes.append(
            f"{people} people were seen. The participant's track was chosen "
            f"{'by hand' if by_hand else rule}. Check it on the contact sheet."
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

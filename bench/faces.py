"""Faces: what finding, following, measuring and cropping them costs beside decoding alone."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.clips import RATE, Codec, looped
from bench.measure import ROOT, Pairs, in_child, paired, watched
from bench.measure import cpu_timed as cpu
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import megabytes

if TYPE_CHECKING:
    from workers.faces.detectors import Detector

_SHARED = ROOT.parent / "shared"
_REAL_CLIP = _SHARED / "media" / "talking_head_20s.mp4"
_YUNET = _SHARED / "models" / "yunet_n_dynamic.onnx"
_SECONDS = 60
_EVERY = 5
_CODECS: tuple[Codec, ...] = ("h264", "vp8", "vp9")
_DEFACE_SECONDS = 60
_LONG_SIDE = 320
_DEFACE_BOUND = 15
# What grows with the picture shows in ten seconds of 720p, what grows with the length in an hour of
# small pictures, which takes a minute or two.
_HOUR_HEIGHT, _HOUR_LONG_SIDE = 144, 96
_PEAK_MB = 250
_PEERS = (
    NotMeasured("py-feat", "its detectors fetch their weights from a hub when they are made."),
    NotMeasured("OpenFace 3", "its weights come from a hub only, not with its package."),
)
# Height -> at most so many times decoding: every fifth frame looked at, and every frame.
_YUNET_BOUNDS = {480: (3.3, 5.8), 720: (2.6, 3.6)}
_CENTERFACE_BOUND = 5.5
_PER_FRAME = (
    "processor time per frame, pairs in turn in one process, the network already loaded; with ids, "
    "pose, quality, table and crops of 256 px"
)
_PROGRAMS = "processor time of both programs from start to end, starting and loading included"
_PEAK = "largest resident size of the stage's process, interpreter and network included"
_TOGETHER = "frames a second of wall-clock time, two processes at once over one alone"
_APART = (
    "of the distance between the eyes, landmarks of the participant, frame by frame; on the proxy"
)


def measure() -> Iterator[Line]:
    """Beside decoding, for each size and codec; beside deface; two at once; how far apart."""
    if not _REAL_CLIP.exists():
        yield NotMeasured("talking head", f"there is no file {_REAL_CLIP.name} here.")
        return
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        where = Path(folder)
        detectors = _detectors(where / "models")
        if "YuNet" not in detectors:
            yield NotMeasured("YuNet", f"its weights {_YUNET.name} are not here.")
        for height in _YUNET_BOUNDS:
            for codec in _CODECS:
                clip = looped(_REAL_CLIP, where, codec=codec, height=height, seconds=_SECONDS)
                yield from _beside_decoding(clip, codec, height, detectors, where)
        yield from _two_at_once(where)
        yield from _beside_deface(
            looped(_REAL_CLIP, where, codec="h264", height=480, seconds=_DEFACE_SECONDS), where
        )
        yield from _peaks(where)
        yield from _apart(detectors, where)
        yield from _PEERS


def extract(
    clip: str, models: str, out_dir: str, name: str, every: int, long_side: int = _LONG_SIDE
) -> int:
    """Find, follow and crop the faces of a clip as the jobs do; return how many frames it has."""
    from workers.faces.detectors import load
    from workers.faces.models import prepare_models

    _one_thread()
    card = prepare_models(Path(models), names=[name])[name]
    return _extract(Path(clip), load(card, long_side=long_side), out_dir, every)


def _detectors(folder: Path) -> dict[str, Detector]:
    from workers.faces.detectors import load
    from workers.faces.models import install, prepare_models, sha256_of

    _one_thread()
    if _YUNET.exists():
        install(folder, "yunet", str(_YUNET), sha256=sha256_of(_YUNET), licence="BSD-3-Clause")
    cards = prepare_models(folder)
    names = {"YuNet": "yunet", "CenterFace, 8 bits": "centerface-int8", "CenterFace": "centerface"}
    return {title: load(cards[name]) for title, name in names.items() if name in cards}


def _beside_decoding(
    clip: Path, codec: Codec, height: int, detectors: dict[str, Detector], folder: Path
) -> Iterator[Row]:
    often, always = _YUNET_BOUNDS[height]
    wanted: list[tuple[str, int, float | None]] = [("YuNet", _EVERY, often)]
    if codec == "h264":
        small = _CENTERFACE_BOUND if height == 480 else None
        wanted += [("YuNet", 1, always), ("CenterFace, 8 bits", _EVERY, small)]
        wanted += [("CenterFace", _EVERY, None)]
    count = _decode(clip)
    for title, every, limit in wanted:
        if title not in detectors:
            continue

        def ours(detector: Detector = detectors[title], every: int = every) -> float:
            return cpu(lambda: _extract(clip, detector, str(folder / "out"), every))

        pairs = paired(ours, lambda: cpu(lambda: _decode(clip)), pairs=5, budget_seconds=30)
        looks = "every frame" if every == 1 else f"every {every}th frame and at changes"
        case = f"{title}, {height}p {codec}: looks at {looks}"
        yield _row(
            case, pairs, count, _PER_FRAME, None if limit is None else Bound("at most", limit)
        )


def _two_at_once(folder: Path) -> Iterator[Row]:
    """Two processes on two clips, beside one process on one."""
    clip = folder / "two.mp4"
    shutil.copy(looped(_REAL_CLIP, folder, codec="h264", height=480, seconds=_SECONDS), clip)

    def run(number: int) -> tuple[int, float]:
        done = in_child(
            "bench.faces:extract_timed",
            {
                "clip": str(clip),
                "models": str(folder / "models"),
                "out_dir": str(folder / f"out-{number}"),
            },
        ).result
        return int(done["frames"]), float(done["seconds"])

    def speed(processes: int) -> float:
        with ThreadPoolExecutor(processes) as pool:
            return sum(frames / seconds for frames, seconds in pool.map(run, range(processes)))

    pairs = paired(lambda: speed(2), lambda: speed(1), pairs=3, budget_seconds=60)
    yield Row(
        case="CenterFace, 480p h264: two processes",
        measured=f"{pairs.ours:.0f} frames/s",
        rival=f"{pairs.rival:.0f} frames/s",
        ratio=pairs.ours_over_rival,
        bound=Bound("at least", 1.9),
        note=_TOGETHER,
    )


def extract_timed(clip: str, models: str, out_dir: str) -> dict[str, float]:
    """Extract twice and give the frames and the seconds, loading left out."""
    import time

    from workers.faces.detectors import load
    from workers.faces.models import prepare_models

    _one_thread()
    detector = load(prepare_models(Path(models), names=["centerface"])["centerface"])
    _decode(Path(clip))
    began = time.monotonic()
    frames = sum(_extract(Path(clip), detector, out_dir, _EVERY) for _ in range(2))
    return {"frames": frames, "seconds": time.monotonic() - began}


def _beside_deface(clip: Path, folder: Path) -> Iterator[Row]:
    """The same clip, network and working size: 320 x 180, which both fill up to 320 x 192."""
    deface = Path(sys.executable).with_name("deface")

    def rival() -> float:
        finished = watched(
            [
                *(str(deface), str(clip), "--output", str(folder / "masked.mp4")),
                *("--scale", "320x180", "--backend", "onnxrt"),
            ],
            timeout=600,
        )
        if finished.status != 0:
            raise RuntimeError(f"deface failed: {finished.stderr[-2000:]}")
        return finished.cpu_seconds

    def ours() -> float:
        arguments = {"clip": str(clip), "models": str(folder / "models")}
        found = in_child(
            "bench.faces:extract",
            arguments | {"out_dir": str(folder / "out"), "name": "centerface", "every": _EVERY},
        )
        return found.cpu_seconds

    count = _decode(clip)
    pairs = paired(ours, rival, pairs=3, budget_seconds=60)
    yield Row(
        case=f"CenterFace, {_DEFACE_SECONDS} s of 480p, every {_EVERY}th frame, beside deface",
        measured=f"{1000 * pairs.ours / count:.2f} ms",
        rival=f"{1000 * pairs.rival / count:.2f} ms",
        ratio=pairs.ours_over_rival,
        bound=Bound("at least", _DEFACE_BOUND, "x less"),
        figure=pairs.rival_over_ours,
        note=_PROGRAMS,
    )


def _peaks(folder: Path) -> Iterator[Row]:
    """What one process takes at most, for ten seconds and for an hour."""
    for shown, seconds, height, long_side in (
        ("ten seconds of 720p", 10, 720, _LONG_SIDE),
        (f"an hour of {_HOUR_HEIGHT}p", 3600, _HOUR_HEIGHT, _HOUR_LONG_SIDE),
    ):
        clip = looped(_REAL_CLIP, folder, codec="h264", height=height, seconds=seconds)
        arguments = {"clip": str(clip), "models": str(folder / "models")}
        found = in_child(
            "bench.faces:extract",
            arguments
            | {"out_dir": str(folder / "out"), "name": "centerface", "every": _EVERY}
            | {"long_side": long_side},
            timeout=1800,
        )
        yield Row(
            case=f"peak memory, CenterFace, every {_EVERY}th frame: {shown}",
            measured=megabytes(found.peak_bytes),
            bound=Bound("at most", _PEAK_MB, "MB"),
            figure=found.peak_bytes / 1e6,
            note=_PEAK,
        )


def _apart(detectors: dict[str, Detector], folder: Path) -> Iterator[Line]:
    """How far the landmarks of every fifth frame lie from those of every frame."""
    import numpy as np

    for name in ("talking_head_20s", "head_pose", "two_people"):
        clip = _proxy(_SHARED / "media" / f"{name}.mp4", folder / name)
        for title, detector in detectors.items():
            marks, statuses = [], []
            for every in (1, _EVERY):
                table = _table(clip, detector, folder / "apart", every)
                marks.append(table[0])
                statuses.append(table[1])
            eyes = np.linalg.norm(marks[0][:, 1] - marks[0][:, 0], axis=1)
            error = np.linalg.norm(marks[0] - marks[1], axis=2).mean(axis=1) / eyes
            error = error[np.isfinite(error)]
            lost = int(np.count_nonzero(statuses[0] & ~statuses[1]))
            for part, limit in ((50, 0.03), (95, 0.10)):
                figure = float(np.percentile(error, part))
                what = "median" if part == 50 else f"{part}th percentile"
                yield Row(
                    case=f"{name}, {title}: {what} landmark error of every {_EVERY}th frame",
                    measured=f"{figure:.1%}, {lost} crops lost",
                    bound=Bound("at most", limit, ""),
                    figure=figure if not lost else float("inf"),
                    note=_APART,
                )


def _table(clip: Path, detector: Detector, out: Path, every: int) -> tuple[Any, Any]:
    """The participant's landmarks (frames, 5, 2), and in which frames it has a crop."""
    import numpy as np
    import pyarrow.parquet as pq

    from workers.faces.table import LANDMARK_COLUMNS, WITH_CROP

    _extract(clip, detector, str(out), every, keep=True)
    rows = [
        row for row in pq.read_table(out / "faces.parquet").to_pylist() if row["is_participant"]
    ]
    shutil.rmtree(out)
    marks = [
        [row[name] if row[name] is not None else np.nan for name in LANDMARK_COLUMNS]
        for row in rows
    ]
    cropped = [row["status"] in {status.value for status in WITH_CROP} for row in rows]
    return np.array(marks).reshape(-1, 5, 2), np.array(cropped)


def _proxy(source: Path, folder: Path) -> Path:
    from waver.core.clock import frame_us
    from workers.media.normalise import normalise

    folder.mkdir()
    return normalise(source, folder, frame_us=frame_us).video


def _row(case: str, pairs: Pairs, count: int, note: str, bound: Bound | None) -> Row:
    return Row(
        case=case,
        measured=f"{1000 * pairs.ours / count:.2f} ms",
        rival=f"{1000 * pairs.rival / count:.2f} ms",
        ratio=pairs.ours_over_rival,
        bound=bound,
        note=note,
    )


def _extract(
    clip: Path, detector: Detector, out_dir: str, every: int, *, keep: bool = False
) -> int:
    from waver.core.clock import frame_us
    from workers.faces.extract import extract_faces

    rate = _rate(clip)
    found = extract_faces(
        clip,
        Path(out_dir),
        detector=detector,
        frame_us=lambda frame: frame_us(frame, rate),
        rate=rate,
        every=every,
    )
    if found.share_with_face < 0.9:
        raise RuntimeError(f"A face was found in only {found.share_with_face:.0%} of {clip.name}.")
    if not keep:
        shutil.rmtree(out_dir)
    return found.frame_count


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _rate(clip: Path) -> Fraction:
    import av

    with av.open(str(clip)) as container:
        return container.streams.video[0].average_rate or Fraction(RATE)


def _decode(clip: Path) -> int:
    """Decode every frame on one thread with PyAV and drop it; return how many there are."""
    import av

    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


SUBJECT = Subject(
    name="faces",
    title="finding, following, aligning and cropping faces, 256 px crops and table stored",
    rival="PyAV decoding the same clip once and dropping the frames; the deface command line with "
    "the same network (CenterFace, onnxruntime) at the same size; itself alone",
    ratio="our processor time over the rival's, or our speed over its; median of paired runs",
    measure=measure,
    versions=("av", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow", "deface"),
)

"""Faces in every frame, beside what decoding alone costs, and beside the deface program."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from bench.clips import RATE, talking_head
from bench.measure import ROOT, Pairs, in_child, paired, watched
from bench.measure import cpu_timed as cpu
from bench.subject import Line, NotMeasured, Row, Subject

if TYPE_CHECKING:
    from workers.faces.detectors import Detector

_REAL_CLIP = ROOT.parent / "shared" / "media" / "talking_head_20s.mp4"
# What the platform's jobs do, and a look at every single frame.
_LOOKS = (3, 1)
_DEFACE_SECONDS = 4
_PER_FRAME = "processor time per frame, pairs in turn in one process, the network already loaded"
_PROGRAMS = "processor time of both programs from start to end, starting and loading included"


def measure() -> Iterator[Line]:
    """Two clips beside decoding; a shorter one beside the deface command line."""
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        where = Path(folder)
        made = talking_head(where / "head.mp4", seconds=20, width=640, height=480)
        yield from _beside_decoding("synthetic head, 20 s, 640x480", made, where)
        if _REAL_CLIP.exists():
            yield from _beside_decoding("talking_head_20s.mp4", _REAL_CLIP, where)
        else:
            yield NotMeasured("talking_head_20s.mp4", f"there is no file {_REAL_CLIP.name} here.")
        short = talking_head(where / "short.mp4", seconds=_DEFACE_SECONDS, width=640, height=480)
        yield _beside_deface(short, where)


def extract(clip: str, models: str, out_dir: str, every: int) -> int:
    """Find, follow and crop the faces of a clip as the jobs do; return how many frames it has."""
    from workers.faces.detectors import load
    from workers.faces.models import prepare_models

    return _extract(
        Path(clip),
        load(prepare_models(Path(models), names=["centerface"])["centerface"]),
        out_dir,
        every,
    )


def _beside_decoding(case: str, clip: Path, folder: Path) -> Iterator[Row]:
    from workers.faces.detectors import load
    from workers.faces.models import prepare_models

    detector = load(prepare_models(folder / "models", names=["centerface"])["centerface"])
    count = _decode(clip)
    for every in _LOOKS:

        def ours(every: int = every) -> float:
            out = folder / "out"
            took = cpu(lambda: _extract(clip, detector, str(out), every))
            shutil.rmtree(out)
            return took

        pairs = paired(ours, lambda: cpu(lambda: _decode(clip)), pairs=3, budget_seconds=45)
        looks = "every frame" if every == 1 else f"every {every}rd frame and at changes"
        yield _row(f"{case}: looks at {looks}", pairs, count, _PER_FRAME)


def _beside_deface(clip: Path, folder: Path) -> Row:
    """The same network on pictures of the same size: 320 x 240 for a clip of 640 x 480."""
    deface = Path(sys.executable).with_name("deface")
    arguments = {"clip": str(clip), "models": str(folder / "models"), "every": 1}

    def ours() -> float:
        out = folder / "out"
        took = in_child("bench.faces:extract", arguments | {"out_dir": str(out)}).cpu_seconds
        shutil.rmtree(out)
        return took

    def rival() -> float:
        finished = watched(
            [
                *(str(deface), str(clip), "--output", str(folder / "masked.mp4")),
                *("--scale", "320x240", "--backend", "onnxrt"),
            ],
            timeout=300,
        )
        if finished.status != 0:
            raise RuntimeError(f"deface failed: {finished.stderr[-2000:]}")
        return finished.cpu_seconds

    pairs = paired(ours, rival, pairs=3, budget_seconds=30)
    count = _decode(clip)
    case = f"synthetic head, {_DEFACE_SECONDS} s: every frame, beside deface --scale 320x240"
    return _row(case, pairs, count, _PROGRAMS)


def _row(case: str, pairs: Pairs, count: int, note: str) -> Row:
    return Row(
        case=case,
        measured=f"{1000 * pairs.ours / count:.2f} ms",
        rival=f"{1000 * pairs.rival / count:.2f} ms",
        ratio=pairs.ours_over_rival,
        note=note,
    )


def _extract(clip: Path, detector: Detector, out_dir: str, every: int) -> int:
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
    return found.frame_count


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
    "the same network (CenterFace, onnxruntime) at the same size",
    ratio="our processor time over the rival's; median of paired runs",
    measure=measure,
    versions=("av", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow", "deface"),
)

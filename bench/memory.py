"""The workers' peak memory on a short and on a long recording: none may hold a whole video."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from bench.clips import RATE, SOUND_RATE, speech, talking_head
from bench.measure import in_child
from bench.subject import Bound, Line, Row, Subject
from bench.table import megabytes

SHORT_SECONDS, LONG_SECONDS = 10, 600
WIDTH, HEIGHT = 160, 120
# Small pictures for the network and a look at every fifth frame: neither changes what is held.
LONG_SIDE, LOOK_EVERY = 96, 5
_NOTE = (
    "measured: growth of the peak from 10 s to 10 min (in brackets the peak at 10 min), the stage "
    "in a process of its own, ffmpeg included"
)


def measure() -> Iterator[Line]:
    """Each stage once on ten seconds and once on ten minutes."""
    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        where = Path(folder)
        videos, sounds = {}, {}
        for length in (SHORT_SECONDS, LONG_SECONDS):
            videos[length] = talking_head(
                where / f"head_{length}.mp4",
                seconds=length,
                width=WIDTH,
                height=HEIGHT,
                with_sound=True,
            )
            sounds[length] = speech(where / f"speech_{length}.wav", seconds=length)
        frames = (LONG_SECONDS - SHORT_SECONDS) * RATE
        pictures = frames * WIDTH * HEIGHT * 3 // 2
        samples = (LONG_SECONDS - SHORT_SECONDS) * SOUND_RATE * 4
        yield _row("normalise", "bench.memory:normalise", videos, where, pictures, 40)
        yield _row("faces", "bench.memory:faces", videos, where, pictures, 40)
        yield _row("speech", "bench.memory:find_speech", sounds, where, samples, 10)


def normalise(source: str, out_dir: str) -> int:
    """Make a proxy; return how many frames it has."""
    from waver.core.clock import frame_us
    from workers.media.normalise import normalise as make_proxy

    return make_proxy(Path(source), Path(out_dir), frame_us=frame_us).frame_count


def faces(source: str, out_dir: str) -> int:
    """Find and crop faces; return how many frames there are."""
    from waver.core.clock import frame_us
    from workers.faces.detectors import load
    from workers.faces.extract import extract_faces
    from workers.faces.models import prepare_models

    rate = Fraction(RATE)
    card = prepare_models(Path(out_dir), names=["centerface"])["centerface"]
    found = extract_faces(
        Path(source),
        Path(out_dir),
        detector=load(card, long_side=LONG_SIDE),
        frame_us=lambda frame: frame_us(frame, rate),
        rate=rate,
        every=LOOK_EVERY,
    )
    if found.share_with_face < 0.9:
        raise RuntimeError(f"A face was found in only {found.share_with_face:.0%} of the frames.")
    return found.frame_count


def find_speech(source: str, out_dir: str) -> int:
    """Find speech; return its number of segments. Nothing is written to `out_dir`."""
    from workers.speech.vad import find_speech as find

    found = len(find(Path(source)).segments)
    if found == 0:
        raise RuntimeError("No speech was found in the synthesised sentences.")
    return found


def _row(
    case: str, stage: str, sources: dict[int, Path], folder: Path, whole: int, limit: float
) -> Row:
    peaks = []
    for length, source in sources.items():
        out = folder / f"{case}-{length}"
        out.mkdir()
        peaks.append(in_child(stage, {"source": str(source), "out_dir": str(out)}).peak_bytes)
    growth = peaks[1] - peaks[0]
    return Row(
        case=f"{case}: 10 min after 10 s",
        measured=f"{growth / 1e6:+.1f} MB ({megabytes(peaks[1])})",
        rival=megabytes(whole),
        ratio=growth / whole,
        bound=Bound("at most", limit, "MB"),
        figure=growth / 1e6,
        note=_NOTE,
    )


SUBJECT = Subject(
    name="memory",
    title=f"peak memory of the workers' stages on long recordings ({WIDTH} x {HEIGHT}, 25 fps)",
    rival="a stage that held the decoded video (YUV 4:2:0), or the sound as 32-bit samples: the "
    "bytes that the longer recording adds, computed",
    ratio="growth of the peak over the rival's",
    measure=measure,
    versions=("av", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow"),
)

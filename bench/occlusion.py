"""Whether a covered face is found: things planted into the shared recordings, and real hands.

`python -m bench.occlusion` fits the judgement anew and writes it to workers/faces/occlusion.json.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.measure import ROOT
from bench.occluders import MASK, THINGS, planted
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from workers.faces import occlusion

Floats = NDArray[np.float32]
Glimpses = NDArray[np.uint8]

_SHARED = ROOT.parent / "shared"
_YUNET = _SHARED / "models" / "yunet_n_dynamic.onnx"
# From this share on a face counts as covered; what covers less is neither hit nor false alarm.
_COVERED, _FREE = 1 / 3, 0.02
# So often each free face is shown, moved anew, and so often with something before it.
_ROUNDS = 2
# So many frames of each video before and after something planted.
_PLANTED_FREE = 100


@dataclass(frozen=True)
class _Recording:
    """One of the shared recordings; `hands` are frames with a hand on the face, `much` with more
    than a third under it, as seen by eye. `part` is what things are planted into."""

    name: str
    person: str
    rate: Fraction
    part: slice
    hands: range = range(0)
    much: range = range(0)


_RECORDINGS = (
    _Recording("single_face.mp4", "first", Fraction(30), slice(None)),
    _Recording("phone_vfr_hevc.mov", "first", Fraction(25), slice(0, 60)),
    _Recording(
        "talking_head_20s.mp4",
        "second",
        Fraction(24000, 1001),
        slice(252, None),
        hands=range(57, 228),
        much=range(92, 141),
    ),
    _Recording("head_pose.mp4", "third", Fraction(12), slice(None)),
    _Recording("two_people.mp4", "fourth", Fraction(12), slice(None)),
)


@dataclass(frozen=True)
class _Case:
    """One video's participant: glimpses, yaws, and how much of the face is covered, by frame."""

    recording: _Recording
    is_planted: bool
    glimpses: Glimpses
    yaw: Floats
    covered: Floats


def measure() -> Iterator[Line]:
    """Hits and false alarms by recording: the fit that ships, and one that never saw the person."""
    missing = [r.name for r in _RECORDINGS if not (_SHARED / "media" / r.name).exists()]
    if missing:
        yield NotMeasured("all recordings", f"there is no {', '.join(missing)} here.")
        return
    cases = list(_cases())
    shipped = occlusion.fitted()
    for person in dict.fromkeys(r.person for r in _RECORDINGS):
        unseen = fit([case for case in cases if case.recording.person != person])
        for recording in (r for r in _RECORDINGS if r.person == person):
            own = [case for case in cases if case.recording is recording]
            yield from _rows(recording, own, shipped, "the fit that ships", found_at_least=60)
            yield from _rows(recording, own, unseen, "fitted without this person")


def _rows(
    recording: _Recording,
    own: list[_Case],
    how: tuple[Floats, float],
    note: str,
    *,
    found_at_least: float | None = None,
) -> Iterator[Row]:
    said = [(case, occlusion.covered(case.glimpses, case.yaw, how)) for case in own]
    hidden = [(case.covered >= _COVERED, occlusion.is_judged(case.yaw), f) for case, f in said]
    found = Bound("at least", found_at_least, "%") if found_at_least else None
    none = Bound("at most", 2, "%")
    for what, parts, limit in (
        ("covered by a third or more, head not turned, found", [f[h & n] for h, n, f in hidden],
         found),
        ("covered by a third or more, found", [f[h] for h, _, f in hidden], None),
        ("nothing before the face, said to be covered",
         [f[case.covered < _FREE] for case, f in said if not case.is_planted], none),
        ("before and after something covered it, said to be covered",
         [f[case.covered < _FREE] for case, f in said if case.is_planted], none),
    ):  # fmt: skip
        flags = np.concatenate(parts)
        yield Row(
            case=f"{recording.name}: {what}",
            measured=f"{flags.mean():.1%} of {len(flags)} frames",
            figure=100 * float(flags.mean()),
            bound=limit,
            note=note,
        )


def fit(cases: list[_Case]) -> tuple[Floats, float]:
    """Weights and bias of the linear judgement: logistic regression, both classes weighing alike.

    Shown to it are faces with nothing before them, the same with patches of any shape, brightness
    and texture drawn over a fifth of them or more, and every second one with a planted thing; all
    moved, turned and scaled a little, as detectors do, and mirrored.
    """
    chance = np.random.default_rng(0)
    pictures: list[Glimpses] = []
    answers: list[NDArray[np.bool_]] = []
    for case in cases:
        free = case.glimpses[case.covered < _FREE]
        count = min(len(free), _PLANTED_FREE if case.is_planted else 2 * _PLANTED_FREE)
        free = free[np.linspace(0, len(free) - 1, count).astype(int)]
        shown = [(free, False)] * _ROUNDS
        shown += [(_patched(_moved(free, chance), chance), True) for _ in range(_ROUNDS)]
        for some, is_covered in (*shown, (case.glimpses[case.covered >= _COVERED][::2], True)):
            moved = _moved(some, chance)
            for either in (moved, moved[:, :, ::-1]):
                pictures.append(either)
                answers.append(np.full(len(either), is_covered))
    found = occlusion.features(np.concatenate(pictures))
    return _logistic(found.astype(np.float64), np.concatenate(answers))


def _logistic(found: NDArray[np.float64], answers: NDArray[np.bool_]) -> tuple[Floats, float]:
    from scipy.optimize import minimize

    mean, spread = found.mean(axis=0), found.std(axis=0) + 0.05
    scaled, sign = (found - mean) / spread, np.where(answers, 1.0, -1.0)
    weight = np.where(answers, 0.5 / answers.mean(), 0.5 / (1 - answers.mean())) / len(answers)
    penalty = 333.0 / len(answers)

    def loss(given: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (scaled @ given[:-1] + given[-1])
        slope = -sign * weight / (1 + np.exp(margin))
        total = float(weight @ np.logaddexp(0, -margin)) + penalty / 2 * float(
            given[:-1] @ given[:-1]
        )
        return total, np.append(scaled.T @ slope + penalty * given[:-1], slope.sum())

    best = minimize(
        loss, np.zeros(found.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    ).x
    weights = best[:-1] / spread
    return weights.astype(np.float32), float(best[-1] - mean @ weights)


def _moved(pictures: Glimpses, chance: np.random.Generator) -> Glimpses:
    """Each picture shifted, turned and scaled a little."""
    import cv2

    half, side = occlusion.SIDE / 2, occlusion.SIDE
    moved = np.empty_like(pictures)
    for place, picture in enumerate(pictures):
        turn, scale = float(chance.normal(0, 6)), 1 + float(chance.normal(0, 0.06))
        matrix = cv2.getRotationMatrix2D((half, half), turn, scale)
        matrix[:, 2] += chance.normal(0, 0.75, 2)
        moved[place] = cv2.warpAffine(
            picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE
        )
    return moved


def _patched(pictures: Glimpses, chance: np.random.Generator) -> Glimpses:
    """Each picture with something before a fifth of it or more."""
    import cv2

    side = occlusion.SIDE
    shown = np.empty_like(pictures)
    for place, picture in enumerate(pictures):
        shape, share = np.zeros((side, side), np.uint8), 0.0
        while not 0.2 < share < 0.85:
            shape[:] = 0
            middle, size = chance.uniform(4, side - 4, 2), chance.uniform(8, 22, 2)
            turned = (middle.tolist(), size.tolist(), float(chance.uniform(0, 180)))
            kind = chance.integers(3)
            if kind == 0:
                cv2.ellipse(shape, turned, 255, -1)
            elif kind == 1:
                _fingers(shape, middle, chance)
            else:
                cv2.fillPoly(shape, [cv2.boxPoints(turned).astype(np.int32)], 255)
            share = float((shape > 0).mean())
        tones = chance.uniform(5, 60), chance.uniform(160, 250)
        tone = chance.choice([*tones, chance.uniform(0.8, 1.2) * float(np.median(picture))])
        grain = int(chance.integers(2, 12))
        texture = cv2.resize(chance.normal(0, 1, (grain, grain)), (side, side))
        slope = np.add.outer(*(np.linspace(-1, 1, side) * chance.normal(0, 15) for _ in range(2)))
        look = tone + texture * chance.uniform(2, 25) + slope
        hides = cv2.GaussianBlur(shape, (0, 0), 0.5).astype(np.float64) / 255
        shown[place] = np.clip(picture * (1 - hides) + look * hides, 0, 255)
    return shown


def _fingers(shape: Glimpses, middle: NDArray[np.float64], chance: np.random.Generator) -> None:
    """Draw four fingers side by side and a palm."""
    import cv2

    angle, gap = chance.uniform(0, 2 * np.pi), chance.uniform(2.5, 4)
    along, across = (np.array([np.cos(a), np.sin(a)]) for a in (angle, angle + np.pi / 2))
    for number in range(4):
        start = middle + across * (number - 1.5) * gap
        end = start + along * chance.uniform(7, 13)
        ends = (tuple(point.astype(int).tolist()) for point in (start, end))
        cv2.line(shape, *ends, 255, int(chance.integers(2, 5)))
    palm = tuple((middle - along * 4.5).astype(int).tolist())
    cv2.circle(shape, palm, int(chance.integers(5, 9)), 255, -1)


def _cases() -> Iterator[_Case]:
    """Every recording as it is, and with each thing planted, followed by each detector."""
    from workers.faces.detectors import load
    from workers.faces.models import install, prepare_models, sha256_of

    with tempfile.TemporaryDirectory(prefix="waver-bench-") as folder:
        where = Path(folder)
        if _YUNET.exists():
            install(where, "yunet", str(_YUNET), sha256=sha256_of(_YUNET), licence="BSD-3-Clause")
        cards = prepare_models(where, names=["centerface", "centerface-int8", "yunet"])
        names = [name for name in ("centerface-int8", "yunet") if name in cards]
        detectors = [load(cards[name]) for name in names]
        for recording in _RECORDINGS:
            yield from _cases_of(recording, detectors, where)


def _cases_of(recording: _Recording, detectors: list, where: Path) -> Iterator[_Case]:  # type: ignore[type-arg]  # detectors are imported late
    import av

    with av.open(str(_SHARED / "media" / recording.name)) as container:
        real = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    if recording.name.startswith("phone"):
        real = real[recording.part]  # the rest shows no face
    plain = np.zeros(len(real), np.float32)
    plain[list(recording.hands)] = (_COVERED + _FREE) / 2
    plain[list(recording.much)] = 1
    rows, first = [], None
    for detector in detectors:
        case, rows = _followed(recording, real, plain, detector, where, is_planted=False)
        first = first or rows
        yield case
    marks = {row["frame"]: _landmarks(row) for row in first or [] if row["x0"] is not None}
    part = list(range(len(real)))[recording.part]
    # A short recording goes to and fro, so that a thing has time to come and go.
    order = part + (part[::-1] + part if len(part) < 100 else [])
    for thing in (*THINGS, MASK):
        drawn = list(
            planted([real[n] for n in order], [marks.get(n) for n in order], thing, seed=len(part))
        )
        pictures, truth = [p for p, _ in drawn], np.array([c for _, c in drawn], np.float32)
        for detector in detectors:
            yield _followed(recording, pictures, truth, detector, where, is_planted=True)[0]


def _followed(  # type: ignore[no-untyped-def]  # detectors are imported late
    recording: _Recording, pictures, truth: Floats, detector, where: Path, *, is_planted: bool
):
    """The participant's glimpses in a video of the pictures, and the face table's rows."""
    import cv2
    import pyarrow.parquet as pq

    from workers.faces.crops import CropReader
    from workers.faces.extract import extract_faces
    from workers.media.encoding import PictureWriter

    video, out, rate = where / "clip.mp4", where / "faces", recording.rate
    size = pictures[0].shape[1], pictures[0].shape[0]
    with PictureWriter(video, size=size, rate=rate, quality=16) as writer:
        for picture in pictures:
            writer.add(picture)
    every = min(5, int(rate / 3) + 1)
    found = extract_faces(
        video, out, detector=detector, frame_us=lambda n: n, rate=rate, every=every
    )
    rows = [r for r in pq.read_table(found.table).to_pylist() if r["is_participant"]]
    reader = CropReader(found.crops, found.crop_index)
    known = reader.frames.tolist()
    crops = (np.frombuffer(reader.jpeg(n), np.uint8) for n in known)
    seen = [occlusion.glimpse(cv2.imdecode(c, cv2.IMREAD_GRAYSCALE)) for c in crops]
    yaws = [rows[n]["yaw"] for n in known]
    yaw = np.array([np.nan if y is None else y for y in yaws], np.float32)
    shutil.rmtree(out)
    return _Case(recording, is_planted, np.stack(seen), yaw, truth[known]), rows


def _landmarks(row: dict[str, float]) -> NDArray[np.float64]:
    return np.array([[row[f"lm{point}x"], row[f"lm{point}y"]] for point in range(5)])


SUBJECT = Subject(
    name="occlusion",
    title="Covered faces: hands, cups, telephones and paper before real faces, two detectors",
    rival="the same judgement, fitted without the person whose recording it is",
    ratio="no ratio: shares of frames",
    measure=measure,
    versions=("numpy", "opencv-python-headless", "onnxruntime", "scipy"),
    only_by_name=True,
)


if __name__ == "__main__":
    weights, bias = fit(list(_cases()))
    target = ROOT / "workers" / "faces" / "occlusion.json"
    held = {"weights": [round(float(w), 5) for w in weights], "bias": round(bias, 5)}
    target.write_text(json.dumps(held) + "\n", encoding="utf-8")
    sys.stdout.write(f"Written to {target}.\n")

"""Face detectors behind one small interface, run with onnxruntime on one thread.

Every detector takes a picture of any size, works at a size of its own (the long side `long_side`
pixels, both sides filled with black to multiples of 32) and answers in the pixels of the picture
it was given. One thread and no spinning: the platform runs one process per core instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.faces.errors import FaceError
from workers.faces.models import DetectorCard, sha256_of
from workers.faces.upright import straightened

if TYPE_CHECKING:
    import onnxruntime

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

NO_BOXES, NO_SCORES = np.empty((0, 4), np.float32), np.empty(0, np.float32)
NO_LANDMARKS = np.empty((0, 5, 2), np.float32)

LONG_SIDE = 320
# Below this score nothing is reported at all. A track needs a stronger face to begin with, see
# workers.faces.tracks.START_SCORE; the faces in between only continue one.
REPORT_SCORE = 0.3
OVERLAP_LIMIT = 0.3
# For so many sizes of pictures the networks' input is kept.
MOST_SIZES = 4
# Both networks halve the picture five times.
STRIDE = 32


@dataclass(frozen=True)
class Detections:
    """The faces of one picture, best first.

    boxes: (N, 4) float32, left, top, right, bottom in pixels, clipped to the picture.
    scores: (N,) float32 in 0..1.
    landmarks: (N, 5, 2) float32, x and y in pixels of the eye on the picture's left, the eye on
    its right, the tip of the nose, and the mouth's corners on the left and on the right.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def scaled(self, x: float, y: float) -> Detections:
        """The same faces in a picture that is `x` times as wide and `y` times as high."""
        factor = np.array([x, y, x, y], dtype=np.float32)
        return Detections(self.boxes * factor, self.scores, self.landmarks * factor[:2])


class Detector(Protocol):
    """Anything that finds faces and their five landmarks in a picture."""

    card: DetectorCard

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to which a picture is scaled before the network sees it."""
        ...

    def detect(self, bgr: Picture) -> Detections:
        """Find the faces in a picture of shape (height, width, 3), blue-green-red, 0..255."""
        ...


def load(card: DetectorCard, *, long_side: int = LONG_SIDE) -> Detector:
    """Load the detector that a card names; raises FaceError if its file is not the card's."""
    loader = LOADERS.get(card.name)
    if loader is None:
        raise FaceError(
            f"There is no face detector called {card.name!r}; known are {', '.join(LOADERS)}."
        )
    if not card.path.exists():
        raise FaceError(f"The face detector's file {card.path} is missing; prepare the models.")
    found = sha256_of(card.path)
    if found != card.sha256:
        raise FaceError(
            f"The face detector's file {card.path} has SHA-256 {found}, but its card says "
            f"{card.sha256}. Prepare the models again, or correct the card."
        )
    return loader(card, long_side)


def centerface(model_path: Path, *, long_side: int = LONG_SIDE) -> Detector:
    """CenterFace from a file made by `workers.faces.models.prepare_models`."""
    return CenterFace(_card_of("centerface", model_path), long_side)


def yunet(model_path: Path, *, long_side: int = LONG_SIDE) -> Detector:
    """YuNet (the n or s network with free input size) from an ONNX file."""
    return YuNet(_card_of("yunet", model_path), long_side)


class _Room:
    """The network's input for pictures of one size, used again and again.

    bytes: where the picture's blue, green and red go. places: their places in the tensor, which is
    black around them.
    """

    def __init__(self, height: int, width: int, channels: tuple[int, int, int]) -> None:
        self.tensor = np.zeros((1, 3, _filled(height), _filled(width)), dtype=np.float32)
        self.bytes = [np.empty((height, width), np.uint8) for _ in range(3)]
        self.places = [self.tensor[0, channel, :height, :width] for channel in channels]


class OnnxDetector:
    """What the two networks share: the session, and fitting a picture to the working size."""

    channels = (0, 1, 2)
    """At which place the network wants blue, green and red."""

    def __init__(self, card: DetectorCard, long_side: int) -> None:
        if long_side < STRIDE or long_side % STRIDE:
            raise FaceError(f"The detection size must be a multiple of {STRIDE}, not {long_side}.")
        self.card = card
        self.long_side = long_side
        self.session = _session(card.path)
        self._rooms: dict[tuple[int, ...], _Room] = {}
        picture = self.session.get_inputs()[0]
        self.input_name: str = picture.name
        if any(isinstance(side, int) for side in picture.shape[2:]):
            raise FaceError(
                f"The face detector's file {card.path} takes pictures of "
                f"{picture.shape[3]} x {picture.shape[2]} pixels only. Install the version of it "
                "that takes any size."
            )

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the scaled picture: the long side fixed, the proportions kept."""
        factor = self.long_side / max(width, height)
        return max(1, round(width * factor)), max(1, round(height * factor))

    def detect(self, bgr: Picture) -> Detections:
        """Find the faces in a picture of shape (height, width, 3), blue-green-red, 0..255."""
        import cv2

        if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8:
            raise FaceError(
                "A face detector needs a colour picture of bytes with shape (height, width, 3), "
                f"not {bgr.dtype} of shape {bgr.shape}."
            )
        height, width = bgr.shape[:2]
        to_width, to_height = self.working_size(width, height)
        if (to_width, to_height) != (width, height):
            shrinking = to_width < width
            method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            bgr = cv2.resize(bgr, (to_width, to_height), interpolation=method)  # type: ignore[assignment]  # OpenCV's stubs widen the element type
        found = self.closer(bgr, best_of_overlapping(self.find(bgr)))
        edges = np.array([to_width, to_height] * 2, dtype=np.float32)
        found = Detections(
            np.minimum(np.maximum(found.boxes, 0), edges), found.scores, found.landmarks
        )
        if (to_width, to_height) == (width, height):
            return found
        return found.scaled(width / to_width, height / to_height)

    def find(self, bgr: Picture) -> Detections:
        """All candidate faces of a picture at working size, overlapping ones included."""
        raise NotImplementedError

    def closer(self, bgr: Picture, found: Detections) -> Detections:
        """The faces of a picture at working size after a closer look, where one is worth it."""
        return found

    def run(self, picture: Picture) -> list[Any]:
        """Run the network on (height, width, 3) bytes, filled with black to multiples of 32."""
        import cv2

        room = self._rooms.get(picture.shape)
        if room is None:
            while len(self._rooms) >= MOST_SIZES:  # a video needs one size, or two
                del self._rooms[next(iter(self._rooms))]
            room = _Room(picture.shape[0], picture.shape[1], self.channels)
            self._rooms[picture.shape] = room
        cv2.split(picture, room.bytes)
        for plane, place in zip(room.bytes, room.places, strict=True):
            place[...] = plane
        answers: list[Any] = self.session.run(self.output_names(), {self.input_name: room.tensor})
        return answers

    def output_names(self) -> list[str]:
        """The network's outputs in the order in which `find` reads them."""
        raise NotImplementedError


class CenterFace(OnnxDetector):
    """CenterFace (Xu and others 2019, arXiv:1911.03599): faces as points on a quarter-size map.

    At a cell (row r, column c) with heat h: the centre is ((c + dx + 0.5) * 4, (r + dy + 0.5) * 4),
    height and width are 4 * exp(s), landmarks are fractions of the box from its upper left corner.
    All pairs are stored y first, and the network was trained on red before green and blue. The
    corner is taken before the box is clipped to the picture, so that a face at the left or upper
    edge does not have its landmarks pushed inwards.
    """

    channels = (2, 1, 0)

    def output_names(self) -> list[str]:
        """Heat, scale, offset, landmarks."""
        return ["537", "538", "539", "540"]

    def find(self, bgr: Picture) -> Detections:
        """All cells whose heat reaches REPORT_SCORE."""
        heat, scale, offset, marks = self.run(bgr)
        rows, columns = np.nonzero(heat[0, 0] >= REPORT_SCORE)
        cells = np.stack([rows, columns], axis=1)  # (N, 2) as y, x, like everything below
        size = 4 * np.exp(scale[0][:, rows, columns].T)
        centre = (cells + offset[0][:, rows, columns].T + 0.5) * 4
        corner = centre - size / 2
        fractions = marks[0][:, rows, columns].T.reshape(-1, 5, 2)
        landmarks = corner[:, None, :] + fractions * size[:, None, :]
        boxes = np.concatenate([corner[:, ::-1], (corner + size)[:, ::-1]], axis=1)
        return Detections(
            boxes.astype(np.float32),
            heat[0, 0, rows, columns].astype(np.float32),
            landmarks[:, :, ::-1].astype(np.float32),
        )


class YuNet(OnnxDetector):
    """YuNet (Wu, Peng and Yu 2023, libfacedetection): one candidate per cell at strides 8, 16, 32.

    Score is sqrt(class * objectness). With cell corner (c, r) and stride t: the centre is
    (cell + first two box values) * t, the size is exp(last two) * t, each landmark is
    (cell + its two values) * t.
    """

    strides = (8, 16, 32)

    def output_names(self) -> list[str]:
        """Class, objectness, box and landmarks at each stride."""
        return [f"{kind}_{t}" for t in self.strides for kind in ("cls", "obj", "bbox", "kps")]

    def find(self, bgr: Picture) -> Detections:
        """All cells of the three maps whose score reaches REPORT_SCORE."""
        answers = self.run(bgr)
        kind, objectness = (np.concatenate(answers[k::4], axis=1)[0, :, 0] for k in (0, 1))
        likely = kind * objectness
        chosen = np.flatnonzero(likely >= REPORT_SCORE**2)
        if not len(chosen):
            return Detections(NO_BOXES, NO_SCORES, NO_LANDMARKS)
        height, width = map(_filled, bgr.shape[:2])
        cells = _cells(height, width, self.strides)[chosen]
        corner, stride = cells[:, :2], cells[:, 2:]
        box, marks = (np.concatenate(answers[k::4], axis=1)[0][chosen] for k in (2, 3))
        centre = corner + box[:, :2] * stride
        half = np.exp(box[:, 2:]) * stride / 2
        return Detections(
            np.concatenate([centre - half, centre + half], axis=1),
            np.sqrt(np.minimum(likely[chosen], 1)),
            corner[:, None, :] + marks.reshape(-1, 5, 2) * stride[:, None, :],
        )

    def closer(self, bgr: Picture, found: Detections) -> Detections:
        """The landmarks of faces that lean, taken from the face turned upright."""
        marks = straightened(lambda some: best_of_overlapping(self.find(some)), bgr, found)
        return Detections(found.boxes, found.scores, marks)


def _filled(side: int) -> int:
    """A picture's side filled up to whole strides."""
    return -(-side // STRIDE) * STRIDE


@cache
def _cells(height: int, width: int, strides: tuple[int, ...]) -> Floats:
    """Left, top and stride of every cell of a picture's maps, (N, 3) in pixels."""
    found = []
    for stride in strides:
        top, left = np.mgrid[0:height:stride, 0:width:stride].reshape(2, -1)
        found.append(np.stack([left, top, np.full_like(left, stride)], axis=1))
    cells: Floats = np.concatenate(found).astype(np.float32)
    return cells


LOADERS: dict[str, Callable[[DetectorCard, int], Detector]] = {
    "centerface": CenterFace,
    "centerface-int8": CenterFace,
    "yunet": YuNet,
}


def best_of_overlapping(found: Detections, limit: float = OVERLAP_LIMIT) -> Detections:
    """Keep the best of any faces whose boxes overlap by more than `limit` (shared area / union)."""
    order = np.argsort(-found.scores, kind="stable").tolist()
    # As lists: one face gives a handful of boxes, for which numpy takes several times as long.
    boxes = found.boxes.tolist()
    kept: list[int] = []
    for one in order:
        if all(overlap(boxes[best], boxes[one]) <= limit for best in kept):
            kept.append(one)
    return Detections(found.boxes[kept], found.scores[kept], found.landmarks[kept])


def overlap(a: Floats | Sequence[float], b: Floats | Sequence[float]) -> float:
    """Shared area of two boxes (left, top, right, bottom) over the area of their union, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union) if union > 0 else 0.0


def _card_of(name: str, path: Path) -> DetectorCard:
    if not path.exists():
        raise FaceError(f"The face detector's file {path} is missing; prepare the models.")
    return DetectorCard(name, "file", path, sha256_of(path), "as given with the file")


def _session(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many classes, none of them public
        raise FaceError(f"The face detector's file {path} cannot be loaded: {error}") from error

"""Things held before a face, drawn into real recordings: how much they cover is then known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Doubles = NDArray[np.float64]
Drawn = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Blue-green-red (size, size, 3) and how far it hides what is behind it (size, size), 0 to 1."""


def noise(
    size: int, grain: int, strength: float, chance: np.random.Generator
) -> NDArray[np.float32]:
    """Smooth noise (size, size) with features of about `grain` pixels."""
    few = chance.normal(0, strength, (max(2, size // grain),) * 2).astype(np.float32)
    return np.asarray(cv2.resize(few, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def hand(size: int, skin: Doubles, chance: np.random.Generator) -> Drawn:
    """A palm and five fingers in the colour of the person's own skin, shaded at the edges."""
    shape = np.zeros((size, size), np.uint8)
    cv2.ellipse(
        shape,
        (size // 2, int(size * 0.68)),
        (int(size * 0.26), int(size * 0.27)),
        0,
        0,
        360,
        255,
        -1,
    )
    for x, length in ((0.30, 0.34), (0.43, 0.42), (0.56, 0.40), (0.69, 0.32)):
        tip = int(size * (x + (x - 0.5) * 0.25)), int(size * (0.58 - length))
        cv2.line(shape, (int(size * x), int(size * 0.58)), tip, 255, int(size * 0.115))
    cv2.line(
        shape,
        (int(size * 0.30), int(size * 0.72)),
        (int(size * 0.08), int(size * 0.5)),
        255,
        int(size * 0.12),
    )
    inside = np.clip(cv2.distanceTransform(shape, cv2.DIST_L2, 3) / (size * 0.07), 0, 1)
    look = skin[None, None] * (0.72 + 0.33 * inside)[:, :, None]
    look = look + (noise(size, 3, 4, chance) + noise(size, 14, 8, chance))[:, :, None]
    return _soft(look, shape)


def cup(size: int, skin: Doubles, chance: np.random.Generator) -> Drawn:
    """A cup of any colour, shaded round, with a handle."""
    shape = np.zeros((size, size), np.uint8)
    cv2.rectangle(
        shape, (int(size * 0.2), int(size * 0.15)), (int(size * 0.75), int(size * 0.9)), 255, -1
    )
    cv2.ellipse(
        shape,
        (int(size * 0.75), size // 2),
        (int(size * 0.17), int(size * 0.2)),
        0,
        0,
        360,
        255,
        int(size * 0.06),
    )
    across = np.clip((np.linspace(0, 1, size) - 0.2) / 0.55, 0, 1)
    round_ = (0.55 + 0.6 * np.sin(across * np.pi))[None, :, None]
    look = chance.uniform(30, 230, 3)[None, None] * round_ + noise(size, 4, 2, chance)[:, :, None]
    return _soft(look, shape)


def telephone(size: int, skin: Doubles, chance: np.random.Generator) -> Drawn:
    """Something dark and flat with a gleam across it."""
    shape = np.zeros((size, size), np.uint8)
    cv2.rectangle(
        shape, (int(size * 0.22), int(size * 0.05)), (int(size * 0.78), int(size * 0.95)), 255, -1
    )
    look = np.full((size, size, 3), 25.0) + noise(size, 20, 6, chance)[:, :, None]
    cv2.line(
        look, (int(size * 0.3), 0), (int(size * 0.6), size), (70, 70, 70), max(1, int(size * 0.03))
    )
    return _soft(look, shape)


def paper(size: int, skin: Doubles, chance: np.random.Generator) -> Drawn:
    """A bright sheet with lines of writing."""
    shape = np.zeros((size, size), np.uint8)
    cv2.rectangle(
        shape, (int(size * 0.1), int(size * 0.1)), (int(size * 0.9), int(size * 0.9)), 255, -1
    )
    look = np.full((size, size, 3), 225.0) + noise(size, 30, 8, chance)[:, :, None]
    for line in range(6):
        y, end = int(size * (0.2 + 0.12 * line)), int(size * chance.uniform(0.5, 0.82))
        cv2.line(look, (int(size * 0.18), y), (end, y), (90, 90, 90), max(1, int(size * 0.015)))
    return _soft(look, shape)


def mask(picture: Picture, marks: Doubles) -> tuple[Picture, NDArray[np.float32]]:
    """A pale cloth over nose, mouth and chin, which moves with the face; and what it covers."""
    eyes, down = marks[:2].mean(axis=0), marks[3:].mean(axis=0) - marks[:2].mean(axis=0)
    high = float(np.linalg.norm(down))
    wide = max(float(np.linalg.norm(marks[1] - marks[0])), 0.8 * high)
    shape = np.zeros(picture.shape[:2], np.uint8)
    tilt = float(np.degrees(np.arctan2(down[1], down[0]))) - 90
    middle = tuple((eyes + 1.15 * down).astype(int).tolist())
    cv2.ellipse(shape, middle, (int(wide), int(0.85 * high)), tilt, 0, 360, 255, -1)
    cloth = np.full(picture.shape, (200, 190, 150), np.float32)
    for fold in range(4):
        y = eyes + (0.7 + 0.3 * fold) * down
        ends = [tuple((y + np.array([sign * wide, 0])).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(cloth, *ends, (170, 160, 120), max(1, int(high * 0.03)))
    covers = cv2.GaussianBlur(shape, (0, 0), 0.8).astype(np.float32) / 255
    mixed = picture * (1 - covers[:, :, None]) + cloth * covers[:, :, None]
    return np.clip(mixed, 0, 255).astype(np.uint8), covers


MASK = "mask"
THINGS: dict[str, Callable[[int, Doubles, np.random.Generator], Drawn]] = {
    "hand": hand,
    "cup": cup,
    "telephone": telephone,
    "paper": paper,
}


def planted(
    pictures: list[Picture], landmarks: list[Doubles | None], thing: str, *, seed: int
) -> Iterator[tuple[Picture, float]]:
    """The pictures with a thing that comes before the face, stays for a third, and leaves.

    Beside each, the share of the face that it covers, 0 to 1, NaN where there is no face. The face
    is an ellipse about its landmarks (5, 2), from the brows to the chin.
    """
    chance = np.random.default_rng([seed, *thing.encode()])
    turn, side = chance.uniform(-50, 50), chance.choice([-1, 1])
    aim = chance.choice(["mouth", "eyes", "left", "right"])
    for number, (picture, marks) in enumerate(zip(pictures, landmarks, strict=True)):
        if marks is None:
            yield picture, float("nan")
            continue
        share = number / len(pictures)
        eyes, mouth = marks[:2].mean(axis=0), marks[3:].mean(axis=0)
        down = mouth - eyes
        high = float(np.linalg.norm(down))
        wide = max(float(np.linalg.norm(marks[1] - marks[0])), 0.8 * high)
        face = np.zeros(picture.shape[:2], np.uint8)
        tilt = float(np.degrees(np.arctan2(down[1], down[0]))) - 90
        middle = tuple((eyes + 0.6 * down).astype(int).tolist())
        cv2.ellipse(face, middle, (int(1.05 * wide), int(1.45 * high)), tilt, 0, 360, 255, -1)
        if not 0.28 <= share <= 0.74:
            yield picture, 0.0
            continue
        if thing == MASK:
            shown, covers = mask(picture, marks)
            yield shown, float(covers[face > 0].mean())
            continue
        away = (
            np.clip((0.38 - share) / 0.1, 0, 1)
            if share < 0.5
            else np.clip((share - 0.64) / 0.1, 0, 1)
        )
        goal = {
            "mouth": mouth,
            "eyes": eyes + 0.15 * down,
            "left": (marks[0] + marks[3]) / 2 - [0.1 * wide, 0],
            "right": (marks[1] + marks[4]) / 2 + [0.1 * wide, 0],
        }[aim]
        sway = 0.06 * high * np.array([np.sin(number / 5), np.cos(number / 7)])
        place = goal + np.array([side * 3.0 * wide * away, 1.5 * high * away]) + sway
        size = int((3.0 if thing == "hand" else 2.3) * high)
        look, hides = THINGS[thing](size, _skin(picture, marks), np.random.default_rng(seed))
        shown, covers = _laid(picture, look, hides, place, turn)
        yield shown, float(covers[face > 0].mean())


def _laid(
    picture: Picture,
    look: NDArray[np.float32],
    hides: NDArray[np.float32],
    place: Doubles,
    turn: float,
) -> tuple[Picture, NDArray[np.float32]]:
    size, (height, width) = len(hides), picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, 0.95)
    matrix[:, 2] += place - size / 2
    laid = cv2.warpAffine(look, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    covers = np.asarray(cv2.warpAffine(hides, matrix, (width, height)), np.float32)
    mixed = picture * (1 - covers[:, :, None]) + laid * covers[:, :, None]
    return np.clip(mixed, 0, 255).astype(np.uint8), covers


def _skin(picture: Picture, marks: Doubles) -> Doubles:
    """The colour of a cheek, as a hand has it."""
    x, y = int(marks[0][0]), int((marks[0][1] + marks[3][1]) / 2)
    patch = picture[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 3)
    return np.asarray(patch.mean(axis=0) * 1.03 if len(patch) else np.full(3, 150.0))


def _soft(look: NDArray[np.floating], shape: Picture) -> Drawn:
    hides = cv2.GaussianBlur(shape, (0, 0), max(0.6, len(shape) / 150)).astype(np.float32) / 255
    return np.clip(look, 0, 255).astype(np.float32), hides

"""One photograph, moved, turned and zoomed as a head would."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.samples.plan import Look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240

# The head in scikit-image's `astronaut` (512 x 512): where its middle and its nose are, how far it
# reaches to the sides and up and down, in pixels.
_HEAD_X, _HEAD_Y = 225.0, 112.0
_REACH_X, _REACH_Y = 105.0, 112.0
_NOSE_Y = 124.0
_DEPTH, _NOSE_DEPTH, _NOSE_REACH = 70.0, 18.0, 34.0
#: Steps of the fixed-point search for the source of a pixel; the map is a contraction.
_STEPS = 4


class Portrait:
    """A participant's picture, ready to be drawn in any position."""

    def __init__(self, look: Look, *, seed: int) -> None:
        """Colour the photograph as `look` says; `seed` chooses the camera's noise."""
        import cv2
        import numpy as np
        import skimage.data

        self._look = look
        photograph = np.asarray(skimage.data.astronaut())[:, :, ::-1].astype(np.float32) / 255
        rows, columns = np.mgrid[0:512, 0:512].astype(np.float32)
        body = np.maximum(
            _bump(columns - _HEAD_X, rows - 118, 104, 118),
            _bump(columns - _HEAD_X, rows - 420, 290, 340),
        )
        inside = np.clip(4 * body, 0, 1)[:, :, None]
        backdrop = np.asarray(look.backdrop, np.float32) / 255
        shade = (0.75 + 0.5 * rows / 512)[:, :, None]
        mixed = inside * photograph + (1 - inside) * (0.35 * photograph + 0.65 * backdrop * shade)
        coloured = np.clip(mixed * np.asarray(look.gains, np.float32), 0, 1) ** look.gamma
        self._photograph = cv2.copyMakeBorder(
            (255 * coloured).astype(np.uint8), 100, 100, 100, 100, cv2.BORDER_REFLECT_101
        )
        noise = np.random.default_rng(seed)
        self._noise = noise.normal(0, 1.6, (4, HEIGHT, WIDTH, 3)).astype(np.float32)

    def draw(
        self,
        *,
        index: int,
        yaw: float,
        shift: tuple[float, float] = (0.0, 0.0),
        tilt: float = 0.0,
        zoom: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Return frame `index` as BGR, uint8, 240 x 320 x 3.

        `yaw` and `tilt` are degrees (positive yaw turns the nose to the picture's right before
        mirroring), `shift` is pixels of the photograph, `zoom` a factor.
        """
        import cv2
        import numpy as np

        x, y = self._seen(shift, tilt, zoom)
        source = _turned(x, y, yaw)
        picture = cv2.remap(self._photograph, source + 100, y + 100, cv2.INTER_LINEAR)
        if self._look.mirrored:
            picture = picture[:, ::-1]
        noisy = picture + self._noise[index % len(self._noise)]
        drawn: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
        return drawn

    def _seen(
        self, shift: tuple[float, float], tilt: float, zoom: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return which point of the photograph each pixel looks at, before the head's turn."""
        import numpy as np

        scale = self._look.view_width / (WIDTH * zoom)
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        across, down = (columns - WIDTH / 2) * scale, (rows - HEIGHT / 2) * scale
        angle = math.radians(tilt)
        x = self._look.centre[0] - shift[0] + across * math.cos(angle) + down * math.sin(angle)
        y = self._look.centre[1] - shift[1] - across * math.sin(angle) + down * math.cos(angle)
        return x.astype(np.float32), y.astype(np.float32)


def _turned(x: NDArray[np.float32], y: NDArray[np.float32], yaw: float) -> NDArray[np.float32]:
    """Return the source columns for a head turned by `yaw` degrees.

    A point of the head at distance d from its axis and depth z is seen at d·cos(yaw) + z·sin(yaw).
    The source of a pixel is found by repeating that equation solved for d.
    """
    import numpy as np

    sine, cosine = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    source = x
    for _ in range(_STEPS):
        across = source - _HEAD_X
        head = _bump(across, y - _HEAD_Y, _REACH_X, _REACH_Y)
        nose = _bump(across, y - _NOSE_Y, 2 * _NOSE_REACH, 2 * _NOSE_REACH)
        depth = _DEPTH * head + _NOSE_DEPTH * nose
        source = np.asarray(x - head * across * (cosine - 1) - depth * sine, dtype=np.float32)
    return source


def _bump(
    across: NDArray[np.float32], down: NDArray[np.float32], reach_x: float, reach_y: float
) -> NDArray[np.float32]:
    """Return a smooth hill: 1 in the middle, 0 from the edge of the ellipse on."""
    import numpy as np

    distance = np.sqrt((across / reach_x) ** 2 + (down / reach_y) ** 2)
    hill: NDArray[np.float32] = np.cos(np.minimum(distance, 1.0) * np.float32(np.pi / 2)) ** 2
    return hill

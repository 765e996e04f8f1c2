"""The few functions of torch that silero-vad's code needs to run its ONNX network, by numpy.

So the package's own code can be run beside ours without torch and its gigabytes. That the stand-in
changes nothing is tested: with it, the package finds what it found with torch
(package_segments.json).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

__version__ = "a stand-in"


class Tensor(np.ndarray):
    """An array with the methods of a tensor that the package calls."""

    def dim(self) -> int:
        return self.ndim

    def unsqueeze(self, axis: int) -> Tensor:
        return np.expand_dims(self, axis).view(Tensor)

    def float(self) -> Tensor:
        return self.astype(np.float32)

    def numpy(self) -> np.ndarray:
        return self.view(np.ndarray)

    def cpu(self) -> Tensor:
        return self


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def from_numpy(array: np.ndarray) -> Tensor:
    return array.view(Tensor)


def zeros(*shape: Any) -> Tensor:
    return np.zeros(shape[0] if len(shape) == 1 else shape, np.float32).view(Tensor)


def cat(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return np.concatenate(parts, axis=dim).view(Tensor)


def no_grad() -> Callable[[Any], Any]:
    return lambda function: function


def device(name: str) -> str:
    return name


def set_num_threads(count: int) -> None:
    """numpy adds and copies here; there is nothing to limit."""


def _pad(value: Tensor, sides: tuple[int, int]) -> Tensor:
    return np.pad(value, sides).view(Tensor)


nn = SimpleNamespace(functional=SimpleNamespace(pad=_pad))

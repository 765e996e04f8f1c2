"""One prepared detector and one clip of a real face for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faces.clips import Picture, astronaut
from workers.faces.detectors import Detector, load
from workers.faces.models import DetectorCard, prepare_models


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DetectorCard]:
    return prepare_models(tmp_path_factory.mktemp("models"), names=["centerface"])


@pytest.fixture(scope="session")
def detector(cards: dict[str, DetectorCard]) -> Detector:
    return load(cards["centerface"])


@pytest.fixture(scope="session")
def face_picture() -> Picture:
    return astronaut()


@pytest.fixture(scope="session")
def golden(shared_facts: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared_facts / "golden" / "bah_face_align.npz"))

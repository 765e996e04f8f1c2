"""The agreement test vectors that lie beside a development checkout; absent elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "facts" / "agreement-vectors"


def vectors(name: str) -> list[Any]:
    """Parameters for a test, one per vector; a single skipped one where the file is absent."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        reason = f"the test vectors {name}.json are not beside this checkout"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    loaded = json.loads(path.read_text())
    return [pytest.param(vector, id=vector["id"]) for vector in loaded]

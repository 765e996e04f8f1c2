"""The library that runs the networks can report its use over the network: here it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.running import ROOT

pytestmark = pytest.mark.programs

_LOAD = """
from pathlib import Path
from workers.speech.vad import find_speech
import onnxruntime, os
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def test_onnxruntime_is_told_not_to_report_before_it_is_loaded(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD], cwd=ROOT, env=kept | {"TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert loaded.stdout.strip() == "1"
    # Its reporting part leaves the number of its session here as soon as it is loaded.
    assert list(tmp_path.iterdir()) == []

"""The real faster-whisper on a model with random weights: loading, hearing, timing words.

No real model can be fetched here, so what real words come out is not tested.
"""

from __future__ import annotations

import json
import subprocess
import wave

import numpy as np
import pytest

from bench.measure import ROOT
from bench.rivals import ABSENT, PYTHON, Rivals

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_model_is_loaded_and_heard_without_a_network(tmp_path):
    if not Rivals.installed():
        pytest.skip(ABSENT)
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        noise = np.random.default_rng(0).normal(0, 3000, 160_000)
        out.writeframes(noise.astype("<i2").tobytes())
    answer = subprocess.run(
        [PYTHON, "-m", "tests.speech.tiny_whisper", tmp_path / "tiny", sound],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["language"] == "en"
    assert found["figures"]["windows"] == 2
    assert found["words"]
    edges = [edge for start, end, _ in found["words"] for edge in (start, end)]
    assert edges == sorted(edges)
    # Speech begins at 0.5 s with a margin of 0.2 s; nothing leaves the recording.
    assert edges[0] >= 300_000
    assert edges[-1] <= 10_000_000
    assert found["same_again"]
    assert set(found["tools"]) == {"numpy", "faster-whisper", "ctranslate2"}
    assert "The speech model tiny cannot be loaded" in found["broken"]

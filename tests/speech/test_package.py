"""Our segments are those that the package silero-vad finds itself, and lie on the truth.

Three comparisons: with what the package found with torch (a file that says how it was made), with
the package's own code run here with a stand-in for torch, and with where speech was put.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from workers.speech import vad
from workers.speech.vad import find_speech

from . import spoken

pytestmark = pytest.mark.programs

HERE = Path(__file__).parent
#: By noise in dB below the voice; measured, and rounded up.
LEAVES_WITHIN_US = {None: 130_000, 30: 150_000, 20: 180_000, 10: 300_000, 5: 350_000}


#: In `make test` these stand for all.
FEW = ("f1_10_db", "m3_clean", "loud", "length_256001", "silence", "noise")


@pytest.fixture(
    scope="module", params=["few", pytest.param("all", marks=pytest.mark.slow)], ids=str
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as WAV files."""
    made = tmp_path_factory.mktemp("spoken")
    for name, samples in spoken.recordings().items():
        if request.param == "all" or name in FEW or samples.size < 5000:
            spoken.write_wav(made / f"{name}.wav", samples)
    return made


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[str, list[list[int]]]:
    """What we find, back in samples: 62.5 microseconds are one."""
    return {
        path.stem: [
            [round(span.start_us * 2 / 125), round(span.end_us * 2 / 125)]
            for span in find_speech(path).segments
        ]
        for path in sorted(folder.glob("*.wav"))
    }


def segments(record: str) -> dict[str, list[list[int]]]:
    found = json.loads(record)["recordings"]
    return {name: found[name]["segments"] for name in found}


def test_segments_equal_what_the_package_found_with_torch(ours: dict[str, list[list[int]]]) -> None:
    record = (HERE / "package_segments.json").read_text()
    assert json.loads(record)["made_with"]["torch"][0].isdigit(), "made with torch itself"
    found = segments(record)
    assert ours == {name: found[name] for name in ours}
    assert sum(map(len, ours.values())) >= 12


def test_segments_equal_what_the_packages_code_finds_here(
    ours: dict[str, list[list[int]]], folder: Path
) -> None:
    """Whatever the installed version of the package: its own code on the same files."""
    result = subprocess.run(
        [sys.executable, str(HERE / "package_segments.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(HERE / "stand_in")},
        capture_output=True,
        timeout=120,
        check=True,
        text=True,
    )
    assert json.loads(result.stdout)["made_with"]["torch"] == "a stand-in"
    assert ours == segments(result.stdout)


@pytest.mark.parametrize("voice", spoken.VOICES, ids=lambda voice: voice[0])
@pytest.mark.parametrize(
    "noise",
    [pytest.param(n, marks=pytest.mark.slow if n in (30, 10) else ()) for n in spoken.NOISES],
)
def test_beginnings_and_ends_lie_on_the_truth(
    voice: tuple[str, int, int], noise: int | None, tmp_path: Path
) -> None:
    """What the network itself can do: it begins in time, and leaves late, more so in noise."""
    whole = spoken.put_together(spoken.sentences(*voice), spoken.SILENCES)
    heard = find_speech(
        spoken.write_wav(tmp_path / "a.wav", spoken.with_noise(whole, noise).samples)
    )
    truth = [(start * 62.5, end * 62.5) for start, end in whole.spans]
    begins = [min(heard.segments, key=lambda s: abs(s.start_us - start)) for start, _ in truth]
    ends = [min(heard.segments, key=lambda s: abs(s.end_us - end)) for _, end in truth]
    late = [span.start_us - start for span, (start, _) in zip(begins, truth, strict=True)]
    over = [span.end_us - end for span, (_, end) in zip(ends, truth, strict=True)]
    assert max(map(abs, late)) < 60_000
    assert max(map(abs, over)) < LEAVES_WITHIN_US[noise]
    planted = [(end, start) for (_, end), (start, _) in pairwise(truth)]
    # in loud noise what is left of the pause of 0.4 s is shorter than a pause must be
    for start, end in planted if noise not in (10, 5) else planted[1:]:
        pause = max(heard.pauses, key=lambda p: min(p.end_us, end) - max(p.start_us, start))
        assert abs(pause.start_us - start) < LEAVES_WITHIN_US[noise]
        assert abs(pause.end_us - end) < 60_000


def test_memory_does_not_grow_with_the_recording(tmp_path: Path, monkeypatch) -> None:
    """An hour is read in pieces of 16 s: no array is larger, and no more than one is held."""
    pieces: list[int] = []
    real = np.frombuffer

    def watched(data, dtype):
        pieces.append(len(data))
        return real(data, dtype=dtype)

    monkeypatch.setattr(vad.np, "frombuffer", watched)
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(spoken.RATE)
        sound.writeframes(bytes(2 * spoken.RATE * 40))
    assert find_speech(path).duration_us == 40_000_000
    assert max(pieces) <= 2 * 512 * vad.WINDOWS_PER_READ
    assert len(pieces) == 3

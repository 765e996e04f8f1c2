"""An hour costs little more memory than twenty seconds: some numbers for each piece of a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import spoken

MEASURED = """
import json, re, sys
from pathlib import Path
from workers.media.sound import measure_levels
from workers.media.waveform import peaks
from workers.speech.level import voice_level
from workers.speech.rate import with_rate
from workers.speech.vad import find_speech
sound = Path(sys.argv[1])
found = with_rate(sound, find_speech(sound))
voice_level(sound, found), measure_levels(sound), peaks(sound)
# not ru_maxrss, which begins with what the parent held
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps({"peak_mb": peak / 1024, "segments": len(found.segments)}))
"""


def measured(folder: Path, seconds: int) -> dict[str, float]:
    """Run everything that reads the 16 kHz sound in a process of its own."""
    whole = spoken.put_together(spoken.sentences(*spoken.VOICES[0]), spoken.SILENCES)
    piece = spoken.with_noise(whole, 25).samples
    samples = np.tile(piece, seconds * spoken.RATE // piece.size + 1)[: seconds * spoken.RATE]
    path = spoken.write_wav(folder / f"{seconds}.wav", samples)
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)],
        capture_output=True,
        check=True,
        timeout=250,
        text=True,
    )
    return dict(json.loads(result.stdout))


@pytest.mark.slow
def test_an_hour_of_sound_takes_little_more_memory_than_twenty_seconds(tmp_path: Path) -> None:
    short, long = measured(tmp_path, 20), measured(tmp_path, 3600)
    assert long["segments"] > 500
    # half a megabyte a minute: probabilities, loudness and power of every 10 to 32 ms
    assert long["peak_mb"] - short["peak_mb"] < 30
    assert long["peak_mb"] < 250

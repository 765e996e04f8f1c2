"""Print the segments that the package silero-vad itself finds in every WAV file of a folder.

`python package_segments.py FOLDER` in any environment that has torch, silero-vad and onnxruntime.
tests/speech/package_segments.json was made by it from the files of `python -m tests.speech.spoken`.
The tests run it as well, with a stand-in for torch.
"""

from __future__ import annotations

import hashlib
import json
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from silero_vad import get_speech_timestamps, load_silero_vad


def main(folder: Path) -> None:
    model = load_silero_vad(onnx=True)
    found = {}
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path), "rb") as sound:
            data = sound.readframes(sound.getnframes())
        samples = np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768
        spans = get_speech_timestamps(torch.from_numpy(samples), model)
        found[path.stem] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "segments": [[span["start"], span["end"]] for span in spans],
        }
    made_with = {
        "silero-vad": version("silero-vad"),
        "onnxruntime": version("onnxruntime"),
        "torch": torch.__version__,
    }
    json.dump({"made_with": made_with, "recordings": found}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Voice activity with silero-vad's network, run directly through onnxruntime.

The package itself needs torch to be imported; its network does not. The sound is read in small
pieces, the network sees windows of 512 samples at 16 kHz, each with the last 64 samples of the one
before and a state, and gives each window a probability of speech.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech

if TYPE_CHECKING:
    import onnxruntime

Floats = NDArray[np.float32]

SAMPLE_RATE = 16_000
WINDOW = 512
CONTEXT = 64
STATE_SHAPE = (2, 1, 128)
# The package's own defaults, at which its authors evaluate it.
THRESHOLD = 0.5
LEAVING_THRESHOLD = 0.35
MIN_SPEECH_MS = 250
MIN_SILENCE_MS = 100
PADDING_MS = 30
# Shorter silences are articulation, not hesitation (Goldman-Eisler 1968 put the line at 250 ms).
PAUSE_MIN_US = 250_000
WINDOWS_PER_READ = 500


@dataclass(frozen=True)
class _Level:
    samples: int
    peak: int
    mean_square: float


def find_speech(wav_16k: Path) -> Speech:
    """Find speech in a mono, 16-bit, 16 kHz WAV file, and the pauses inside it.

    Raises SpeechError when the file is not such a WAV file or the network is not installed.
    """
    model = _model_path()
    probabilities, level = _probabilities(wav_16k, _session(model))
    segments = [
        Span(_microseconds(start), _microseconds(end))
        for start, end in speech_spans(probabilities, samples=level.samples)
    ]
    duration_us = _microseconds(level.samples)
    spoken_us = sum(span.duration_us for span in segments)
    return Speech(
        segments=tuple(segments),
        pauses=tuple(pauses_between(segments)),
        duration_us=duration_us,
        share=spoken_us / duration_us if duration_us else 0.0,
        notes=_notes(segments, level),
        figures={
            "threshold": THRESHOLD,
            "min_speech_ms": MIN_SPEECH_MS,
            "min_silence_ms": MIN_SILENCE_MS,
            "padding_ms": PADDING_MS,
            "pause_min_ms": PAUSE_MIN_US // 1000,
            "peak_dbfs": _decibels(level.peak / 32768),
            "rms_dbfs": _decibels(math.sqrt(level.mean_square) / 32768),
            "highest_probability": max(probabilities, default=0.0),
        },
        tools=_tools(model),
    )


def speech_spans(probabilities: list[float], *, samples: int) -> list[tuple[int, int]]:
    """Half-open spans of samples that hold speech, from the windows' probabilities.

    The same rules as the package's `get_speech_timestamps` with its defaults. Speech begins with a
    window at or above THRESHOLD. It ends where windows fall below LEAVING_THRESHOLD and none comes
    back to THRESHOLD for MIN_SILENCE_MS. Spans not longer than MIN_SPEECH_MS are dropped; the
    others grow by PADDING_MS on both sides, and share a shorter silence between them by halves.
    """
    spans = _spoken(probabilities, samples)
    padding = SAMPLE_RATE * PADDING_MS // 1000
    for i, span in enumerate(spans):
        if i == 0:
            span[0] = max(0, span[0] - padding)
        room = spans[i + 1][0] - span[1] if i + 1 < len(spans) else None
        step = padding if room is None or room >= 2 * padding else room // 2
        span[1] = min(samples, span[1] + step)
        if room is not None:
            spans[i + 1][0] = max(0, spans[i + 1][0] - step)
    return [(start, end) for start, end in spans]


def pauses_between(segments: list[Span]) -> Iterator[Span]:
    """The silences of at least PAUSE_MIN_US between consecutive segments."""
    for before, after in pairwise(segments):
        if after.start_us - before.end_us >= PAUSE_MIN_US:
            yield Span(before.end_us, after.start_us)


def _spoken(probabilities: list[float], samples: int) -> list[list[int]]:
    """Spans before padding."""
    shortest = SAMPLE_RATE * MIN_SPEECH_MS // 1000
    silence = SAMPLE_RATE * MIN_SILENCE_MS // 1000
    spans = []
    start = quiet_since = None
    for window, probability in enumerate(probabilities):
        at = window * WINDOW
        if probability >= THRESHOLD:
            quiet_since = None
            start = at if start is None else start
        elif probability < LEAVING_THRESHOLD and start is not None:
            quiet_since = at if quiet_since is None else quiet_since
            if at - quiet_since >= silence:
                if quiet_since - start > shortest:
                    spans.append([start, quiet_since])
                start = quiet_since = None
    if start is not None and samples - start > shortest:
        spans.append([start, samples])
    return spans


def _probabilities(path: Path, session: onnxruntime.InferenceSession) -> tuple[list[float], _Level]:
    """Each window's probability of speech, the last window filled with silence."""
    state = np.zeros(STATE_SHAPE, dtype=np.float32)
    rate = np.array(SAMPLE_RATE, dtype=np.int64)
    heard = np.zeros((1, CONTEXT + WINDOW), dtype=np.float32)
    probabilities: list[float] = []
    samples, peak, squares = 0, 0, 0.0
    for piece in _pieces(path):
        samples += len(piece)
        wide = piece.astype(np.int64)
        peak = max(peak, int(np.abs(wide).max(initial=0)))
        squares += float((wide * wide).sum())
        filled = np.zeros(-(-len(piece) // WINDOW) * WINDOW, dtype=np.float32)
        filled[: len(piece)] = piece / np.float32(32768)
        for window in filled.reshape(-1, WINDOW):
            heard[0, :CONTEXT] = heard[0, -CONTEXT:]
            heard[0, CONTEXT:] = window
            answer, state = session.run(None, {"input": heard, "state": state, "sr": rate})
            probabilities.append(float(answer[0, 0]))
    return probabilities, _Level(samples, peak, squares / samples if samples else 0.0)


def _pieces(path: Path) -> Iterator[NDArray[np.int16]]:
    """The file's samples, a few seconds at a time; only the last piece ends within a window."""
    try:
        with wave.open(str(path), "rb") as sound:
            form = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            if form != (1, 2, SAMPLE_RATE):
                raise SpeechError(
                    f"{path.name} must be mono with 16 bits at {SAMPLE_RATE} Hz, but it has "
                    f"{form[0]} channels with {8 * form[1]} bits at {form[2]} Hz."
                )
            while data := sound.readframes(WINDOW * WINDOWS_PER_READ):
                yield np.frombuffer(data, dtype="<i2")
    except (wave.Error, EOFError, OSError) as error:
        raise SpeechError(f"{path.name} cannot be read as a WAV file: {error}.") from error


def _notes(segments: list[Span], level: _Level) -> tuple[str, ...]:
    if segments:
        return ()
    if level.samples == 0:
        return ("The recording has no sound, so no speech was looked for.",)
    if level.peak == 0:
        silent = (
            "The sound track is digital silence (every sample is zero), so there is no speech. "
            "Check whether the microphone was switched off."
        )
        return (silent,)
    return ("No speech was found in the sound track.",)


def _microseconds(samples: int) -> int:
    # Round half up; 10^6 / 16000 = 125 / 2.
    return (samples * 125 + 1) // 2


def _decibels(amplitude: float) -> float:
    # 16-bit sound has no amplitude between 0 and 1/32768; digital silence is given as -120.
    return 20 * math.log10(amplitude) if amplitude > 1e-6 else -120.0


def _model_path() -> Path:
    # find_spec does not run the package, which would need torch.
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise SpeechError(
            "The package silero-vad, which carries the speech detection network, is not installed. "
            "Install the project's requirements again."
        )
    path = Path(spec.origin).parent / "data" / "silero_vad.onnx"
    if not path.is_file():
        raise SpeechError("The installed package silero-vad does not contain silero_vad.onnx.")
    return path


def _session(model: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _tools(model: Path) -> dict[str, str]:
    from importlib.metadata import version

    return {
        "silero-vad": version("silero-vad"),
        "silero_vad.onnx sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "onnxruntime": version("onnxruntime"),
        "numpy": version("numpy"),
    }

"""Synthesised speech, by espeak-ng (the package espeakng-loader) in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCRIPT = Path(__file__).with_name("speak.py")
_LIMIT_SECONDS = 60
#: Samples quieter than this (of 32768) at either end of a sentence are no speech.
_QUIET = 200


class VoiceMissing(RuntimeError):
    """The synthesiser cannot be used: the administrator has to repair the installation."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Sentences as 16-bit mono samples, silence trimmed off both ends of each."""

    sample_rate: int
    sentences: tuple[NDArray[np.int16], ...]


def speak(texts: Sequence[str], *, voice: str, pitch: int, words_per_minute: int) -> Spoken:
    """Return `texts` spoken; the same arguments always give the same samples.

    `voice` is a variant of US English without breath, such as "f1"; `pitch` is 0 to 99. Raises
    VoiceMissing where the synthesiser does not start, has no such voice or says nothing.
    """
    import numpy as np

    wanted = {
        "texts": list(texts),
        "voice": voice,
        "pitch": pitch,
        "words_per_minute": words_per_minute,
    }
    result = subprocess.run(
        [sys.executable, "-I", str(_SCRIPT), json.dumps(wanted)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise VoiceMissing(
            f"The speech synthesiser cannot be used ({''.join(last) or 'it gave no reason'}). "
            "Reinstall the package espeakng-loader."
        )
    header, _, data = result.stdout.partition(b"\n")
    described = json.loads(header)
    sentences, position = [], 0
    for text, length in zip(texts, described["bytes"], strict=True):
        samples = np.frombuffer(data[position : position + length], dtype=np.int16)
        position += length
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
        if loud.size == 0:
            raise VoiceMissing(
                f"The speech synthesiser said nothing for {text!r}. Reinstall the package "
                "espeakng-loader."
            )
        sentences.append(samples[loud[0] : loud[-1] + 1])
    return Spoken(sample_rate=int(described["sample_rate"]), sentences=tuple(sentences))

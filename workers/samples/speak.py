"""Speak sentences with espeak-ng and write the samples to the standard output.

Run as a script, in a fresh process for each recording (`workers.samples.voice` does): the
synthesiser's state lasts as long as its process and colours whatever it says next, and samples are
to be the same however many were made before. The argument is a JSON object: `texts`, `voice` (a
variant of US English such as "f2"), `pitch` (0 to 99), `words_per_minute`. The output is
one line of JSON (`sample_rate`, `bytes` of each text), then 16-bit samples. Exits with 3 and a line
on the standard error where the synthesiser cannot do what is asked.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

# The constants of espeak-ng's speak_lib.h that are used here.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1


def main(arguments: list[str]) -> int:
    """Speak what `arguments[0]` asks for; return the exit status."""
    import espeakng_loader

    wanted = json.loads(arguments[0])
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[bytes] = []

    def receive(wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        return 0

    as_callback = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )
    callback = as_callback(receive)  # held here for as long as the library may call it
    data = str(espeakng_loader.get_data_path()).encode()
    sample_rate = library.espeak_Initialize(
        _AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT
    )
    if sample_rate <= 0:
        return _refuse("espeak-ng does not start")
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(f"en-us+{wanted['voice']}".encode()) != 0:
        return _refuse(f"espeak-ng has no voice en-us+{wanted['voice']}")
    for parameter, value in (
        (_RATE, wanted["words_per_minute"]),
        (_VOLUME, 90),
        (_PITCH, wanted["pitch"]),
    ):
        library.espeak_SetParameter(parameter, int(value), 0)
    spoken: list[bytes] = []
    for text in wanted["texts"]:
        chunks.clear()
        words = text.encode()
        library.espeak_Synth(
            ctypes.c_char_p(words),
            ctypes.c_size_t(len(words) + 1),
            ctypes.c_uint(0),
            _POSITION_CHARACTER,
            ctypes.c_uint(0),
            ctypes.c_uint(_CHARS_UTF8),
            None,
            None,
        )
        spoken.append(b"".join(chunks))
    header = {"sample_rate": sample_rate, "bytes": [len(part) for part in spoken]}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + b"".join(spoken))
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

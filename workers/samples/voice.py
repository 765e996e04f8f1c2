"""Synthesised speech: espeak-ng, from the package espeakng-loader, called through ctypes."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The constants of espeak-ng's speak_lib.h that are used here.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1

#: Samples quieter than this (of 32768) at either end of a sentence are no speech.
_QUIET = 200


class VoiceMissing(RuntimeError):
    """The synthesiser cannot be used: the administrator has to repair the installation."""


class Speaker:
    """The synthesiser, open while the `with` block lasts. One at a time in a process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._data = str(espeakng_loader.get_data_path())
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._chunks: list[bytes] = []
        self._callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = self._callback_type(self._receive)
        self.sample_rate = 0

    def __enter__(self) -> Self:
        self.sample_rate = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, self._data.encode(), _INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise VoiceMissing(
                "The speech synthesiser espeak-ng does not start. Reinstall the package "
                "espeakng-loader."
            )
        self._library.espeak_SetSynthCallback(self._callback)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.espeak_Terminate()

    def say(self, text: str, *, voice: str, pitch: int, words_per_minute: int) -> NDArray[np.int16]:
        """Return `text` spoken, as 16-bit mono samples at `sample_rate`, silence trimmed off.

        `voice` is a variant of US English such as "f2"; `pitch` is 0 to 99. Raises VoiceMissing
        where the variant is not installed or nothing comes out.
        """
        import numpy as np

        self._chunks.clear()
        if self._library.espeak_SetVoiceByName(f"en-us+{voice}".encode()) != 0:
            raise VoiceMissing(f"espeak-ng has no voice en-us+{voice}.")
        for parameter, value in ((_RATE, words_per_minute), (_VOLUME, 90), (_PITCH, pitch)):
            self._library.espeak_SetParameter(parameter, value, 0)
        spoken = text.encode()
        result = self._library.espeak_Synth(
            ctypes.c_char_p(spoken),
            ctypes.c_size_t(len(spoken) + 1),
            ctypes.c_uint(0),
            _POSITION_CHARACTER,
            ctypes.c_uint(0),
            ctypes.c_uint(_CHARS_UTF8),
            None,
            None,
        )
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
        if result != 0 or loud.size == 0:
            raise VoiceMissing(f"espeak-ng said nothing for {text!r}.")
        return samples[loud[0] : loud[-1] + 1].copy()

    def _receive(self, wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            self._chunks.append(ctypes.string_at(wave, 2 * count))
        return 0

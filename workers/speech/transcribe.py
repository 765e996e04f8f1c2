"""What is said, written down by a Whisper model that lies in a folder of this machine.

The sound is heard in windows that end in pauses, as the speech detector found them, because Whisper
hears at most 30 s at once and invents words in silence. Speech without a pause for longer is heard
in windows that overlap; the words of two windows are then joined where both heard the same word.
Every word's time is on the recording's clock: times never begin again, go back or leave it.
Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech

Floats = NDArray[np.float32]

SAMPLE_RATE = 16_000
#: A window's longest, a little under what Whisper hears at once.
LONGEST_US = 28_000_000
#: How much two windows share where speech has no pause.
OVERLAP_US = 4_000_000
#: Sound left on both sides of speech, so that no first or last sound is cut.
MARGIN_US = 200_000
#: A pause this long is not heard at all: Whisper writes words into silence.
SILENCE_US = 2_000_000
# Two windows heard the same word where the middles lie no further apart than this.
_SAME_US = 400_000
# No word is shorter; Whisper's own times have steps of 20 ms.
SHORTEST_US = 20_000
# An utterance ends in a pause, or with a sentence once it is some seconds long.
_PAUSE_US = 700_000
_LONG_US = 6_000_000
_LONGEST_UTTERANCE_US = 20_000_000
_ENDS = (".", "?", "!", "…", "。", "？", "！")
_FILES = ("model.bin", "config.json", "tokenizer.json")
CARD = "card.json"


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word, `[start_us, end_us)`; `text` begins with a space where a space stands before it."""

    start_us: int
    end_us: int
    text: str
    probability: float

    @property
    def middle_us(self) -> int:
        """The middle of its time."""
        return (self.start_us + self.end_us) // 2


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words between two pauses, or a sentence; `text` is the words as they are written."""

    start_us: int
    end_us: int
    text: str
    words: tuple[HeardWord, ...]


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A model's folder, and its card: name, version, licence. `sha256` is of all it consists of."""

    folder: Path
    name: str
    version: str
    licence: str
    sha256: str

    @property
    def called(self) -> str:
        """Name, version, licence and the beginning of its hash, for who reads the transcript."""
        return f"{self.name} {self.version} ({self.licence}), {self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was heard. `figures` and `tools` are for the provenance record."""

    language: str
    utterances: tuple[Utterance, ...]
    figures: dict[str, float | int | str]
    tools: dict[str, str]


class Hearer(Protocol):
    """What a model must be able to do; times are microseconds from the beginning of the sound."""

    def languages(self) -> Sequence[str]:
        """Give the codes of the languages that it knows."""

    def hear(self, sound: Floats, *, language: str | None) -> tuple[str, list[HeardWord]]:
        """Write down at most 30 s of sound, 16 kHz, -1..1; give the language and the words."""


def transcribe(
    audio_16k: Path,
    speech: Speech,
    *,
    hearer: Hearer,
    language: str = "",
    on_progress: Callable[[float], None] = lambda share: None,
) -> Transcription:
    """Write down what is said in a mono, 16-bit, 16 kHz WAV file, knowing where somebody speaks.

    1. Cut windows (`windows_of`); hear each. Without a `language` that the model knows (“fr”, or
       “fr-CA” for it) it is recognised in the first window and kept.
    2. Join the words of all windows (`stitched`), then part them into utterances.

    Memory: one window of sound. Raises SpeechError for another kind of file.
    """
    windows = windows_of(speech.segments, duration_us=speech.duration_us)
    known = set(hearer.languages())
    chosen: str | None = next(
        (code for code in (language, language.split("-")[0]) if code in known), None
    )
    heard: list[list[HeardWord]] = []
    for number, window in enumerate(windows):
        found, words = hearer.hear(_sound(audio_16k, window), language=chosen)
        chosen = chosen or found
        # Whisper fills its 30 s with silence; a word that begins there was never said.
        heard.append([_moved(w, window) for w in words if w.start_us < window.duration_us])
        on_progress((number + 1) / len(windows))
    words = stitched(windows, heard, duration_us=speech.duration_us)
    figures: dict[str, float | int | str] = {
        "windows": len(windows),
        "words": len(words),
        "longest_window_s": max((w.duration_us / 1e6 for w in windows), default=0.0),
        "mean_probability": round(sum(w.probability for w in words) / len(words), 4)
        if words
        else 0.0,
    }
    return Transcription(chosen or "", tuple(utterances_of(words)), figures, _tools())


def windows_of(segments: Sequence[Span], *, duration_us: int) -> list[Span]:
    """Give the windows in which to hear speech, in order, none longer than LONGEST_US.

    A window ends in a pause; where speech has none, it shares OVERLAP_US with the next.
    """
    groups: list[list[int]] = []
    for segment in segments:
        last = groups[-1] if groups else None
        fits = last is not None and segment.end_us - last[0] <= LONGEST_US - 2 * MARGIN_US
        if last is not None and fits and segment.start_us - last[1] < SILENCE_US:
            last[1] = segment.end_us
        else:
            groups.append([segment.start_us, segment.end_us])
    windows: list[Span] = []
    for number, (start, end) in enumerate(groups):
        before = groups[number - 1][1] if number else 0
        after = groups[number + 1][0] if number + 1 < len(groups) else duration_us
        begin = max(start - MARGIN_US, (before + start) // 2 if number else 0, 0)
        room = (end + after) // 2 if number + 1 < len(groups) else duration_us
        until = min(end + MARGIN_US, room, duration_us)
        while until - begin > LONGEST_US:
            windows.append(Span(begin, begin + LONGEST_US))
            begin += LONGEST_US - OVERLAP_US
        if until > begin:
            windows.append(Span(begin, until))
    return windows


def stitched(
    windows: Sequence[Span], heard: Sequence[Sequence[HeardWord]], *, duration_us: int
) -> list[HeardWord]:
    """Join the windows' words into one series: each word once, in order, inside the recording.

    In the stretch that two windows share, the series changes from one to the other behind a word
    that both heard, the one nearest to the middle; where they heard no same word, in the middle.
    """
    series: list[HeardWord] = []
    before: Span | None = None
    for window, words in zip(windows, heard, strict=True):
        own = [word for word in words if window.start_us <= word.middle_us < window.end_us]
        if before is not None and before.end_us > window.start_us and series:
            shared = Span(window.start_us, before.end_us)
            series, own = _joined(series, own, shared)
        series += own
        before = window
    return _in_order([word for word in series if word.text.strip()], duration_us)


def utterances_of(words: Sequence[HeardWord]) -> list[Utterance]:
    """Part a series of words at pauses and at the ends of long sentences."""
    made: list[Utterance] = []
    waiting: list[HeardWord] = []
    for word, following in pairwise([*words, None]):
        if word is None:
            break
        waiting.append(word)
        length = word.end_us - waiting[0].start_us
        if (
            following is None
            or following.start_us - word.end_us >= _PAUSE_US
            or (length >= _LONG_US and word.text.rstrip().endswith(_ENDS))
            or length >= _LONGEST_UTTERANCE_US
        ):
            text = "".join(each.text for each in waiting).strip()
            made.append(Utterance(waiting[0].start_us, word.end_us, text, tuple(waiting)))
            waiting = []
    return made


# Joining


def _joined(
    series: list[HeardWord], own: list[HeardWord], shared: Span
) -> tuple[list[HeardWord], list[HeardWord]]:
    """Both parts cut at one place of the stretch that they share."""
    middle = (shared.start_us + shared.end_us) // 2
    pairs = [
        (abs(one.middle_us - middle), n, m)
        for n, one in enumerate(series)
        if shared.start_us <= one.middle_us < shared.end_us
        for m, other in enumerate(own)
        if abs(one.middle_us - other.middle_us) <= _SAME_US and _bare(one) == _bare(other)
    ]
    if pairs:
        _, n, m = min(pairs)
        return series[: n + 1], own[m + 1 :]
    return (
        [word for word in series if word.middle_us < middle],
        [word for word in own if word.middle_us >= middle],
    )


def _bare(word: HeardWord) -> str:
    letters = "".join(sign for sign in word.text.casefold() if sign.isalnum())
    return letters or word.text.strip()


def _in_order(words: list[HeardWord], duration_us: int) -> list[HeardWord]:
    """Times that never go back, overlap or leave the recording, and no word without time."""
    most = duration_us // SHORTEST_US
    words = words[:most]
    limit = duration_us
    latest: list[int] = []
    for _ in reversed(words):
        limit -= SHORTEST_US
        latest.append(limit)
    latest.reverse()  # the latest moment at which each word may begin
    made: list[HeardWord] = []
    now = 0
    for number, word in enumerate(words):
        start = min(max(word.start_us, now), latest[number])
        room = words[number + 1].start_us if number + 1 < len(words) else duration_us
        end = min(max(word.end_us, start + SHORTEST_US), duration_us)
        if start + SHORTEST_US <= room < end:
            end = room
        last = latest[number + 1] if number + 1 < len(words) else duration_us
        end = min(end, max(last, start + SHORTEST_US))
        made.append(HeardWord(start, end, word.text, word.probability))
        now = end
    return made


def _moved(word: HeardWord, window: Span) -> HeardWord:
    """A word's times on the recording's clock, kept inside its window."""
    start = min(max(word.start_us + window.start_us, window.start_us), window.end_us - 1)
    end = min(max(word.end_us + window.start_us, start + 1), window.end_us)
    return HeardWord(start, end, word.text, word.probability)


def _sound(path: Path, window: Span) -> Floats:
    first = window.start_us * SAMPLE_RATE // 1_000_000
    count = window.end_us * SAMPLE_RATE // 1_000_000 - first
    try:
        with wave.open(str(path), "rb") as sound:
            form = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            if form != (1, 2, SAMPLE_RATE):
                raise SpeechError(
                    f"{path.name} must be mono with 16 bits at {SAMPLE_RATE} Hz, but it has "
                    f"{form[0]} channels with {8 * form[1]} bits at {form[2]} Hz."
                )
            sound.setpos(min(first, sound.getnframes()))
            data = np.frombuffer(sound.readframes(count), dtype="<i2")
    except (wave.Error, EOFError, OSError) as error:
        raise SpeechError(f"{path.name} cannot be read as a WAV file: {error}.") from error
    made: Floats = data.astype(np.float32) / np.float32(32768)
    return made


# The model


def describe(folder: Path) -> SpeechModel:
    """Read what a model's folder says of it: its files' hash and, where it has one, its card.

    The card is `card.json` with `name`, `version` and `licence`. Raises SpeechError for a folder
    that holds no whole model.
    """
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise SpeechError(
            f"The folder {folder} holds no Whisper model for faster-whisper: {', '.join(missing)} "
            "is missing. WAVER_SPEECH_MODEL must name a folder in CTranslate2's form."
        )
    card: dict[str, Any] = {}
    if (folder / CARD).is_file():
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            card = {key: str(card[key]) for key in ("name", "version", "licence")}
        except (ValueError, KeyError, TypeError) as error:
            raise SpeechError(
                f"The model card {folder / CARD} needs `name`, `version` and `licence` ({error!r})."
            ) from error
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)
    stamp = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return SpeechModel(
        folder,
        card.get("name", folder.name),
        card.get("version", "of no stated version"),
        card.get("licence", "licence not stated"),
        _hash(stamp),
    )


@lru_cache(maxsize=4)
def _hash(stamp: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of all files; read again only when one changed."""
    whole = hashlib.sha256()
    for name, _, _ in stamp:
        with Path(name).open("rb") as data:
            one = hashlib.file_digest(data, "sha256").hexdigest()
        whole.update(f"{Path(name).name} {one}\n".encode())
    return whole.hexdigest()


def load(model: SpeechModel, *, device: str = "auto", compute_type: str = "default") -> Hearer:
    """Load a model for this process. Raises SpeechError without faster-whisper, or if it is broken.

    `device` and `compute_type` are CTranslate2's: cpu, cuda, auto; default, int8, float16.
    """
    # The model's folder is whole (`describe`), so nothing is looked for elsewhere; told again here,
    # because the package would fetch what it misses.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise SpeechError(
            "The package faster-whisper is not installed. Install requirements/speech.txt (see "
            "docs/administrator.md), or unset WAVER_SPEECH_MODEL."
        ) from error
    try:
        made = WhisperModel(
            str(model.folder), device=device, compute_type=compute_type, local_files_only=True
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise SpeechError(f"The speech model {model.name} cannot be loaded: {error}.") from error
    return _Whisper(made)


class _Whisper:
    """faster-whisper's model behind our interface."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def languages(self) -> Sequence[str]:
        return list(self._model.supported_languages)

    def hear(self, sound: Floats, *, language: str | None) -> tuple[str, list[HeardWord]]:
        segments, about = self._model.transcribe(
            sound,
            language=language,
            beam_size=5,
            temperature=0.0,  # the same sound gives the same words
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=False,
        )
        words = [
            HeardWord(
                round(word.start * 1e6), round(word.end * 1e6), word.word, float(word.probability)
            )
            for segment in segments
            for word in segment.words or ()
        ]
        return str(about.language), words


def _tools() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"numpy": version("numpy")}
    for name in ("faster-whisper", "ctranslate2"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Transcripts by a model: windows, joined words, and the real loading code on a tiny model."""

from __future__ import annotations

import wave
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from workers.speech import transcribe as module
from workers.speech.errors import SpeechError
from workers.speech.spans import Span, Speech
from workers.speech.transcribe import (
    LONGEST_US,
    SHORTEST_US,
    HeardWord,
    stitched,
    transcribe,
    utterances_of,
    windows_of,
)

S = 1_000_000


@st.composite
def speeches(draw):
    """Speech in order: segments of up to two minutes, pauses of 0.1 to 8 s."""
    now, segments = draw(st.integers(0, 2 * S)), []
    for _ in range(draw(st.integers(0, 6))):
        end = now + draw(st.integers(250_000, 120 * S))
        segments.append(Span(now, end))
        now = end + draw(st.integers(100_000, 8 * S))
    return segments, (segments[-1].end_us if segments else 0) + draw(st.integers(0, 3 * S))


@given(speeches())
@settings(max_examples=examples(150), deadline=None)
def test_windows_hear_all_speech_and_none_too_long(speech):
    segments, duration = speech
    windows = windows_of(segments, duration_us=duration)
    assert all(0 <= w.start_us < w.end_us <= duration for w in windows)
    assert all(w.duration_us <= LONGEST_US for w in windows)
    assert all(a.start_us < b.start_us and a.end_us < b.end_us for a, b in pairwise(windows))
    for segment in segments:
        # Every moment of speech lies in a window, and no window begins or ends inside a segment
        # unless its neighbour has the same moment as well.
        inside = [w for w in windows if w.start_us < segment.end_us and segment.start_us < w.end_us]
        assert inside[0].start_us <= segment.start_us
        assert inside[-1].end_us >= segment.end_us
        for a, b in pairwise(inside):
            assert a.end_us - b.start_us >= 2 * S


def spoken_words(segments, draw):
    """Words of a third of a second, each 50 ms after the other; few different ones."""
    words = []
    for segment in segments:
        at = segment.start_us + 20_000
        while at + 300_000 <= segment.end_us:
            words.append(HeardWord(at, at + 300_000, f" {draw}{len(words) % 5}", 0.9))
            at += 350_000
    return words


class Hearing:
    """A hearer that hears what lies in a window, a little off, with broken words at the edges."""

    def __init__(self, words, windows, jitter):
        self.words, self.windows, self.jitter = words, iter(windows), jitter

    def languages(self):
        return ["en", "fr"]

    def heard(self, window):
        found = []
        for n, word in enumerate(self.words):
            off = self.jitter[(n + window.start_us // S) % len(self.jitter)]
            if window.start_us <= word.start_us and word.end_us <= window.end_us:
                found.append(HeardWord(word.start_us + off, word.end_us + off, word.text, 0.9))
            elif word.start_us < window.end_us and window.start_us < word.end_us:
                start, end = max(word.start_us, window.start_us), min(word.end_us, window.end_us)
                found.append(HeardWord(start, end, " broken", 0.1))
        return found

    def hear(self, sound, *, language):
        window = next(self.windows)
        words = [
            HeardWord(w.start_us - window.start_us, w.end_us - window.start_us, w.text, 0.9)
            for w in self.heard(window)
        ]
        return language or "fr", words


@given(speeches(), st.lists(st.integers(-70_000, 70_000), min_size=1, max_size=7))
@settings(max_examples=examples(150), deadline=None)
def test_each_word_is_written_once_however_windows_overlap(speech, jitter):
    segments, duration = speech
    truth = spoken_words(segments, "w")
    windows = windows_of(segments, duration_us=duration)
    hearing = Hearing(truth, windows, jitter)
    made = stitched(windows, [hearing.heard(w) for w in windows], duration_us=duration)
    assert [w.text for w in made] == [w.text for w in truth]
    assert all(abs(a.middle_us - b.middle_us) < 200_000 for a, b in zip(made, truth, strict=True))
    in_order(made, duration)


def in_order(words, duration):
    edges = [edge for w in words for edge in (w.start_us, w.end_us)]
    assert edges == sorted(edges)
    assert all(w.end_us - w.start_us >= SHORTEST_US for w in words)
    assert not edges or (edges[0] >= 0 and edges[-1] <= duration)


anything = st.builds(
    HeardWord, st.integers(-S, 70 * S), st.integers(-S, 70 * S),
    st.sampled_from([" a", " b", "", " "]), st.just(0.5),
)  # fmt: skip


@given(speeches(), st.lists(st.lists(anything, max_size=30), min_size=30, max_size=30))
@settings(max_examples=examples(150), deadline=None)
def test_whatever_a_model_says_times_stay_in_order_inside_the_recording(speech, says):
    segments, duration = speech
    windows = windows_of(segments, duration_us=duration)
    made = stitched(windows, (says * 3)[: len(windows)], duration_us=duration)
    in_order(made, duration)
    said = utterances_of(made)
    assert [word for each in said for word in each.words] == made
    assert all(each.start_us < each.end_us for each in said)


def silence(path, seconds):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.zeros(round(seconds * 16_000), "<i2").tobytes())
    return path


def speech_of(segments, duration):
    return Speech(tuple(segments), (), duration, 1.0, (), {}, {})


def test_an_hour_long_sentence_has_continuous_times(tmp_path):
    """Forty windows of speech without a pause; every word once."""
    segments = [Span(0, 960 * S)]
    truth = spoken_words(segments, "w")
    windows = windows_of(segments, duration_us=960 * S)
    assert len(windows) == 40
    told = []
    made = transcribe(
        silence(tmp_path / "a.wav", 960),
        speech_of(segments, 960 * S),
        hearer=Hearing(truth, windows, [0, 30_000, -40_000]),
        language="fr-CA",
        on_progress=told.append,
    )
    words = [word for each in made.utterances for word in each.words]
    assert [w.text for w in words] == [w.text for w in truth]
    in_order(words, 960 * S)
    assert (made.language, made.figures["windows"], told[-1]) == ("fr", 40, 1.0)
    assert max(u.end_us - u.start_us for u in made.utterances) <= 21 * S


def test_a_language_that_the_model_does_not_know_is_recognised_once(tmp_path):
    segments = [Span(0, 2 * S), Span(10 * S, 12 * S)]
    asked = []

    class Asked(Hearing):
        def hear(self, sound, *, language):
            asked.append((language, len(sound)))
            return super().hear(sound, language=language)

    windows = windows_of(segments, duration_us=12 * S)
    made = transcribe(
        silence(tmp_path / "a.wav", 12),
        speech_of(segments, 12 * S),
        hearer=Asked(spoken_words(segments, "w"), windows, [0]),
        language="xx",
    )
    assert [language for language, _ in asked] == [None, "fr"]
    assert [count for _, count in asked] == [round(2.2 * 16_000)] * 2
    assert made.language == "fr"
    assert [u.text for u in made.utterances] == ["w0 w1 w2 w3 w4", "w0 w1 w2 w3 w4"]


def test_words_that_begin_after_the_sound_were_never_said(tmp_path):
    class Inventing(Hearing):
        def hear(self, sound, *, language):
            return "en", [HeardWord(0, S, " said", 1), HeardWord(20 * S, 21 * S, " invented", 1)]

    made = transcribe(
        silence(tmp_path / "a.wav", 30), speech_of([Span(S, 3 * S)], 30 * S),
        hearer=Inventing([], [], [0]),
    )  # fmt: skip
    assert [u.text for u in made.utterances] == ["said"]


def test_utterances_end_with_sentences_once_they_are_long():
    words = [
        HeardWord(n * S, n * S + 900_000, f" w{n}." if n % 4 == 3 else f" w{n}", 1)
        for n in range(12)
    ]
    assert [u.text for u in utterances_of(words)] == [
        "w0 w1 w2 w3. w4 w5 w6 w7.", "w8 w9 w10 w11.",
    ]  # fmt: skip
    assert utterances_of([]) == []


def test_what_is_no_sound_or_no_model_is_told(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(SpeechError, match="cannot be read as a WAV file"):
        transcribe(
            tmp_path / "a.wav", speech_of([Span(0, S)], S), hearer=Hearing([], [Span(0, S)], [0])
        )
    with pytest.raises(SpeechError, match=r"model\.bin, config\.json, tokenizer\.json is missing"):
        module.describe(tmp_path)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    model = module.describe(tmp_path)
    assert (model.name, model.licence) == (tmp_path.name, "licence not stated")
    (tmp_path / "card.json").write_text('{"name": "tiny", "version": "3", "licence": "MIT"}')
    again = module.describe(tmp_path)
    assert again.called == f"tiny 3 (MIT), {model.sha256[:12]}"
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert module.describe(tmp_path).sha256 != model.sha256
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(SpeechError, match="needs `name`"):
        module.describe(tmp_path)

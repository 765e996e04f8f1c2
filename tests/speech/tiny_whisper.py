"""A whole Whisper model with random weights in CTranslate2's form, and what our code makes of it.

`python -m tests.speech.tiny_whisper FOLDER SOUND.wav` runs where faster-whisper is installed. It
makes the model, has `workers.speech.transcribe` load it and write down the sound, twice, and prints
what it got as JSON. The words mean nothing; the code that finds and times them is the real one.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, MELS, TEXT, TIMES = 16, 80, 50_257, 1_501


def make(folder: Path) -> Path:
    """Write the model's files into `folder`: model.bin, config, vocabulary and tokenizer."""
    from ctranslate2.specs.whisper_spec import WhisperSpec
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    folder.mkdir(parents=True, exist_ok=True)
    tokens = _tokens(list(_LANGUAGE_CODES)[:99])
    random = np.random.default_rng(0)
    spec = WhisperSpec(1, 1, 1, 1)
    _fill_encoder(spec.encoder, random)
    _fill_decoder(spec.decoder, random, len(tokens))
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [TEXT]
    spec.config.lang_ids = list(range(TEXT + 2, TEXT + 101))
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.save(str(folder))
    _tokenizer(tokens).save(str(folder / "tokenizer.json"))
    card = {"name": "tiny", "version": "0", "licence": "none needed"}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def _tokens(languages: list[str]) -> list[str]:
    """In Whisper's order: text, the end, the languages, the tasks, the times."""
    from tokenizers.pre_tokenizers import ByteLevel

    text = sorted(ByteLevel.alphabet())
    text += [f"Ġw{n}" for n in range(TEXT - len(text))]
    special = ["endoftext", "startoftranscript", *languages, "translate", "transcribe"]
    special += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    special += [f"{n / 50:.2f}" for n in range(TIMES)]
    return text + [f"<|{name}|>" for name in special]


def _tokenizer(tokens: list[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens[:TEXT])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(t, special=True) for t in tokens[TEXT:-TIMES]])
    made.add_tokens([AddedToken(t, special=False) for t in tokens[-TIMES:]])
    return made


def _fill_encoder(spec: Any, random: np.random.Generator) -> None:
    for layer, inputs in ((spec.conv1, MELS), (spec.conv2, WIDTH)):
        layer.weight = _normal(random, WIDTH, inputs, 3)
        layer.bias = np.zeros(WIDTH, np.float32)
    spec.position_encodings.encodings = _normal(random, 1500, WIDTH)
    _norm(spec.layer_norm)
    for layer in spec.layer:
        _attention(layer.self_attention, random, (3 * WIDTH, WIDTH))
        _feed_forward(layer.ffn, random)


def _fill_decoder(spec: Any, random: np.random.Generator, size: int) -> None:
    spec.embeddings.weight = _normal(random, size, WIDTH)
    spec.position_encodings.encodings = _normal(random, 448, WIDTH)
    _norm(spec.layer_norm)
    spec.projection.weight = spec.embeddings.weight
    # A few words are likely, and so is the end: else a random model fills every window.
    spec.projection.bias = np.zeros(size, np.float32)
    spec.projection.bias[300:320] = 9.0
    spec.projection.bias[TEXT] = 11.5
    for layer in spec.layer:
        _attention(layer.self_attention, random, (3 * WIDTH, WIDTH))
        _attention(layer.attention, random, (WIDTH, 2 * WIDTH, WIDTH))
        _feed_forward(layer.ffn, random)


def _attention(layer: Any, random: np.random.Generator, rows: tuple[int, ...]) -> None:
    _norm(layer.layer_norm)
    for linear, count in zip(layer.linear, rows, strict=True):
        _linear(linear, random, count, WIDTH)


def _feed_forward(layer: Any, random: np.random.Generator) -> None:
    _norm(layer.layer_norm)
    _linear(layer.linear_0, random, 4 * WIDTH, WIDTH)
    _linear(layer.linear_1, random, WIDTH, 4 * WIDTH)


def _linear(layer: Any, random: np.random.Generator, rows: int, columns: int) -> None:
    layer.weight, layer.bias = _normal(random, rows, columns), np.zeros(rows, np.float32)


def _norm(layer: Any) -> None:
    layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def _normal(random: np.random.Generator, *shape: int) -> Any:
    return random.normal(0, 0.3, shape).astype(np.float32)


def _no_network(*_: object, **__: object) -> None:
    raise OSError("The network was asked for, and nothing may be downloaded.")


def main() -> None:
    """Make the model, use it, print what came of it."""
    from workers.speech import transcribe as module
    from workers.speech.errors import SpeechError
    from workers.speech.spans import Span, Speech

    folder, sound = Path(sys.argv[1]), Path(sys.argv[2])
    model = module.describe(make(folder))
    socket.socket.connect = socket.getaddrinfo = _no_network  # type: ignore[assignment,method-assign]
    hearer = module.load(model, device="cpu")
    speech = Speech((Span(500_000, 4_000_000), Span(7_000_000, 9_500_000)), (), 10_000_000, 0.6,
                    (), {}, {})  # fmt: skip
    first, second = (module.transcribe(sound, speech, hearer=hearer) for _ in range(2))
    (folder / "model.bin").write_bytes(b"no model")
    try:
        module.load(module.describe(folder), device="cpu")
        broken = ""
    except SpeechError as error:
        broken = str(error)
    sys.stdout.write(
        json.dumps(
            {
                "language": first.language,
                "figures": first.figures,
                "tools": first.tools,
                "same_again": first == second,
                "words": [
                    [w.start_us, w.end_us, w.text] for u in first.utterances for w in u.words
                ],
                "broken": broken,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Bytes to text: what people's editors really write."""

from __future__ import annotations

import codecs

from waver.core.errors import BadInput

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLDER = "cp1252"
_GUESSED = (
    "The file is not UTF-8 and was read as Windows-1252 (Western European). Check its accented "
    "letters; if they are wrong, save it as UTF-8 and bring it in again."
)


def text_of(data: bytes, encoding: str = "") -> tuple[str, tuple[str, ...]]:
    """Give a file's text with plain line ends, and a note where its encoding was guessed.

    In this order: the encoding that was named; the one that a byte-order mark names; UTF-8; and
    Windows' Western European, which editors still write, with a note. Raises BadInput.
    """
    notes: tuple[str, ...] = ()
    chosen = _named(encoding) or next((name for mark, name in _MARKS if data.startswith(mark)), "")
    try:
        text = data.decode(chosen or "utf-8")
    except UnicodeDecodeError as error:
        if chosen:
            raise BadInput(
                f"The file is not text in {chosen} (byte {error.start}). Save it as UTF-8."
            ) from error
        text = _older(data)
        notes = (_GUESSED,)
    if "\0" in text:
        raise BadInput("The file is no plain text: it holds zero bytes. Save it as UTF-8 text.")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _named(encoding: str) -> str:
    if not encoding:
        return ""
    try:
        found = codecs.lookup(encoding)
        "a".encode(found.name).decode(found.name)
    except (LookupError, UnicodeError, TypeError) as error:
        raise BadInput(
            f"“{encoding[:40]}” is no text encoding. Name one such as utf-8, utf-16 or cp1250."
        ) from error
    return found.name


def _older(data: bytes) -> str:
    try:
        return data.decode(_OLDER)
    except UnicodeDecodeError as error:
        raise BadInput(
            "The file is no text in an encoding that is known here. Save it as UTF-8."
        ) from error

"""Read a codebook from YAML; say with line numbers all that is wrong with it."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from annotation.codebooks.checks import meaning_problems, ticks_rate
from annotation.codebooks.model import (
    Codebook,
    CodebookError,
    Example,
    Pass,
    Question,
    Rule,
    Value,
)
from annotation.written import Unreadable, line_of, parse, shape_problems

FOLDER = Path(__file__).parent


def shipped() -> dict[str, Path]:
    """The codebooks that come with Waver: name -> file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load(source: Path | str) -> Codebook:
    """Read a codebook from a file (Path) or from YAML text (str).

    A text that was read is kept: pages and jobs ask for the few codebooks of their studies again
    and again, and a codebook's values never change.
    Raises CodebookError listing every problem with its line, or OSError for an unreadable file.
    """
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    return _read(text)[0]


def migration_block(text: str) -> dict[str, Any] | None:
    """Give the `migration` of a codebook's text as it is written, None where it has none.

    Raises CodebookError like `load`.
    """
    return copy.deepcopy(_read(text)[1])


@functools.lru_cache(maxsize=64)
def _read(text: str) -> tuple[Codebook, dict[str, Any] | None]:
    try:
        data, lines = parse(text, expected="a codebook")
    except Unreadable as error:
        raise CodebookError(list(error.problems)) from error
    shape = shape_problems(data, _validator(), whole="The codebook", hints=_PATTERNS)
    problems = [
        (line_of(lines, where), sentence) for where, sentence in (*shape, *meaning_problems(data))
    ]
    if problems:
        raise CodebookError(problems)
    return _build(data), data.get("migration")


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads((FOLDER / "schema.json").read_text(encoding="utf-8")))


_PATTERNS = {
    "id": "use small letters, digits, '-' and '_', at most 40 of them",
    "about": "use the id of a question",
    "tier": "use at most 60 signs, without '@', '#' and spaces at its ends",
    "hotkey": "use one small letter or digit",
    "colour": "write it as '#rrggbb', in quotes",
    "ticks_per_second": "write a whole number, or a fraction such as '30000/1001' in quotes",
}


def _build(data: dict[str, Any]) -> Codebook:
    canonical = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Codebook(
        id=data["id"],
        version=data["version"],
        title=data["title"],
        languages=tuple(data["languages"]),
        source=data["source"],
        note=data.get("note", ""),
        passes=tuple(_pass(part) for part in data["passes"]),
        sha256=hashlib.sha256(canonical.encode()).hexdigest(),
        migrates_from=data.get("migration", {}).get("from"),
        migration=tuple(_rules(data.get("migration", {}))),
    )


def _rules(block: dict[str, Any]) -> Iterator[Rule]:
    kinds: tuple[Literal["rename", "merge", "split", "drop"], ...] = (
        "rename", "merge", "split", "drop",
    )  # fmt: skip
    for kind in kinds:
        for rule in block.get(kind, ()):
            old = rule.get("labels", rule.get("values")) or [rule.get("label", rule.get("value"))]
            yield Rule(
                kind=kind,
                pass_id=rule["pass"],
                question=rule.get("question", ""),
                olds=tuple(str(each) for each in old if each is not None),
                to=str(rule.get("to", "")),
                to_question=rule.get("to_question", ""),
                into=tuple(str(each) for each in rule.get("into", ())),
                by=rule.get("by", ""),
                when=tuple((str(w["answer"]), str(w["to"])) for w in rule.get("when", ())),
                otherwise=str(rule.get("otherwise", "")),
                reason=rule.get("reason", ""),
            )


def _pass(part: dict[str, Any]) -> Pass:
    return Pass(
        id=part["id"],
        unit=part["unit"],
        title=part["title"],
        instructions=part["instructions"].strip(),
        examples=tuple(Example(**example) for example in part.get("examples", ())),
        labels=_values(part.get("labels", ())),
        overlap=part.get("overlap", "allowed"),
        minimum_duration_us=1000 * part.get("minimum_duration_ms", 0),
        questions=tuple(_question(question) for question in part.get("questions", ())),
        note=part.get("note", ""),
        ours=part.get("ours", False),
        candidates=part.get("candidates", ""),
        timeline=part.get("timeline", "waveform"),
        ticks_per_second=ticks_rate(part.get("ticks_per_second", 10)),
        transcript=part.get("transcript", False),
        tier=part.get("tier", ""),
    )


def _question(question: dict[str, Any]) -> Question:
    ready: dict[str, Any] = {**question, "values": _values(question.get("values", ()))}
    for name in ("minimum", "maximum", "step"):
        if name in question:
            ready[name] = Decimal(str(question[name]))
    if "pairs" in question:
        ready["pairs"] = tuple((str(a), str(b)) for a, b in question["pairs"])
    if "each" in question:
        ready["each"] = _question({"id": "each", "required": True, **question["each"]})
    return Question(**ready)


def _values(values: Iterable[dict[str, Any]]) -> tuple[Value, ...]:
    return tuple(Value(**{**value, "id": str(value["id"])}) for value in values)

"""Read a codebook from YAML; say with line numbers all that is wrong with it."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from annotation.codebooks.checks import meaning_problems
from annotation.codebooks.model import Codebook, CodebookError, Example, Pass, Question, Value

FOLDER = Path(__file__).parent
Where = tuple[str | int, ...]


def shipped() -> dict[str, Path]:
    """The codebooks that come with Waver: name -> file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load(source: Path | str) -> Codebook:
    """Read a codebook from a file (Path) or from YAML text (str).

    Raises CodebookError listing every problem with its line, or OSError for an unreadable file.
    """
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    data, lines = _parse(text)
    problems = [
        (_line(lines, where), sentence)
        for where, sentence in (*_shape_problems(data), *meaning_problems(data))
    ]
    if problems:
        raise CodebookError(problems)
    return _build(data)


def _parse(text: str) -> tuple[Any, dict[Where, int]]:
    """The YAML's content, and for each place in it the line where it stands."""
    lines: dict[Where, int] = {}
    problems: list[tuple[int, str]] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise CodebookError([(1, "The file is empty; a codebook is expected.")])
        _walk(node, (), lines, problems)
        if problems:
            raise CodebookError(problems)
        return yaml.safe_load(text), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "the text cannot be read"
        line = mark.line + 1 if mark else 1
        raise CodebookError([(line, f"This is not valid YAML: {what}.")]) from error


def _walk(
    node: yaml.Node, where: Where, lines: dict[Where, int], problems: list[tuple[int, str]]
) -> None:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                problems.append((line, f"{name!r} stands here a second time; keep one of them."))
            seen.add(name)
            lines[(*where, name)] = line
            _walk(value, (*where, name), lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*where, index), lines, problems)


def _line(lines: dict[Where, int], where: Where) -> int:
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads((FOLDER / "schema.json").read_text(encoding="utf-8")))


def _shape_problems(data: Any) -> Iterable[tuple[Where, str]]:
    for error in _validator().iter_errors(data):
        where = tuple(error.absolute_path)
        yield from ((place, sentence) for place, sentence in _explain(error, where))


def _explain(error: Any, where: Where) -> Iterable[tuple[Where, str]]:
    subject = repr(where[-1]) if where else "The codebook"
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        named = ", ".join(repr(name) for name in missing)
        yield where, f"{named} is missing here; add it."
    elif error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for name in error.instance:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}."
                yield (*where, name), f"{name!r} is not known here; {hint}"
    elif error.validator == "enum":
        allowed = ", ".join(str(value) for value in error.validator_value)
        yield where, f"{subject} is {error.instance!r}; it must be one of {allowed}."
    elif error.validator == "const":
        yield where, f"{subject} must be {error.validator_value!r}, not {error.instance!r}."
    elif error.validator in ("pattern", "anyOf"):
        yield (
            where,
            (
                f"{error.instance!r} cannot stand as {subject}; "
                f"{_PATTERNS.get(str(where[-1]), 'see the schema for what can')}."
            ),
        )
    elif error.validator == "type":
        allowed = error.validator_value
        wanted = " or ".join([allowed] if isinstance(allowed, str) else allowed)
        yield where, f"{subject} must be of type {wanted}, not {error.instance!r}."
    elif error.validator == "minItems":
        yield where, f"{subject} needs at least {error.validator_value} entries."
    else:
        yield where, f"{subject} does not fit: {error.message}."


_PATTERNS = {
    "id": "use small letters, digits, '-' and '_', at most 40 of them",
    "about": "use the id of a question",
    "hotkey": "use one small letter or digit",
    "colour": "write it as '#rrggbb', in quotes",
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
        questions=tuple(
            Question(**{**question, "values": _values(question.get("values", ()))})
            for question in part.get("questions", ())
        ),
        note=part.get("note", ""),
        ours=part.get("ours", False),
        candidates=part.get("candidates", ""),
    )


def _values(values: Iterable[dict[str, Any]]) -> tuple[Value, ...]:
    return tuple(Value(**{**value, "id": str(value["id"])}) for value in values)

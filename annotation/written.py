"""YAML files that people write: what they hold, on which line, and what is wrong with their shape.

For codebooks, gate policies and study files alike. It lies here, and knows no framework, because
the codebooks are the lowest part that needs it and may import nothing of `waver`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Where = tuple[str | int, ...]
Problem = tuple[int, str]

_KINDS = {
    "object": "a group of named values",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "empty",
}


MOST_PLACES = 100_000
_NO_HINT = "see the schema for what can"


class Unreadable(ValueError):
    """The text is no YAML that could be checked. `problems` holds (line, sentence) pairs."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(f"Line {line}: {text}" for line, text in self.problems))


class _Loader(yaml.SafeLoader):
    """Plain YAML, but dates stay the text that stands there: JSON and its schemas know no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, *, expected: str) -> tuple[Any, dict[Where, int]]:
    """Give the content of a YAML text, and the line (from 1) of each place in it.

    `expected` names what the text should be, such as “a codebook”. Raises Unreadable for an empty
    text, for what is no YAML, and for a name that stands twice in one place.
    """
    lines: dict[Where, int] = {}
    problems: list[Problem] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise Unreadable([(1, f"The file is empty; {expected} is expected.")])
        if _places(node, {}) > MOST_PLACES:
            raise Unreadable(
                [(1, f"It holds more than {MOST_PLACES:,} entries, aliases included.")]
            )
        _walk(node, (), lines, problems, seen=set())
        if problems:
            raise Unreadable(problems)
        return loader.construct_document(node), lines
    except RecursionError as error:
        raise Unreadable([(1, "It is nested too deeply to be read.")]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "the text cannot be read"
        line = mark.line + 1 if mark else 1
        raise Unreadable([(line, f"This is not valid YAML: {what}.")]) from error
    except ValueError as error:  # what looks like a number and is none, such as 0b_
        if isinstance(error, Unreadable):
            raise
        raise Unreadable([(1, f"A number in it cannot be read: {error}.")]) from error


def _places(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the entries that a node stands for: what an alias names counts each time it stands.

    A few lines of aliases of aliases stand for more than any memory holds.
    """
    if id(node) not in known:
        known[id(node)] = 1  # so that what holds itself is counted once
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = list(node.value)
        known[id(node)] = 1 + sum(_places(each, known) for each in inside)
    return known[id(node)]


def _walk(
    node: yaml.Node, where: Where, lines: dict[Where, int], problems: list[Problem], seen: set[int]
) -> None:
    lines.setdefault(where, node.start_mark.line + 1)
    if id(node) in seen:  # an alias: its content has its lines where it was written
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in names:
                problems.append((line, f"{name!r} stands here a second time; keep one of them."))
            names.add(name)
            lines[(*where, name)] = line
            _walk(value, (*where, name), lines, problems, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*where, index), lines, problems, seen)
    elif isinstance(node, yaml.ScalarNode) and not _is_finite(node):
        # Every comparison with “not a number” is false: a limit written so would limit nothing.
        problems.append((node.start_mark.line + 1, f"{node.value!r} is no number; write one."))


def _is_finite(node: yaml.ScalarNode) -> bool:
    """False for a number that is infinite or “not a number”; True for anything else."""
    if node.tag != "tag:yaml.org,2002:float":
        return True
    return math.isfinite(_Loader("").construct_yaml_float(node))


def line_of(lines: Mapping[Where, int], where: Where) -> int:
    """Give the line of a place, or of the nearest place around it that the text has."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)


def shape_problems(
    data: Any, validator: Any, *, whole: str, hints: Mapping[str, str]
) -> Iterator[tuple[Where, str]]:
    """Say where a content does not have the shape that a schema asks for.

    `validator` is a jsonschema validator. `whole` names the file's content at the beginning of a
    sentence (“The codebook”). `hints` says by a value's name how such a value is written.
    """
    for error in validator.iter_errors(data):
        yield from _explain(error, tuple(error.absolute_path), whole, hints)


def _subject(where: Where, whole: str) -> str:
    """Call a place by its name; an entry of a list by its number, counted from 1."""
    if not where:
        return whole
    if isinstance(where[-1], int):
        return f"entry {where[-1] + 1} of {_subject(where[:-1], whole)}"
    return repr(where[-1])


def _explain(
    error: Any, where: Where, whole: str, hints: Mapping[str, str]
) -> Iterator[tuple[Where, str]]:
    subject = _subject(where, whole)
    limit = error.validator_value
    hint = next((hints[str(name)] for name in reversed(where) if str(name) in hints), _NO_HINT)
    if "propertyNames" in error.absolute_schema_path:
        yield (*where, error.instance), f"{error.instance!r} cannot be a name in {subject}; {hint}."
    elif error.validator == "required":
        missing = [name for name in limit if name not in error.instance]
        named = ", ".join(repr(name) for name in missing)
        are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
        yield where, f"{named} {are} missing here; add {them}."
    elif error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                meant = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}."
                yield (*where, name), f"{name!r} is not known here; {meant}"
    elif error.validator == "enum":
        allowed = ", ".join(str(value) for value in limit)
        yield where, f"{subject} is {error.instance!r}; it must be one of {allowed}."
    elif error.validator == "const":
        yield where, f"{subject} must be {limit!r}, not {error.instance!r}."
    elif error.validator in ("pattern", "anyOf"):
        yield where, f"{error.instance!r} cannot stand as {subject}; {hint}."
    elif error.validator == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        yield where, f"{subject} must be {wanted}, not {error.instance!r}."
    elif error.validator in ("minItems", "minProperties"):
        yield where, f"{subject} needs at least {limit} {'entry' if limit == 1 else 'entries'}."
    elif error.validator == "minLength":
        yield where, f"{subject} must not be empty."
    elif error.validator in ("minimum", "maximum"):
        bound = "least" if error.validator == "minimum" else "most"
        yield where, f"{subject} must be at {bound} {limit}, not {error.instance!r}."
    else:
        yield where, f"{subject} does not fit: {error.message}."

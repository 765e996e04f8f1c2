"""The authors' guide names every key that a codebook can have, and its example can be loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from annotation.codebooks.loader import FOLDER, _validator

GUIDE = (Path(__file__).parents[2] / "docs" / "codebooks.md").read_text(encoding="utf-8")
SCHEMA = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
SECTIONS = {
    "The file": [SCHEMA],
    "Passes": [SCHEMA["$defs"]["pass"]],
    "Questions": [SCHEMA["$defs"]["question"], SCHEMA["$defs"]["each"]],
    "Values": [SCHEMA["$defs"]["value"]],
    "Changing a codebook": [
        SCHEMA["$defs"][name] for name in ("migration", "rename", "merge", "split", "drop")
    ],
}


def _section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _named(title: str) -> set[str]:
    """The names in code marks in the section's tables."""
    rows = [line for line in _section(title).splitlines() if line.startswith("|")]
    return set(re.findall(r"`([a-z_]+)`", "\n".join(rows)))


def test_every_key_of_the_schema_is_explained_where_it_belongs() -> None:
    for title, parts in SECTIONS.items():
        keys = {key for part in parts for key in part["properties"]}
        assert keys - _named(title) == set(), title


def test_every_choice_of_the_schema_is_explained() -> None:
    for title in ("Passes", "Questions"):
        for part in SECTIONS[title]:
            for name, rule in part["properties"].items():
                assert set(rule.get("enum", ())) <= _named(title), name


def test_the_first_column_names_nothing_that_the_schema_lacks() -> None:
    known = {key for parts in SECTIONS.values() for part in parts for key in part["properties"]}
    for title in SECTIONS:
        rows = [line for line in _section(title).splitlines() if line.startswith("| `")]
        firsts = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
        assert firsts <= known


def test_the_example_of_a_migration_has_the_schemas_shape() -> None:
    block = yaml.safe_load(re.findall(r"```yaml\n(.+?)```", GUIDE, re.DOTALL)[0])
    validator = _validator().evolve(schema={"$ref": "#/$defs/migration", "$defs": SCHEMA["$defs"]})
    assert list(validator.iter_errors(block["migration"])) == []

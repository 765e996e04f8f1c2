"""The examples of docs/agreement.md run, one after the other, as in a notebook."""

from __future__ import annotations

import re

import annotation.agreement as package
from bench.measure import ROOT

GUIDE = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")


def test_every_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(examples) >= 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/agreement.md", "exec"), names)  # our own text


def test_every_function_is_in_the_guide() -> None:
    functions = {name for name in package.__all__ if name[0].islower()}
    assert {name for name in functions if name not in GUIDE} == set()

"""Documentation that cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ("waver.", "annotation")


def _documents() -> str:
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_contract_test_that_the_interfaces_name_exists():
    text = (ROOT / "docs" / "interfaces.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`]+\.py)`", text)
    assert len(named) >= 11
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_command_is_documented():
    own = {name for name, app in get_commands().items() if str(app).startswith(LOCAL)}
    text = _documents()
    assert {name for name in own if f"manage.py {name}" not in text} == set()


def test_every_make_target_is_documented():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert targets
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {t for t in targets[1].split() if f"make {t}" not in text} - {"help"} == set()


def test_every_link_between_documents_leads_somewhere():
    broken = []
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        broken += [
            f"{path.relative_to(ROOT)} -> {target}"
            for target in targets
            if "://" not in target and not (path.parent / target).exists()
        ]
    assert broken == []

"""A release must be checkable where no stack runs, as after `make demo ONCE=1`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]


def test_a_release_is_checked_while_the_database_is_down(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    dataset = {"study": "demo", "version": "1.0.0", "purpose": "research"}
    (folder / "manifest.json").write_text(json.dumps({"dataset": dataset}))
    finished = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "verify_release", str(folder)],
        env=os.environ
        | {
            "WAVER_VAR": str(tmp_path / "var"),
            "WAVER_PGHOST": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    assert "This is not the release as published" in finished.stdout
    assert "Traceback" not in finished.stderr

"""What goes into the production image."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_file_with_secrets_is_copied_into_the_image():
    """`COPY . .` would put them into a layer that everybody with the image can read."""
    kept_from_git = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    secret = {line.lstrip("/") for line in kept_from_git if line.startswith("/docker/")}
    kept_from_image = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "docker/production.env" in secret
    assert secret <= set(kept_from_image)

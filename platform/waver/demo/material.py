"""The recordings that the demonstration works on: made on the spot, or the user's own folder."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from waver.core.errors import BadInput

SUFFIXES = {".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".3gp"}
# The user's own media carry no record of when they were made; the demonstration says so and
# dates them all after its consent forms.
STAND_IN_DATE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Material:
    """Recordings to import: their folder, the manifest, and the planted truth by file name."""

    study_code: str
    title: str
    folder: Path
    manifest: Path
    truth: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The manifest's rows."""
        with self.manifest.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))


def make_samples(folder: Path, *, on_progress: Callable[[int, int, str], None]) -> Material:
    """Make the sample recordings in a process of their own, and read what was planted.

    `on_progress` gets (done, of, what). Raises BadInput with the maker's last words if it fails.
    """
    command = [sys.executable, "-m", "workers.samples", str(folder), "--json-progress"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as maker:
        for line in maker.stdout or ():
            if line.startswith("{"):
                step = json.loads(line)
                on_progress(step["done"], step["of"], step["what"])
        last_words = maker.stderr.read().strip()[-400:] if maker.stderr else ""
    if maker.returncode != 0:
        raise BadInput(f"The sample recordings could not be made: {last_words}")
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return Material(
        study_code="demo",
        title="Demonstration with sample recordings (synthetic)",
        folder=folder,
        manifest=folder / "manifest.csv",
        truth=truth["files"],
    )


def own_media(media: Path, *, notes: Path) -> Material:
    """Take the videos of a folder; the manifest that they lack is written into `notes`.

    Each file becomes one participant. Raises BadInput when the folder is missing or holds no
    video.
    """
    if not media.is_dir():
        raise BadInput(f"MEDIA={media} is not a folder. Give a folder that holds videos.")
    media = media.resolve()
    files = sorted(p for p in media.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise BadInput(
            f"The folder {media} holds no video ({', '.join(sorted(SUFFIXES))}). "
            "Put recordings into it, or leave MEDIA out to use sample recordings."
        )
    code = "demo-" + hashlib.sha256(str(media).encode()).hexdigest()[:8]
    notes = notes / code
    notes.mkdir(parents=True, exist_ok=True)
    manifest = notes / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "participant", "prompt", "recorded_at"])
        for number, path in enumerate(files, start=1):
            when = STAND_IN_DATE + timedelta(hours=number)
            writer.writerow([path.name, f"M{number:03d}", 1, when.isoformat()])
    return Material(
        study_code=code,
        title=f"Demonstration with the recordings in “{media.name}”",
        folder=media,
        manifest=manifest,
        truth={},
    )

"""The manifest of a folder of recordings: who is in each file, and when it was recorded.

A CSV file with the columns file, participant, prompt and recorded_at, and where a study has several
languages a column language: what is spoken. What was recorded together (several cameras, sensors)
shares a take; see `waver.recordings.placing` for these columns. The times come from the study's own
records; the files' time stamps never count, because copying changes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from waver.core.errors import BadInput
from waver.core.tables import read_moment, read_table
from waver.recordings.placing import Placing, read_placing

COLUMNS = ("file", "participant", "prompt", "recorded_at")
MANIFEST_NAME = "manifest.csv"
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg"})
# A table may be anything, so only these are missed when no line names them.
SENSOR_SUFFIXES = frozenset({".edf"})


@dataclass(frozen=True)
class Row:
    """One usable line. `line` counts from 1 and includes the header, as an editor shows it.

    `prompt` is None and `recorded_at` is None where the cell is empty, `language` is "".
    """

    line: int
    file: str
    path: Path
    participant: str
    prompt: int | None
    recorded_at: datetime | None
    language: str = ""
    placing: Placing = field(default_factory=Placing)


@dataclass(frozen=True)
class Problem:
    """A line, or a file without a line (`line` None), that cannot be imported, and why."""

    line: int | None
    file: str
    sentence: str


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: usable rows in their order, and the problems of the others."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


def read_manifest(folder: Path, manifest: Path | None = None) -> Manifest:
    """Read and check a manifest, `manifest.csv` in the folder when none is named.

    Every file must lie inside `folder`, exist, and have one line. Videos in the folder that no
    line names are problems too. Raises BadInput when the manifest as a whole cannot be used:
    missing, not a text file, without rows, or without the four columns.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}. Check the path.")
    path = manifest or folder / MANIFEST_NAME
    table = read_table(path, columns=COLUMNS, called="manifest", one="recording")
    rows: list[Row] = []
    problems: list[Problem] = []
    lines_of: dict[Path, int] = {}
    takes: dict[tuple[str, str], Row] = {}
    for line, values in ((row.number, row.values) for row in table.lines):
        try:
            row = _read_row(folder, line, values)
            _refuse_second_line(row, lines_of)
            _refuse_other_records(row, takes)
        except BadInput as error:
            problems.append(Problem(line, values.get("file", ""), f"Line {line}: {error}"))
        else:
            rows.append(row)
        named = _inside(folder, values.get("file", ""))
        if named is not None:
            lines_of.setdefault(named, line)
    problems += _videos_without_a_line(folder, set(lines_of), path.name)
    return Manifest(tuple(rows), tuple(problems))


def _read_row(folder: Path, line: int, values: dict[str, str]) -> Row:
    """Check one line. Raises BadInput with what is wrong with it."""
    file = values.get("file", "")
    if not file:
        raise BadInput("No file is named. Fill in the column “file”.")
    path = _inside(folder, file)
    if path is None:
        raise BadInput(
            f"“{file}” leads out of the folder {folder.name}. Copy the file into the folder and "
            "name it by its path there."
        )
    if not path.is_file():
        raise BadInput(f"There is no file “{file}” in the folder. Correct the name.")
    participant = values.get("participant", "")
    if not participant:
        raise BadInput(f"{file} names no participant. Fill in the column “participant”.")
    return Row(
        line=line,
        file=file,
        path=path,
        participant=participant,
        prompt=_read_prompt(file, values.get("prompt", "")),
        recorded_at=_read_time(file, values.get("recorded_at", "")),
        language=values.get("language", ""),
        placing=read_placing(file, values),
    )


def _refuse_second_line(row: Row, lines_of: dict[Path, int]) -> None:
    first = lines_of.get(row.path)
    if first is not None:
        raise BadInput(
            f"{row.file} stands in line {first} already. Keep the line that is right and remove "
            "the other."
        )


def _refuse_other_records(row: Row, takes: dict[tuple[str, str], Row]) -> None:
    """Refuse a row that disagrees with the first one of its take."""
    if not row.placing.take:
        return
    first = takes.setdefault((row.participant, row.placing.take), row)
    for called, here, there in (
        ("prompt", row.prompt, first.prompt),
        ("recorded_at", row.recorded_at, first.recorded_at),
        ("language", row.language, first.language),
        ("condition", row.placing.condition, first.placing.condition),
    ):
        if here != there:
            raise BadInput(
                f"{row.file} has another {called} than line {first.line}, which is of the same "
                f"take “{row.placing.take}” of {row.participant}. All views of a take share "
                "prompt, recorded_at, language and condition: correct the one that is wrong."
            )


def _inside(folder: Path, file: str) -> Path | None:
    """Give the file's real path if that lies in the folder, links followed; or else None."""
    root = folder.resolve()
    try:
        path = (root / file).resolve()
    except (OSError, ValueError):  # a name that no file system can hold
        return None
    return path if file and path.is_relative_to(root) else None


def _read_prompt(file: str, text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise BadInput(f"The prompt of {file}, “{text}”, is no number. Write the prompt's number.")
    return int(text)


def _read_time(file: str, text: str) -> datetime | None:
    return read_moment(text, called=f"The recording time of {file}") if text else None


def _videos_without_a_line(folder: Path, named: set[Path], manifest: str) -> list[Problem]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES | SENSOR_SUFFIXES
        and path.is_file()
        and path.resolve() not in named
    )
    problems = []
    for path in found:
        # A name need not be text: what is none is shown as “�”.
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "replace")
        sentence = (
            f"{name} has no line in {manifest}, so nobody knows whose recording it is. Add a line "
            "for it, or move it elsewhere."
        )
        problems.append(Problem(None, name, sentence))
    return problems

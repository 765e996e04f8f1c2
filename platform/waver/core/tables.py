"""Tables that people write in a spreadsheet: CSV files whose lines keep their numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from waver.core.errors import BadInput


@dataclass(frozen=True)
class Line:
    """One line: `number` counts from 1 and includes the header, as an editor shows it.

    `values` holds the stripped cells by column; `surplus` those that stand beyond the last column.
    """

    number: int
    values: dict[str, str]
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The names of the columns in small letters, in their order, and the lines with content."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def read_table(path: Path, *, columns: Sequence[str], called: str, one: str) -> Table:
    """Read a CSV file in UTF-8, separated by commas or, as some spreadsheets do, by semicolons.

    `called` names the file in sentences (“manifest”), `one` what a line stands for (“recording”).
    Raises BadInput for what is no such file, lacks one of `columns`, or has no line with content.
    """
    rows = _text_of(path, columns=columns, called=called, one=one).splitlines()
    if not rows:
        raise BadInput(f"The {called} {path.name} is empty. It needs a header and one line each.")
    separator = ";" if rows[0].count(";") > rows[0].count(",") else ","
    reader = csv.reader(rows, delimiter=separator)
    try:
        header = tuple(name.strip().lower() for name in next(reader))
        _check_header(header, columns, f"The {called} {path.name}")
        lines = tuple(
            _line(reader.line_num, header, cells)
            for cells in reader
            if any(cell.strip() for cell in cells)
        )
    except csv.Error as error:
        raise BadInput(
            f"The {called} {path.name} is no proper CSV at line {reader.line_num} ({error}). "
            "Save it again from your spreadsheet."
        ) from error
    if not lines:
        raise BadInput(f"The {called} {path.name} names no {one}. Add one line per {one}.")
    return Table(columns=header, lines=lines)


def _text_of(path: Path, *, columns: Sequence[str], called: str, one: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadInput(
            f"There is no {called} {path}. Write a CSV file with the columns {', '.join(columns)} "
            f"and one line per {one}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"The {called} {path.name} cannot be read as UTF-8 text ({error}). Save it as "
            "“CSV UTF-8” and try again."
        ) from error


def _check_header(header: Sequence[str], columns: Sequence[str], table: str) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise BadInput(
            f"{table} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. "
            f"Its first line must name: {', '.join(columns)}."
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise BadInput(
            f"{table} has two columns “{'” and “'.join(twice)}”. Keep the one that is right."
        )


def _line(number: int, header: Sequence[str], cells: Sequence[str]) -> Line:
    stripped = [cell.strip() for cell in cells]
    surplus = tuple(cell for cell in stripped[len(header) :] if cell)
    return Line(number, dict(zip(header, stripped, strict=False)), surplus)


def read_moment(text: str, *, called: str) -> datetime:
    """Read a date and time with its time zone, in ISO 8601.

    `called` begins the sentence (“The recording time of a.mp4”). Raises BadInput.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{called}, “{text}”, is no date and time. Write it like 2024-03-01T10:00:00+01:00."
        ) from error
    if moment.tzinfo is None:
        raise BadInput(
            f"{called}, “{text}”, has no time zone. Write it like 2024-03-01T10:00:00+01:00, or "
            "with Z for UTC."
        )
    return moment

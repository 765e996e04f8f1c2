"""Sensor tables: CSV with a header that names units, read line by line.

    time [s],heart rate [bpm],skin conductance [µS]
    0.000,71.2,0.48

Times stand in a column “time” with its unit (s, ms, µs) or as dates (ISO 8601); a table without one
is sampled evenly, at the rate that the study's records give. Commas, semicolons or tabs separate;
with the latter two a number may have a decimal comma.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from workers.signals.description import (
    Description,
    name_and_unit,
    refuse_number_of_channels,
    told_apart,
)
from workers.signals.errors import SignalError
from workers.signals.samples import MICROSECONDS, Channel, Piece, sample_times

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_LINE = 65_536  # characters
_ROWS = 32_768  # in memory at once
_CHARACTERS = 8 * 2**20  # in memory at once: cells may be padded without end
_HEADER_LINES = 100  # comments that may stand before the header
_LONGEST_US = 24 * 3600 * MICROSECONDS
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,12})?(?:[eE][+-]?[0-9]{1,2})?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.{0,25}")
_TIME_NAMES = re.compile(r"(time|timestamp|datetime|t)(?:_(s|ms|us))?")
_TICKS = {
    "s": MICROSECONDS, "sec": MICROSECONDS, "seconds": MICROSECONDS,
    "ms": 1_000, "milliseconds": 1_000, "us": 1, "µs": 1, "μs": 1, "microseconds": 1,
}  # fmt: skip
_EPOCH_US = 10**8 * MICROSECONDS  # later than this, times count from 1970
_FURTHEST_US = 10 * _EPOCH_US  # further from 0 is no time, nor room for it in 64 bits


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the head of a table says: the column of the times and how to read them, or the rate."""

    separator: str
    channels: tuple[Channel, ...]
    columns: tuple[int, ...]  # of the channels, in the table
    width: int
    time: int
    clock: _Ticks | _Dates | None
    rate: Fraction | None
    first_line: int  # of the samples, counting from 1


class _Ticks:
    """Times as numbers of a unit; those that count from 1970 count from the first one instead."""

    def __init__(self, ticks: int) -> None:
        self.zero: int | None = None
        self._ticks = ticks

    def read(self, text: str) -> int:
        """Read a time to the microsecond, rounded half up, exactly. Raises ValueError."""
        if not _TIME.fullmatch(text):
            raise ValueError(text)
        exact = Decimal(text) * self._ticks
        us = int((exact + Decimal("0.5")).to_integral_value(ROUND_FLOOR))
        if self.zero is None:
            self.zero = us if us >= _EPOCH_US else 0
        if abs(us - self.zero) > _FURTHEST_US:
            raise ValueError(text)
        return us - self.zero


class _Dates:
    """Times as dates, counted from the first one."""

    def __init__(self) -> None:
        self.zero: datetime | None = None

    def read(self, text: str) -> int:
        """Read a date to the microsecond. Raises ValueError, or TypeError between two kinds."""
        moment = datetime.fromisoformat(text)
        if self.zero is None:
            self.zero = moment
        return (moment - self.zero) // timedelta(microseconds=1)


class CsvFile:
    """A sensor table. Raises SignalError for what is none, with the line at fault."""

    def __init__(
        self,
        path: Path,
        description: Description,
        *,
        name: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self.shown = name or path.name
        self.notes: list[str] = []
        self._path, self._description = path, description
        self._on_bytes = on_bytes or (lambda _: None)
        with self._open() as stream:
            self._layout = self._read_head(stream)
        self.channels = self._layout.channels
        self._repeated = 0
        self._last_us: int | None = None
        self._first_us = 0

    def pieces(self) -> Iterator[Piece]:
        """Give all samples, some ten thousand lines at a time."""
        import numpy as np

        layout, done = self._layout, 0
        for lines, rows in self._chunks():
            if layout.clock is not None:
                times = self._times(rows, lines, layout.clock)
            elif layout.rate is not None:
                times = sample_times(done, len(rows), layout.rate)
            if not done:
                self._first_us = int(times[0])
            if int(times[-1]) - self._first_us > _LONGEST_US:
                raise SignalError(
                    f"{self.shown} spans more than a day. Check the unit of its times, or its rate."
                )
            done += len(rows)
            for number, column in enumerate(layout.columns):
                cells = [row[column] for row in rows]
                yield Piece(number, times, np.array(self._numbers(cells, number, lines)))
        if not done:
            raise SignalError(f"{self.shown} has a header but no samples. Export it again.")
        self._say()

    def _open(self) -> TextIO:
        return self._path.open(encoding="utf-8-sig", newline="")

    def _lines(self, stream: TextIO) -> Iterator[str]:
        """Give the lines, none longer than the limit; tell how much was read."""
        try:
            while line := stream.readline(_LONGEST_LINE + 1):
                if len(line) > _LONGEST_LINE or "\x00" in line:
                    raise SignalError(
                        f"{self.shown} is no table: it has a line of more than {_LONGEST_LINE} "
                        "characters, or bytes that are no text. Export it again as CSV."
                    )
                yield line
        except UnicodeDecodeError as error:
            raise SignalError(
                f"{self.shown} cannot be read as UTF-8 text ({error.reason}). Save it as "
                "“CSV UTF-8” and try again."
            ) from error

    # ---- the head ----

    def _read_head(self, stream: TextIO) -> _Layout:
        line, number = "", 0
        for line in self._lines(stream):
            number += 1
            if line.strip() and not line.startswith("#"):
                break
            if number > _HEADER_LINES:
                break
        else:
            raise SignalError(f"{self.shown} is empty. Export it again from the sensor's program.")
        separator = max(";\t,", key=line.count)
        cells = self._split(line, separator)
        while cells and not cells[-1]:
            cells.pop()  # a separator at the end of each line
        has_header = not all(_is_value(cell, separator) for cell in cells)
        following = line
        if has_header:
            following = next((more for more in self._lines(stream) if more.strip()), "")
        return self._layout_of(
            cells if has_header else [],
            self._split(following, separator),
            separator,
            first_line=number + has_header,
        )

    def _split(self, line: str, separator: str) -> list[str]:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]

    def _layout_of(
        self, header: list[str], first: list[str], separator: str, *, first_line: int
    ) -> _Layout:
        width = len(header) or len(first)
        time, clock = self._time_column(header, first)
        columns = tuple(n for n in range(width) if n != time)
        refuse_number_of_channels(len(columns), self.shown)
        rate = self._rate(has_times=clock is not None)
        names = self._names([header[n] for n in columns] if header else [], len(columns))
        channels = tuple(Channel(name, unit, rate) for name, unit in names)
        return _Layout(separator, channels, columns, width, time, clock, rate, first_line)

    def _time_column(
        self, header: list[str], first: list[str]
    ) -> tuple[int, _Ticks | _Dates | None]:
        for column, cell in enumerate(header):
            name, unit = name_and_unit(cell)
            found = _TIME_NAMES.fullmatch(name.lower())
            if found is None:
                continue
            unit = unit.lower() or found[2] or ""
            value = first[column] if column < len(first) else ""
            if _ISO.fullmatch(value):
                return column, _Dates()
            if unit not in _TICKS:
                raise SignalError(
                    f"The times of {self.shown}, in its column “{cell}”, have no unit that is "
                    "known. Name the column “time [s]”, “time [ms]” or “time [µs]”, or write dates "
                    "like 2026-03-02T10:15:00.250."
                )
            return column, _Ticks(_TICKS[unit])
        return -1, None

    def _rate(self, *, has_times: bool) -> Fraction | None:
        rate = self._description.rate
        if not has_times and rate is None:
            raise SignalError(
                f"{self.shown} has no column “time”, and no rate is given. Write into the "
                "manifest's column “rate” how many samples there are per second, or add the column."
            )
        if has_times and rate is not None:
            self.notes.append(
                f"Its samples carry their own times, so the rate in the manifest ({rate} per "
                "second) was not used."
            )
            return None
        return rate

    def _names(self, header: list[str], count: int) -> list[tuple[str, str]]:
        said = self._description.channels
        if said and len(said) != count:
            raise SignalError(
                f"{self.shown} has {count} columns of values, but {len(said)} channels are named: "
                f"{', '.join(name for name, _ in said)}. Name each column once."
            )
        if not said and not header:
            raise SignalError(
                f"{self.shown} has no header, and no channels are named. Write their names into "
                "the manifest's column “channels”, with | between them."
            )
        named = list(said) or [name_and_unit(cell) for cell in header]
        names = told_apart([name or f"column {n + 1}" for n, (name, _) in enumerate(named)])
        units = [unit or self._description.unit for _, unit in named]
        return list(zip(names, units, strict=True))

    # ---- the samples ----

    def _chunks(self) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Give the table's rows in chunks, with the line number of each."""
        layout = self._layout
        with self._open() as stream:
            lines = self._lines(stream)
            for _ in range(layout.first_line - 1):
                next(lines)
            if layout.separator != ",":
                lines = (line.replace(",", ".") for line in lines)
            reader = csv.reader(lines, delimiter=layout.separator)
            rows: list[list[str]] = []
            numbers: list[int] = []
            held = 0
            try:
                for row in reader:
                    line = layout.first_line + reader.line_num - 1
                    held += sum(map(len, row))
                    if any(cell.strip() for cell in row):
                        rows.append(self._fitted(row, line))
                        numbers.append(line)
                    if rows and (len(rows) == _ROWS or held > _CHARACTERS):
                        yield numbers, rows
                        self._on_bytes(stream.buffer.tell())
                        rows, numbers, held = [], [], 0
            except csv.Error as error:
                line = layout.first_line + reader.line_num - 1
                raise SignalError(
                    f"{self.shown} is no proper CSV at line {line} ({error}). Export it again."
                ) from error
            if rows:
                yield numbers, rows

    def _fitted(self, row: list[str], line: int) -> list[str]:
        width = self._layout.width
        if len(row) == width:
            return row
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            return row[:width]
        raise SignalError(
            f"Line {line} of {self.shown} has {len(row)} cells, but there are {width} columns. "
            "Export the file again; the copy may have broken off."
        )

    def _numbers(self, cells: list[str], channel: int, lines: Sequence[int]) -> list[float]:
        """Read a column's cells; NaN where one is missing."""
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            return self._slowly(cells, channel, lines)
        # Python also reads 1_000 and inf, which no sensor writes.
        if any(abs(value) == float("inf") for value in values) or any("_" in c for c in cells):
            return self._slowly(cells, channel, lines)
        return values

    def _slowly(self, cells: Sequence[str], channel: int, lines: Sequence[int]) -> list[float]:
        values = []
        for place, cell in enumerate(cells):
            text = cell.strip()
            value = float(text) if _NUMBER.fullmatch(text) else float("nan")
            if abs(value) == float("inf") or (value != value and text.lower() not in _MISSING):
                raise SignalError(
                    f"Line {lines[place]} of {self.shown}, column "
                    f"“{self.channels[channel].name}”: “{text[:40]}” is no number. Correct it, or "
                    "leave the cell empty where a sample is missing."
                )
            values.append(value)
        return values

    def _times(
        self, rows: list[list[str]], lines: Sequence[int], clock: _Ticks | _Dates
    ) -> NDArray[np.int64]:
        import numpy as np

        column, times = self._layout.time, []
        for place, row in enumerate(rows):
            text = row[column].strip()
            try:
                us = clock.read(text)
            except (ValueError, TypeError):  # TypeError: only some of the dates have a time zone
                raise self._no_time(text, lines[place]) from None
            if self._last_us is not None and us < self._last_us:
                raise SignalError(
                    f"The time in line {lines[place]} of {self.shown}, “{text[:40]}”, lies before "
                    "that of the line above. Put the lines into the order of time; where the "
                    "sensor's clock was set back, split the file there."
                )
            self._repeated += us == self._last_us
            self._last_us = us
            times.append(us)
        return np.array(times, np.int64)

    def _no_time(self, text: str, line: int) -> SignalError:
        return SignalError(
            f"Line {line} of {self.shown}: “{text[:40]}” is no time like those above it. Every "
            "sample needs one; correct it or remove the line."
        )

    def _say(self) -> None:
        if self._repeated:
            self.notes.append(
                f"{self._repeated} samples carry the same time as the one before them. All are "
                "kept; at such a moment the last one counts."
            )
        if self._layout.clock is not None and self._layout.clock.zero:
            self.notes.append(
                "Its times are dates, so its 0 is its first sample: the offset says when that was "
                "taken on the webcam's clock."
            )


def _is_value(cell: str, separator: str) -> bool:
    plain = cell if separator == "," else cell.replace(",", ".")
    return bool(plain.lower() in _MISSING or _NUMBER.fullmatch(plain) or _ISO.fullmatch(cell))

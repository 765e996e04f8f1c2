"""A subject's lines as an aligned table of text."""

from __future__ import annotations

from collections.abc import Sequence

from bench.subject import Line, NotMeasured, Row, Subject

HEADINGS = ("case", "measured", "rival", "ratio", "bound", "")
_TO_THE_RIGHT = {1, 2, 3}


def render(subject: Subject, lines: Sequence[Line]) -> str:
    """The table with its title, its rival, and the notes that the rows carry, as text."""
    notes = list(dict.fromkeys(line.note for line in lines if isinstance(line, Row) and line.note))
    numbers = {note: number for number, note in enumerate(notes, start=1)}
    rows = [HEADINGS, *(_cells(line, numbers) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    body = [_aligned(row, widths) for row in rows]
    body.insert(1, "  ".join("-" * width for width in widths).rstrip())
    missing = [f"  {x.case}: {x.reason}" for x in lines if isinstance(x, NotMeasured)]
    return "\n".join(
        [
            f"{subject.name}: {subject.title}",
            f"  rival: {subject.rival}",
            f"  ratio: {subject.ratio}",
            "",
            *body,
            *(f"  [{number}] {note}" for note, number in numbers.items()),
            *missing,
        ]
    )


def _cells(line: Line, numbers: dict[str, int]) -> tuple[str, ...]:
    if isinstance(line, NotMeasured):
        return (line.case, "not measured", "", "", "", "")
    case = f"{line.case} [{numbers[line.note]}]" if line.note else line.case
    return (
        case,
        line.measured,
        line.rival,
        "" if line.ratio is None else factor(line.ratio),
        "reported only" if line.bound is None else str(line.bound),
        {None: "", True: "met", False: "NOT MET"}[line.is_met],
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if column in _TO_THE_RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def factor(ratio: float) -> str:
    """A ratio with about three significant digits: 0.0123x, 3.45x, 5,120x."""
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2 if ratio >= 0.1 else 4
    return f"{ratio:,.{digits}f}x"


def seconds(value: float) -> str:
    """A duration in the unit that suits it: 5.1 ms, 2.31 s, 851 s."""
    if value < 0.9995:
        return f"{1000 * value:.3g} ms"
    return f"{value:,.2f} s" if value < 99.995 else f"{value:,.0f} s"


def megabytes(value: float) -> str:
    """A number of bytes in MB of a million bytes."""
    return f"{value / 1e6:,.1f} MB"

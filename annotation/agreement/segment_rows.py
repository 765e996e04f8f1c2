"""The columns that `Segments.from_rows` takes: read, brought into one form, and checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import column, is_missing

if TYPE_CHECKING:
    from annotation.agreement.segments import Segments

GAP = "none"
"""The value of time that a rater who submitted the recording did not mark."""

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """The columns as they were given; times as whole numbers."""

    recording: list[Hashable]
    rater: list[Hashable]
    start_us: Int64
    end_us: Int64
    label: list[str]

    @classmethod
    def from_columns(
        cls,
        recording: Iterable[Hashable],
        rater: Iterable[Hashable],
        start_us: Iterable[int],
        end_us: Iterable[int],
        label: Iterable[str],
    ) -> SegmentRows:
        """Read columns of any kind. Raises ValueError for unequal ones, missing labels and times
        that are not whole.
        """
        names = [list(column(x)) for x in (recording, rater, label)]
        if any(is_missing(name) for name in set(names[2])):
            raise ValueError("A segment has no label; name it or leave the segment out.")
        rows = cls(
            names[0],
            names[1],
            _whole(start_us, "beginning"),
            _whole(end_us, "end"),
            [str(name) for name in names[2]],
        )
        lengths = {
            len(x) for x in (rows.recording, rows.rater, rows.start_us, rows.end_us, rows.label)
        }
        if len(lengths) > 1:
            raise ValueError("The columns of segments differ in length.")
        return rows

    def labels(self, known: Iterable[str] | None) -> tuple[str, ...]:
        """The codebook's labels, checked, or those that occur where there is no codebook."""
        names = tuple(sorted(set(self.label))) if known is None else tuple(str(x) for x in known)
        if GAP in names:
            raise ValueError(f"{GAP!r} means unmarked time and cannot be a label.")
        if len(set(names)) < len(names):
            raise ValueError("The list of labels names a label twice; each may stand there once.")
        return names

    def check(self, made: Segments) -> None:
        """Raise ValueError with a sentence for the first row that cannot be."""
        named = (made.recording >= 0) & (made.rater >= 0)
        on_roster = named & made.submitted[made.recording, made.rater] if len(named) else named
        length = made.duration_us[made.recording] if len(named) else made.duration_us[:0]
        inside = (made.start_us >= 0) & (made.start_us < made.end_us) & (made.end_us <= length)
        wrong = np.flatnonzero(~(on_roster & inside & (made.label >= 0)))
        if not len(wrong):
            return
        row = int(wrong[0])
        recording, rater = self.recording[row], self.rater[row]
        if not on_roster[row]:
            raise ValueError(
                f"Rater {rater!r} marked recording {recording!r} without being on its roster; "
                "add them to the roster or leave the segment out."
            )
        if not inside[row]:
            raise ValueError(
                f"The segment [{self.start_us[row]}, {self.end_us[row]}) of rater {rater!r} does "
                f"not lie in recording {recording!r}, which lasts {length[row]} µs."
            )
        raise ValueError(f"The label {self.label[row]!r} is not one of the codebook's labels.")


def raters_of(
    roster: Mapping[Hashable, Iterable[Hashable]] | Iterable[Hashable],
    recordings: Iterable[Hashable],
) -> dict[Hashable, tuple[Hashable, ...]]:
    """recording -> the raters who submitted it, from each of the forms of a roster."""
    if isinstance(roster, Mapping):
        return {name: tuple(raters) for name, raters in roster.items()}
    entries = list(roster)
    found: dict[Hashable, dict[Hashable, None]] = {}
    pairs = [entry for entry in entries if isinstance(entry, tuple | list) and len(entry) == 2]
    if entries and len(pairs) == len(entries):
        for recording, rater in pairs:
            found.setdefault(recording, {})[rater] = None
        return {name: tuple(raters) for name, raters in found.items()}
    return {name: tuple(dict.fromkeys(entries)) for name in recordings}


def lengths(durations: Mapping[Hashable, int], names: tuple[Hashable, ...]) -> Int64:
    """Length of each recording in whole microseconds; ValueError for one without."""
    for name in names:
        if durations.get(name, 0) < 1:
            raise ValueError(f"Recording {name!r} has no duration; give its length in µs.")
    return _whole([durations[name] for name in names], "length")


def _whole(times: Iterable[int], what: str) -> Int64:
    """Whole microseconds; half ones would be cut off silently otherwise."""
    found = np.asarray(column(times))
    if not len(found):
        return np.empty(0, dtype=np.int64)
    if found.dtype.kind in "iu":
        return found.astype(np.int64, copy=False)
    if found.dtype.kind != "f" or not np.all(np.isfinite(found)) or np.any(found % 1):
        raise ValueError(f"Every {what} must be a whole number of microseconds.")
    return found.astype(np.int64)


def positions(names: list[Any], position: Mapping[Any, int]) -> npt.NDArray[np.int32]:
    """Each name's index; -1 for one that is not known."""
    return np.array([position.get(name, -1) for name in names], dtype=np.int32)

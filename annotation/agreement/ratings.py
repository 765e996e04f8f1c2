"""Values given to units (clips): the long table of ratings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Scale: TypeAlias = Literal["nominal", "ordinal", "interval", "ratio"]
SCALES: tuple[str, ...] = get_args(Scale)
_DENSE = 4  # a table of this many cells per row is cheaper than sorting the rows
_CHUNK_ROWS = 16_384  # ratings looked at at a time: they stay in the processor's cache


def is_missing(value: object) -> bool:
    """None, NaN, pandas' NA and NaT and a blank text are no rating, never a category."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def check_values(values: Sequence[Any], scale: str) -> tuple[Any, ...]:
    """The codebook's values, checked: distinct, none blank, numbers where the scale needs them."""
    # A numpy number would not survive being stored as JSON; the Python number is equal to it.
    values = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
    if scale not in SCALES:
        raise ValueError(f"The scale {scale!r} is unknown; use one of {', '.join(SCALES)}.")
    if not values:
        raise ValueError("The list of values is empty; give the codebook's values.")
    if any(is_missing(value) for value in values):
        raise ValueError("A blank is not a category; take it out of the list of values.")
    if len(set(values)) != len(values):
        raise ValueError("The list of values names a value twice; each may stand there once.")
    if scale in ("interval", "ratio"):
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError) as error:
            raise ValueError(f"On the {scale} scale every value must be a number.") from error
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"On the {scale} scale every value must be finite.")
        if len(set(numbers)) != len(numbers):
            raise ValueError("The list of values names a number twice; each may stand there once.")
        if scale == "ratio" and min(numbers) < 0:
            raise ValueError("On the ratio scale no value may be negative.")
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Who gave which value to which unit; one row per rating that was given.

    `unit`, `rater`, `code`   int32 arrays of shape (rows,): indices into `units`, `raters`,
                              `values`.
    `unit_cluster`            int32, shape (units,): index into `clusters`.
    `unit_weight`             float64, shape (units,): how many units this one stands for.
    `repeats`                 whether a rater may have rated a unit more than once.
    Missing ratings have no row. One rater may rate a unit more than once (repeats); statistics
    between raters refuse such data, `intra_rater` and `dawid_skene` use them.
    """

    scale: Scale
    values: tuple[Any, ...]
    units: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    clusters: tuple[Hashable, ...]
    unit: npt.NDArray[np.int32]
    rater: npt.NDArray[np.int32]
    code: npt.NDArray[np.int32]
    unit_cluster: npt.NDArray[np.int32]
    unit_weight: npt.NDArray[np.float64]
    repeats: bool

    @classmethod
    def from_long(
        cls,
        unit: Iterable[Hashable],
        rater: Iterable[Hashable],
        value: Iterable[Any],
        *,
        scale: Scale,
        values: Sequence[Any],
        cluster: Iterable[Hashable] | None = None,
        weight: Iterable[float] | None = None,
    ) -> Ratings:
        """Ratings from parallel columns, one entry per rating.

        unit, rater, value: columns of equal length: lists, numpy arrays, columns of a table. A
                 value of None, NaN or blank is missing; a unit, rater or cluster may not be.
        scale:   how values differ: nominal, ordinal, interval or ratio.
        values:  the codebook's values in their order, used or not: chance correction and the
                 ordinal scale depend on them.
        cluster: per row, what is resampled for intervals (the participant); the unit if left out.
        weight:  per row, how many units the unit stands for (inverse of its sampling probability);
                 1 if left out.
        Raises ValueError with a sentence for unequal columns, a value outside `values`, a unit
        in two clusters or with two weights, and for negative or infinite weights.
        """
        known = check_values(values, scale)
        unit_names, unit_index = index_names(unit, "unit")
        rater_names, rater_index = index_names(rater, "rater")
        codes = _codes(value, known)
        if not len(unit_index) == len(rater_index) == len(codes):
            raise ValueError(
                f"The columns differ in length: {len(unit_index)} units, {len(rater_index)} raters,"
                f" {len(codes)} values."
            )
        if cluster is None:
            cluster_names: tuple[Hashable, ...] = unit_names
            unit_cluster: npt.NDArray[np.int32] = np.arange(len(unit_names), dtype=np.int32)
        else:
            cluster_names, cluster_index = index_names(cluster, "cluster")
            unit_cluster = _per_unit(cluster_index, unit_index, unit_names, "cluster")
        weights = _unit_weights(weight, unit_index, unit_names)
        given: Any = slice(None) if codes.min(initial=0) >= 0 else codes >= 0
        who, what = rater_index[given], unit_index[given]
        return cls(
            scale=scale,
            values=known,
            units=unit_names,
            raters=rater_names,
            clusters=cluster_names,
            unit=what,
            rater=who,
            code=codes[given],
            unit_cluster=unit_cluster,
            unit_weight=weights,
            repeats=_has_repeats(what, len(unit_names), who, len(rater_names)),
        )

    def counts(self) -> npt.NDArray[np.int64]:
        """How many raters gave each value to each unit; int64, shape (units, values)."""
        return self.counts_by_value().T

    def counts_by_value(self, kind: type[np.integer[Any]] = np.int64) -> npt.NDArray[Any]:
        """The same as integers of one `kind`, shape (values, units): units run along memory."""
        counts = np.zeros(len(self.values) * len(self.units), dtype=kind)
        for cells in _cells(self.code, len(self.values), self.unit, len(self.units)):
            np.add.at(counts, cells, kind(1))
        return counts.reshape(len(self.values), len(self.units))

    def require_no_repeats(self) -> None:
        """Raise ValueError if a rater rated a unit twice."""
        if not self.repeats:
            return
        cells = _cells(self.unit, len(self.units), self.rater, len(self.raters))
        ordered = np.sort(np.concatenate([*cells]))
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            unit, rater = divmod(int(ordered[twice[0]]), len(self.raters))
            raise ValueError(
                f"Rater {self.raters[rater]!r} rated unit {self.units[unit]!r} more than once. "
                "Agreement between raters takes one rating per rater and unit: leave repeats out."
            )

    def only_raters(self, raters: Iterable[Hashable]) -> Ratings:
        """The same table with the rows of these raters only."""
        kept = [index for index, name in enumerate(self.raters) if name in set(raters)]
        mask = np.isin(self.rater, kept)
        return replace(self, unit=self.unit[mask], rater=self.rater[mask], code=self.code[mask])


def _cells(
    row: npt.NDArray[np.int32], rows: int, column: npt.NDArray[np.int32], columns: int
) -> Iterator[npt.NDArray[np.int32 | np.int64]]:
    """Each rating's cell in a table of rows x columns; in chunks, and no wider than it must be."""
    wide = np.int32 if rows * columns <= np.iinfo(np.int32).max else np.int64
    for start in range(0, max(len(row), 1), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        cells = np.multiply(row[part], columns, dtype=wide)
        cells += column[part]
        yield cells


def _has_repeats(
    unit: npt.NDArray[np.int32], units: int, rater: npt.NDArray[np.int32], raters: int
) -> bool:
    """Whether a pair of unit and rater occurs twice; by a table where most pairs occur."""
    if units * raters <= _DENSE * len(unit):
        seen = np.zeros(units * raters, dtype=bool)
        for cells in _cells(unit, units, rater, raters):
            seen[cells] = True
        return bool(np.count_nonzero(seen) < len(unit))
    ordered = np.sort(np.concatenate([*_cells(unit, units, rater, raters)]))
    return bool(np.any(ordered[1:] == ordered[:-1]))


def index_names(
    names: Iterable[Hashable], what: str
) -> tuple[tuple[Hashable, ...], npt.NDArray[np.int32]]:
    """Distinct names in order of first appearance (whole numbers in an array: in their order),
    and each row's index into them. Raises ValueError for a missing name, calling it `what`.
    """
    plain = column(names)
    if isinstance(plain, np.ndarray):
        distinct, inverse = _distinct(plain)
        return tuple(distinct.tolist()), inverse
    position = {name: index for index, name in enumerate(dict.fromkeys(plain))}
    if any(is_missing(name) for name in position):
        raise ValueError(f"A row has no {what}; name it or leave the row out.")
    return tuple(position), _looked_up(plain, position)


def _looked_up(names: list[Any], position: dict[Any, int]) -> npt.NDArray[np.int32]:
    """The position of every name; KeyError for one that has none."""
    return np.fromiter(map(position.__getitem__, names), dtype=np.int32, count=len(names))


def column(given: Iterable[Any]) -> npt.NDArray[np.integer[Any]] | list[Any]:
    """A column of a table, an array or any iterable: whole numbers stay an array."""
    given = given.to_numpy() if hasattr(given, "to_numpy") else given
    if isinstance(given, np.ndarray):
        return given if given.dtype.kind in "iu" else list(given.tolist())
    return list(given)


def _distinct(column: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Sorted distinct integers and each row's index into them; by a table where they are dense."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, -1)
    if 0 <= high - low <= _DENSE * len(column) and high <= np.iinfo(np.int64).max:
        fits = high - low <= np.iinfo(column.dtype).max
        shifted = (column if fits else column.astype(np.int64)) - low
        present = np.zeros(high - low + 1, dtype=bool)
        present[shifted] = True
        position = np.cumsum(present, dtype=np.int32) - 1
        return np.flatnonzero(present) + low, position[shifted].astype(np.int32, copy=False)
    names, inverse = np.unique(column, return_inverse=True)
    return names, inverse.astype(np.int32)


def _codes(given: Iterable[Any], values: tuple[Any, ...]) -> npt.NDArray[np.int32]:
    position = {value: index for index, value in enumerate(values)}
    plain = column(given)
    if isinstance(plain, np.ndarray):
        distinct, inverse = _distinct(plain)
        return _codes(distinct.tolist(), values)[inverse]
    try:
        return _looked_up(plain, position)
    except (KeyError, TypeError):  # something is missing or unknown
        return np.asarray([_code(value, position) for value in plain], dtype=np.int32)


def _code(value: Any, position: dict[Any, int]) -> int:
    if is_missing(value):
        return -1
    try:
        return position[value]
    except (KeyError, TypeError) as error:
        raise ValueError(f"The value {value!r} is not one of the codebook's values.") from error


def _per_unit(
    row_value: npt.NDArray[Any],
    unit_index: npt.NDArray[np.int32],
    unit_names: tuple[Hashable, ...],
    what: str,
) -> npt.NDArray[Any]:
    """Bring a column that is constant within each unit from rows to units."""
    if len(row_value) != len(unit_index):
        raise ValueError(f"The {what} column has {len(row_value)} rows, not {len(unit_index)}.")
    per_unit = np.zeros(len(unit_names), dtype=row_value.dtype)
    per_unit[unit_index] = row_value
    differs = np.flatnonzero(per_unit[unit_index] != row_value)
    if len(differs):
        name = unit_names[unit_index[differs[0]]]
        raise ValueError(f"Unit {name!r} has more than one {what}; it may have one.")
    return per_unit


def _unit_weights(
    weight: Iterable[float] | None,
    unit_index: npt.NDArray[np.int32],
    unit_names: tuple[Hashable, ...],
) -> npt.NDArray[np.float64]:
    if weight is None:
        return np.ones(len(unit_names))
    rows = np.asarray(list(weight), dtype=np.float64)
    if not np.all(np.isfinite(rows)) or np.any(rows < 0):
        raise ValueError("Every weight must be a finite number that is not negative.")
    return _per_unit(rows, unit_index, unit_names, "weight")

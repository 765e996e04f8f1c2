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
_CHUNK_ROWS = 1_000_000  # ratings looked at at a time, so that millions need little memory


def is_missing(value: object) -> bool:
    """None, NaN and a blank text are the absence of a rating, never a category."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float | np.floating) and math.isnan(value)


def check_values(values: Sequence[Any], scale: str) -> tuple[Any, ...]:
    """The codebook's values, checked: distinct, none blank, numbers where the scale needs them."""
    values = tuple(values)
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

        unit, rater, value: columns of equal length. A value of None, NaN or blank is missing.
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
        unit_names, unit_index = _index(unit)
        rater_names, rater_index = _index(rater)
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
            cluster_names, cluster_index = _index(cluster)
            unit_cluster = _per_unit(cluster_index, unit_index, unit_names, "cluster")
        weights = _unit_weights(weight, unit_index, unit_names)
        given: Any = slice(None) if codes.min(initial=0) >= 0 else codes >= 0
        return cls(
            scale=scale,
            values=known,
            units=unit_names,
            raters=rater_names,
            clusters=cluster_names,
            unit=unit_index[given],
            rater=rater_index[given],
            code=codes[given],
            unit_cluster=unit_cluster,
            unit_weight=weights,
        )

    def counts(self) -> npt.NDArray[np.int64]:
        """How many raters gave each value to each unit; int64, shape (units, values)."""
        counts: npt.NDArray[np.int64] = np.zeros(len(self.units) * len(self.values), dtype=np.int64)
        for cells in self._cells(self.code, len(self.values)):
            np.add.at(counts, cells, 1)
        return counts.reshape(len(self.units), len(self.values))

    def require_no_repeats(self) -> None:
        """Raise ValueError if a rater rated a unit twice."""
        size = len(self.units) * len(self.raters)
        if size <= _DENSE * len(self.unit):
            seen = np.zeros(size, dtype=bool)
            for cells in self._cells(self.rater, len(self.raters)):
                seen[cells] = True
            if np.count_nonzero(seen) == len(self.unit):
                return
        ordered = np.sort(np.concatenate([*self._cells(self.rater, len(self.raters))]))
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            unit, rater = divmod(int(ordered[twice[0]]), len(self.raters))
            raise ValueError(
                f"Rater {self.raters[rater]!r} rated unit {self.units[unit]!r} more than once. "
                "Agreement between raters takes one rating per rater and unit: leave repeats out."
            )

    def _cells(self, column: npt.NDArray[np.int32], width: int) -> Iterator[npt.NDArray[np.int64]]:
        """Each row's cell in a table of units x `width`; in chunks, for they are 8 bytes a row."""
        for start in range(0, max(len(self.unit), 1), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            cells = np.multiply(self.unit[part], width, dtype=np.int64)
            cells += column[part]
            yield cells

    def only_raters(self, raters: Iterable[Hashable]) -> Ratings:
        """The same table with the rows of these raters only."""
        kept = [index for index, name in enumerate(self.raters) if name in set(raters)]
        mask = np.isin(self.rater, kept)
        return replace(self, unit=self.unit[mask], rater=self.rater[mask], code=self.code[mask])


def _index(column: Iterable[Hashable]) -> tuple[tuple[Hashable, ...], npt.NDArray[np.int32]]:
    """Distinct names in order of first appearance, and each row's index into them."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu":
        names, inverse = _distinct(column)
        return tuple(names.tolist()), inverse
    seen: dict[Hashable, int] = {}
    rows = [seen.setdefault(name, len(seen)) for name in column]
    return tuple(seen), np.asarray(rows, dtype=np.int32)


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


def _codes(column: Iterable[Any], values: tuple[Any, ...]) -> npt.NDArray[np.int32]:
    position = {value: index for index, value in enumerate(values)}
    if isinstance(column, np.ndarray) and column.dtype.kind in "iu":
        distinct, inverse = _distinct(column)
        return _codes(distinct.tolist(), values)[inverse]
    codes: list[int] = []
    for value in column:
        if is_missing(value):
            codes.append(-1)
        elif value in position:
            codes.append(position[value])
        else:
            raise ValueError(f"The value {value!r} is not one of the codebook's values.")
    return np.asarray(codes, dtype=np.int32)


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

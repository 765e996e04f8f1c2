"""Additive statistics per cluster: all that the coefficients need to know about the ratings.

For a unit with n_c ratings of value c and m = sum n_c ratings, and weight w (1 for a clip, the
length in ticks for a stretch of time), each cluster keeps the sums over its units of

    O_ck = w (n_c n_k - [c=k] n_c) / (m - 1)         coincidences, m >= 2   (Krippendorff 2019)
    A_ck = w (n_c n_k - [c=k] n_c) / (m (m - 1))     agreement,    m >= 2   (Gwet 2014)
    P_c  = w n_c / m                                 prevalence,   m >= 1
and the weights and numbers of units with m >= 2 and m >= 1.

Every coefficient, its jackknife and its bootstrap are functions of the sum over clusters, so a
resample is a vector of cluster multiplicities times this matrix, and leaving a participant out
is a subtraction.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Ratings, check_values
from annotation.agreement.segments import Runs

Float64 = npt.NDArray[np.float64]

_EXTRA = 4  # weight m >= 2, weight m >= 1, units m >= 2, units m >= 1
_ROUNDING = 1e-9  # a share of a cluster's units this small is what subtracting left of none
_MOST_IN_16_BITS = 181  # raters whose squared number is still an integer of 16 bits
_CHUNK_CELLS = 500_000  # what `sufficient` works on at a time stays within a processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class SufficientStatistics:
    """The sums described above, one row per cluster.

    `table`  float64, shape (clusters, 2 V (V+1)/2 + V + 4): upper triangles of O and A, then P,
             then the four totals. V is the number of the codebook's values.
    """

    scale: str
    values: tuple[Any, ...]
    clusters: tuple[Hashable, ...]
    table: Float64

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Statistics of both sets of units; rows of a cluster that stands in both are summed."""
        return self._combined(other, 1.0)

    def __radd__(self, other: int) -> SufficientStatistics:
        """Nothing plus these: `sum` begins with 0."""
        return self if other == 0 else NotImplemented

    def __sub__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Statistics without the units of `other`; clusters left without a unit disappear.

        Raises ValueError where `other` has a cluster, or units of one, that are not in here.
        """
        strangers = set(other.clusters) - set(self.clusters)
        if strangers:
            raise ValueError(
                f"Cluster {sorted(map(str, strangers))[0]!r} cannot be taken out: it is not there."
            )
        return self._combined(other, -1.0)

    def __eq__(self, other: object) -> bool:
        """The same clusters, in any order, with exactly the same sums."""
        if not isinstance(other, SufficientStatistics):
            return NotImplemented
        if (self.scale, self.values) != (other.scale, other.values):
            return False
        place = {name: index for index, name in enumerate(other.clusters)}
        if place.keys() != set(self.clusters):
            return False
        order = [place[name] for name in self.clusters]
        return bool(np.array_equal(self.table, other.table[order]))

    __hash__ = None  # type: ignore[assignment]  # like every container that can be compared

    def without(self, clusters: Iterable[Hashable]) -> SufficientStatistics:
        """Statistics as if these clusters (withdrawn participants) had never been there."""
        gone = set(clusters)
        kept = [index for index, name in enumerate(self.clusters) if name not in gone]
        return SufficientStatistics(
            self.scale, self.values, tuple(self.clusters[i] for i in kept), self.table[kept]
        )

    def only(self, clusters: Iterable[Hashable]) -> SufficientStatistics:
        """Statistics of these clusters alone."""
        wanted = set(clusters)
        return self.without(name for name in self.clusters if name not in wanted)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; `from_dict` restores it bit by bit if the names are JSON's own."""
        return {
            "schema": "waver.agreement-statistics/1",
            "scale": self.scale,
            "values": list(self.values),
            "clusters": list(self.clusters),
            "table": self.table.tolist(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SufficientStatistics:
        """Restore what `to_dict` wrote. Raises ValueError where the parts do not fit together."""
        if stored.get("schema") != "waver.agreement-statistics/1":
            raise ValueError(f"These are not agreement statistics: {stored.get('schema')!r}.")
        values = check_values(stored["values"], stored["scale"])
        clusters = tuple(_hashable(name) for name in stored["clusters"])
        shape = (len(clusters), _width(len(values)))
        table = np.array(stored["table"], dtype=np.float64).reshape(-1, shape[1])
        if table.shape != shape or not np.all(np.isfinite(table)):
            raise ValueError("The stored statistics do not fit their clusters and values.")
        return cls(stored["scale"], values, clusters, table)

    def _combined(self, other: SufficientStatistics, sign: float) -> SufficientStatistics:
        if (self.scale, self.values) != (other.scale, other.values):
            raise ValueError(
                "Statistics of different scales or codebook values cannot be combined."
            )
        position = {name: index for index, name in enumerate(self.clusters)}
        for name in other.clusters:
            position.setdefault(name, len(position))
        table = np.zeros((len(position), self.table.shape[1]))
        table[: len(self.clusters)] = self.table
        np.add.at(table, [position[name] for name in other.clusters], sign * other.table)
        if sign > 0:
            return SufficientStatistics(self.scale, self.values, tuple(position), table)
        # What is left of a cluster's units after rounding is none; shares are never compared.
        left, there = table[:, -1], self.table[:, -1]
        if np.any(left < -_ROUNDING * there):
            name = self.clusters[int(np.argmin(left))]
            raise ValueError(f"Of cluster {name!r} more would be taken out than there is.")
        kept = np.flatnonzero(left > _ROUNDING * there)
        return SufficientStatistics(
            self.scale, self.values, tuple(self.clusters[i] for i in kept), table[kept]
        )


def sufficient(data: Ratings | Runs) -> SufficientStatistics:
    """Sum ratings or runs per cluster; see the module for what is summed.

    Units that nobody rated add nothing, and a cluster without a rated unit has no row.
    Raises ValueError if a rater rated one unit twice (`Ratings` only).
    """
    if isinstance(data, Ratings):
        data.require_no_repeats()
        names, cluster = data.clusters, data.unit_cluster
        weight = None if np.all(data.unit_weight == 1) else data.unit_weight
        units: Float64 | None = None
        narrow = weight is None and len(data.raters) <= _MOST_IN_16_BITS
        counts = data.counts_by_value(np.int16 if narrow else np.int64)
    else:
        names, cluster = data.clusters, data.cluster_of[data.recording]
        weight, units = data.weight, data.ticks
        counts = data.counts().T
    table: Float64 = np.zeros((len(names), _width(len(data.values))))
    ratings = counts.sum(axis=0, dtype=np.int64)
    order = _by_cluster(cluster, len(names), ratings)
    step = max(1, _CHUNK_CELLS // table.shape[1])
    for start in range(0, len(order), step):
        # `take` brings units together several times faster than an index in brackets.
        part = order[start : start + step]
        _add_units(
            table,
            counts.take(part, axis=1),
            ratings.take(part),
            cluster.take(part),
            None if weight is None else weight.take(part),
            None if units is None else units.take(part),
        )
    rated = np.flatnonzero(table[:, -1] > 0)
    if len(rated) < len(names):
        names, table = tuple(names[i] for i in rated), table[rated]
    return SufficientStatistics(data.scale, data.values, names, table)


def _hashable(name: Any) -> Hashable:
    """JSON keeps a pair of names as a list."""
    return tuple(_hashable(part) for part in name) if isinstance(name, list) else name


@lru_cache(maxsize=64)
def upper_triangle(
    values: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Row and column of each cell of the upper triangle, and which of the cells are the diagonal.

    Kept per number of values, because building them takes longer than using them on a small study.
    """
    row, column = np.triu_indices(values)
    diagonal = np.flatnonzero(row == column)
    for array in (row, column, diagonal):
        array.flags.writeable = False
    return row, column, diagonal


def _width(values: int) -> int:
    return values * (values + 1) + values + _EXTRA


def _by_cluster(
    cluster: npt.NDArray[np.int32], clusters: int, ratings: npt.NDArray[np.int64]
) -> npt.NDArray[np.intp]:
    """The order of units that brings together each cluster's, and in it those rated as often.

    numpy sorts integers of 16 bits in linear time, and few studies have more clusters than that.
    """
    narrow = cluster.astype(np.min_scalar_type(clusters))
    most = ratings.max(initial=0)
    if most == ratings.min(initial=most):
        return np.argsort(narrow, kind="stable")
    by_ratings = np.argsort(ratings.astype(np.min_scalar_type(most)), kind="stable")
    return by_ratings[np.argsort(narrow[by_ratings], kind="stable")]


def _add_units(
    table: Float64,
    given: npt.NDArray[np.integer[Any]],
    ratings: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int32],
    weight: Float64 | None,
    units: Float64 | None,
) -> None:
    """Add one chunk of units, which stand in the order of `_by_cluster`, to the clusters' rows.

    given: how many raters gave each value, shape (values, units), so that every step runs along
    memory; integers wide enough for the square of the number of raters. ratings: their sums m.
    weight, units: shape (units,); None where every unit stands for one.
    Units of one cluster with the same m are summed before they are divided by m: m - 1 and m
    are the same for all of them.
    """
    first, second, diagonal = upper_triangle(len(given))
    cells = len(first)
    starts = _starts(cluster, ratings)
    m, at = ratings[starts], cluster[starts]
    size = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=size[:-1])
    size[-1:] = len(cluster) - starts[-1:]
    once = _sums(given, weight, starts)
    twice = _sums(given[first] * given[second], weight, starts)
    twice[diagonal] -= once
    heavy = size if weight is None else np.add.reduceat(weight, starts)
    many = size if units is None else np.add.reduceat(units, starts)
    rated, paired, at_least_one = m >= 1, m >= 2, np.maximum(m, 1)
    sums: Float64 = np.empty((table.shape[1], len(starts)))
    np.multiply(twice, paired / np.maximum(m - 1, 1), out=sums[:cells])
    np.divide(sums[:cells], at_least_one, out=sums[cells : 2 * cells])
    np.divide(once, at_least_one, out=sums[2 * cells : -4])
    for row, total, counted in ((-4, heavy, paired), (-3, heavy, rated), (-2, many, paired)):
        np.multiply(total, counted, out=sums[row])
    np.multiply(many, rated, out=sums[-1])
    own = _starts(at)
    if len(own) < len(at):
        sums, at = np.add.reduceat(sums, own, axis=1), at[own]
    if len(at) == len(table):  # every cluster, in order
        table += sums.T
    else:
        table[at] += sums.T


def _starts(*columns: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.intp]:
    """Where any of the columns differs from the entry before, and at the first entry."""
    changes = np.zeros(len(columns[0]), dtype=bool)
    changes[:1] = True
    for values in columns:
        changes[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(changes)


def _sums(
    numbers: npt.NDArray[np.integer[Any]], weight: Float64 | None, starts: npt.NDArray[np.intp]
) -> Float64:
    """Weighted sums of each row's groups; whole numbers are summed as such, without rounding."""
    if weight is not None:
        return np.asarray(np.add.reduceat(numbers * weight, starts, axis=1))
    return np.add.reduceat(numbers, starts, axis=1, dtype=np.int64).astype(np.float64)

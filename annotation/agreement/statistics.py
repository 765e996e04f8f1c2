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

    def __sub__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Statistics without the units of `other`; clusters left without a unit disappear.

        Raises ValueError where `other` has a cluster that these statistics do not have.
        """
        strangers = set(other.clusters) - set(self.clusters)
        if strangers:
            raise ValueError(
                f"Cluster {sorted(map(str, strangers))[0]!r} cannot be taken out: it is not there."
            )
        return self._combined(other, -1.0)

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
        clusters = tuple(stored["clusters"])
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
        whole = SufficientStatistics(self.scale, self.values, tuple(position), table)
        if sign > 0:
            return whole
        # Unit counts are whole numbers, so "nothing left" is exact where sums of shares are not.
        return whole.without(
            name for name, units in zip(position, table[:, -1], strict=True) if units == 0
        )


def sufficient(data: Ratings | Runs) -> SufficientStatistics:
    """Sum ratings or runs per cluster; see the module for what is summed.

    Units that nobody rated add nothing, and a cluster without a rated unit has no row.
    Raises ValueError if a rater rated one unit twice (`Ratings` only).
    """
    if isinstance(data, Ratings):
        data.require_no_repeats()
        counts, weight = data.counts(), data.unit_weight
        units: Float64 = np.ones(len(data.units))
        names, cluster = data.clusters, data.unit_cluster
    else:
        counts, weight, units = data.counts(), data.weight, data.ticks
        position: dict[Hashable, int] = {}
        of_recording = [position.setdefault(c, len(position)) for c in data.recording_cluster]
        names = tuple(position)
        cluster = np.asarray(of_recording, dtype=np.int32)[data.recording]
    table = np.zeros((len(names), _width(len(data.values))))
    # numpy sorts integers of 16 bits in linear time, and few studies have more clusters than that.
    narrow = cluster.astype(np.min_scalar_type(len(names)))
    by_cluster = np.argsort(narrow, kind="stable")
    step = max(1, _CHUNK_CELLS // table.shape[1])
    for start in range(0, len(by_cluster), step):
        part = by_cluster[start : start + step]
        _add_units(
            table,
            # `take` brings rows together several times faster than an index in brackets.
            counts.take(part, axis=0),
            weight.take(part),
            units.take(part),
            cluster.take(part),
        )
    rated = np.flatnonzero(table[:, -1] > 0)
    return SufficientStatistics(
        data.scale, data.values, tuple(names[i] for i in rated), table[rated]
    )


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


def _add_units(
    table: Float64,
    counts: npt.NDArray[np.int64],
    weight: Float64,
    units: Float64,
    cluster: npt.NDArray[np.int32],
) -> None:
    """Add one chunk of units, which stand in the order of their clusters, to the clusters' rows.

    Within the function units are the last axis, so that every step runs along memory.
    """
    first, second, diagonal = upper_triangle(counts.shape[1])
    given = np.ascontiguousarray(counts.T, dtype=np.float64)
    ratings = given.sum(axis=0)
    rated, paired = ratings >= 1, ratings >= 2
    rated_weight, paired_weight = weight * rated, weight * paired
    at_least_one = np.maximum(ratings, 1)
    pairs = given[first] * given[second]
    pairs[diagonal] -= given
    pairs *= paired_weight / np.maximum(ratings - 1, 1)
    parts = (
        pairs,
        pairs / at_least_one,
        given * (rated_weight / at_least_one),
        np.stack([paired_weight, rated_weight, units * paired, units * rated]),
    )
    starts = np.flatnonzero(np.diff(cluster, prepend=-1))
    sums = np.concatenate([np.add.reduceat(part, starts, axis=1) for part in parts])
    table[cluster[starts]] += sums.T

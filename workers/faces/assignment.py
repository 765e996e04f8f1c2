"""Pairing the rows and columns of a table of costs, each used once, at the least total cost.

The method of Kuhn and Munkres in its shortest-path form (Jonker and Volgenant 1987). A picture
shows a handful of faces, and importing scipy.optimize would cost every worker 45 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def cheapest_pairs(costs: Doubles) -> list[tuple[int, int]]:
    """Pairs (row, column) with as many finite costs (rows, columns) as possible, then the cheapest.

    An infinite cost says that a pair is impossible; such pairs are never returned.
    """
    if costs.size == 0:
        return []
    if 1 in costs.shape:  # one face, or one track: mostly so
        row, column = divmod(int(np.argmin(costs)), costs.shape[1])
        return [(row, column)] if np.isfinite(costs[row, column]) else []
    finite = np.isfinite(costs)
    # One impossible pair must cost more than any set of possible ones.
    forbidden = 1 + 2 * float(np.abs(costs[finite]).sum()) if finite.any() else 1.0
    filled = np.where(finite, costs, forbidden)
    if filled.shape[0] > filled.shape[1]:
        pairs = [(row, column) for column, row in _assign(filled.T)]
    else:
        pairs = _assign(filled)
    return sorted((row, column) for row, column in pairs if finite[row, column])


def _assign(costs: Doubles) -> list[tuple[int, int]]:
    """Give each row a column of its own; there are at least as many columns as rows.

    `row_price` and `column_price` keep every reduced cost at 0 or above; row after row is added
    along the shortest path of reduced costs to a free column.
    """
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for new in range(rows):
        distance = np.full(columns, np.inf)
        came_from = np.full(columns, -1)
        done = np.zeros(columns, dtype=bool)
        row, column, reached = new, -1, 0.0
        while row != -1:
            through = reached + costs[row] - row_price[row] - column_price
            closer = ~done & (through < distance)
            distance[closer], came_from[closer] = through[closer], column
            column = int(np.argmin(np.where(done, np.inf, distance)))
            reached = float(distance[column])
            done[column] = True
            row = int(owner[column])
        row_price[new] += reached
        for other in np.flatnonzero(done & (owner != -1)):
            row_price[owner[other]] += reached - distance[other]
        column_price[done] -= reached - distance[done]
        while column != -1:
            before = int(came_from[column])
            owner[column] = new if before == -1 else owner[before]
            column = before
    return [(int(row), column) for column, row in enumerate(owner) if row != -1]

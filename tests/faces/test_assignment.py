from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from tests.examples import examples
from workers.faces.assignment import cheapest_pairs

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))
COSTS = st.one_of(st.floats(0, 10), st.integers(0, 3).map(float), st.just(float("inf")))


@settings(max_examples=examples(300), deadline=None)
@given(costs=arrays.arrays(np.float64, SHAPES, elements=COSTS))
def test_as_many_and_as_cheap_pairs_as_scipy_finds(costs: np.ndarray) -> None:
    pairs = cheapest_pairs(costs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(np.isfinite(costs[pair]) for pair in pairs)
    rows, columns = linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e5))
    expected = [costs[r, c] for r, c in zip(rows, columns, strict=True) if np.isfinite(costs[r, c])]
    assert len(pairs) == len(expected)
    assert abs(sum(costs[pair] for pair in pairs) - sum(expected)) < 1e-6


def test_no_rows_or_columns_give_no_pairs() -> None:
    assert cheapest_pairs(np.zeros((0, 3))) == []
    assert cheapest_pairs(np.zeros((3, 0))) == []

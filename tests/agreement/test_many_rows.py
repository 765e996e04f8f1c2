"""Tables that are worked on in several chunks give what one chunk would."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.agreement import Ratings, coefficients, cross_check, ratings, statistics, sufficient


def study() -> Ratings:
    """Clips of seven participants in mixed order; two to six of six raters rated each."""
    rng = np.random.default_rng(11)
    rows = [
        (unit, rater)
        for unit in range(60)
        for rater in rng.permutation(6)[: rng.integers(2, 7)].tolist()
    ]
    unit, rater = np.array(rng.permutation(rows)).T
    value = np.where(rng.random(len(unit)) < 0.6, unit % 4, rng.integers(0, 4, len(unit)))
    return Ratings.from_long(
        unit, rater, value, scale="ordinal", values=range(4), cluster=unit * 5 % 7
    )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, counts = sufficient(study()), study().counts()
    monkeypatch.setattr(ratings, "_CHUNK_ROWS", 17)
    monkeypatch.setattr(statistics, "_CHUNK_CELLS", 5 * whole.table.shape[1])
    chunked = sufficient(study())
    np.testing.assert_array_equal(study().counts(), counts)
    assert chunked.clusters == whole.clusters
    np.testing.assert_allclose(chunked.table, whole.table, rtol=0, atol=1e-12)
    assert coefficients(chunked).alpha == pytest.approx(cross_check(study()), abs=1e-12)


def test_a_repeat_in_another_chunk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = study()
    again = Ratings.from_long(
        np.append(data.unit, data.unit[0]),
        np.append(data.rater, data.rater[0]),
        np.append(data.code, data.code[0]),
        scale="ordinal",
        values=range(4),
    )
    monkeypatch.setattr(ratings, "_CHUNK_ROWS", 17)
    with pytest.raises(ValueError, match="more than once"):
        sufficient(again)

"""A thousand random tables against irrCAC, statsmodels and scikit-learn, in their own process.

`make test-all` installs them. Values of 1 and more are used, since irrCAC divides by their sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from annotation.agreement import (
    Coefficients,
    DawidSkene,
    Ratings,
    Undefined,
    coefficients,
    cohen,
    dawid_skene,
    sufficient,
)
from bench.rivals import ABSENT, Rivals

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TABLES = 1000
WITHIN = 1e-9
WEIGHTS = {"nominal": "identity", "ordinal": "ordinal", "interval": "quadratic", "ratio": "ratio"}


@pytest.fixture(scope="module")
def rivals() -> Iterator[Rivals]:
    if not Rivals.installed():
        pytest.skip(ABSENT)
    with Rivals() as running:
        yield running


def table(rng: np.random.Generator, *, complete: bool = False) -> npt.NDArray[np.float64]:
    """Units x raters, 0 for missing; at least two units with pairs, at least two values used."""
    while True:
        units, raters = int(rng.integers(2, 20)), int(rng.integers(2, 7))
        values = int(rng.integers(2, 6))
        truth = rng.integers(1, values + 1, (units, 1))
        anything = rng.integers(1, values + 1, (units, raters))
        found = np.where(rng.random((units, raters)) < rng.random(), truth, anything)
        if not complete:
            found[rng.random((units, raters)) < rng.random() * 0.5] = 0
        paired = found[(found > 0).sum(axis=1) >= 2]
        if len(paired) >= 2 and len(np.unique(paired[paired > 0])) >= 2:
            return found.astype(np.float64)


def ours(found: npt.NDArray[np.float64], scale: Any) -> tuple[Ratings, Coefficients]:
    unit, rater = np.nonzero(found)
    ratings = Ratings.from_long(
        unit, rater, found[unit, rater].astype(int), scale=scale, values=range(1, 6)
    )
    return ratings, coefficients(sufficient(ratings))


@pytest.mark.parametrize("scale", WEIGHTS)
def test_irrcac(rivals: Rivals, scale: str) -> None:
    rng = np.random.default_rng(sorted(WEIGHTS).index(scale))
    tables = [table(rng) for _ in range(TABLES)]
    answers = rivals.ask(
        "irrcac",
        cases=[
            {
                "matrix": np.where(found > 0, found, np.nan).tolist(),
                "values": [1, 2, 3, 4, 5],
                "weights": WEIGHTS[scale],
            }
            for found in tables
        ],
    )
    worst = 0.0
    for found, theirs in zip(tables, answers, strict=True):
        _, own = ours(found, scale)
        for name, key in (("gwet", "gwet"), ("fleiss", "fleiss"), ("pabak", "bp")):
            value = getattr(own, name)
            assert isinstance(value, float)
            worst = max(worst, abs(value - theirs[key]))
        if scale == "nominal":  # its other weights are not Krippendorff's differences
            assert isinstance(own.alpha, float)
            worst = max(worst, abs(own.alpha - theirs["krippendorff"]))
    assert worst < WITHIN


def test_statsmodels(rivals: Rivals) -> None:
    rng = np.random.default_rng(11)
    tables = [table(rng, complete=True) for _ in range(TABLES)]
    counts = [np.stack([(t == v).sum(axis=1) for v in range(1, 6)], axis=1) for t in tables]
    answers = rivals.ask("fleiss", tables=[each.tolist() for each in counts])
    for found, theirs in zip(tables, answers, strict=True):
        assert ours(found, "nominal")[1].fleiss == pytest.approx(theirs, abs=WITHIN, rel=0)


def test_scikit_learn(rivals: Rivals) -> None:
    rng = np.random.default_rng(12)
    tables = [table(rng, complete=True)[:, :2] for _ in range(TABLES)]
    answers = rivals.ask(
        "two_raters",
        cases=[
            {
                "first": found[:, 0].tolist(),
                "second": found[:, 1].tolist(),
                "values": [1, 2, 3, 4, 5],
            }
            for found in tables
        ],
    )
    for found, theirs in zip(tables, answers, strict=True):
        _, own = ours(found, "nominal")
        assert own.percent == pytest.approx(theirs["accuracy"], abs=WITHIN, rel=0)
        for value, f1 in enumerate(theirs["f1"], start=1):
            # Specific agreement of two raters is the F1 of one against the other.
            specific = own.specific[value]
            assert f1 == 0 if isinstance(specific, Undefined) else abs(specific - f1) < WITHIN
        for scale, key in (("nominal", "cohen"), ("interval", "quadratic")):
            (kappa,) = cohen(ours(found, scale)[0]).values()
            # Where both always said one value, theirs divides zero by zero.
            if isinstance(kappa, float):
                assert kappa == pytest.approx(theirs[key], abs=WITHIN, rel=0)


def test_crowd_kit_finds_the_same_true_values(rivals: Rivals, tmp_path: Any) -> None:
    """It clips error rates that come near 0, which exact EM does not: so to three digits."""
    rng = np.random.default_rng(13)
    truth = rng.integers(0, 4, 400)
    given = np.where(rng.random((400, 8)) < 0.6, truth[:, None], rng.integers(0, 4, (400, 8)))
    columns = {
        "task": np.repeat(np.arange(400), 8),
        "worker": np.tile(np.arange(8), 400),
        "label": given.ravel(),
    }
    np.savez(tmp_path / "columns.npz", **columns)
    theirs = rivals.ask("dawid_skene", path=str(tmp_path / "columns.npz"), n_iter=200, tol=-1.0)
    own = dawid_skene(
        Ratings.from_long(*columns.values(), scale="nominal", values=range(4)),
        tolerance=0,
        max_iterations=200,
    )
    assert isinstance(own, DawidSkene)
    np.testing.assert_allclose(own.posterior, theirs["posterior"], atol=1e-3)

"""Answers for other packages' statistics; run by the Python of `.venv-rivals`, see `bench.rivals`.

One request per line of standard input, one answer per line of standard output, both JSON. This
file imports nothing of Waver's: its environment has an older numpy, and packages that Waver does
not use.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

PACKAGES = ("irrCAC", "statsmodels", "scikit-learn", "crowd-kit", "numpy", "pandas")


def versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def irrcac(cases: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Per case {matrix: units x raters with null, values, weights}: irrCAC's coefficients."""
    import pandas as pd
    from irrCAC.raw import CAC

    found = []
    for case in cases:
        table = pd.DataFrame(np.array(case["matrix"], dtype=float))
        made = CAC(table, weights=case["weights"], categories=case["values"], digits=15)
        found.append(
            {
                name: float(getattr(made, name)()["est"]["coefficient_value"])
                for name in ("gwet", "fleiss", "bp", "krippendorff")
            }
        )
    return found


def fleiss(tables: list[list[list[int]]]) -> list[float]:
    """Fleiss' kappa of tables of counts, units x values, by statsmodels."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    return [float(fleiss_kappa(np.array(table), method="fleiss")) for table in tables]


def two_raters(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per case {first, second, values}: what scikit-learn says about two raters' answers."""
    from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

    found = []
    for case in cases:
        first, second, values = case["first"], case["second"], case["values"]
        f1 = f1_score(first, second, labels=values, average=None, zero_division=0.0)
        found.append(
            {
                "accuracy": float(accuracy_score(first, second)),
                "f1": f1.tolist(),
                "cohen": float(cohen_kappa_score(first, second, labels=values)),
                "quadratic": float(
                    cohen_kappa_score(first, second, labels=values, weights="quadratic")
                ),
            }
        )
    return found


def dawid_skene(path: str, n_iter: int, tol: float) -> dict[str, Any]:
    """crowd-kit's fit of the columns task, worker, label in the .npz at `path`.

    The data frame is made before the clock starts and kept between calls.
    """
    from crowdkit.aggregation import DawidSkene

    frame = _frame(path)
    began = time.process_time()
    made = DawidSkene(n_iter=n_iter, tol=tol).fit(frame)
    took = time.process_time() - began
    probability = made.probas_.sort_index()[sorted(made.probas_.columns)]
    return {
        "seconds": took,
        "iterations": len(made.loss_history_),
        "posterior": probability.to_numpy().tolist(),
    }


@lru_cache(maxsize=2)
def _frame(path: str) -> Any:
    import pandas as pd

    with np.load(path) as columns:
        return pd.DataFrame({name: columns[name] for name in ("task", "worker", "label")})


COMMANDS = {
    "versions": versions,
    "irrcac": irrcac,
    "fleiss": fleiss,
    "two_raters": two_raters,
    "dawid_skene": dawid_skene,
}


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")  # degenerate tables divide by zero in there; we compare values
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"answer": COMMANDS[asked["command"]](**asked["arguments"])}
        except Exception as error:  # noqa: BLE001 - the asking process reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

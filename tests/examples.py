"""How many examples a costly property is tried on: few in `make test`, all in `make test-all`."""

from __future__ import annotations

import os

FULL = "WAVER_TESTS_FULL"


def examples(full: int) -> int:
    """Give `full` where the long tests run too (`python -m tests ""`), else a third of it."""
    return full if os.environ.get(FULL) else full // 3

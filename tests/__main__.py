"""`python -m tests EXPRESSION`: units, then whole videos and releases, then what needs a stack."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.examples import FULL

ALONE = "stack or browser or labelstudio"
SIDE_BY_SIDE = ("-n", "2", "--dist", "worksteal")


def main() -> int:
    """Run both parts of the tests chosen by the marker expression; give pytest's exit status."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else ""
    and_chosen = f" and ({chosen})" if chosen else ""
    parts = {
        "unit": [f"not (programs or {ALONE}){and_chosen}", *SIDE_BY_SIDE],
        "videos, releases and programs": [f"programs and not ({ALONE}){and_chosen}", *SIDE_BY_SIDE],
        "stack, Label Studio and browser": [f"({ALONE}){and_chosen}"],
    }
    # The long tests come with more examples of the costly properties.
    environment = os.environ if "not slow" in chosen else {**os.environ, FULL: "1"}
    worst = 0
    for name, (expression, *options) in parts.items():
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", expression, *options]
        status = subprocess.run(command, env=environment, check=False).returncode
        print(f"{name}: {time.monotonic() - began:.0f} s\n", flush=True)
        worst = worst or status
    return worst


if __name__ == "__main__":
    sys.exit(main())

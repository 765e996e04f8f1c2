"""`python -m workers.samples OUT`: make sample recordings with a planted truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from workers.samples.make import make_samples


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="workers.samples", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the recordings")
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json-progress", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    if options.participants < 1:
        parser.error("--participants must be 1 or more")

    def report(done: int, of: int, what: str) -> None:
        if options.json_progress:
            line = json.dumps({"done": done, "of": of, "what": what})
        else:
            line = f"{done} of {of}: {what}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    make_samples(
        options.out, participants=options.participants, seed=options.seed, on_progress=report
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

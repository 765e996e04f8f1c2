"""`python -m bench [NAME…]`: print a table per subject; exit status 1 if a bound is not met."""

from __future__ import annotations

import argparse
import sys
import time

from bench.machine import describe
from bench.registry import SUBJECTS, choose
from bench.subject import NotMeasured, Row, Subject
from bench.table import render


def main() -> int:
    """Measure the chosen subjects one after the other and say whether every bound is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=_help())
    try:
        chosen = choose(parser.parse_args().names)
    except ValueError as error:
        parser.error(str(error))
    print(describe(name for subject in chosen for name in subject.versions), flush=True)
    missed, missing = [], 0
    for subject in chosen:
        began = time.monotonic()
        lines = list(subject.measure())
        print(f"\n{render(subject, lines)}\n  ({time.monotonic() - began:.0f} s)", flush=True)
        missed += [_name(subject, x) for x in lines if isinstance(x, Row) and x.is_met is False]
        missing += sum(isinstance(x, NotMeasured) for x in lines)
    left_out = f" {missing} could not be measured here." if missing else ""
    if missed:
        print(f"\nNot met: {'; '.join(missed)}.{left_out}")
        return 1
    print(f"\nEvery bound that was measured is met.{left_out}")
    return 0


def _name(subject: Subject, row: Row) -> str:
    return f"{subject.name}, {row.case}"


def _help() -> str:
    names = (f"{s.name}{' (only by name)' if s.only_by_name else ''}" for s in SUBJECTS)
    return f"which subjects: {', '.join(names)}"


if __name__ == "__main__":
    sys.exit(main())

"""`python -m workers.media`: which ffmpeg is used, and what keeps hostile recordings in here."""

from __future__ import annotations

import sys

from workers.media import process, runner
from workers.media.errors import MediaToolError


def report() -> str:
    """Say it in a few lines. Raises MediaToolError where ffmpeg does not start."""
    program = runner.binary()
    version = runner.version(program)
    host = process.defences(program)
    network = "none: it cannot be reached" if host.network else "in reach: allow user namespaces"
    files = "the recording and its own only" if host.files else "all in reach: Landlock is missing"
    return f"ffmpeg    {version} ({program})\nnetwork   {network}\nfiles     {files}\n"


def main() -> int:
    """Print the report; give 1 where ffmpeg does not start."""
    try:
        sys.stdout.write(report())
    except MediaToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

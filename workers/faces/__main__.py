"""`python -m workers.faces FOLDER`: prepare the face detectors; with --install, add another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workers.faces.errors import FaceError
from workers.faces.models import install, prepare_models


def main() -> int:
    """Prepare the bundled detectors, or install one by its hash; print what is there."""
    parser = argparse.ArgumentParser(prog="python -m workers.faces", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the prepared detectors lie")
    parser.add_argument(
        "--install",
        nargs=2,
        metavar=("NAME", "SOURCE"),
        help="install a detector, for example yunet, from a file or an https address",
    )
    parser.add_argument("--sha256", help="the SHA-256 that its file must have")
    parser.add_argument("--licence", help="the licence of its weights, as it goes into the records")
    given = parser.parse_args()
    try:
        if given.install:
            if not given.sha256 or not given.licence:
                parser.error("--install needs --sha256 and --licence, too")
            name, source = given.install
            install(given.folder, name, source, sha256=given.sha256, licence=given.licence)
        for card in prepare_models(given.folder).values():
            sys.stdout.write(f"{card.name}: {card.version}, {card.licence}, {card.sha256}\n")
    except FaceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The guard that keeps raters blind: runs inside Label Studio's process, in its environment.

This folder's parent is put on PYTHONPATH of that process only. Nothing here imports waver: the two
share no code and no database, only a few HTTP endpoints and three secrets.
"""

import importlib.util
import sys


def put_label_studio_on_path() -> None:
    """Make Label Studio's apps importable as `core`, `tasks`, ..., which is how they import."""
    spec = importlib.util.find_spec("label_studio")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "Label Studio is not installed in this environment. Run `make up` once, which "
            "installs it in its own environment."
        )
    folder = next(iter(spec.submodule_search_locations))
    if folder not in sys.path:
        sys.path.append(folder)


put_label_studio_on_path()

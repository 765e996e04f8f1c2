#!/usr/bin/env python
"""Django's command line for Waver; puts `platform/` on the import path of a bare checkout."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run one management command."""
    sys.path.insert(1, str(Path(__file__).resolve().parent / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waver.config.settings.dev")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

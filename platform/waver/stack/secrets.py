"""Secrets of the embedded stack: made once, kept in `var/secrets/`, readable by the owner only."""

import os
import secrets
from pathlib import Path


def secret(var: Path, name: str) -> str:
    """Give the secret `name`, made at the first call.

    Two processes may ask at once: the file appears whole or not at all, and both read
    what the first one wrote.
    """
    folder = var / "secrets"
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".{name}.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()

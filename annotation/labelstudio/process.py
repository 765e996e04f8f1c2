"""How the guarded Label Studio is started: its command line, its environment, its token."""

from __future__ import annotations

import hashlib
import http.client
import os
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from waver.core.errors import BadInput

DATABASE = "label_studio"
SERVER_ROOT = Path(__file__).resolve().parent / "server"
# Label Studio keeps at most 40 characters of a token.
_TOKEN_LENGTH = 40
# A name not listed here does not reach Label Studio: it reads many settings from the environment.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "MALLOC_ARENA_MAX")


def installed() -> bool:
    """Tell whether Label Studio's own environment is there."""
    return Path(settings.LABEL_STUDIO_PYTHON).exists()


def service_token() -> str:
    """Give the service account's token: 40 hexadecimal digits that follow from the secret.

    The guard derives the same (`waver_guard.settings`).
    """
    secret = settings.LABEL_STUDIO_SERVICE_TOKEN
    return hashlib.sha256(secret.encode()).hexdigest()[:_TOKEN_LENGTH]


def command(
    *,
    bind: str | None = None,
    database: str = DATABASE,
    data_folder: Path | None = None,
    setup_only: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """Give the argument list and the environment of the guarded server.

    It brings its database up to date and then serves, in one process; `setup_only` stops after
    the first. `bind` is host:port, by default this machine's LABEL_STUDIO_PORT. The database must
    exist. Raises BadInput where Label Studio is not installed.
    """
    if not installed():
        raise BadInput(
            f"Label Studio is not installed: {settings.LABEL_STUDIO_PYTHON} is missing. Run "
            "`make up` once with Label Studio, or start the stack without it."
        )
    folder = data_folder or Path(settings.VAR) / "label-studio"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [
        *(str(settings.LABEL_STUDIO_PYTHON), "-m", "waver_guard.serve"),
        *("--bind", bind or f"127.0.0.1:{settings.LABEL_STUDIO_PORT}"),
        *(["--setup-only"] if setup_only else []),
    ]
    return argv, _environment(database=database, folder=folder)


def _environment(*, database: str, folder: Path) -> dict[str, str]:
    postgres = settings.DATABASES["default"]
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {
        "PYTHONPATH": str(SERVER_ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "DJANGO_SETTINGS_MODULE": "waver_guard.settings",
        "HOME": str(folder),  # it writes a configuration folder there
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "DJANGO_DB": "default",
        "POSTGRE_HOST": str(postgres["HOST"]),
        "POSTGRE_PORT": str(postgres.get("PORT") or 5432),
        "POSTGRE_USER": str(postgres["USER"]),
        "POSTGRE_PASSWORD": str(postgres.get("PASSWORD") or "none"),
        "POSTGRE_NAME": database,
        # The embedded PostgreSQL has neither; they only speed up searches that raters lack.
        "SKIP_TRIGRAM_EXTENSION": "full",
        "SKIP_BTREE_GIN_EXTENSION": "full",
        # Read while Label Studio is imported, before any settings module can say so.
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "0",
        "LOG_LEVEL": "WARNING",
        "WAVER_URL": settings.WAVER_URL,
        "WAVER_INTERNAL_URL": settings.WAVER_INTERNAL_URL,
        "WAVER_LABEL_STUDIO_URL": settings.LABEL_STUDIO_URL,
        "WAVER_LABEL_STUDIO_GUARD_SECRET": settings.LABEL_STUDIO_GUARD_SECRET,
        "WAVER_LABEL_STUDIO_SERVICE_TOKEN": settings.LABEL_STUDIO_SERVICE_TOKEN,
    }


def health(url: str | None = None, *, patience: float = 2.0) -> bool:
    """Tell whether Label Studio answers at `url` within `patience` seconds."""
    address = urlsplit(url or internal_url())
    connection = http.client.HTTPConnection(
        address.hostname or "127.0.0.1", address.port, timeout=patience
    )
    try:
        connection.request("GET", "/health/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def internal_url() -> str:
    """Give the private address at which Waver reaches Label Studio.

    The setting LABEL_STUDIO_INTERNAL_URL, or by default the address that browsers use.
    """
    return str(getattr(settings, "LABEL_STUDIO_INTERNAL_URL", "") or settings.LABEL_STUDIO_URL)

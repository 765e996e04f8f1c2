"""Tests: a throw-away PostgreSQL started by tests/conftest.py, no broker, fast passwords."""

import os
import tempfile
from pathlib import Path

from .base import *  # noqa: F403
from .base import ROOT

SECRET_KEY = "tests only"  # noqa: S105
LABEL_STUDIO_SERVICE_TOKEN = "tests-service-token"  # noqa: S105
LABEL_STUDIO_GUARD_SECRET = "tests-guard-secret"  # noqa: S105
LABEL_STUDIO_WEBHOOK_SECRET = "tests-webhook-secret"  # noqa: S105
RELEASE_SIGNING_KEY = "5a" * 32

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "waver",
        "USER": "waver",
        "HOST": os.environ.get("WAVER_PGHOST", "/nonexistent"),
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The memory broker keeps wake-up calls inside the process: tests run jobs by hand.
CELERY_BROKER_URL = "memory://"
_scratch = Path(os.environ.get("WAVER_TEST_VAR") or tempfile.gettempdir()) / "waver-tests"
WAVER_STORAGE = {"backend": "folder", "folder": _scratch / "storage"}
WAVER_SCRATCH = _scratch / "scratch"
WAVER_RELEASES = _scratch / "releases"
# Django's live server serves static files from here and nowhere else.
STATIC_ROOT = ROOT / "platform" / "waver" / "website" / "static"
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
# Each test client makes the middleware anew: WhiteNoise looks a file up when one is asked for,
# instead of listing them all each time.
WHITENOISE_AUTOREFRESH = True

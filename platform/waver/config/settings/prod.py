"""Production (docker-compose.yml): every secret and address comes from the environment."""

import os
import re

from django.core.exceptions import ImproperlyConfigured

from .base import *  # noqa: F403
from .base import VAR


def required(name: str) -> str:
    """Give the environment variable `name`, or of the file that `name`_FILE points to."""
    value = os.environ.get(name)
    if not value and os.environ.get(f"{name}_FILE"):
        with open(os.environ[f"{name}_FILE"], encoding="utf-8") as handle:
            value = handle.read().strip()
    if not value:
        raise ImproperlyConfigured(
            f"The environment variable {name} (or {name}_FILE) is not set. "
            "docs/administrator.md lists what production needs."
        )
    return value


SECRET_KEY = required("WAVER_SECRET_KEY")
LABEL_STUDIO_SERVICE_TOKEN = required("WAVER_LABEL_STUDIO_SERVICE_TOKEN")
LABEL_STUDIO_GUARD_SECRET = required("WAVER_LABEL_STUDIO_GUARD_SECRET")
LABEL_STUDIO_WEBHOOK_SECRET = required("WAVER_LABEL_STUDIO_WEBHOOK_SECRET")
RELEASE_SIGNING_KEY = required("WAVER_RELEASE_SIGNING_KEY")
if not re.fullmatch("[0-9a-fA-F]{64}", RELEASE_SIGNING_KEY):
    raise ImproperlyConfigured(
        "WAVER_RELEASE_SIGNING_KEY must be 64 hexadecimal digits, an Ed25519 private key: "
        "`openssl rand -hex 32` makes one. docs/administrator.md says more."
    )
ALLOWED_HOSTS = [host.strip() for host in required("WAVER_HOSTS").split(",")]
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if "." in host]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("POSTGRES_DB", "waver"),
        "USER": os.environ.get("POSTGRES_USER", "waver"),
        "PASSWORD": required("POSTGRES_PASSWORD"),
        "HOST": required("POSTGRES_HOST"),
        "PORT": os.environ.get("POSTGRES_PORT", "5432"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
CELERY_BROKER_URL = required("WAVER_BROKER_URL")

WAVER_PROXIES = int(os.environ.get("WAVER_PROXIES", "1"))
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STATIC_ROOT = VAR / "static"
WHITENOISE_USE_FINDERS = False

WAVER_STORAGE = {
    "backend": "object_store",
    "endpoint": required("WAVER_OBJECT_STORE_URL"),
    "bucket": required("WAVER_OBJECT_STORE_BUCKET"),
    "access_key": required("WAVER_OBJECT_STORE_KEY"),
    "secret_key": required("WAVER_OBJECT_STORE_SECRET"),
}

"""The embedded stack: everything on this machine, set up by `make up` and `make demo`."""

from typing import Any

from waver.stack.broker import broker_settings
from waver.stack.secrets import secret

from .base import *  # noqa: F403
from .base import VAR

SECRET_KEY = secret(VAR, "django")
LABEL_STUDIO_SERVICE_TOKEN = secret(VAR, "label-studio-service")
LABEL_STUDIO_GUARD_SECRET = secret(VAR, "label-studio-guard")
LABEL_STUDIO_WEBHOOK_SECRET = secret(VAR, "label-studio-webhook")
RELEASE_SIGNING_KEY = secret(VAR, "release-signing")

from waver.stack.postgres import embedded_socket_dir  # noqa: E402

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "waver",
        "USER": "waver",
        "HOST": str(embedded_socket_dir(VAR)),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
_broker = broker_settings(
    host=DATABASES["default"]["HOST"], dbname="waver", user=DATABASES["default"]["USER"]
)
CELERY_BROKER_URL = _broker["url"]
CELERY_BROKER_TRANSPORT_OPTIONS = _broker["transport_options"]

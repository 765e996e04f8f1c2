"""Label Studio's own settings, made safe for raters. Values come from the environment, loudly."""

import hashlib
import os


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(
            f"The environment variable {name} is not set, so the guarded Label Studio does not "
            "start. Start it through `make up`, or see docs/administrator.md."
        )
    return value


# Signs the sessions. Label Studio would make one up, write it to a file and not always read the
# same back (a "$" or "#" in it), and every rater would lose their page when it starts again.
os.environ["SECRET_KEY"] = hashlib.sha256(
    f"sessions {_required('WAVER_LABEL_STUDIO_GUARD_SECRET')}".encode()
).hexdigest()

# Importing the second module alone fails: its error reporting reads half-imported settings.
from core.settings.base import *  # noqa: E402, F403

SENTRY_DSN = ""
from core.settings.label_studio import *  # noqa: E402, F403
from core.settings.label_studio import DATABASES, INSTALLED_APPS, MIDDLEWARE  # noqa: E402

# What Waver and this process share.
WAVER_INTERNAL_URL = _required("WAVER_INTERNAL_URL").rstrip("/")
WAVER_URL = _required("WAVER_URL").rstrip("/")
WAVER_GUARD_SECRET = _required("WAVER_LABEL_STUDIO_GUARD_SECRET")
# Label Studio keeps at most 40 characters of a token; Waver derives the same from the secret.
WAVER_SERVICE_TOKEN = hashlib.sha256(
    _required("WAVER_LABEL_STUDIO_SERVICE_TOKEN").encode()
).hexdigest()[:40]
LABEL_STUDIO_URL = _required("WAVER_LABEL_STUDIO_URL").rstrip("/")

ROOT_URLCONF = "waver_guard.urls"
HOSTNAME = ""
DEBUG = False
ALLOWED_HOSTS = ["*"]  # the address is private; the guard checks the origin of every change

# Cookies ignore ports, so names differ from Waver's, and signing out of Waver ends the stay.
SESSION_COOKIE_NAME = "waver_labels_session"
CSRF_COOKIE_NAME = "waver_labels_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LABEL_STUDIO_URL.startswith("https://")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [LABEL_STUDIO_URL]

_REMOVED = {
    "corsheaders.middleware.CorsMiddleware",  # nobody else's page may read anything
    "core.middleware.DisableCSRF",  # the guard's own check takes its place
    "core.middleware.XApiKeySupportMiddleware",  # one way to show a token is enough
    "core.middleware.ContextLogMiddleware",  # telemetry
    "jwt_auth.middleware.JWTAuthenticationMiddleware",  # raters have no tokens
    "core.middleware.HumanSignalCspMiddleware",  # reports only; the guard enforces
}
MIDDLEWARE = [name for name in MIDDLEWARE if name not in _REMOVED]
_after = MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
MIDDLEWARE.insert(0, "waver_guard.middleware.Headers")
MIDDLEWARE.insert(_after + 1, "waver_guard.middleware.Guard")
INSTALLED_APPS = [name for name in INSTALLED_APPS if name != "corsheaders"]

# Legacy tokens, because the service account shows one fixed token; the guard refuses all others.
LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN = True
DISABLE_SIGNUP_WITHOUT_LINK = True
ALLOW_ORGANIZATION_CREATION = False
ALLOW_ORGANIZATION_WEBHOOKS = False
ENABLE_LOCAL_FILES_STORAGE = False
LOCAL_FILES_SERVING_ENABLED = False

# Nothing is reported to anybody.
COLLECT_ANALYTICS = False
LATEST_VERSION_CHECK = False
FRONTEND_SENTRY_DSN = ""
CONVERTER_DOWNLOAD_RESOURCES = False

# Label Studio may call Waver (its webhook), on whatever private address that is, and nobody else:
# raters cannot name addresses, and the service account names only Waver's.
SSRF_PROTECTION_ENABLED = False
WEBHOOK_TIMEOUT = 1.0

DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Lost work of the last moments is found again by Waver's poller; a rater's wait is not.
DATABASES["default"]["OPTIONS"] = {"options": os.environ.get("WAVER_PG_OPTIONS", "")}

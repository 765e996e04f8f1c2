"""Settings shared by every environment. What may differ is read from the environment, loudly."""

import os
from pathlib import Path
from typing import Any

import django_stubs_ext

django_stubs_ext.monkeypatch()

ROOT = Path(__file__).resolve().parents[4]
VAR = Path(os.environ.get("WAVER_VAR") or ROOT / "var").resolve()

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "waver.config.urls"
WSGI_APPLICATION = "waver.config.wsgi.application"

LOCAL_APPS = [
    "waver.core",
    "waver.accounts",
    "waver.studies",
    "waver.consent",
    "waver.recordings",
    "annotation",
    "waver.datasets",
    "waver.website",
    "waver.stack",
    "waver.demo",
]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    *LOCAL_APPS,
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "waver.website.middleware.NeverStored",
    "waver.website.middleware.ErrorSentences",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Label Studio runs on the same host name in the embedded stack, and cookies ignore ports:
# the two must not share cookie names.
SESSION_COOKIE_NAME = "waver_session"
CSRF_COOKIE_NAME = "waver_csrf"
SESSION_COOKIE_AGE = 12 * 3600
# How many proxies stand before the website, each adding to X-Forwarded-For the address it sees.
WAVER_PROXIES = 0
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'"],
        "media-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}

# A long transcript's form has four fields for each segment. How many bytes a form may have is
# limited all the same, and only people who signed in are read so far.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Static files are served from where they are; only production collects them.
WHITENOISE_USE_FINDERS = True

# Where bytes live: only waver.core.storage reads these.
WAVER_STORAGE: dict[str, Any] = {"backend": "folder", "folder": VAR / "storage"}
WAVER_SCRATCH = VAR / "scratch"
WAVER_MODELS = VAR / "models"
# Which face detector the workers use: centerface, centerface-int8, or one that was installed.
WAVER_FACE_DETECTOR = os.environ.get("WAVER_FACE_DETECTOR", "centerface")
# The folder of a Whisper model for faster-whisper, which writes transcripts; empty for none.
WAVER_SPEECH_MODEL = os.environ.get("WAVER_SPEECH_MODEL", "")
WAVER_RELEASES = VAR / "releases"

# Addresses of the two web servers as a browser sees them.
WAVER_PORT = int(os.environ.get("WAVER_PORT", "8000"))
WAVER_URL = os.environ.get("WAVER_URL", f"http://127.0.0.1:{WAVER_PORT}")
LABEL_STUDIO_PORT = int(os.environ.get("WAVER_LABEL_STUDIO_PORT", "8081"))
LABEL_STUDIO_URL = os.environ.get("WAVER_LABEL_STUDIO_URL", f"http://127.0.0.1:{LABEL_STUDIO_PORT}")
# The address at which Waver reaches Label Studio: private, past no proxy.
LABEL_STUDIO_INTERNAL_URL = os.environ.get("WAVER_LABEL_STUDIO_INTERNAL_URL", LABEL_STUDIO_URL)
LABEL_STUDIO_PYTHON = Path(
    os.environ.get("WAVER_LABEL_STUDIO_PYTHON", ROOT / ".venv-label-studio" / "bin" / "python")
)
# The address at which Label Studio's guard reaches Waver's internal endpoints.
WAVER_INTERNAL_URL = os.environ.get("WAVER_INTERNAL_URL", f"http://127.0.0.1:{WAVER_PORT}")

# Public keys that releases were signed with before the present key; their receipts stay valid.
RELEASE_EARLIER_KEYS = os.environ.get("WAVER_RELEASE_EARLIER_KEYS", "").split()

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "io"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The embedded broker restarts with PostgreSQL: workers wait for it as long as it takes, and
# whoever enqueues does not wait at all, because the reconciler sends lost wake-up calls again.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_POOL_LIMIT = 1
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "run" / "beat")
CELERY_BEAT_SCHEDULE = {
    "send lost jobs again, every 5 seconds": {
        "task": "workers.reconcile",
        "schedule": 5.0,
        "options": {"queue": "upkeep", "expires": 5},
    },
    "ask Label Studio for work whose webhook got lost, every 15 seconds": {
        "task": "workers.enqueue",
        "args": ["annotation.collect"],
        "schedule": 15.0,
        "options": {"queue": "upkeep", "expires": 15},
    },
    "remove what is kept about raters whose time is over, once a day": {
        "task": "workers.enqueue",
        "args": ["annotation.forget_raters"],
        "schedule": 86_400.0,
        "options": {"queue": "upkeep", "expires": 3600},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    # A line for every request or wake-up call would bury what an administrator looks for.
    "loggers": {
        name: {"level": "WARNING"}
        for name in ("httpx", "celery.worker.strategy", "celery.app.trace")
    },
    "root": {"handlers": ["stderr"], "level": os.environ.get("WAVER_LOG_LEVEL", "INFO")},
}

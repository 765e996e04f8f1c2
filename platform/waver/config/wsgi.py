"""The web server's entry."""

import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waver.config.settings.dev")
application = get_wsgi_application()

from waver.core import dispatch  # noqa: E402 - needs the settings

# Importing Celery takes a second, which is all that Label Studio waits for an answer to its first
# call. Pages are served meanwhile.
threading.Thread(target=dispatch.get_ready, name="get-ready-to-call-workers", daemon=True).start()

"""Wake-up calls: the only messages that Waver sends through the broker.

`waver` never imports the workers; it calls their task by name.
"""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)

WAKE_TASK = "workers.wake"
RECONCILE_TASK = "workers.reconcile"
ENQUEUE_TASK = "workers.enqueue"

_making = threading.Lock()


def wake(queue: str) -> bool:
    """Send one wake-up call to the workers of `queue`; return whether the broker took it.

    A broker that is away is only logged: the row stands, and `reconcile` calls again.
    """
    try:
        producer().send_task(
            WAKE_TASK,
            args=[queue],
            queue=queue,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0},
        )
    except _broker_errors():
        log.warning("The broker did not take a wake-up call for %s.", queue, exc_info=True)
        return False
    return True


def get_ready() -> None:
    """Import what the first wake-up call needs, so that nobody waits for that; sends nothing."""
    app = producer()
    with _making:
        app.amqp.queues  # noqa: B018 - made at first use, like the transport
        app.connection_for_write().transport  # noqa: B018


def producer() -> Celery:
    """Give the Celery application that only sends, so that the web never imports the workers.

    Made at the first call, by one thread: of several that import Celery at the same moment, some
    find it half imported.
    """
    with _making:
        return _producer()


@functools.cache
def _producer() -> Celery:
    from celery import Celery

    app = Celery("waver-producer", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    # Only who listens needs notifications. Asking for them makes a trigger anew each time, and
    # two who ask at the same moment are in each other's way.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "use_notify": False}
    return app


def _broker_errors() -> tuple[type[BaseException], ...]:
    import psycopg
    from kombu.exceptions import KombuError

    recoverable = producer().connection_for_write().recoverable_connection_errors
    return (*recoverable, KombuError, psycopg.Error, OSError)

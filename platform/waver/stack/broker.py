"""The broker of the embedded stack: message queues in the PostgreSQL that holds everything else.

A message is only a wake-up call; the rows of `core.Job` are the truth. So the schema of the
queues is disposable: another version of it replaces it, messages and all, and the
reconciler sends again what was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

SCHEMA = "pgmq"
# Any constant will do: it names the lock that two starting processes compete for.
_INSTALL_LOCK = 0x5741564551


def broker_settings(*, host: str, dbname: str, user: str) -> dict[str, Any]:
    """Return Celery's `url` and `transport_options` for queues in database `dbname`.

    `host` is the folder of PostgreSQL's socket. Measured choices: a listening worker hears of
    a message within some 10 ms, where long polling on one queue would block the others.
    """
    return {
        "url": "pgmq://localhost",
        "transport_options": {
            # The transport refuses an empty password; over a private socket none is asked for.
            # It also takes the string apart and puts it together without quotes, which is why
            # `waver.stack.postgres.socket_directory` avoids paths that need them.
            "conn_string": f"host={host} user={user} dbname={dbname} password=x",
            "init_extension": False,
            "use_notify": True,
            "notify_throttle_interval_ms": 0,
            "wait_time_seconds": 0,
            "polling_interval": 1,
            "pool_size": 2,
            "pool_timeout": 10,
        },
    }


def install(connection: psycopg.Connection[Any]) -> bool:
    """Install the queues' schema unless this version of it is there; return whether it was.

    `connection` must not be in autocommit mode; the work is one transaction, committed here.
    """
    from pgmq.install import get_embedded_install_sql, get_embedded_sql_version
    from psycopg import sql

    version = get_embedded_sql_version()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_INSTALL_LOCK])
        if _installed_version(connection) == version:
            return False
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(get_embedded_install_sql().encode())
        connection.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(SCHEMA), version)
        )
    return True


def _installed_version(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
        [SCHEMA],
    ).fetchone()
    return row[0] if row else None

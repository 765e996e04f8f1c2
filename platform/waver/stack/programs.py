"""Which programs the embedded stack consists of, besides PostgreSQL."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from waver.stack.errors import StackError
from waver.stack.postgres import embedded_socket_dir

WEB, COMPUTE, IO, BEAT, LABEL_STUDIO = "web", "compute", "io", "beat", "label-studio"
POSTGRES = "postgres"
# A worker gives its jobs back within a second; what Celery does after that can be cut short.
_WORKER_STOP_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Where the stack's files and addresses are.

    `root` is the checkout, `var` the folder for everything that is written. `label_studio` says
    whether Label Studio is started too. `celery_app` is the module of the Celery application.
    """

    root: Path
    var: Path
    bind: str
    web_port: int
    label_studio_port: int
    settings_module: str
    label_studio: bool = True
    compute_processes: int = 2
    celery_app: str = "workers.celery"

    @property
    def web_url(self) -> str:
        """The address of the website on this machine."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def label_studio_url(self) -> str:
        """The address of Label Studio on this machine."""
        return f"http://127.0.0.1:{self.label_studio_port}"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program to be kept running.

    `stop_seconds` is how long it may take to end by itself. A stack goes on without an
    `optional` program that cannot be kept running.
    """

    name: str
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: float = 10.0
    optional: bool = False


def base_environment(config: StackConfig) -> dict[str, str]:
    """Return what every Python program of the stack gets in its environment."""
    path = os.pathsep.join([str(config.root / "platform"), str(config.root)])
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": config.settings_module,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "WAVER_VAR": str(config.var),
        # Temporary files of killed processes are then removed with the folder. The database's
        # socket is named because its place may follow from the temporary directory.
        "TMPDIR": str(temporary_folder(config)),
        "WAVER_PGHOST": str(embedded_socket_dir(config.var)),
        "WAVER_PORT": str(config.web_port),
        "WAVER_LABEL_STUDIO_PORT": str(config.label_studio_port),
        # One arena per thread would cost more memory than the threads are worth.
        "MALLOC_ARENA_MAX": "2",
    }


def temporary_folder(config: StackConfig) -> Path:
    """Return the folder of the stack's temporary files, emptied at start and end."""
    return config.var / "tmp"


def first_programs(config: StackConfig) -> list[Program]:
    """Return the programs that start as soon as the database is ready, in this order."""
    environment = base_environment(config)
    processes = str(config.compute_processes)
    gunicorn = [
        *(sys.executable, "-m", "gunicorn", "waver.config.wsgi:application"),
        *("--bind", f"{config.bind}:{config.web_port}", "--worker-class", "gthread"),
        *("--workers", "1", "--threads", "8", "--no-control-socket"),
        *("--graceful-timeout", "3", "--access-logfile", "-"),
        # Without the query and the referrer: they may name a participant or hold a ticket.
        *("--access-logformat", "%(t)s %(m)s %(U)s %(s)s %(B)s bytes %(L)s s"),
    ]
    return [
        Program(name=WEB, argv=gunicorn, environment=environment),
        Program(
            name=COMPUTE,
            argv=_celery(config, COMPUTE, "cpu,gpu", "--concurrency", processes),
            environment=environment,
            stop_seconds=_WORKER_STOP_SECONDS,
        ),
        Program(
            name=IO,
            argv=_celery(config, IO, "io", "--concurrency", "1"),
            environment=environment,
            stop_seconds=_WORKER_STOP_SECONDS,
        ),
        # The clock and what it calls share one program, so that no long job delays the upkeep.
        Program(
            name=BEAT,
            argv=_celery(config, BEAT, "upkeep", "--pool", "solo", "--beat"),
            environment=environment,
            stop_seconds=_WORKER_STOP_SECONDS,
        ),
    ]


def label_studio_program(config: StackConfig) -> Program:
    """Return how Label Studio is started. Its database must exist."""
    from annotation.labelstudio import process

    argv, environment = process.command()
    return Program(name=LABEL_STUDIO, argv=argv, environment=environment, optional=True)


def _celery(config: StackConfig, name: str, queues: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-A", config.celery_app, "worker"),
        *("--queues", queues, "--hostname", f"{name}@%h"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        # A process that has grown is replaced when it has nothing to do.
        *("--max-tasks-per-child", "50", "--max-memory-per-child", "1500000"),
        # The clock ticks every few seconds, which is no news.
        *("--loglevel", "WARNING" if name == BEAT else "INFO"),
        *more,
    ]


def refuse_used_port(port: int, *, bind: str, variable: str) -> None:
    """Raise StackError, naming the environment `variable` to change, if `port` is in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port that only waits for late packets is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise StackError(
                f"Port {port} cannot be used ({error.strerror}): another program may be using "
                f"it. Stop that program, or choose another port, for example with "
                f"{variable}={port + 100}."
            ) from error


def answers(port: int) -> bool:
    """Whether a web server on this machine answers at `port`, within 2 seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

"""A real, guarded Label Studio and a real Waver website, started once for all tests that ask.

Label Studio's empty database is made once per version and kept as a dump under `var/cache`, since
its first set-up takes half a minute.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.test.testcases import LiveServerThread, _StaticFilesHandler

from annotation.labelstudio import process
from waver.stack.postgres import USER, binary_directory

_PATIENCE_SECONDS = 120.0


@dataclass
class Running:
    """Addresses of the two servers, and how to reach Label Studio's database."""

    waver_url: str
    label_studio_url: str
    database: str
    log: Path
    web: LiveServerThread
    folder: Path
    server: subprocess.Popen[bytes] = field(init=False)
    _stopped: bool = field(default=False)

    def sql(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement in Label Studio's database."""
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection to Label Studio's database."""
        return psycopg.connect(host=_host(), user=USER, dbname=self.database)

    def stop(self) -> None:
        """End both servers and remove their files."""
        if self._stopped:
            return
        self._stopped = True
        self.server.terminate()
        try:
            self.server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.web.terminate()
        _end_sessions()
        shutil.rmtree(self.folder, ignore_errors=True)


_running: Running | None = None


def running(config: pytest.Config) -> Running:
    """Give the two servers, started at the first call and stopped when the tests end.

    Skips where Label Studio's environment is absent.
    """
    global _running
    if not process.installed():
        pytest.skip(
            f"Label Studio is absent: {settings.LABEL_STUDIO_PYTHON} does not exist. `make up` "
            "installs it."
        )
    if _running is None:
        _running = _start()
        config.add_cleanup(stop)
    settings.WAVER_URL = settings.WAVER_INTERNAL_URL = _running.waver_url
    settings.LABEL_STUDIO_URL = settings.LABEL_STUDIO_INTERNAL_URL = _running.label_studio_url
    return _running


def stop() -> None:
    """Stop the two servers, if they run."""
    global _running
    if _running is not None:
        _running.stop()
        _running = None


def _start() -> Running:
    folder = Path(tempfile.mkdtemp(prefix="waver-labels-"))
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    web = LiveServerThread("127.0.0.1", _StaticFilesHandler, connections_override={}, port=0)
    web.daemon = True
    web.start()
    web.is_ready.wait()
    if web.error:
        raise web.error
    settings.WAVER_URL = settings.WAVER_INTERNAL_URL = f"http://127.0.0.1:{web.port}"
    port = _free_port()
    settings.LABEL_STUDIO_URL = settings.LABEL_STUDIO_INTERNAL_URL = f"http://127.0.0.1:{port}"
    database = f"label_studio_{os.getpid()}"
    _make_database(database, folder)
    started = Running(
        waver_url=settings.WAVER_URL,
        label_studio_url=settings.LABEL_STUDIO_URL,
        database=database,
        log=folder / "label-studio.log",
        web=web,
        folder=folder,
    )
    started.server = _serve(started)
    _wait_for_health(started)
    return started


@contextmanager
def stop_label_studio(running: Running, how: int = signal.SIGTERM) -> Iterator[None]:
    """Let Label Studio be away; when the block ends, it is started again and answers."""
    running.server.send_signal(how)
    running.server.wait(timeout=20)
    try:
        yield
    finally:
        running.server = _serve(running)
        _wait_for_health(running)


def _serve(running: Running) -> subprocess.Popen[bytes]:
    argv, environment = process.command(
        bind=urlsplit(running.label_studio_url).netloc,
        database=running.database,
        data_folder=running.folder / "data",
    )
    with running.log.open("ab") as out:
        return subprocess.Popen(argv, env=environment, stdout=out, stderr=out)


def _wait_for_health(started: Running) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not process.health(started.label_studio_url, patience=1.0):
        if started.server.poll() is not None or time.monotonic() > deadline:
            said = started.log.read_text(errors="replace")[-3000:]
            started.stop()
            pytest.fail(f"Label Studio did not start:\n{said}")
        time.sleep(0.1)


def _make_database(name: str, folder: Path) -> None:
    """Make Label Studio's database, from the dump of an earlier run where there is one."""
    with psycopg.connect(host=_host(), user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    dump = _dump_path()
    if dump.exists():
        _client("psql", "--quiet", "--dbname", name, "--set", "ON_ERROR_STOP=1", "--file", dump)
        return
    argv, environment = process.command(database=name, data_folder=folder / "data", setup_only=True)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.fail(f"Label Studio's database could not be made:\n{done.stderr[-3000:]}")
    dump.parent.mkdir(parents=True, exist_ok=True)
    draft = dump.with_suffix(f".{os.getpid()}")
    _client("pg_dump", "--no-owner", "--dbname", name, "--file", draft)
    draft.replace(dump)


def _dump_path() -> Path:
    """Name the dump by what it depends on: Label Studio's version and our set-up code."""
    site = next(Path(settings.LABEL_STUDIO_PYTHON).parents[1].glob("lib/*/site-packages"))
    version = next(site.glob("label_studio-*.dist-info")).name
    code = (process.SERVER_ROOT / "waver_guard" / "accounts.py").read_bytes()
    key = hashlib.sha256(version.encode() + code).hexdigest()[:16]
    return Path(settings.VAR) / "cache" / f"label-studio-{key}.sql"


def _client(program: str, *arguments: str | Path) -> None:
    subprocess.run(
        [binary_directory() / program, "--host", _host(), "--username", USER, *arguments],
        check=True,
        capture_output=True,
        timeout=120,
    )


def _end_sessions() -> None:
    """End what the web server's threads left open, or the test database cannot be dropped."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.close()
    with psycopg.connect(host=_host(), user=USER, dbname="postgres", autocommit=True) as direct:
        direct.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )


def _host() -> str:
    return str(settings.DATABASES["default"]["HOST"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

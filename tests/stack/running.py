"""A stack of a test's own: how to look into it, what to kill in it, and that it ends clean."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from waver.stack import supervised
from waver.stack.client import Stack
from waver.stack.postgres import embedded_cluster
from workers.processes import children

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"After {seconds} seconds: not {what}.")


def environment_of(var: Path, **more: str) -> dict[str, str]:
    """Give what a program needs to belong to the stack of `var`, on ports of its own."""
    return {
        "WAVER_VAR": str(var),
        "WAVER_PORT": str(free_port()),
        "WAVER_LABEL_STUDIO_PORT": str(free_port()),
        "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
        **more,
    }


class Running:
    """A stack of its own, by default without Label Studio, and what a test does to it."""

    def __init__(self, var: Path, *, label_studio: bool = False, **environment: str) -> None:
        self.var = var
        self.label_studio = label_studio
        self.cluster = embedded_cluster(var)
        self.environment = environment_of(var, **environment)
        self.stack = self._new_stack()

    def _new_stack(self) -> Stack:
        return Stack(
            root=ROOT,
            var=self.var,
            environment=self.environment,
            label_studio=self.label_studio,
        )

    def start(self) -> None:
        self.stack.start()
        self.stack.wait_until(web=True, timeout=60)

    def start_another(self) -> Stack:
        another = self._new_stack()
        another.log_file = self.var / "log" / "another.log"
        another.start()
        return another

    def pid(self, program: str) -> int:
        status = self.stack.status
        assert status is not None
        pid = status.programs[program].pid
        assert pid is not None
        return pid

    def restarts(self, program: str) -> int:
        status = self.stack.status
        assert status is not None
        return status.programs[program].restarts

    def run(self, *arguments: str) -> str:
        """Run Python with these arguments beside the stack and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=os.environ | self.environment,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        """Ask the database; while it is being restarted, there are no rows."""
        try:
            with psycopg.connect(**self.cluster.connection_parameters("waver")) as connection:
                return connection.execute(statement.encode(), parameters).fetchall()
        except psycopg.OperationalError:
            return []

    def all_in(self, state: str, pks: list[str]) -> bool:
        found = self.rows("SELECT state FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
        return len(found) == len(pks) and {row[0] for row in found} == {state}


@contextmanager
def running_stack(
    var: Path, *, label_studio: bool = False, **environment: str
) -> Iterator[Running]:
    """Run a stack on `var`; when the block ends, stop it and assert that nothing is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WAVER_PGHOST", raising=False)
        one = Running(var, label_studio=label_studio, **environment)
        one.start()
        try:
            yield one
        finally:
            run = one.stack.status.run if one.stack.status else "none"
            exit_status = one.stack.stop()
            left, still_up = supervised.leftovers(run), one.cluster.is_running
            supervised.kill_leftovers(run, patience=0.0)
            one.cluster.stop()
    assert (exit_status, left, still_up, one.stack.status) == (0, [], False, None)


def kill_worker(running: Running) -> None:
    os.kill(running.pid("compute"), signal.SIGKILL)


def kill_pool_process(running: Running) -> None:
    os.kill(children(running.pid("compute"))[0], signal.SIGKILL)


def kill_every_pool_process(running: Running) -> None:
    for pid in children(running.pid("compute")):
        os.kill(pid, signal.SIGKILL)


def kill_postgres(running: Running) -> None:
    os.kill(running.pid("postgres"), signal.SIGKILL)


def kill_everything_that_works(running: Running) -> None:
    for name in ("compute", "io", "beat", "web", "postgres"):
        os.kill(running.pid(name), signal.SIGKILL)

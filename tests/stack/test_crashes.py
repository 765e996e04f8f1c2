"""Kill -9 of anything in the middle of a job: everything still ends finished, once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from waver.stack import supervised
from waver.stack.client import Stack
from waver.stack.postgres import embedded_cluster
from workers.processes import children

pytestmark = [pytest.mark.slow, pytest.mark.stack]

ROOT = Path(__file__).resolve().parents[2]
_ENQUEUE = "import django; django.setup(); from tests.stack import crash_jobs; crash_jobs.main()"


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


class Running:
    """A stack of its own, and what a test does to it."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.cluster = embedded_cluster(var)
        self.environment = {
            "WAVER_VAR": str(var),
            "WAVER_PORT": str(free_port()),
            "WAVER_LABEL_STUDIO_PORT": str(free_port()),
            "WAVER_CELERY_APP": "tests.stack.crash_app",
            "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
        }
        self.stack = self._new_stack()

    def _new_stack(self) -> Stack:
        return Stack(root=ROOT, var=self.var, environment=self.environment, label_studio=False)

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

    def enqueue(self, name: str, number: int, gate: Path) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", _ENQUEUE, name, str(number), str(gate)],
            cwd=ROOT, env=os.environ | self.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

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

    def effects(self, pks: list[str]) -> list[str]:
        found = self.rows("SELECT object_id FROM core_auditentry WHERE object_id = ANY(%s)", [pks])
        return sorted(row[0] for row in found)

    def attempts(self, pks: list[str]) -> list[int]:
        found = self.rows("SELECT attempts FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
        return sorted(row[0] for row in found)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.delenv("WAVER_PGHOST", raising=False)
    one = Running(tmp_path / "var")
    one.start()
    yield one
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


@pytest.mark.parametrize(
    "kill",
    [
        kill_worker,
        kill_pool_process,
        kill_every_pool_process,
        kill_postgres,
        kill_everything_that_works,
    ],
)
def test_jobs_end_finished_once_whatever_is_killed(
    running: Running, tmp_path: Path, kill: Callable[[Running], None]
) -> None:
    gate = tmp_path / "gate"
    pks = running.enqueue("tests.hold", 2, gate)
    wait_for(lambda: running.all_in("running", pks), seconds=15, what="running")
    kill(running)
    more = [] if kill in (kill_postgres, kill_everything_that_works) else running.enqueue(
        "tests.hold", 1, gate
    )  # fmt: skip
    gate.touch()
    wait_for(lambda: running.all_in("done", pks + more), seconds=60, what="all done")
    assert running.effects(pks + more) == sorted(pks + more)
    assert max(running.attempts(pks)) <= 2
    # And the website answers again.
    wait_for(
        lambda: running.stack.status and running.stack.status.web_ready, seconds=20, what="web"
    )


@pytest.mark.parametrize("which", [0, 1])
def test_an_idle_pool_process_that_is_killed_does_not_block_the_other(
    running: Running, tmp_path: Path, which: int
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    first = running.enqueue("tests.hold", 4, gate)
    wait_for(lambda: running.all_in("done", first), seconds=20, what="done")
    # One of the two waits for a message and holds the lock of the pool's pipe meanwhile:
    # killed, it takes the lock with it, and its worker must notice.
    os.kill(children(running.pid("compute"))[which], signal.SIGKILL)
    second = running.enqueue("tests.hold", 4, gate)
    wait_for(lambda: running.all_in("done", second), seconds=40, what="done")
    assert running.effects(second) == sorted(second)


def test_lost_messages_are_sent_again(running: Running, tmp_path: Path) -> None:
    holding, late = tmp_path / "holding", tmp_path / "late"
    held = running.enqueue("tests.hold_io", 1, holding)
    wait_for(lambda: running.all_in("running", held), seconds=15, what="running")
    late.touch()
    waiting = running.enqueue("tests.hold_io", 1, late)
    with psycopg.connect(**running.cluster.connection_parameters("waver")) as connection:
        connection.execute("SELECT pgmq.purge_queue('io')")
    os.kill(running.pid("io"), signal.SIGKILL)
    holding.touch()
    wait_for(lambda: running.all_in("done", held + waiting), seconds=60, what="all done")
    assert running.effects(held + waiting) == sorted(held + waiting)


def test_a_stop_gives_jobs_back_and_the_next_start_finishes_them(
    running: Running, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    pks = running.enqueue("tests.hold", 2, gate)
    wait_for(lambda: running.all_in("running", pks), seconds=15, what="running")
    started = time.monotonic()
    assert running.stack.stop() == 0
    assert time.monotonic() - started < 15
    gate.touch()
    running.start()
    wait_for(lambda: running.all_in("done", pks), seconds=15, what="all done")
    assert running.effects(pks) == sorted(pks)


def test_a_killed_supervisor_takes_everything_with_it(running: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    pks = running.enqueue("tests.hold", 2, gate)
    wait_for(lambda: running.all_in("running", pks), seconds=15, what="running")
    status = running.stack.status
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    wait_for(
        lambda: not supervised.leftovers(status.run) and not running.cluster.is_running,
        seconds=30, what="gone",
    )  # fmt: skip
    gate.touch()
    running.start()
    wait_for(lambda: running.all_in("done", pks), seconds=40, what="all done")
    assert running.effects(pks) == sorted(pks)


@pytest.mark.parametrize("name", ["tests.sleep", "tests.native"])
def test_a_job_that_takes_too_long_is_ended_and_the_worker_goes_on(
    running: Running, tmp_path: Path, name: str
) -> None:
    pks = running.enqueue(name, 1, tmp_path)
    wait_for(lambda: running.all_in("failed", pks), seconds=20, what="failed")
    (row,) = running.rows("SELECT error FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
    assert f"longer than the 2 seconds that {name} may take" in row[0]
    (tmp_path / "gate").touch()
    after = running.enqueue("tests.hold", 3, tmp_path / "gate")
    wait_for(lambda: running.all_in("done", after), seconds=40, what="done afterwards")
    # The process that sat in the library is gone, and no child of the worker computes on.
    wait_for(lambda: not _busy(children(running.pid("compute"))), seconds=30, what="idle")


def _busy(pids: list[int]) -> bool:
    return any(_cpu_ticks(pid) > 3000 for pid in pids)


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def test_a_second_stack_is_refused_in_a_sentence(running: Running) -> None:
    from waver.stack.errors import StackError

    with pytest.raises(StackError, match="A stack already runs on"):
        running.start_another().wait_until(timeout=20)
    assert running.stack.is_up

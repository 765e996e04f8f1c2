"""Kill -9 of anything in the middle of a job: everything still ends finished, once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.stack.running import (
    Running,
    kill_every_pool_process,
    kill_everything_that_works,
    kill_pool_process,
    kill_postgres,
    kill_worker,
    running_stack,
    wait_for,
)
from waver.stack import supervised
from workers.processes import children

pytestmark = [pytest.mark.slow, pytest.mark.stack]

_ENQUEUE = "import django; django.setup(); from tests.stack import crash_jobs; crash_jobs.main()"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_stack(tmp_path / "var", WAVER_CELERY_APP="tests.stack.crash_app") as one:
        yield one


def enqueue(running: Running, name: str, number: int, gate: Path) -> list[str]:
    return running.run("-c", _ENQUEUE, name, str(number), str(gate)).split()


def effects(running: Running, pks: list[str]) -> list[str]:
    found = running.rows("SELECT object_id FROM core_auditentry WHERE object_id = ANY(%s)", [pks])
    return sorted(row[0] for row in found)


def attempts(running: Running, pks: list[str]) -> list[int]:
    found = running.rows("SELECT attempts FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
    return sorted(row[0] for row in found)


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
    pks = enqueue(running, "tests.hold", 2, gate)
    wait_for(lambda: running.all_in("running", pks), seconds=15, what="running")
    kill(running)
    more = [] if kill in (kill_postgres, kill_everything_that_works) else enqueue(
        running, "tests.hold", 1, gate
    )  # fmt: skip
    gate.touch()
    wait_for(lambda: running.all_in("done", pks + more), seconds=60, what="all done")
    assert effects(running, pks + more) == sorted(pks + more)
    assert max(attempts(running, pks)) <= 2
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
    first = enqueue(running, "tests.hold", 4, gate)
    wait_for(lambda: running.all_in("done", first), seconds=20, what="done")
    # One of the two waits for a message and holds the lock of the pool's pipe meanwhile:
    # killed, it takes the lock with it, and its worker must notice.
    os.kill(children(running.pid("compute"))[which], signal.SIGKILL)
    second = enqueue(running, "tests.hold", 4, gate)
    wait_for(lambda: running.all_in("done", second), seconds=40, what="done")
    assert effects(running, second) == sorted(second)


def test_lost_messages_are_sent_again(running: Running, tmp_path: Path) -> None:
    holding, late = tmp_path / "holding", tmp_path / "late"
    held = enqueue(running, "tests.hold_io", 1, holding)
    wait_for(lambda: running.all_in("running", held), seconds=15, what="running")
    late.touch()
    waiting = enqueue(running, "tests.hold_io", 1, late)
    with psycopg.connect(**running.cluster.connection_parameters("waver")) as connection:
        connection.execute("SELECT pgmq.purge_queue('io')")
    os.kill(running.pid("io"), signal.SIGKILL)
    holding.touch()
    wait_for(lambda: running.all_in("done", held + waiting), seconds=60, what="all done")
    assert effects(running, held + waiting) == sorted(held + waiting)


def test_a_stop_gives_jobs_back_and_the_next_start_finishes_them(
    running: Running, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    pks = enqueue(running, "tests.hold", 2, gate)
    wait_for(lambda: running.all_in("running", pks), seconds=15, what="running")
    started = time.monotonic()
    assert running.stack.stop() == 0
    assert time.monotonic() - started < 15
    gate.touch()
    running.start()
    wait_for(lambda: running.all_in("done", pks), seconds=15, what="all done")
    assert effects(running, pks) == sorted(pks)


def test_a_killed_supervisor_takes_everything_with_it(running: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    pks = enqueue(running, "tests.hold", 2, gate)
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
    assert effects(running, pks) == sorted(pks)


@pytest.mark.parametrize("name", ["tests.sleep", "tests.native"])
def test_a_job_that_takes_too_long_is_ended_and_the_worker_goes_on(
    running: Running, tmp_path: Path, name: str
) -> None:
    pks = enqueue(running, name, 1, tmp_path)
    wait_for(lambda: running.all_in("failed", pks), seconds=20, what="failed")
    (row,) = running.rows("SELECT error FROM core_job WHERE id = ANY(%s::uuid[])", [pks])
    assert f"longer than the 2 seconds that {name} may take" in row[0]
    (tmp_path / "gate").touch()
    after = enqueue(running, "tests.hold", 3, tmp_path / "gate")
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

"""The supervisor's parts: one program, the ports, the status file and the lock."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from waver.stack import broker, programs, status, supervised
from waver.stack.client import Stack
from waver.stack.errors import StackError
from waver.stack.postgres import Cluster, temporary_cluster
from waver.stack.programs import Program, StackConfig
from waver.stack.status import ProgramStatus, Status
from waver.stack.supervised import Supervised
from workers.processes import children, descendants

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def shell(script: str) -> Program:
    return Program(name="example", argv=["/bin/sh", "-c", script], environment=dict(os.environ))


def test_what_a_program_leaves_behind_is_killed_with_it(tmp_path: Path) -> None:
    one = Supervised(shell("sleep 600 & sleep 600"), run="r-group", log_dir=tmp_path)
    one.start()
    assert one.pid is not None
    wait_for(lambda: len(supervised.leftovers("r-group")) == 3)
    os.kill(one.pid, signal.SIGKILL)
    wait_for(one.has_ended)
    wait_for(lambda: supervised.leftovers("r-group") == [])


def test_an_ended_program_is_started_again_after_a_pause(tmp_path: Path) -> None:
    one = Supervised(shell("echo started; exec sleep 600"), run="r-again", log_dir=tmp_path)
    one.start()
    first = one.pid
    assert first is not None
    wait_for(lambda: one.last_lines() == "started")
    os.kill(first, signal.SIGKILL)
    wait_for(one.has_ended)
    assert one.pid is None
    assert not one.restart_when_due(), "not at once"
    wait_for(one.restart_when_due)
    assert one.pid not in (None, first)
    assert not one.keeps_crashing()
    wait_for(lambda: one.last_lines().splitlines() == ["started", "started"])
    one.ask_to_stop()
    wait_for(lambda: one.has_finished(time.monotonic() + 10))
    one.kill()
    wait_for(lambda: supervised.leftovers("r-again") == [])


def test_a_program_that_cannot_run_is_given_up(tmp_path: Path) -> None:
    one = Supervised(shell("echo cannot run >&2; exit 3"), run="r-crash", log_dir=tmp_path)
    one.start()
    ends = 0
    while not one.keeps_crashing():
        wait_for(one.has_ended)
        ends += 1
        if not one.keeps_crashing():
            wait_for(one.restart_when_due)
    assert ends == 5
    assert "cannot run" in one.last_lines()


def test_a_program_that_replaces_itself_in_order_does_not_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "_CRASH_LIFE_SECONDS", 0.05)
    one = Supervised(shell("sleep 0.2; exit 0"), run="r-order", log_dir=tmp_path)
    one.start()
    for _ in range(6):
        wait_for(one.has_ended)
        assert one.restart_when_due(), "at once"
    assert not one.keeps_crashing()
    one.kill()


def test_a_program_that_does_not_listen_is_killed_at_its_deadline(tmp_path: Path) -> None:
    one = Supervised(shell("trap '' TERM; echo deaf; sleep 600"), run="r-deaf", log_dir=tmp_path)
    one.start()
    wait_for(lambda: "deaf" in one.last_lines())
    one.ask_to_stop()
    assert not one.has_finished(time.monotonic() + 60)
    assert one.has_finished(time.monotonic() - 1)
    one.kill()
    wait_for(lambda: supervised.leftovers("r-deaf") == [])


def test_leftovers_of_an_earlier_run_are_killed(tmp_path: Path) -> None:
    one = Supervised(shell("sleep 600 & sleep 600"), run="r-left", log_dir=tmp_path)
    one.start()
    wait_for(lambda: len(supervised.leftovers("r-left")) == 3)
    supervised.kill_leftovers("r-left", patience=0.0)
    wait_for(lambda: supervised.leftovers("r-left") == [])
    one.kill()


def test_a_used_port_is_refused_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"Port {port} .* WAVER_PORT={port + 100}"):
            programs.refuse_used_port(port, bind="127.0.0.1", variable="WAVER_PORT")
    programs.refuse_used_port(port, bind="127.0.0.1", variable="WAVER_PORT")
    assert not programs.answers(port)


def test_the_status_file_says_what_was_written_and_goes(tmp_path: Path) -> None:
    assert status.read_status(tmp_path) is None
    written = Status(pid=7, run="r", programs={"web": ProgramStatus(pid=8, state="running")})
    written.write(tmp_path)
    assert status.read_status(tmp_path) == written
    status.remove_status(tmp_path)
    assert status.read_status(tmp_path) is None


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    assert not status.is_locked(tmp_path)
    with status.lock(tmp_path):
        assert status.is_locked(tmp_path)
        with pytest.raises(StackError, match=rf"already runs on .* \(process {os.getpid()}\)"):
            status.lock(tmp_path)
    assert not status.is_locked(tmp_path)


def test_every_queue_has_one_worker_under_a_name_of_its_own(tmp_path: Path) -> None:
    config = StackConfig(
        root=ROOT, var=tmp_path, bind="127.0.0.1", web_port=8930, label_studio_port=8931,
        settings_module="waver.config.settings.dev",
    )  # fmt: skip
    found = {program.name: program for program in programs.first_programs(config)}
    workers = [found[name].argv for name in ("compute", "io", "beat")]
    queues = [argv[argv.index("--queues") + 1] for argv in workers]
    names = [argv[argv.index("--hostname") + 1] for argv in workers]
    assert sorted(",".join(queues).split(",")) == ["cpu", "gpu", "io", "upkeep"]
    assert len(set(names)) == 3
    assert all("--beat" not in argv for argv in workers[:2])
    assert "--no-control-socket" in found["web"].argv
    assert found["web"].environment["WAVER_VAR"] == str(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return temporary_cluster(tmp_path)


def test_the_queues_are_installed_once_and_replaced_by_another_version(cluster: Cluster) -> None:
    try:
        with psycopg.connect(**cluster.connection_parameters()) as connection:
            assert broker.install(connection) is True
            assert broker.install(connection) is False
            connection.execute("SELECT pgmq.create('cpu')")
            connection.execute("COMMENT ON SCHEMA pgmq IS 'an older one'")
            connection.commit()
            assert broker.install(connection) is True
            assert connection.execute("SELECT * FROM pgmq.list_queues()").fetchall() == []
    finally:
        cluster.destroy()


def test_a_message_goes_through_the_broker_as_the_settings_describe_it(tmp_path: Path) -> None:
    from kombu import Connection

    cluster = temporary_cluster(tmp_path / "it's a folder")
    try:
        with psycopg.connect(**cluster.connection_parameters()) as connection:
            broker.install(connection)
        found = broker.broker_settings(
            host=str(cluster.socket_dir), dbname="postgres", user="waver"
        )
        options = found["transport_options"]
        with Connection(found["url"], transport_options=options) as messages:
            queue = messages.SimpleQueue("cpu")
            queue.put({"wake": "up"})
            message = queue.get(timeout=5)
            assert message.payload == {"wake": "up"}
            message.ack()
            queue.close()
    finally:
        cluster.destroy()


def test_a_stack_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {
            "WAVER_PORT": port,
            "DJANGO_SETTINGS_MODULE": "waver.config.settings.dev",
            "WAVER_PGHOST": "",
        }
        stack = Stack(root=ROOT, var=tmp_path, environment=environment, label_studio=False)
        stack.start()
        with pytest.raises(StackError, match=f"Port {port} cannot be used"):
            stack.wait_until(timeout=30)
    assert not stack.is_up


def test_descendants_are_found_parents_first(tmp_path: Path) -> None:
    one = Supervised(shell("sh -c 'sleep 600; true'; true"), run="r-tree", log_dir=tmp_path)
    one.start()
    assert one.pid is not None
    wait_for(lambda: len(descendants(one.pid or 0)) == 2)
    below = descendants(one.pid)
    assert children(one.pid) == below[:1]
    assert children(below[0]) == below[1:]
    assert one.pid in children(os.getpid())
    one.kill()

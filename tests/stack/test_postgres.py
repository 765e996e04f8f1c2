"""The embedded PostgreSQL starts, survives what a laptop does to it, and leaves nothing."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from waver.stack import child, postgres
from waver.stack.errors import StackError
from waver.stack.postgres import Cluster, socket_directory, temporary_cluster

pytestmark = pytest.mark.programs


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A running throw-away server."""
    server = temporary_cluster(tmp_path)
    yield server
    server.destroy()


def _query(cluster: Cluster, statement: str, dbname: str = "postgres") -> object:
    with psycopg.connect(**cluster.connection_parameters(dbname), autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def _ends(descriptor: int) -> bool:
    """Wait up to 20 seconds for the end of the process behind `descriptor`, and close that."""
    ended = select.select([descriptor], [], [], 20)[0]
    os.close(descriptor)
    return bool(ended)


def _kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert _ends(descriptor)


def test_it_listens_on_a_private_socket_and_on_no_port(cluster: Cluster) -> None:
    assert str(_query(cluster, "SHOW server_version")).startswith("18.")
    assert _query(cluster, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.data_dir.stat().st_mode) == 0o700


def test_a_database_is_created_once(cluster: Cluster) -> None:
    assert cluster.create_database("one") is True
    assert cluster.create_database("one") is False
    assert _query(cluster, "SELECT current_database()", "one") == "one"


def test_starting_twice_keeps_the_running_server(cluster: Cluster) -> None:
    before = cluster.pid
    cluster.start()
    assert Cluster(cluster.data_dir).is_running
    assert cluster.pid == before


def test_committed_rows_survive_a_killed_server(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data")
    cluster.start()
    try:
        with psycopg.connect(**cluster.connection_parameters(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
            assert cluster.pid is not None
            _kill(cluster.pid)
            cluster.start()
        assert _query(cluster, "SELECT n FROM kept") == 7
    finally:
        cluster.destroy()
    assert not cluster.is_running
    assert not cluster.data_dir.exists()


def test_a_pid_file_whose_number_is_another_programs_does_no_harm(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", durable=False)
    cluster.start()
    recorded = (cluster.data_dir / "postmaster.pid").read_text()
    cluster.stop()
    stale = recorded.replace(recorded.split("\n", 1)[0], str(os.getpid()), 1)
    (cluster.data_dir / "postmaster.pid").write_text(stale)
    assert not cluster.is_running
    cluster.start()
    try:
        assert _query(cluster, "SELECT 1") == 1
    finally:
        cluster.destroy()


def test_a_folder_of_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackError, match="was made by PostgreSQL 16"):
        Cluster(tmp_path / "data").start()


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", durable=False)
    cluster.start()
    cluster.stop()
    with (cluster.data_dir / "postgresql.conf").open("a") as settings:
        settings.write("\nno_such_setting = 1\n")
    with pytest.raises(StackError, match="no_such_setting"):
        cluster.start()


def test_a_long_path_gets_a_short_socket_folder(tmp_path: Path) -> None:
    preferred = tmp_path / ("long" * 30) / "socket"
    short = socket_directory(preferred)
    assert short != preferred
    assert short == socket_directory(preferred)
    assert len(os.fsencode(short / ".s.PGSQL.5432")) <= 107
    server = temporary_cluster(preferred.parent)
    try:
        assert _query(server, "SELECT 1") == 1
    finally:
        server.destroy()
    assert not short.exists()


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from waver.stack.postgres import Cluster;"
        "Cluster(Path(sys.argv[1]), durable=False).start(); os._exit(9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "data"], env=environment)
    assert done.returncode == 9
    cluster = Cluster(tmp_path / "data")
    pid = cluster.pid
    if pid is not None:  # it may still be writing its last checkpoint
        assert _ends(os.pidfd_open(pid)), "the server outlived its parent"
    assert not cluster.is_running


def test_the_command_line_starts_shows_and_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "data")]
    assert postgres.main(["status", *data]) == 3
    assert postgres.main(["start", *data, "--database", "waver"]) == 0
    try:
        assert _query(Cluster(tmp_path / "data"), "SELECT 1", "waver") == 1
        assert postgres.main(["status", *data]) == 0
    finally:
        assert postgres.main(["stop", *data]) == 0
    assert "not running" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root gives up its rights to start PostgreSQL.")
def test_root_without_user_namespaces_starts_it_as_nobody() -> None:
    # pytest's own folders are closed to others, and nobody must be able to enter this one.
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="waver-nobody-"))
    folder.chmod(0o755)
    cluster = Cluster(folder / "data", durable=False, identity=child.become_nobody)
    try:
        cluster.start()
        assert cluster.data_dir.stat().st_uid == child.NOBODY_UID
        assert _query(cluster, "SELECT 1") == 1
    finally:
        cluster.destroy()
        shutil.rmtree(folder)

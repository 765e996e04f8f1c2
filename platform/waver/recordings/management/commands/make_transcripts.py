"""Have a model write a study's missing transcripts: `manage.py make_transcripts --study S`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from waver.core.errors import WaverError
from waver.recordings import transcribing
from waver.studies.access import study_called


class Command(BaseCommand):
    help = (
        "Ask the speech model for a transcript of every recording of a study that has none. The "
        "workers make them; recordings whose transcript people wrote or brought in are left alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--study", required=True, help="the study's code")
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who does this; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            study = study_called(options["study"])
            queued, told = transcribing.ask_for_study(study=study, actor=options["actor"])
        except WaverError as error:
            raise CommandError(error.sentence) from error
        for sentence in told:
            self.stderr.write(sentence)
        waits = "recording waits" if queued == 1 else "recordings wait"
        self.stdout.write(f"{queued} {waits} for the model.")

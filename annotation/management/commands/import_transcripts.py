"""Bring transcripts into a study: `manage.py import_transcripts --study S FOLDER`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.services.elan_transcripts import READERS
from waver.core.errors import WaverError
from waver.recordings.transcripts.importing import COLUMNS, Outcome, Result, import_folder
from waver.recordings.transcripts.reading import Options
from waver.studies.access import study_called


class Command(BaseCommand):
    help = (
        "Bring a folder of transcripts into a study: WebVTT (.vtt), SRT (.srt), BAH's YAML (.yml) "
        "and ELAN (.eaf). A transcript belongs to the recording whose file had the same name, or "
        f"that a manifest names: a CSV file with the columns {' and '.join(COLUMNS)}. Every "
        "refused file gets a sentence; the same folder twice imports nothing twice. Exits with 1 "
        "when a file was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="the folder with the transcripts")
        parser.add_argument("--study", required=True, help="the study's code")
        parser.add_argument("--manifest", type=Path, help="which file is of which recording")
        parser.add_argument(
            "--language", default="", help="the language, such as fr, where a file names none"
        )
        parser.add_argument(
            "--encoding", default="", help="the files' encoding, where it is not UTF-8"
        )
        parser.add_argument(
            "--tier", action="append", default=[], help="ELAN: a tier that holds what is said"
        )
        parser.add_argument(
            "--shift-ms", type=int, default=0, help="milliseconds to add to every time"
        )
        parser.add_argument(
            "--replace",
            action="store_true",
            help="also take the place of transcripts that were corrected by hand",
        )
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who does this; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            outcomes = import_folder(
                study=study_called(options["study"]),
                folder=options["folder"],
                manifest=options["manifest"],
                actor=options["actor"],
                language=options["language"],
                readers=READERS,
                options=Options(
                    encoding=options["encoding"],
                    shift_us=options["shift_ms"] * 1000,
                    tiers=tuple(options["tier"]),
                ),
                replace=options["replace"],
                on_result=self._tell,
            )
        except WaverError as error:
            raise CommandError(error.sentence) from error
        count = Counter(outcome.result for outcome in outcomes)
        self.stdout.write(
            f"{count[Result.IMPORTED]} imported, {count[Result.THERE_ALREADY]} there already, "
            f"{count[Result.REFUSED]} refused."
        )
        if count[Result.REFUSED]:
            raise CommandError("Some files were refused; the sentences above say why.")

    def _tell(self, outcome: Outcome) -> None:
        refused = outcome.result is Result.REFUSED
        stream = self.stderr if refused else self.stdout
        for sentence in outcome.sentences:
            stream.write(("Refused: " if refused else "Note: ") + sentence)

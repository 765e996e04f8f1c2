"""Record signed paper forms from a list: `manage.py record_consents STUDY FORMS.csv`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from waver.consent.import_forms import COLUMNS, Outcome, Result, record_forms
from waver.core.errors import WaverError
from waver.studies.access import study_called


class Command(BaseCommand):
    help = (
        "Record signed paper forms, and register the participants who signed them. The list is a "
        f"CSV file with the columns {', '.join(COLUMNS)}, language where the study has several, "
        "and one column per item of the consent document with yes or no. Every refused line gets "
        "a sentence. Exits with 1 when nothing could be recorded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("forms", type=Path, help="the list of forms, a CSV file")
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who enters them; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            outcomes = record_forms(
                study=study_called(options["study"]),
                path=options["forms"],
                actor=options["actor"],
                on_result=self._tell,
            )
        except WaverError as error:
            raise CommandError(error.sentence) from error
        count = Counter(outcome.result for outcome in outcomes)
        self.stdout.write(
            f"{count[Result.RECORDED]} recorded, {count[Result.THERE_ALREADY]} there already, "
            f"{count[Result.REFUSED]} refused."
        )
        if not count[Result.RECORDED] and not count[Result.THERE_ALREADY]:
            raise CommandError("Nothing could be recorded. The sentences above say why.")

    def _tell(self, outcome: Outcome) -> None:
        if outcome.result is Result.REFUSED:
            self.stderr.write(f"Refused: {outcome.sentence}")

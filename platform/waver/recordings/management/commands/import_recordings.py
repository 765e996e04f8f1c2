"""Import a folder of recordings into a study: `manage.py import_recordings STUDY FOLDER`."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError

from waver.core.errors import WaverError
from waver.recordings.import_folder import Outcome, Result, import_folder
from waver.recordings.manifest import COLUMNS, Manifest, read_manifest
from waver.studies.access import study_called
from waver.studies.models import Study


class Command(BaseCommand):
    help = (
        "Import a folder of recordings into a study. Participant, prompt and recording time come "
        f"from a manifest, a CSV file with the columns {', '.join(COLUMNS)}; every refused file "
        "gets a sentence. Exits with 1 when nothing could be imported."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("folder", type=Path, help="the folder with the recordings")
        parser.add_argument(
            "--manifest", type=Path, help="the manifest; default: FOLDER/manifest.csv"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            study = study_called(options["study"])
            manifest = read_manifest(options["folder"], options["manifest"])
            outcomes = self._import(study, options["folder"], manifest)
        except WaverError as error:
            raise CommandError(error.sentence) from error
        count = Counter(outcome.result for outcome in outcomes)
        changed = f"{count[Result.CORRECTED]} corrected, " if count[Result.CORRECTED] else ""
        self.stdout.write(
            f"{count[Result.IMPORTED]} imported, {count[Result.THERE_ALREADY]} there already, "
            f"{changed}{count[Result.REFUSED]} refused."
        )
        if count[Result.REFUSED] == len(outcomes):
            raise CommandError("Nothing could be imported. The sentences above say why.")

    def _import(self, study: Study, folder: Path, manifest: Manifest) -> list[Outcome]:
        """Import with a progress bar where somebody watches; refusals are printed either way."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        # Past Django's wrapper, which would end every piece of the bar with a new line.
        stream = cast(IO[str], getattr(self.stderr, "_out", sys.stderr))
        console = Console(file=stream, soft_wrap=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        total = len(manifest.rows) + len(manifest.problems)
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("Importing", total=total)

            def tell(outcome: Outcome) -> None:
                progress.advance(bar)
                if outcome.result is Result.REFUSED:
                    console.print(f"Refused: {outcome.sentence}", markup=False)
                elif outcome.result is Result.CORRECTED:
                    console.print(outcome.sentence, markup=False)

            return import_folder(
                study=study,
                folder=folder,
                manifest=manifest,
                actor=f"import_recordings ({getpass.getuser()})",
                on_result=tell,
            )

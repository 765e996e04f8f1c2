"""Show a study's codebook versions, or what a file would change: `manage.py codebook_versions`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.codebooks import CodebookError, compare, load
from annotation.services import codebooks
from waver.core.errors import WaverError
from waver.studies.access import study_called
from waver.studies.models import Study


class Command(BaseCommand):
    help = (
        "Show a study's codebook versions and what each changed. With --against FILE: say what "
        "that file would change and orphan, and install nothing; exits with 1 where its "
        "'migration' must say more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("--against", type=Path, metavar="FILE", help="a codebook file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            study = study_called(options["study"])
            if options["against"] is not None:
                self._compare(study, options["against"])
                return
        except WaverError as error:
            raise CommandError(error.sentence) from error
        for each in codebooks.history(study):
            made = each.version.created_at
            work = "1 annotation" if each.annotations == 1 else f"{each.annotations} annotations"
            self.stdout.write(f"{each.version}, installed {made:%Y-%m-%d %H:%M} UTC, {work}")
            for sentence in each.changes:
                self.stdout.write(f"  {sentence}")

    def _compare(self, study: Study, path: Path) -> None:
        version = codebooks.current(study)
        try:
            found = compare(codebooks.parsed(version), load(path))
        except (OSError, CodebookError) as error:
            raise CommandError(f"{path.name} cannot be read as a codebook.\n{error}") from error
        self.stdout.write(f"{path.name} against {version}:")
        for sentence in found.changes or ("Nothing changes.",):
            self.stdout.write(f"  {sentence}")
        problems = [
            *found.problems,
            *(
                f"Nothing under 'migration' says what becomes of {orphan}, which "
                f"{codebooks.rows_of_work(version, orphan)} rows of work carry."
                for orphan in found.orphans
            ),
        ]
        if problems:
            raise CommandError("\n".join(problems))

"""Write raters' work for ELAN: `manage.py export_elan STUDY FOLDER`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.services import elan
from waver.core.errors import ConsentRefused, Missing, WaverError
from waver.recordings.models import Recording
from waver.studies.access import study_called


class Command(BaseCommand):
    help = (
        "Write raters' work for ELAN: one .eaf file for each recording with accepted work, named "
        "by the recording's id, raters by their numbers. Consent is asked for each recording. "
        "Files in the folder with the same name are replaced."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("folder", type=Path, help="where to write; made if need be")
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who does this; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        try:
            study = study_called(options["study"])
            folder.mkdir(parents=True, exist_ok=True)
        except WaverError as error:
            raise CommandError(error.sentence) from error
        except OSError as error:
            raise CommandError(f"{folder} cannot be written ({error.strerror}).") from error
        worked_on = Recording.objects.filter(study=study, assignments__annotations__isnull=False)
        rows = worked_on.select_related("take__participant", "study").distinct().order_by("pk")
        written = 0
        for row in rows:
            try:
                made = elan.export_eaf(row, actor=options["actor"])
            except (ConsentRefused, Missing) as refusal:
                self.stderr.write(f"{row.pk}: {refusal.sentence}")
                continue
            draft = folder / f"{row.pk}.eaf.part"
            draft.write_bytes(made.data)
            draft.replace(folder / f"{row.pk}.eaf")
            written += 1
            for sentence in made.left_out:
                self.stderr.write(f"{row.pk}: {sentence}")
        self.stdout.write(f"{written} files were written to {folder}.")
